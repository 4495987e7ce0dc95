import { createHash } from 'node:crypto';
import { dns1123Subdomain } from '#api/meta/names.ts';
import { isJsonObject } from '#api/object/json.ts';
import type { Pod } from '#api/object/kinds.ts';
import { toTime } from '#base/clock.ts';

export const CONFIG_SOURCE = 'kubernetes.io/config.source';
const CONFIG_HASH = 'kubernetes.io/config.hash';
const CONFIG_SEEN = 'kubernetes.io/config.seen';
/** On the copy that the API shows; its value is the hash of the pod that it shows. */
export const CONFIG_MIRROR = 'kubernetes.io/config.mirror';

/** A file is no manifest of a static pod. */
export class ManifestError extends Error {
  override readonly name = 'ManifestError';
}

export interface ManifestInput {
  readonly bytes: Uint8Array;
  readonly path: string;
  readonly nodeName: string;
  /** For the status of a pod that nobody created; when the file was first seen. */
  readonly seenMs: number;
}

/**
 * The pod of a manifest file as this node runs it. Its UID is made of node, file and content: the same after every restart, another one
 * after every change. Throws ManifestError.
 */
export async function parseStaticPod({ bytes, path, nodeName, seenMs }: ManifestInput): Promise<Pod> {
  const value = await decode(bytes);
  if (!isJsonObject(value) || value.apiVersion !== 'v1' || value.kind !== 'Pod')
    throw new ManifestError('is not a manifest of a v1 Pod');
  const { metadata, spec } = value;
  if (!isJsonObject(metadata) || !isJsonObject(spec) || !Array.isArray(spec.containers) || spec.containers.length === 0)
    throw new ManifestError('has no metadata or no containers');
  const ownName = String(metadata.name ?? metadata.generateName ?? '');
  const name = `${ownName}-${nodeName}`.toLowerCase();
  const [problem] = ownName === '' ? ['it is empty'] : dns1123Subdomain(name);
  if (problem !== undefined) throw new ManifestError(`has the invalid name "${name}": ${problem}`);
  const uses = apiObjectsOf(spec);
  if (uses !== undefined) throw new ManifestError(`a static pod may not use ${uses}, which only the API has`);
  const hash = createHash('md5').update(`host:${nodeName}\nfile:${path}\n`).update(JSON.stringify(value)).digest('hex');
  const annotations = {
    ...(isJsonObject(metadata.annotations) ? metadata.annotations : {}),
    [CONFIG_HASH]: hash,
    [CONFIG_SEEN]: new Date(seenMs).toISOString(),
    [CONFIG_SOURCE]: 'file',
  };
  const tolerations = [...(Array.isArray(spec.tolerations) ? spec.tolerations : []), TOLERATES_ALL];
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...(metadata as object),
      name,
      namespace: String(metadata.namespace ?? 'default'),
      uid: hash,
      resourceVersion: '0',
      creationTimestamp: toTime(seenMs),
      annotations,
    },
    spec: { ...DEFAULTS, ...spec, containers: spec.containers, nodeName, tolerations },
    status: { phase: 'Pending' },
  } as unknown as Pod;
}

/** Nobody else would put it back elsewhere. */
const TOLERATES_ALL = { operator: 'Exists', effect: 'NoExecute' } as const;

/** Of the API server's defaults those that show in the mirror pod. */
const DEFAULTS = { restartPolicy: 'Always', dnsPolicy: 'ClusterFirst', enableServiceLinks: true } as const;

/** Few nodes have such files: the reader of YAML is 1 MB of memory that others save. */
async function decode(bytes: Uint8Array): Promise<unknown> {
  const { decodeYaml } = await import('#api/codec/decode-yaml.ts');
  try {
    return decodeYaml(bytes).value;
  } catch (err) {
    throw new ManifestError(`cannot be read: ${err instanceof Error ? err.message : String(err)}`, { cause: err });
  }
}

const API_VOLUMES = ['configMap', 'secret', 'persistentVolumeClaim', 'ephemeral'];
const API_SOURCES = ['configMapKeyRef', 'secretKeyRef'];

/** What a pod without the API cannot have; undefined = nothing of it. */
function apiObjectsOf(spec: Readonly<Record<string, unknown>>): string | undefined {
  if (spec.serviceAccountName) return 'a service account';
  const volumes = listOf(spec.volumes);
  for (const volume of volumes) for (const key of API_VOLUMES) if (volume[key] !== undefined) return `a ${key} volume`;
  for (const container of [...listOf(spec.containers), ...listOf(spec.initContainers)]) {
    if (listOf(container.envFrom).length > 0) return 'envFrom';
    for (const { valueFrom } of listOf(container.env))
      for (const key of API_SOURCES) if (isJsonObject(valueFrom) && valueFrom[key] !== undefined) return key;
  }
  return undefined;
}

const listOf = (value: unknown): readonly Readonly<Record<string, unknown>>[] =>
  Array.isArray(value) ? value.filter(isJsonObject) : [];

export const isStaticPod = ({ metadata }: Pod): boolean => {
  const source = metadata.annotations?.[CONFIG_SOURCE];
  return source !== undefined && source !== 'api' && !isMirrorPod({ metadata });
};

export const isMirrorPod = ({ metadata }: Pick<Pod, 'metadata'>): boolean =>
  metadata.annotations?.[CONFIG_MIRROR] !== undefined;

/** The copy of a static pod that the API is to show. */
export function mirrorOf(pod: Pod, node: { readonly name: string; readonly uid: string }) {
  const { name, namespace = 'default', labels, annotations } = pod.metadata;
  const owner = { apiVersion: 'v1', kind: 'Node', name: node.name, uid: node.uid, controller: true };
  return {
    metadata: {
      name,
      namespace,
      ...(labels === undefined ? {} : { labels }),
      annotations: { ...annotations, [CONFIG_MIRROR]: pod.metadata.uid },
      ownerReferences: [owner],
    },
    ...(pod.spec === undefined ? {} : { spec: pod.spec }),
  };
}
