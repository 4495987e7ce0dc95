import type { Node } from '#api/object/kinds.ts';
import type { AdmissionPlugin } from './admission-plugin.ts';

const NOT_READY = { key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' } as const;

/** A new node takes no pods before the node lifecycle controller has seen it Ready. */
export function taintNodesByCondition(): AdmissionPlugin {
  return {
    name: 'TaintNodesByCondition',
    handles: ({ resource, operation, subresource }) =>
      resource.group === '' && resource.resource === 'nodes' && operation === 'CREATE' && subresource === '',
    admit({ object }) {
      const node = object as unknown as Node;
      const taints = node.spec?.taints ?? [];
      if (taints.some(({ key, effect }) => key === NOT_READY.key && effect === NOT_READY.effect)) return;
      node.spec = { ...node.spec, taints: [...taints, { ...NOT_READY }] };
    },
  };
}
