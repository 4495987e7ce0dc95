import { Chaos } from '#api/codec/testing/chaos.ts';
import { apiVersionOf, type ResourceInfo } from '#api/object/group-version.ts';
import { builtinTypes } from '#api/schema/builtin-types.ts';
import type { ContractCall } from '../contract/contract-target.ts';
import { NAMESPACE } from './fuzz-case.ts';

const info = (group: string, resource: string, kind: string, namespaced = true): ResourceInfo => ({
  group,
  version: 'v1',
  resource,
  kind,
  namespaced,
});

/** Kinds with rules of their own; controllers do nothing for objects that they cannot finish. */
const KINDS: readonly ResourceInfo[] = [
  info('', 'pods', 'Pod'),
  info('', 'services', 'Service'),
  info('', 'secrets', 'Secret'),
  info('', 'configmaps', 'ConfigMap'),
  info('', 'events', 'Event'),
  info('', 'endpoints', 'Endpoints'),
  info('', 'resourcequotas', 'ResourceQuota'),
  info('', 'limitranges', 'LimitRange'),
  info('', 'persistentvolumeclaims', 'PersistentVolumeClaim'),
  info('', 'persistentvolumes', 'PersistentVolume', false),
  info('apps', 'deployments', 'Deployment'),
  info('apps', 'statefulsets', 'StatefulSet'),
  info('apps', 'daemonsets', 'DaemonSet'),
  info('batch', 'jobs', 'Job'),
  info('batch', 'cronjobs', 'CronJob'),
  info('networking.k8s.io', 'ingresses', 'Ingress'),
  info('networking.k8s.io', 'networkpolicies', 'NetworkPolicy'),
  info('discovery.k8s.io', 'endpointslices', 'EndpointSlice'),
  info('rbac.authorization.k8s.io', 'roles', 'Role'),
  info('rbac.authorization.k8s.io', 'rolebindings', 'RoleBinding'),
  info('storage.k8s.io', 'storageclasses', 'StorageClass', false),
  info('storage.k8s.io', 'csidrivers', 'CSIDriver', false),
  info('storage.k8s.io', 'csinodes', 'CSINode', false),
  info('storage.k8s.io', 'csistoragecapacities', 'CSIStorageCapacity'),
  info('storage.k8s.io', 'volumeattachments', 'VolumeAttachment', false),
  info('resource.k8s.io', 'resourceclaims', 'ResourceClaim'),
  info('resource.k8s.io', 'resourceclaimtemplates', 'ResourceClaimTemplate'),
  info('resource.k8s.io', 'resourceslices', 'ResourceSlice', false),
  info('resource.k8s.io', 'deviceclasses', 'DeviceClass', false),
  info('flowcontrol.apiserver.k8s.io', 'flowschemas', 'FlowSchema', false),
  info('flowcontrol.apiserver.k8s.io', 'prioritylevelconfigurations', 'PriorityLevelConfiguration', false),
  info('admissionregistration.k8s.io', 'mutatingwebhookconfigurations', 'MutatingWebhookConfiguration', false),
  info('admissionregistration.k8s.io', 'validatingwebhookconfigurations', 'ValidatingWebhookConfiguration', false),
  info('admissionregistration.k8s.io', 'validatingadmissionpolicies', 'ValidatingAdmissionPolicy', false),
  info('admissionregistration.k8s.io', 'validatingadmissionpolicybindings', 'ValidatingAdmissionPolicyBinding', false),
  info('admissionregistration.k8s.io', 'mutatingadmissionpolicies', 'MutatingAdmissionPolicy', false),
  info('apiregistration.k8s.io', 'apiservices', 'APIService', false),
  info('policy', 'poddisruptionbudgets', 'PodDisruptionBudget'),
];

const DEPLOYMENT = KINDS.find(({ kind }) => kind === 'Deployment');

const collectionOf = (kind: ResourceInfo) =>
  `/${kind.group === '' ? 'api/v1' : `apis/${kind.group}/${kind.version}`}${kind.namespaced ? `/namespaces/${NAMESPACE}` : ''}/${kind.resource}`;

const NOISE = [
  '{',
  '}',
  '[',
  ']',
  '"',
  ',',
  ':',
  '0',
  '-',
  'e',
  '\\',
  'null',
  'true',
  '\u0000',
  '\ud83d\ude00',
  '1e999',
];

/** A text with a few places damaged. */
function damage(chaos: Chaos, text: string): string {
  let damaged = text;
  for (let count = 1 + Math.floor(chaos.next() * 3); count > 0; count--) {
    const at = Math.floor(chaos.next() * damaged.length);
    const cut = Math.floor(chaos.next() * 4);
    damaged = damaged.slice(0, at) + (chaos.chance(0.6) ? chaos.pick(NOISE) : '') + damaged.slice(at + cut);
  }
  return chaos.chance(0.2) ? damaged.slice(0, Math.floor(chaos.next() * damaged.length)) : damaged;
}

/** A creation, an update or a patch of any kind. */
const PATCH_TYPES = ['merge-patch+json', 'strategic-merge-patch+json', 'apply-patch+yaml'];

interface Shape {
  readonly method: ContractCall['method'];
  readonly path: string;
  readonly name: string;
  readonly contentType: string;
}

function shapeOf(chaos: Chaos, kind: ResourceInfo): Shape {
  const collection = collectionOf(kind);
  if (kind.resource !== 'deployments' || chaos.chance(0.3)) {
    const contentType = chaos.chance(0.85) ? 'application/json' : 'application/yaml';
    return { method: 'POST', path: `${collection}?dryRun=All`, name: 'random', contentType };
  }
  const part = chaos.pick(['', '', '/status', '/scale']);
  const path = `${collection}/target${part}?dryRun=All`;
  if (chaos.chance(0.3)) return { method: 'PUT', path, name: 'target', contentType: 'application/json' };
  const type = chaos.pick(PATCH_TYPES);
  const query = type === 'apply-patch+yaml' ? `&fieldManager=chaos&force=${chaos.chance(0.5)}` : '';
  return { method: 'PATCH', path: path + query, name: 'target', contentType: `application/${type}` };
}

/**
 * A request that a seed stands for: an object of a real kind, more or less wild, in a document more or less damaged. Nothing of it is
 * stored. Half of them address the Deployment `target`.
 */
export function randomCall(seed: number): ContractCall {
  const chaos = new Chaos(seed);
  chaos.next();
  const kind = chaos.chance(0.5) ? chaos.pick(KINDS) : (DEPLOYMENT as ResourceInfo);
  const type = builtinTypes().typeOf(kind);
  if (type === undefined) throw new Error(`the type table lacks ${kind.kind}`);
  const { method, path, name, contentType } = shapeOf(chaos, kind);
  const object = chaos.object(type, 5, chaos.pick([0, 0, 0.02, 0.1]));
  const metadata = chaos.chance(0.9) ? { name, labels: { a: 'b' } } : object.metadata;
  const text = JSON.stringify({ ...object, apiVersion: apiVersionOf(kind), kind: kind.kind, metadata });
  return {
    method,
    path,
    body: chaos.chance(0.3) ? damage(chaos, text) : text,
    headers: { 'content-type': contentType },
  };
}
