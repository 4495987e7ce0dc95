import type { ResourceClient } from '#api/client/client.ts';
import { labelSelectorFrom } from '#api/meta/label-selector.ts';
import { ApiError } from '#api/object/api-error.ts';
import { apiVersionOf, type ResourceInfo } from '#api/object/group-version.ts';
import type { ObjectMeta, OwnerReference, Stored, StoredMeta } from '#api/object/kube-object.ts';

interface WithMeta {
  readonly metadata: ObjectMeta;
}

/** The one owner that manages this object, or undefined for an orphan. */
export function controllerOf(object: WithMeta): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((ref) => ref.controller === true);
}

export function createControllerRef(info: ResourceInfo, owner: { readonly metadata: StoredMeta }): OwnerReference {
  return {
    apiVersion: apiVersionOf(info),
    kind: info.kind,
    name: owner.metadata.name,
    uid: owner.metadata.uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** Index values for "the children of this controller" and "the orphans of this namespace", from one index. */
export const BY_CONTROLLER = 'controller';
export const orphansOf = (namespace: string | undefined) => `orphan/${namespace ?? ''}`;
export function controllerIndex(object: WithMeta): readonly string[] {
  return [controllerOf(object)?.uid ?? orphansOf(object.metadata.namespace)];
}

export interface ClaimPlan<T> {
  /** Managed already and rightly so. */
  readonly keep: readonly T[];
  /** Orphans that match the selector. */
  readonly adopt: readonly T[];
  /** Managed, but no longer matching. */
  readonly release: readonly T[];
}

interface Claimant extends WithMeta {
  readonly spec?: { readonly selector?: Parameters<typeof labelSelectorFrom>[0] };
}

/** Who of the candidates belongs to this controller. A controller on its way out claims and releases nothing. */
function planClaim<T extends Stored<object>>(owner: Claimant, candidates: readonly T[]): ClaimPlan<T> {
  const plan = { keep: [] as T[], adopt: [] as T[], release: [] as T[] };
  const selector = labelSelectorFrom(owner.spec?.selector);
  const isLeaving = owner.metadata.deletionTimestamp !== undefined;
  for (const object of candidates) {
    const controller = controllerOf(object);
    const isMatch = selector.matches(object.metadata.labels);
    if (controller !== undefined) {
      if (controller.uid !== owner.metadata.uid) continue;
      if (isMatch) plan.keep.push(object);
      else if (!isLeaving) plan.release.push(object);
    } else if (isMatch && !isLeaving && object.metadata.deletionTimestamp === undefined) {
      plan.adopt.push(object);
    }
  }
  return plan;
}

export interface ClaimOptions<O extends Stored<object>, T extends Stored<object>> {
  readonly owner: O & Claimant;
  readonly owners: ResourceClient<O>;
  readonly candidates: readonly T[];
  readonly children: ResourceClient<T>;
}

/** Adopts and releases as planned; answers the children that now belong to the owner. */
export async function claimChildren<O extends Stored<object>, T extends Stored<object>>(
  options: ClaimOptions<O, T>,
): Promise<T[]> {
  const { owner, owners, candidates, children } = options;
  const plan = planClaim(owner, candidates);
  const claimed = [...plan.keep];
  if (plan.adopt.length > 0) {
    // The cache may be behind: an owner deleted meanwhile must not adopt, or the children would die with it.
    const live = await owners.fetch(owner.metadata.name, owner.metadata.namespace);
    if (live.metadata.uid !== owner.metadata.uid)
      throw new Error(`${owner.metadata.name} was replaced by an object of the same name`);
    if (live.metadata.deletionTimestamp !== undefined) return claimed;
  }
  for (const child of plan.adopt) {
    const refs = [...(child.metadata.ownerReferences ?? []), createControllerRef(owners.info, owner)];
    const adopted = await patchOwners(children, child, refs);
    if (adopted !== undefined) claimed.push(adopted);
  }
  for (const child of plan.release) {
    const refs = child.metadata.ownerReferences?.filter((ref) => ref.uid !== owner.metadata.uid) ?? [];
    await patchOwners(children, child, refs);
  }
  return claimed;
}

/** Answers undefined when the child is gone. The resourceVersion makes a stale list of owners a conflict, not a loss. */
async function patchOwners<T extends Stored<object>>(
  children: ResourceClient<T>,
  child: T,
  ownerReferences: OwnerReference[],
): Promise<T | undefined> {
  const { name, namespace, uid, resourceVersion } = child.metadata;
  const patch = { metadata: { uid, resourceVersion, ownerReferences } };
  try {
    return await children.patch({ name, namespace, type: 'merge', patch });
  } catch (err) {
    if (err instanceof ApiError && err.code === 404) return undefined;
    throw err;
  }
}

/** Creating anything in a namespace on its way out is refused for good: no reason to try again. */
export function isNamespaceTerminating(err: unknown): boolean {
  return (
    err instanceof ApiError && (err.details?.causes ?? []).some((cause) => cause.reason === 'NamespaceTerminating')
  );
}
