import type { Pod } from '#api/object/kinds.ts';
import { type FilterPlugin, rejectForGood, SKIP } from '../framework/plugin.ts';

/** Names of the claims that the pod's volumes need, in their order. */
function claimsOf(pod: Pod): string[] {
  return (pod.spec?.volumes ?? []).flatMap((volume) => {
    if (volume.persistentVolumeClaim !== undefined) return [volume.persistentVolumeClaim.claimName];
    return volume.ephemeral === undefined ? [] : [`${pod.metadata.name}-${volume.name}`];
  });
}

/** Persistent volumes are not served yet, so a claim cannot be found; the pod waits and says for what. */
export const volumeClaims: FilterPlugin = {
  name: 'VolumeBinding',
  prepare({ pod }) {
    const [claim] = claimsOf(pod);
    if (claim === undefined) return SKIP;
    return { kind: 'reject', rejection: rejectForGood(`persistentvolumeclaim "${claim}" not found`) };
  },
  isHelpedBy: () => false,
};
