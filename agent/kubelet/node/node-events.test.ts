import { expect, test } from 'vitest';
import type { Node } from '#api/object/kinds.ts';
import { schedulableEvents, statusEvents } from './node-events.ts';

const WELL = { MemoryPressure: 'False', DiskPressure: 'False', PIDPressure: 'False', Ready: 'True' };
const statusOf = (conditions: object, bootID = 'boot-1') =>
  ({
    conditions: Object.entries({ ...WELL, ...conditions }).map(([type, status]) => ({ type, status })),
    nodeInfo: { bootID },
  }) as unknown as NonNullable<Node['status']>;
const well = statusOf({});

test.each([
  ['nothing changed', well, well, []],
  [
    'is new',
    undefined,
    well,
    ['NodeHasSufficientMemory', 'NodeHasNoDiskPressure', 'NodeHasSufficientPID', 'NodeReady'],
  ],
  ['is new and not ready yet', undefined, { conditions: [{ type: 'Ready', status: 'False' }] }, []],
  ['is full', well, statusOf({ DiskPressure: 'True' }), ['NodeHasDiskPressure']],
  ['is short of memory', well, statusOf({ MemoryPressure: 'True' }), ['NodeHasInsufficientMemory']],
  ['is well again', statusOf({ PIDPressure: 'True', Ready: 'False' }), well, ['NodeHasSufficientPID', 'NodeReady']],
  ['was silent', statusOf({ Ready: 'Unknown' }), well, ['NodeReady']],
  ['was booted', well, statusOf({}, 'boot-2'), ['Rebooted']],
] as const)('Events of a node that %s', (_name, before, now, expected) => {
  const told = statusEvents('n', before as Node['status'], now as Node['status']);
  expect(told.map(({ reason }) => reason)).toEqual(expected);
});

test('the words are those that alerts look for', () => {
  expect(statusEvents('n', well, statusOf({ Ready: 'False' }, 'boot-2'))).toEqual([
    { type: 'Warning', reason: 'Rebooted', message: 'Node n has been rebooted, boot id: boot-2' },
    { type: 'Normal', reason: 'NodeNotReady', message: 'Node n status is now: NodeNotReady' },
  ]);
});

test.each([
  [undefined, true, ['Node n status is now: NodeNotSchedulable']],
  [true, undefined, ['Node n status is now: NodeSchedulable']],
  [true, true, []],
])('a node that was closed: %s, now: %s', (before, now, expected) => {
  const node = (unschedulable: boolean | undefined) => ({ metadata: { name: 'n' }, spec: { unschedulable } }) as Node;
  expect(schedulableEvents(node(before), node(now)).map(({ message }) => message)).toEqual(expected);
});
