import { arePortsInConflict } from '../cache/node-info.ts';
import { type FilterPlugin, reject, SKIP } from '../framework/plugin.ts';

const TAKEN = reject("node(s) didn't have free ports for the requested pod ports");

export const nodePorts: FilterPlugin = {
  name: 'NodePorts',
  prepare({ hostPorts }) {
    if (hostPorts.length === 0) return SKIP;
    return {
      kind: 'filter',
      filter: { check: (node) => (hostPorts.some((port) => node.hasPortConflict(port)) ? TAKEN : undefined) },
    };
  },
  isHelpedBy(event, pod) {
    if (event.kind === 'nodeAdded') return true;
    if (event.kind !== 'podRemoved') return false;
    return event.pod.hostPorts.some((freed) => pod.hostPorts.some((wanted) => arePortsInConflict(freed, wanted)));
  },
};
