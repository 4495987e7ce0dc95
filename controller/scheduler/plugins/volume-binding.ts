import { type FilterPlugin, rejectForGood, SKIP } from '../framework/plugin.ts';
import { planVolumes, problemOf, readPodVolumes } from '../volumes/pod-volumes.ts';

/** Nodes from which the pod's volumes can be reached, those included that are yet to be chosen or made. */
export const volumeBinding: FilterPlugin = {
  name: 'VolumeBinding',
  prepare(info, { volumes }) {
    if (info.claims.length === 0) return SKIP;
    const problem = problemOf(info, volumes);
    if (problem !== undefined) return { kind: 'reject', rejection: rejectForGood(problem) };
    const pod = readPodVolumes(info, volumes);
    return {
      kind: 'filter',
      filter: {
        check: (node) => {
          const plan = planVolumes(pod, node, volumes);
          return 'bindings' in plan ? undefined : rejectForGood(...plan);
        },
      },
    };
  },
  isHelpedBy(event, { claims }) {
    if (event.kind === 'claimChanged') return claims.some(({ key }) => key === event.key);
    if (event.kind === 'nodeUpdated') return event.changes.labels;
    return event.kind === 'nodeAdded' || (event.kind === 'storageChanged' && event.what !== 'csiNode');
  },
};
