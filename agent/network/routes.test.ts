import { describe, expect, it } from 'vitest';
import type { Node } from '#api/object/kinds.ts';
import { computeRoutes, diffRoutes, parseRoutes } from './routes.ts';

const node = (name: string, podCIDR?: string, address?: string): Node =>
  ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, uid: name, resourceVersion: '1', creationTimestamp: '' },
    spec: { podCIDR },
    status:
      address === undefined
        ? {}
        : {
            addresses: [
              { type: 'Hostname', address: name },
              { type: 'InternalIP', address },
            ],
          },
  }) as Node;

describe('computeRoutes', () => {
  it.each([
    {
      name: 'a route to another node',
      nodes: [node('b', '10.244.1.0/24', '192.0.2.2')],
      want: [{ podCidr: '10.244.1.0/24', gateway: '192.0.2.2' }],
    },
    { name: 'none to itself', nodes: [node('me', '10.244.0.0/24', '192.0.2.1')], want: [] },
    { name: 'none without an address', nodes: [node('b', '10.244.1.0/24')], want: [] },
    { name: 'none for the whole world', nodes: [node('b', '0.0.0.0/0', '192.0.2.2')], want: [] },
    { name: 'none for more than the cluster', nodes: [node('b', '10.0.0.0/8', '192.0.2.2')], want: [] },
    { name: "none for a neighbour's LAN", nodes: [node('b', '192.0.2.0/24', '192.0.2.2')], want: [] },
    { name: 'none through what is no address', nodes: [node('b', '10.244.1.0/24', 'dev')], want: [] },
    { name: 'none without a pod range', nodes: [node('b', undefined, '192.0.2.2')], want: [] },
  ])('$name', ({ nodes, want }) => {
    expect(computeRoutes(nodes, { ownName: 'me', clusterCidr: '10.244.0.0/16' })).toEqual(want);
  });
});

describe('diffRoutes', () => {
  const a = { podCidr: '10.244.1.0/24', gateway: '192.0.2.2' };
  it.each([
    { name: 'adds what is missing', actual: [], desired: [a], want: { replace: [a], remove: [] } },
    { name: 'leaves what stands', actual: [a], desired: [a], want: { replace: [], remove: [] } },
    { name: 'removes the route of a gone node', actual: [a], desired: [], want: { replace: [], remove: [a] } },
    {
      name: 'replaces in place when a node moved, without a gap',
      actual: [a],
      desired: [{ ...a, gateway: '192.0.2.9' }],
      want: { replace: [{ ...a, gateway: '192.0.2.9' }], remove: [] },
    },
  ])('$name', ({ actual, desired, want }) => {
    expect(diffRoutes(actual, desired)).toEqual(want);
  });
});

it('parseRoutes reads what iproute2 prints, an empty answer included', () => {
  expect(parseRoutes('')).toEqual([]);
  expect(
    parseRoutes('[{"dst":"10.244.1.0/24","gateway":"192.0.2.2","dev":"eth0","protocol":"177","flags":[]}]'),
  ).toEqual([{ podCidr: '10.244.1.0/24', gateway: '192.0.2.2' }]);
});
