import { type ApiError, badRequest, forbidden } from '#api/object/api-error.ts';
import { deepEqual } from '#api/object/deep-equal.ts';
import type { Node, Pod } from '#api/object/kinds.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { Store } from '../../store/store.ts';
import { nodeNameOf } from '../authorize/node-identity.ts';
import { podReferences } from '../authorize/pod-references.ts';
import type { AdmissionPlugin, AdmissionRequest, AdmissionTarget } from './admission-plugin.ts';
import { changedLabels, isRestrictedNodeLabel } from './node-labels.ts';
import { isMirrorPod } from './pod-request.ts';

type Check = (request: AdmissionRequest, nodeName: string) => void;

const refuse = (request: AdmissionRequest, why: string): ApiError => forbidden(request.resource, request.name, why);

const podOf = (object: KubeObject | undefined): Pod | undefined => object as unknown as Pod | undefined;
const nodeOf = (object: KubeObject | undefined): Node | undefined => object as unknown as Node | undefined;

/**
 * What the Node authorizer cannot see because it needs the object: a node writes about itself and about pods bound to it, and gives
 * itself neither labels nor taints that people rely on.
 */
export function nodeRestriction({ store }: { readonly store: Store }): AdmissionPlugin {
  const checks = new Map<string, Check>([
    ['/pods', (request, node) => checkPod(store, request, node)],
    ['/nodes', checkNode],
    ['/serviceaccounts', (request, node) => checkTokenRequest(store, request, node)],
    ['coordination.k8s.io/leases', checkLease],
    ['storage.k8s.io/csinodes', checkOwnName],
  ]);
  const checkOf = ({ resource }: AdmissionTarget) => checks.get(`${resource.group}/${resource.resource}`);
  return {
    name: 'NodeRestriction',
    handles: (request) => checkOf(request) !== undefined && nodeNameOf(request.user) !== undefined,
    validate(request) {
      const nodeName = nodeNameOf(request.user);
      if (nodeName === undefined) return;
      if (nodeName === '') {
        throw refuse(request, `could not determine node from user ${JSON.stringify(request.user.name)}`);
      }
      checkOf(request)?.(request, nodeName);
    },
  };
}

function checkPod(store: Store, request: AdmissionRequest, nodeName: string): void {
  switch (request.subresource) {
    case '':
      checkPodObject(request, nodeName);
      return;
    case 'status':
      checkPodStatus(request, nodeName);
      return;
    case 'eviction': {
      const pod = podOf(
        store.snapshot().get(`/registry/pods/${request.namespace}/${request.name}`)?.object() as KubeObject,
      );
      if (pod !== undefined) requireOwnPod(request, pod, nodeName);
      return;
    }
    default:
      throw refuse(
        request,
        `unexpected pod subresource ${JSON.stringify(request.subresource)}, only "status" and "eviction" are allowed`,
      );
  }
}

function requireOwnPod(request: AdmissionRequest, pod: Pod, nodeName: string): void {
  if (pod.spec?.nodeName === nodeName) return;
  const verb = request.operation === 'DELETE' ? 'delete' : 'evict';
  throw refuse(request, `node ${JSON.stringify(nodeName)} can only ${verb} pods with spec.nodeName set to itself`);
}

function checkPodObject(request: AdmissionRequest, nodeName: string): void {
  if (request.operation === 'DELETE') {
    const pod = podOf(request.oldObject);
    if (pod !== undefined) requireOwnPod(request, pod, nodeName);
    return;
  }
  if (request.operation !== 'CREATE') throw refuse(request, `unexpected operation ${request.operation}`);
  checkMirrorPod(request, podOf(request.object)!, nodeName);
}

/** The only pods that a node creates are the shadows of its static pods, and those may not lead it to anybody's Secrets. */
function checkMirrorPod(request: AdmissionRequest, pod: Pod, nodeName: string): void {
  const quoted = JSON.stringify(nodeName);
  if (!isMirrorPod(pod)) {
    throw refuse(
      request,
      `pod does not have "kubernetes.io/config.mirror" annotation, node ${quoted} can only create mirror pods`,
    );
  }
  if (pod.spec?.nodeName !== nodeName) {
    throw refuse(request, `node ${quoted} can only create pods with spec.nodeName set to itself`);
  }
  const owners = pod.metadata.ownerReferences ?? [];
  const [owner] = owners;
  if (owners.length > 1 || (owner !== undefined && (owner.kind !== 'Node' || owner.name !== nodeName))) {
    throw refuse(request, `node ${quoted} can only create pods with an owner reference set to itself`);
  }
  const references = podReferences(request.name, pod.spec);
  const found = [
    ...(references.serviceAccount === undefined ? [] : ['a service account']),
    ...(references.secrets.size === 0 ? [] : ['secrets']),
    ...(references.configMaps.size === 0 ? [] : ['configmaps']),
    ...(references.claims.size === 0 ? [] : ['persistentvolumeclaims']),
    ...((pod.spec.resourceClaims ?? []).length === 0 ? [] : ['resourceclaims']),
  ];
  if (found.length > 0) throw refuse(request, `node ${quoted} can not create pods that reference ${found[0]}`);
}

