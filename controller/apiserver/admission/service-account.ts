import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';
import type { IVolume } from 'kubernetes-models/v1/Volume';
import { badRequest, forbidden } from '#api/object/api-error.ts';
import type { Pod, ServiceAccount } from '#api/object/kinds.ts';
import type { Store } from '../../store/store.ts';
import type { AdmissionPlugin, AdmissionRequest } from './admission-plugin.ts';
import { isMirrorPod, isPodCreation } from './pod-request.ts';

const DEFAULT_ACCOUNT = 'default';
const VOLUME_PREFIX = 'kube-api-access-';
const MOUNT_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';
/** An hour and a few seconds, the number by which Kubernetes tells its own default apart. */
const TOKEN_EXPIRATION_SECONDS = 3607;
const SUFFIX_ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';
const SUFFIX_LENGTH = 5;

export interface ServiceAccountDeps {
  readonly store: Store;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

const PODS = { group: '', resource: 'pods' };

/** The volume with token, cluster CA and namespace that every pod is given. */
function serviceAccountVolume(name: string): IVolume {
  return {
    name,
    projected: {
      defaultMode: 0o644,
      sources: [
        { serviceAccountToken: { expirationSeconds: TOKEN_EXPIRATION_SECONDS, path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        {
          downwardAPI: {
            items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
          },
        },
      ],
    },
  };
}

const shouldAutomount = (spec: IPodSpec, account: ServiceAccount): boolean =>
  spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true;

/** Mounts the volume where a container has nothing at that path yet, and adds it when at least one did. Changes `spec` in place. */
function mountServiceAccountToken(spec: IPodSpec, newVolumeName: () => string): void {
  const existing = spec.volumes?.find(({ name }) => name.startsWith(VOLUME_PREFIX))?.name;
  const name = existing ?? newVolumeName();
  let isNeeded = false;
  for (const container of [...(spec.initContainers ?? []), ...(spec.containers ?? [])] as IContainer[]) {
    if (container.volumeMounts?.some(({ mountPath }) => mountPath === MOUNT_PATH)) continue;
    container.volumeMounts = [...(container.volumeMounts ?? []), { name, readOnly: true, mountPath: MOUNT_PATH }];
    isNeeded = true;
  }
  if (isNeeded && existing === undefined) spec.volumes = [...(spec.volumes ?? []), serviceAccountVolume(name)];
}

function randomSuffix(random: () => number): string {
  return Array.from(
    { length: SUFFIX_LENGTH },
    () => SUFFIX_ALPHABET[Math.floor(random() * SUFFIX_ALPHABET.length)],
  ).join('');
}

/** Static pods are told to the API by their node; they cannot act as an account that the node never asked for. */
function checkMirrorPod(pod: Pod): void {
  const spec = pod.spec!;
  if (spec.serviceAccountName) throw badRequest('a mirror pod may not reference service accounts');
  if (spec.volumes?.some(({ projected }) => projected?.sources?.some((source) => source.serviceAccountToken))) {
    throw badRequest('a mirror pod may not use ServiceAccountToken volume projections');
  }
}

/** Every pod runs as an account that exists, and finds its token, unless it opted out. */
export function serviceAccount({ store, random }: ServiceAccountDeps): AdmissionPlugin {
  const lookUp = (namespace: string, name: string): ServiceAccount | undefined =>
    store.snapshot().get(`/registry/serviceaccounts/${namespace}/${name}`)?.object() as ServiceAccount | undefined;

  const requireAccount = ({ namespace, name }: AdmissionRequest, accountName: string): ServiceAccount => {
    const account = lookUp(namespace, accountName);
    if (account !== undefined) return account;
    const missing = `serviceaccount ${JSON.stringify(accountName)} not found`;
    throw forbidden(PODS, name, `error looking up service account ${namespace}/${accountName}: ${missing}`);
  };

  return {
    name: 'ServiceAccount',
    handles: isPodCreation,
    admit(request) {
      const pod = request.object as unknown as Pod;
      const { spec } = pod;
      if (spec === undefined) return;
      if (isMirrorPod(pod)) {
        checkMirrorPod(pod);
        return;
      }
      spec.serviceAccountName = spec.serviceAccountName || spec.serviceAccount || DEFAULT_ACCOUNT;
      spec.serviceAccount = spec.serviceAccountName;
      const account = requireAccount(request, spec.serviceAccountName);
      if (shouldAutomount(spec, account)) {
        mountServiceAccountToken(spec, () => `${VOLUME_PREFIX}${randomSuffix(random)}`);
      }
      if ((spec.imagePullSecrets ?? []).length === 0 && account.imagePullSecrets !== undefined) {
        spec.imagePullSecrets = account.imagePullSecrets.map((secret) => ({ ...secret }));
      }
    },
  };
}
