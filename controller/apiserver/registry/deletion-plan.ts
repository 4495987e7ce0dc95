import { conflict } from '#api/object/api-error.ts';
import type { KubeObject, ObjectMeta } from '#api/object/kube-object.ts';
import { toTime } from '#base/clock.ts';
import { copyObject } from './object-meta.ts';
import type { ResourceDefinition } from './resource-definition.ts';

export type PropagationPolicy = 'Foreground' | 'Background' | 'Orphan';

export interface Preconditions {
  readonly uid?: string;
  readonly resourceVersion?: string;
}

export interface DeletionWish {
  /** Not negative. */
  readonly gracePeriodSeconds?: number | undefined;
  readonly propagationPolicy?: PropagationPolicy | undefined;
  readonly preconditions?: Preconditions | undefined;
}

export type DeletionPlan =
  | { readonly kind: 'remove' }
  /** The object stays for now, changed as given. */
  | { readonly kind: 'mark'; readonly object: KubeObject }
  /** Its deletion is under way and nothing about it changes. */
  | { readonly kind: 'wait' };

const ORPHAN = 'orphan';
const FOREGROUND = 'foregroundDeletion';

/** Throws 409 when the object is not the one that the client meant; named by its kind, as Kubernetes does here. */
function checkPreconditions(
  definition: ResourceDefinition,
  metadata: ObjectMeta,
  wanted: Preconditions | undefined,
): void {
  const { uid, resourceVersion } = wanted ?? {};
  const refuse = (why: string) => {
    throw conflict({ group: definition.group, resource: definition.kind }, metadata.name ?? '', why);
  };
  if (uid !== undefined && uid !== metadata.uid) {
    refuse(
      `the UID in the precondition (${uid}) does not match the UID in record (${metadata.uid ?? ''}). ` +
        'The object might have been deleted and then recreated',
    );
  }
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion) {
    refuse(
      `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record ` +
        `(${metadata.resourceVersion ?? ''}). The object might have been modified`,
    );
  }
}

/**
 * What a delete does to an object (`current` is not changed). Grace and finalizers only ever delay: the object is removed once neither
 * is left, by this or by a later write (see `isDeletionComplete`).
 */
export function planDeletion(
  definition: ResourceDefinition,
  current: KubeObject,
  wish: DeletionWish,
  nowMs: number,
): DeletionPlan {
  checkPreconditions(definition, current.metadata, wish.preconditions);
  const object = copyObject(current);
  const isChanged = applyPropagation(object.metadata, policyOf(definition, object.metadata, wish));
  const isHeld = (object.metadata.finalizers?.length ?? 0) > 0 || definition.isHeld?.(object) === true;
  const grace = planGrace(definition, object, wish);
  if (!isHeld && grace.seconds === 0) return { kind: 'remove' };
  if (current.metadata.deletionTimestamp === undefined) {
    beginDeletion(definition, object, grace.seconds, nowMs);
    return { kind: 'mark', object };
  }
  if (grace.isShorter) shortenGrace(object.metadata, grace.seconds);
  return isChanged || grace.isShorter ? { kind: 'mark', object } : { kind: 'wait' };
}

/** True when an object whose deletion has begun is held by nothing any more: the write that made it so removes it. */
export function isDeletionComplete(definition: ResourceDefinition, object: KubeObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds = 0, finalizers = [] } = object.metadata;
  return (
    deletionTimestamp !== undefined &&
    deletionGracePeriodSeconds === 0 &&
    finalizers.length === 0 &&
    definition.isHeld?.(object) !== true
  );
}

function planGrace(
  definition: ResourceDefinition,
  object: KubeObject,
  wish: DeletionWish,
): { seconds: number; isShorter: boolean } {
  const { deletionTimestamp, deletionGracePeriodSeconds: pending = 0 } = object.metadata;
  if (deletionTimestamp === undefined) {
    return { seconds: definition.graceful?.graceSeconds(object, wish.gracePeriodSeconds) ?? 0, isShorter: false };
  }
  const asked = wish.gracePeriodSeconds;
  const isShorter = asked !== undefined && asked < pending;
  return { seconds: isShorter ? asked : pending, isShorter };
}

function beginDeletion(definition: ResourceDefinition, object: KubeObject, graceSeconds: number, nowMs: number): void {
  const { metadata } = object;
  metadata.deletionTimestamp = toTime(nowMs + graceSeconds * 1000);
  metadata.deletionGracePeriodSeconds = graceSeconds;
  // Controllers wait for a generation to be observed; the beginning of the end is something to observe.
  if ((metadata.generation ?? 0) > 0) metadata.generation = (metadata.generation ?? 0) + 1;
  definition.prepareForDelete?.(object);
}

function shortenGrace(metadata: ObjectMeta, seconds: number): void {
  const saved = (metadata.deletionGracePeriodSeconds ?? 0) - seconds;
  metadata.deletionTimestamp = toTime(Date.parse(metadata.deletionTimestamp ?? '') - saved * 1000);
  metadata.deletionGracePeriodSeconds = seconds;
}

/** A deletion that is under way keeps its policy; some kinds have another default than the cluster. */
function policyOf(
  { orphansByDefault }: ResourceDefinition,
  { finalizers = [] }: ObjectMeta,
  { propagationPolicy }: DeletionWish,
): PropagationPolicy | undefined {
  if (propagationPolicy !== undefined || orphansByDefault === undefined) return propagationPolicy;
  return finalizers.includes(ORPHAN) || finalizers.includes(FOREGROUND) ? undefined : 'Orphan';
}

/** The garbage collector's finalizers follow the policy of the newest delete; without one they stay as they are. */
function applyPropagation(metadata: ObjectMeta, policy: PropagationPolicy | undefined): boolean {
  if (policy === undefined) return false;
  const before = metadata.finalizers ?? [];
  const after = before.filter((finalizer) => finalizer !== ORPHAN && finalizer !== FOREGROUND);
  if (policy === 'Orphan') after.push(ORPHAN);
  if (policy === 'Foreground') after.push(FOREGROUND);
  if (after.length === before.length && after.every((finalizer) => before.includes(finalizer))) return false;
  if (after.length === 0) delete metadata.finalizers;
  else metadata.finalizers = after;
  return true;
}
