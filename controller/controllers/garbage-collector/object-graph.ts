import type { ResourceInfo } from '#api/object/group-version.ts';
import type { OwnerReference, StoredMeta } from '#api/object/kube-object.ts';

export const FOREGROUND_FINALIZER = 'foregroundDeletion';
export const ORPHAN_FINALIZER = 'orphan';

/** What the collector keeps of one object. */
export interface GraphNode {
  readonly uid: string;
  readonly info: ResourceInfo;
  readonly name: string;
  /** Undefined for cluster-scoped objects. */
  readonly namespace: string | undefined;
  readonly owners: readonly OwnerReference[];
  readonly isBeingDeleted: boolean;
  readonly finalizers: readonly string[];
}

export function createGraphNode(info: ResourceInfo, metadata: StoredMeta): GraphNode {
  return {
    uid: metadata.uid,
    info,
    name: metadata.name,
    namespace: info.namespaced ? metadata.namespace : undefined,
    owners: metadata.ownerReferences ?? [],
    isBeingDeleted: metadata.deletionTimestamp !== undefined,
    finalizers: metadata.finalizers ?? [],
  };
}

/** Being deleted in the foreground: it waits for its dependents. */
export function isDeletingDependents(node: GraphNode): boolean {
  return node.isBeingDeleted && node.finalizers.includes(FOREGROUND_FINALIZER);
}

/** Being deleted so that its dependents stay. */
export function isOrphaning(node: GraphNode): boolean {
  return node.isBeingDeleted && node.finalizers.includes(ORPHAN_FINALIZER);
}

/** Owners and dependents of the whole cluster by uid. Dependents are known even while their owner is not. */
export class ObjectGraph {
  readonly #nodes = new Map<string, GraphNode>();
  readonly #dependents = new Map<string, Set<string>>();

  byUid(uid: string): GraphNode | undefined {
    return this.#nodes.get(uid);
  }

  dependentsOf(uid: string): readonly GraphNode[] {
    return [...(this.#dependents.get(uid) ?? [])].flatMap((dependent) => this.#nodes.get(dependent) ?? []);
  }

  get size(): number {
    return this.#nodes.size;
  }

  /** Answers the state before. */
  put(node: GraphNode): GraphNode | undefined {
    const previous = this.remove(node.uid);
    this.#nodes.set(node.uid, node);
    for (const { uid } of node.owners) {
      const dependents = this.#dependents.get(uid);
      if (dependents === undefined) this.#dependents.set(uid, new Set([node.uid]));
      else dependents.add(node.uid);
    }
    return previous;
  }

  remove(uid: string): GraphNode | undefined {
    const node = this.#nodes.get(uid);
    if (node === undefined) return undefined;
    this.#nodes.delete(uid);
    for (const owner of node.owners) {
      const dependents = this.#dependents.get(owner.uid);
      dependents?.delete(uid);
      if (dependents?.size === 0) this.#dependents.delete(owner.uid);
    }
    return node;
  }
}
