import type { OwnerReference } from '#api/object/kube-object.ts';
import {
  FOREGROUND_FINALIZER,
  type GraphNode,
  isDeletingDependents,
  isOrphaning,
  ORPHAN_FINALIZER,
} from './object-graph.ts';

/** What became of one owner: it is there, it is gone (verified live, by uid), or it waits for its dependents to go. */
export type OwnerState = 'solid' | 'absent' | 'waiting';

export type ObjectPlan =
  | { readonly kind: 'nothing' }
  /** Keep the object, forget these owners. */
  | { readonly kind: 'dropOwners'; readonly uids: readonly string[] }
  | { readonly kind: 'delete'; readonly policy: 'Foreground' | 'Background' | 'Orphan'; readonly unblock: boolean };

export interface ObjectFacts {
  readonly owners: readonly { readonly ref: OwnerReference; readonly state: OwnerState }[];
  readonly dependents: readonly GraphNode[];
  readonly finalizers: readonly string[];
}

/** What happens to an object some of whose owners are gone or going. */
export function planObject({ owners, dependents, finalizers }: ObjectFacts): ObjectPlan {
  if (owners.length === 0) return { kind: 'nothing' };
  const lost = owners.filter(({ state }) => state !== 'solid');
  if (lost.length < owners.length) {
    if (lost.length === 0) return { kind: 'nothing' };
    return { kind: 'dropOwners', uids: lost.map(({ ref }) => ref.uid) };
  }
  const isAwaited = owners.some(({ state }) => state === 'waiting');
  if (isAwaited && dependents.length > 0) {
    // Owners that wait for each other in a circle would wait for ever: this one no longer blocks.
    return { kind: 'delete', policy: 'Foreground', unblock: dependents.some(isDeletingDependents) };
  }
  if (finalizers.includes(ORPHAN_FINALIZER)) return { kind: 'delete', policy: 'Orphan', unblock: false };
  if (finalizers.includes(FOREGROUND_FINALIZER)) return { kind: 'delete', policy: 'Foreground', unblock: false };
  return { kind: 'delete', policy: 'Background', unblock: false };
}

/** Dependents that an owner in foreground deletion must wait for. */
export function blockingDependents(owner: GraphNode, dependents: readonly GraphNode[]): readonly GraphNode[] {
  return dependents.filter((dependent) =>
    dependent.owners.some((ref) => ref.uid === owner.uid && ref.blockOwnerDeletion === true),
  );
}

/** Objects to look at because one appeared, changed or went. */
export interface Touched {
  readonly check: readonly string[];
  readonly orphan: readonly string[];
}

export interface GraphLookup {
  byUid(uid: string): GraphNode | undefined;
  dependentsOf(uid: string): readonly GraphNode[];
}

const uidsOf = (nodes: readonly GraphNode[]) => nodes.map(({ uid }) => uid);

export function touchedByChange(previous: GraphNode | undefined, current: GraphNode, graph: GraphLookup): Touched {
  const check: string[] = [];
  const isNewOwner = ({ uid }: OwnerReference) => !previous?.owners.some((owner) => owner.uid === uid);
  // An owner that the graph does not know may be gone already: only the server can tell.
  if (current.owners.some((ref) => isNewOwner(ref) && graph.byUid(ref.uid) === undefined)) check.push(current.uid);
  if (current.owners.some((ref) => isNewOwner(ref) && isWaiting(graph.byUid(ref.uid)))) check.push(current.uid);
  // A dependent that lets go or no longer blocks may be the last one its owner waited for.
  for (const { uid } of previous?.owners ?? []) if (isWaiting(graph.byUid(uid))) check.push(uid);
  const wasDeletingDependents = previous !== undefined && isDeletingDependents(previous);
  if (isDeletingDependents(current) && !wasDeletingDependents)
    check.push(current.uid, ...uidsOf(graph.dependentsOf(current.uid)));
  const wasOrphaning = previous !== undefined && isOrphaning(previous);
  return { check, orphan: isOrphaning(current) && !wasOrphaning ? [current.uid] : [] };
}

export function touchedByRemoval(removed: GraphNode, graph: GraphLookup): Touched {
  const waitingOwners = removed.owners.flatMap(({ uid }) => graph.byUid(uid) ?? []).filter(isDeletingDependents);
  return { check: [...uidsOf(graph.dependentsOf(removed.uid)), ...uidsOf(waitingOwners)], orphan: [] };
}

const isWaiting = (node: GraphNode | undefined) => node !== undefined && isDeletingDependents(node);
