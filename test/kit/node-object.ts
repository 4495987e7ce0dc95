import type { Node } from '#api/object/kinds.ts';

/** Node `node-<index>` at `address`, with the pods of 10.244.<index>.0/24. */
export function nodeObject(index: number, address: string): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: `node-${index}`, uid: `${index}`, resourceVersion: '1', creationTimestamp: '' },
    spec: { podCIDR: `10.244.${index}.0/24` },
    status: { addresses: [{ type: 'InternalIP', address }] },
  };
}
