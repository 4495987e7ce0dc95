import type { Taint } from '../cache/node-info.ts';
import { changedNodeOf } from '../framework/cluster-event.ts';
import { type FilterPlugin, normalizeByMax, rejectForGood, type ScorePlugin } from '../framework/plugin.ts';
import { isHardTaint, type Toleration, toleratesTaint } from './tolerations.ts';

const UNTOLERATED = rejectForGood('node(s) had untolerated taint(s)');

const tolerationsOf = (pod: { readonly spec?: { readonly tolerations?: readonly object[] } }) =>
  (pod.spec?.tolerations ?? []) as readonly Toleration[];

const isRepelled = (taints: readonly Taint[], tolerations: readonly Toleration[]) =>
  taints.some((taint) => isHardTaint(taint) && !toleratesTaint(tolerations, taint));

export const taintToleration: FilterPlugin = {
  name: 'TaintToleration',
  prepare({ pod }) {
    const tolerations = tolerationsOf(pod);
    return {
      kind: 'filter',
      filter: {
        check: ({ taints }) => (taints.length > 0 && isRepelled(taints, tolerations) ? UNTOLERATED : undefined),
      },
    };
  },
  isHelpedBy(event, { pod }) {
    const node = changedNodeOf(event);
    return node !== undefined && !isRepelled((node.spec?.taints ?? []) as Taint[], tolerationsOf(pod));
  },
};

/** The fewer `PreferNoSchedule` taints the pod does not tolerate, the better. */
export const taintTolerationScore: ScorePlugin = {
  name: 'TaintToleration',
  weight: 3,
  prepare({ pod }, _view, nodes) {
    const isSoft = (taint: Taint) => taint.effect === 'PreferNoSchedule';
    if (!nodes.some((node) => node.taints.some(isSoft))) return undefined;
    const tolerations = tolerationsOf(pod).filter(({ effect = '' }) => effect === '' || effect === 'PreferNoSchedule');
    return {
      score: ({ taints }) => taints.filter((taint) => isSoft(taint) && !toleratesTaint(tolerations, taint)).length,
      normalize: (scores) => normalizeByMax(scores, true),
    };
  },
};
