import type { Pod } from '#api/object/kinds.ts';
import { type FilterPlugin, rejectForGood, SKIP } from '../framework/plugin.ts';

const REASON = 'pods with claims are not scheduled yet, spec.nodeName places them';

/** Names of the claims that the pod's volumes need, in their order. */
function claimsOf(pod: Pod): string[] {
  return (pod.spec?.volumes ?? []).flatMap((volume) => {
    if (volume.persistentVolumeClaim !== undefined) return [volume.persistentVolumeClaim.claimName];
    return volume.ephemeral === undefined ? [] : [`${pod.metadata.name}-${volume.name}`];
  });
}

/** Nothing here looks at volumes, so no node can be told to reach the claim's: the pod waits, and says why and what helps. */
export const volumeClaims: FilterPlugin = {
  name: 'VolumeBinding',
  prepare({ pod }) {
    const [claim] = claimsOf(pod);
    if (claim === undefined) return SKIP;
    return { kind: 'reject', rejection: rejectForGood(`persistentvolumeclaim "${claim}": ${REASON}`) };
  },
  isHelpedBy: () => false,
};
