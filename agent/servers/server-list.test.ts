import { describe, expect, it } from 'vitest';
import type { EndpointSlice } from '#api/object/kinds.ts';
import { ServerList, serversOfSlices } from './server-list.ts';

const sliceOf = (fields: Partial<EndpointSlice>): EndpointSlice => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: 'kubernetes', namespace: 'default', uid: '1', resourceVersion: '1', creationTimestamp: '' },
  addressType: 'IPv4',
  endpoints: [],
  ports: [{ name: 'https', port: 6443, protocol: 'TCP' }],
  ...fields,
});

describe('servers of the Service kubernetes', () => {
  it.each<[string, EndpointSlice[], string[]]>([
    ['no slice', [], []],
    [
      'every ready address once',
      [
        sliceOf({
          endpoints: [
            { addresses: ['10.0.0.2'] },
            { addresses: ['10.0.0.1'], conditions: { ready: true } },
            { addresses: ['10.0.0.3'], conditions: { ready: false } },
          ],
        }),
        sliceOf({ endpoints: [{ addresses: ['10.0.0.1'] }] }),
      ],
      ['https://10.0.0.1:6443', 'https://10.0.0.2:6443'],
    ],
    [
      'IPv6 in brackets',
      [sliceOf({ addressType: 'IPv6', endpoints: [{ addresses: ['fd00::1'] }] })],
      ['https://[fd00::1]:6443'],
    ],
    ['no port of that name', [sliceOf({ endpoints: [{ addresses: ['10.0.0.1'] }], ports: [] })], []],
  ])('%s', (_, slices, expected) => {
    expect(serversOfSlices(slices)).toEqual(expected);
  });
});

describe('server list', () => {
  const listOf = (configured: string[], learned: string[] = [], random = 0) =>
    new ServerList({ configured, learned, random: () => random });

  it('names what is configured before what was learned, each once', () => {
    expect(listOf(['a', 'b'], ['c', 'a']).all).toEqual(['a', 'b', 'c']);
  });

  it('has an order of its own in every agent', () => {
    expect(listOf(['a', 'b', 'c'], [], 0.9).all).toEqual(['c', 'b', 'a']);
  });

  it('tells of news, and of nothing else', () => {
    const list = listOf(['a']);
    const told: (readonly string[])[] = [];
    list.onChange((servers) => told.push(servers));
    expect([list.learn(['a', 'b']), list.learn(['b', 'a']), list.learn([]), list.learn(['b'])]).toEqual([
      true,
      false,
      false,
      true,
    ]);
    expect(told).toEqual([
      ['a', 'b'],
      ['a', 'b'],
    ]);
    expect(list.all).toEqual(['a', 'b']);
  });
});
