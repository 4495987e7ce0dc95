import { changedNodeOf } from '../framework/cluster-event.ts';
import { type FilterPlugin, rejectForGood } from '../framework/plugin.ts';
import { type Toleration, toleratesTaint } from './tolerations.ts';

const CORDON_TAINT = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };
const CORDONED = rejectForGood('node(s) were unschedulable');

/** Cordoned nodes take only pods that tolerate the cordon (those of DaemonSets). */
export const nodeUnschedulable: FilterPlugin = {
  name: 'NodeUnschedulable',
  prepare(pod) {
    const isTolerant = toleratesTaint((pod.pod.spec?.tolerations ?? []) as Toleration[], CORDON_TAINT);
    return isTolerant
      ? { kind: 'skip' }
      : { kind: 'filter', filter: { check: (node) => (node.isUnschedulable ? CORDONED : undefined) } };
  },
  isHelpedBy(event) {
    const node = changedNodeOf(event);
    return node !== undefined && node.spec?.unschedulable !== true;
  },
};
