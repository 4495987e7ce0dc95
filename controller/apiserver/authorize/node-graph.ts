import type { PersistentVolume, Pod } from '#api/object/kinds.ts';
import type { Store, StoredObject } from '../../store/store.ts';
import { BoundVolumes } from './bound-volumes.ts';
import { deviceClaimsOf, podReferences } from './pod-references.ts';
import { mirrorPrefix } from './store-mirror.ts';

export type ReferencedKind =
  | 'secrets'
  | 'configmaps'
  | 'persistentvolumeclaims'
  | 'persistentvolumes'
  | 'serviceaccounts'
  | 'resourceclaims'
  | 'pods';

interface KnownPod {
  readonly node: string;
  /** `kind:namespace/name` of everything it refers to, itself included. */
  readonly references: readonly string[];
  /** Claims are made for it whose names its status tells. */
  readonly areClaimsTold: boolean;
}

const referenceKey = (kind: ReferencedKind, namespace: string, name: string): string => `${kind}:${namespace}/${name}`;

/** Which objects each node may see, because a pod bound to it refers to them. Counted, so that two pods may share one. */
export class NodeGraph {
  readonly #pods = new Map<string, KnownPod>();
  readonly #nodes = new Map<string, Map<string, number>>();
  /** Volumes are reached through the claims of pods. */
  readonly volumes = new BoundVolumes();

  /** Refers to a pod by `namespace/name`; a pod's node and references never change while it lives, ephemeral containers aside. */
  putPod(pod: Pod): void {
    const { namespace = '', name } = pod.metadata;
    const key = `${namespace}/${name}`;
    this.deletePod(key);
    const node = pod.spec?.nodeName;
    if (pod.spec === undefined || node === undefined || node === '') return;
    const { secrets, configMaps, claims, serviceAccount } = podReferences(name, pod.spec);
    const deviceClaims = deviceClaimsOf(pod);
    const references = [
      referenceKey('pods', namespace, name),
      ...[...secrets].map((secret) => referenceKey('secrets', namespace, secret)),
      ...[...configMaps].map((configMap) => referenceKey('configmaps', namespace, configMap)),
      ...[...claims].map((claim) => referenceKey('persistentvolumeclaims', namespace, claim)),
      ...deviceClaims.names.map((claim) => referenceKey('resourceclaims', namespace, claim)),
      ...(serviceAccount === undefined ? [] : [referenceKey('serviceaccounts', namespace, serviceAccount)]),
    ];
    this.#pods.set(key, { node, references, areClaimsTold: deviceClaims.isTold });
    const counts = this.#nodes.get(node) ?? new Map<string, number>();
    this.#nodes.set(node, counts);
    for (const reference of references) counts.set(reference, (counts.get(reference) ?? 0) + 1);
  }

  deletePod(key: string): void {
    const known = this.#pods.get(key);
    if (known === undefined) return;
    this.#pods.delete(key);
    const counts = this.#nodes.get(known.node)!;
    for (const reference of known.references) {
      const count = counts.get(reference)!;
      if (count > 1) counts.set(reference, count - 1);
      else counts.delete(reference);
    }
    if (counts.size === 0) this.#nodes.delete(known.node);
  }

  /** The next status of the pod may name others that it refers to. */
  mayChange(key: string): boolean {
    return this.#pods.get(key)?.areClaimsTold === true;
  }

  clear(): void {
    this.#pods.clear();
    this.#nodes.clear();
  }

  /** True when a pod bound to `node` refers to (or is) the object. */
  refersTo(node: string, kind: ReferencedKind, object: { readonly namespace: string; readonly name: string }): boolean {
    const references = this.#nodes.get(node);
    if (references === undefined) return false;
    const hasClaim = (claim: string | undefined) => references.has(`persistentvolumeclaims:${claim}`);
    if (kind === 'persistentvolumes') return hasClaim(this.volumes.claimOf(object.name));
    if (references.has(referenceKey(kind, object.namespace, object.name))) return true;
    return kind === 'secrets' && this.volumes.claimsUsing(`${object.namespace}/${object.name}`).some(hasClaim);
  }
}

const PREFIX = '/registry/pods/';
const VOLUMES = '/registry/persistentvolumes/';

const nodeNameOf = (object: StoredObject | undefined): string => object?.fields['spec.nodeName'] ?? '';

/** A graph that follows the store's pods; the returned `stop` ends it. */
export function createNodeGraph(store: Store): { readonly graph: NodeGraph; readonly stop: () => void } {
  const graph = new NodeGraph();
  const stop = mirrorPrefix(store, PREFIX, {
    onPut(stored, previous) {
      const node = nodeNameOf(stored);
      // What a bound pod refers to is immutable, apart from claims that are made for it: updates of other pods' statuses, by far the most
      // events, cost nothing here.
      const isNew = node !== nodeNameOf(previous) || graph.mayChange(stored.key.slice(PREFIX.length));
      if (node !== '' && isNew) graph.putPod(stored.object() as Pod);
    },
    onDelete: ({ key }) => graph.deletePod(key.slice(PREFIX.length)),
    onReset: () => graph.clear(),
  });
  const stopVolumes = mirrorPrefix(store, VOLUMES, {
    onPut: (stored) => graph.volumes.put(stored.object() as PersistentVolume),
    onDelete: ({ key }) => graph.volumes.delete(key.slice(VOLUMES.length)),
    onReset: () => graph.volumes.clear(),
  });
  return {
    graph,
    stop() {
      stop();
      stopVolumes();
    },
  };
}
