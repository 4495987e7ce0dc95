import type { Pod } from '#api/object/kinds.ts';
import { isPodTerminal } from '../pod-state.ts';

/**
 * Names of the claims that keep a pod's data. Only of pods that have a node: none starts a pod whose claim is being deleted, and a pod that
 * was never placed used nothing. A claim that the pod brought along is free once the pod has come to its end.
 */
export function claimsUsedBy(pod: Pod): readonly string[] {
  if (!pod.spec?.nodeName) return [];
  return (pod.spec.volumes ?? []).flatMap((volume) => {
    if (volume.persistentVolumeClaim !== undefined) return [volume.persistentVolumeClaim.claimName];
    return volume.ephemeral !== undefined && !isPodTerminal(pod) ? [`${pod.metadata.name}-${volume.name}`] : [];
  });
}

interface Protected {
  readonly metadata: { readonly finalizers?: readonly string[]; readonly deletionTimestamp?: string };
}

/** What to do with the finalizer of something that may be in use. */
export function planFinalizer(
  { metadata }: Protected,
  finalizer: string,
  isUsed: boolean,
): { readonly finalizers: string[] } | undefined {
  const current = metadata.finalizers ?? [];
  const has = current.includes(finalizer);
  if (metadata.deletionTimestamp === undefined) return has ? undefined : { finalizers: [...current, finalizer] };
  return has && !isUsed ? { finalizers: current.filter((one) => one !== finalizer) } : undefined;
}
