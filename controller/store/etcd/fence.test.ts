import { expect, it } from 'vitest';
import type { EtcdClient } from './etcd-client.ts';
import { Fence } from './fence.ts';

it.each<[string, readonly (readonly [number, number])[], number]>([
  ['never seen', [], 0],
  [
    'reports in order',
    [
      [5, 5],
      [9, 9],
    ],
    9,
  ],
  [
    'an older report after a newer one',
    [
      [9, 9],
      [5, 7],
    ],
    9,
  ],
  [
    'deleted by an administrator, as its event tells',
    [
      [9, 9],
      [0, 12],
    ],
    0,
  ],
  [
    'deleted, and an older report after that',
    [
      [0, 12],
      [9, 9],
    ],
    0,
  ],
])('a transaction compares with the newest state of the fence: %s', (_, reports, expected) => {
  const fence = new Fence({} as EtcdClient, Uint8Array.of(1));
  for (const [revision, asOf] of reports) fence.seen(revision, asOf);
  expect(fence.compare().mod_revision).toBe(expected);
});
