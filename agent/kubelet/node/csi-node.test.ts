import { expect, test } from 'vitest';
import { type CSINode, type Node, resources } from '#api/object/kinds.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { MemoryCluster } from '#test/kit/memory-client.ts';
import type { CsiDriver } from '../volumes/csi/csi-driver.ts';
import { csiDriverSteps, keepCsiNode } from './csi-node.ts';

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

test('a CSINode that was deleted comes again, and follows its drivers', async () => {
  const clock = new FakeClock();
  const client = new MemoryCluster(clock).client();
  const node = await client.resource<Node>(resources.nodes).create({ metadata: { name: 'node-1' } });
  let present = [driver('a')];
  let changed: () => void = () => undefined;
  const drivers = {
    find: () => undefined,
    list: () => present,
    onChange: (listener: () => void) => {
      changed = listener;
    },
  };
  const stop = new AbortController();
  const options = { client, nodeName: 'node-1', drivers, node: () => node, clock, log: silentLogger };
  const kept = keepCsiNode(options, stop.signal);
  const csiNodes = client.resource<CSINode>(resources.csiNodes);
  const names = async () => (await csiNodes.fetch('node-1')).spec.drivers.map(({ name }) => name);
  await expect.poll(names).toEqual(['a']);
  await csiNodes.delete({ name: 'node-1' });
  await clock.advance(300_000);
  await expect.poll(names).toEqual(['a']);
  present = [driver('b')];
  changed();
  await expect.poll(names).toEqual(['b']);
  stop.abort();
  await kept;
});