function checkPodStatus(request: AdmissionRequest, nodeName: string): void {
  const before = podOf(request.oldObject);
  const after = podOf(request.object);
  if (before === undefined || after === undefined) return;
  const quoted = JSON.stringify(nodeName);
  if (before.spec?.nodeName !== nodeName) {
    throw refuse(request, `node ${quoted} can only update pod status for pods with spec.nodeName set to itself`);
  }
  if (changedLabels(before.metadata.labels ?? {}, after.metadata.labels ?? {}).length > 0) {
    throw refuse(request, `node ${quoted} cannot update labels through pod status`);
  }
  requireSameClaims(request, [before.status, after.status], quoted);
}

/** Whichever claims the status names, the node may read. The words are Kubernetes', and so is their spelling. */
function requireSameClaims(
  request: AdmissionRequest,
  [before, after]: readonly [Pod['status'], Pod['status']],
  quoted: string,
): void {
  if (!deepEqual(before?.resourceClaimStatuses ?? [], after?.resourceClaimStatuses ?? []))
    throw refuse(request, `node ${quoted} cannot update resource claim statues`);
  if (!deepEqual(before?.extendedResourceClaimStatus, after?.extendedResourceClaimStatus))
    throw refuse(request, `node ${quoted} cannot update extended resource claim status`);
}

const taintsText = (node: Node | undefined): string => JSON.stringify(node?.spec?.taints ?? []);

const checkNode: Check = (request, nodeName) => {
  const quoted = JSON.stringify(nodeName);
  const node = nodeOf(request.object);
  const requestedName = request.operation === 'CREATE' ? (node?.metadata.name ?? request.name) : request.name;
  if (requestedName !== nodeName) {
    throw refuse(request, `node ${quoted} is not allowed to modify node ${JSON.stringify(requestedName)}`);
  }
  if (request.operation === 'CREATE') checkNewNode(request, node!, nodeName);
  else if (request.operation === 'UPDATE') checkNodeUpdate(request, node!, nodeName);
};

function checkNewNode(request: AdmissionRequest, node: Node, nodeName: string): void {
  requireOwnLabels(request, changedLabels({}, node.metadata.labels ?? {}), nodeName);
  if ((node.metadata.ownerReferences ?? []).length > 0) {
    throw refuse(request, `node ${JSON.stringify(nodeName)} is not allowed to set ownerReferences`);
  }
}

function checkNodeUpdate(request: AdmissionRequest, node: Node, nodeName: string): void {
  const before = nodeOf(request.oldObject)!;
  const quoted = JSON.stringify(nodeName);
  if (taintsText(before) !== taintsText(node)) throw refuse(request, `node ${quoted} is not allowed to modify taints`);
  if (JSON.stringify(before.metadata.ownerReferences ?? []) !== JSON.stringify(node.metadata.ownerReferences ?? [])) {
    throw refuse(request, `node ${quoted} is not allowed to modify ownerReferences`);
  }
  requireOwnLabels(request, changedLabels(before.metadata.labels ?? {}, node.metadata.labels ?? {}), nodeName);
}

function requireOwnLabels(request: AdmissionRequest, changed: readonly string[], nodeName: string): void {
  const restricted = changed.filter(isRestrictedNodeLabel);
  if (restricted.length === 0) return;
  throw refuse(request, `node ${JSON.stringify(nodeName)} is not allowed to modify labels: ${restricted.join(', ')}`);
}

interface TokenRequestSpec {
  readonly boundObjectRef?: { readonly kind?: string; readonly name?: string; readonly uid?: string };
}

/** Tokens that a node asks for are bound to a pod that runs on it and as that account, so that they end with the pod. */
function checkTokenRequest(store: Store, request: AdmissionRequest, nodeName: string): void {
  if (request.operation !== 'CREATE' || request.subresource !== 'token') return;
  const ref = (request.object?.spec as TokenRequestSpec | undefined)?.boundObjectRef;
  if (ref?.kind !== 'Pod' || !ref.name) throw refuse(request, 'node requested token not bound to a pod');
  if (!ref.uid) throw refuse(request, 'node requested token with a pod binding without a uid');
  const stored = store.snapshot().get(`/registry/pods/${request.namespace}/${ref.name}`);
  if (stored === undefined) throw refuse(request, `node requested token bound to a pod that does not exist`);
  const pod = stored.object() as Pod;
  if (pod.metadata.uid !== ref.uid) {
    throw badRequest(`the UID in the bound object reference (${ref.uid}) does not match the UID in record`);
  }
  if (pod.spec?.nodeName !== nodeName)
    throw refuse(request, 'node requested token bound to a pod scheduled on a different node');
  if (pod.spec.serviceAccountName !== request.name) {
    throw refuse(request, 'node requested token for a service account that the bound pod does not use');
  }
}

const checkLease: Check = (request, nodeName) => {
  if (request.namespace !== 'kube-node-lease') {
    throw refuse(request, 'can only access leases in the "kube-node-lease" system namespace');
  }
  checkOwnName(request, nodeName);
};

const checkOwnName: Check = (request, nodeName) => {
  const name = request.object?.metadata.name ?? request.name;
  if (name !== nodeName)
    throw refuse(request, `can only access ${request.resource.resource} with the same name as the requesting node`);
};
