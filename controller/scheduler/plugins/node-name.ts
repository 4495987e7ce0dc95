import { type FilterPlugin, rejectForGood, SKIP } from '../framework/plugin.ts';

const OTHER_NODE = rejectForGood("node(s) didn't match the requested node name");

/** A pod that names its node goes there or nowhere. (Such pods are placed by their creator and rarely come here.) */
export const nodeName: FilterPlugin = {
  name: 'NodeName',
  prepare(pod) {
    const wanted = pod.pod.spec?.nodeName ?? '';
    if (wanted === '') return SKIP;
    return { kind: 'filter', filter: { check: (node) => (node.name === wanted ? undefined : OTHER_NODE) } };
  },
  isHelpedBy: (event, pod) => event.kind === 'nodeAdded' && event.node.metadata.name === pod.pod.spec?.nodeName,
};
