import { expect, test } from 'vitest';
import type { CsiDriver } from '../volumes/csi/csi-driver.ts';
import { csiDriverSteps } from './csi-node.ts';

const driver = (name: string, nodeId = 'n', maxVolumes = 0) =>
  ({ name, node: { nodeId, maxVolumes, topology: {} } }) as CsiDriver;
const entry = (name: string, nodeID = 'n', count?: number) => ({
  ...{ name, nodeID, topologyKeys: [] },
  ...(count === undefined ? {} : { allocatable: { count } }),
});

test.each([
  ['nothing new', [entry('a')], [driver('a')], ['a'], []],
  ['a first driver', [], [driver('a', 'n', 3)], ['a'], [[entry('a', 'n', 3)]]],
  ['one beside another', [entry('a')], [driver('a'), driver('b')], ['a', 'b'], [[entry('a'), entry('b')]]],
  ['one that has gone', [entry('a'), entry('b')], [driver('b')], ['a', 'b'], [[entry('b')]]],
  ['one that was there before us', [entry('old')], [driver('a')], ['a'], [[entry('old'), entry('a')]]],
  // An entry may not change: it goes and comes again.
  [
    'another id',
    [entry('a'), entry('b')],
    [driver('a', 'm'), driver('b')],
    ['a', 'b'],
    [[entry('b')], [entry('b'), entry('a', 'm')]],
  ],
])('the CSINode with %s', (_name, before, present, told, steps) => {
  expect(csiDriverSteps(before, present, new Set(told))).toEqual(steps);
});
