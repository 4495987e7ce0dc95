import { labelSelectorFrom } from '#api/meta/label-selector.ts';
import type { Node, Pod } from '#api/object/kinds.ts';
import { ClusterCache } from '../cache/cluster-cache.ts';
import { createPodInfo, type PodInfo } from '../cache/pod-info.ts';
import type { ClusterView } from '../framework/plugin.ts';
import { makeVolumes, type StorageDraft } from './storage-builders.ts';

export interface PodDraft {
  readonly name?: string;
  readonly namespace?: string;
  readonly labels?: Record<string, string>;
  readonly priority?: number;
  /** Requests of its one container. */
  readonly requests?: Record<string, string>;
  readonly hostPorts?: readonly number[];
  /** Anything else of the spec. */
  readonly spec?: object;
  readonly metadata?: object;
}

let uids = 0;

export function makePod(draft: PodDraft = {}): Pod {
  const { name = 'pod', namespace = 'default', labels = {}, requests = {}, hostPorts = [], priority } = draft;
  const ports = hostPorts.map((hostPort) => ({ containerPort: hostPort, hostPort, protocol: 'TCP' }));
  uids += 1;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace,
      labels,
      uid: `pod-${uids}`,
      resourceVersion: '1',
      creationTimestamp: '2026-01-01T00:00:00Z',
      ...draft.metadata,
    },
    spec: {
      schedulerName: 'default-scheduler',
      containers: [{ name: 'main', image: 'app:v1', resources: { requests }, ports }],
      ...(priority === undefined ? {} : { priority }),
      ...draft.spec,
    },
  } as Pod;
}

export interface NodeDraft {
  readonly name?: string;
  readonly labels?: Record<string, string>;
  readonly allocatable?: Record<string, string>;
  readonly taints?: readonly object[];
  readonly unschedulable?: boolean;
  /** Bytes by image name. */
  readonly images?: Record<string, number>;
}

export function makeNode(draft: NodeDraft = {}): Node {
  const { name = 'node', labels = {}, allocatable = {}, taints = [], unschedulable = false, images = {} } = draft;
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      labels: { 'kubernetes.io/hostname': name, ...labels },
      uid: `node-${name}`,
      resourceVersion: '1',
      creationTimestamp: '2026-01-01T00:00:00Z',
    },
    spec: { taints, unschedulable },
    status: {
      allocatable: { cpu: '4', memory: '8Gi', pods: '110', 'ephemeral-storage': '50Gi', ...allocatable },
      images: Object.entries(images).map(([image, sizeBytes]) => ({ names: [image], sizeBytes })),
    },
  } as unknown as Node;
}

export interface ClusterDraft {
  readonly nodes?: readonly NodeDraft[];
  /** Pods by the node they are on. */
  readonly pods?: Readonly<Record<string, readonly PodDraft[]>>;
  readonly namespaces?: Readonly<Record<string, Record<string, string>>>;
  readonly storage?: StorageDraft;
  /** Labels by which Services and controllers hold pods together. */
  readonly siblingLabels?: Record<string, string>;
}

export interface TestCluster {
  readonly cache: ClusterCache;
  readonly view: ClusterView;
}

/** A cluster as plugins see it, from plain objects. Pods without a name get one. */
export function makeCluster(draft: ClusterDraft): TestCluster {
  const cache = new ClusterCache();
  for (const node of draft.nodes ?? []) cache.setNode(makeNode(node));
  let count = 0;
  for (const [nodeName, pods] of Object.entries(draft.pods ?? {})) {
    for (const pod of pods) cache.setPod(createPodInfo(makePod({ name: `placed-${count++}`, ...pod })), nodeName);
  }
  const matchLabels = draft.siblingLabels;
  const siblings =
    matchLabels === undefined
      ? undefined
      : { selector: labelSelectorFrom({ matchLabels }), selectorId: JSON.stringify({ matchLabels }) };
  const view: ClusterView = {
    nodes: cache.nodes,
    node: (name) => cache.node(name),
    podsByNode: (query) => cache.counts.byNode(query),
    podsByDomain: (query, topologyKey) => cache.counts.byDomain(query, topologyKey),
    placedTerms: (kind) => cache.terms.of(kind),
    podNamespaces: cache.counts.namespaces,
    namespaceLabels: (namespace) => draft.namespaces?.[namespace],
    imageNodeCount: (image) => cache.imageNodes.get(image) ?? 0,
    siblingsOf: () => siblings,
    volumes: makeVolumes(draft.storage),
    podCountOfClaim: (key) => cache.podsOfClaims.get(key) ?? 0,
  };
  return { cache, view };
}

export const podInfo = (draft: PodDraft = {}): PodInfo => createPodInfo(makePod(draft));
