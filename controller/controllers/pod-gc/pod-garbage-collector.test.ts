import { afterEach, describe, expect, it } from 'vitest';
import { type Node, type Pod, resources } from '#api/object/kinds.ts';
import { createControllerHarness } from '#test/kit/controller-harness.ts';
import { startPodGarbageCollector } from './pod-garbage-collector.ts';

let stop = () => {};
afterEach(() => stop());

async function setUp(terminatedPodThreshold = 0) {
  const harness = createControllerHarness({ terminatedPodThreshold });
  stop = harness.stop;
  const pods = harness.client.resource<Pod>(resources.pods);
  const nodes = harness.client.resource<Node>(resources.nodes);
  await nodes.create({ metadata: { name: 'a' } });
  const add = (name: string, nodeName: string | undefined, phase: 'Running' | 'Succeeded' = 'Running') =>
    pods.create({ metadata: { name, namespace: 'n' }, spec: { nodeName, containers: [] }, status: { phase } });
  const names = async () => (await pods.fetchList()).items.map((pod) => pod.metadata.name);
  return { ...harness, pods, nodes, add, names };
}

describe('pod garbage collector', () => {
  it('removes pods of a deleted node after a quarantine', async () => {
    const { add, start, nodes, advance, names, settle } = await setUp();
    await add('p', 'a');
    await start(startPodGarbageCollector);
    await nodes.delete({ name: 'a' });
    await settle();
    await advance(39_000);
    expect(await names()).toEqual(['p']);
    await advance(2_000);
    expect(await names()).toEqual([]);
  });

  it('spares the pods of a node that came back within it', async () => {
    const { add, start, nodes, advance, names } = await setUp();
    await add('p', 'a');
    await start(startPodGarbageCollector);
    await nodes.delete({ name: 'a' });
    await nodes.create({ metadata: { name: 'a' } });
    await advance(60_000);
    expect(await names()).toEqual(['p']);
  });

  it('removes pods whose node was gone before it started', async () => {
    const { add, start, advance, names } = await setUp();
    await add('lost', 'vanished');
    await add('p', 'a');
    await start(startPodGarbageCollector);
    await advance(41_000);
    expect(await names()).toEqual(['p']);
  });

  it('ends terminating pods that no node ever had', async () => {
    const { add, pods, start, names } = await setUp();
    const pod = await add('p', undefined);
    await pods.update({ ...pod, metadata: { ...pod.metadata, finalizers: ['test/hold'] } });
    await pods.delete({ name: 'p', namespace: 'n' });
    const held = await pods.fetch('p', 'n');
    await start(startPodGarbageCollector);
    await pods.update({ ...held, metadata: { ...held.metadata, finalizers: [] } });
    expect(await names()).toEqual([]);
  });

  it('keeps as many finished pods as the threshold says, the youngest', async () => {
    const { add, clock, start, names } = await setUp(2);
    for (const name of ['first', 'second', 'third']) {
      await add(name, 'a', 'Succeeded');
      await clock.advance(1000);
    }
    await add('running', 'a');
    await start(startPodGarbageCollector);
    // A finished pod with a node goes at once: its deletion asks for no grace.
    expect(await names()).toEqual(['second', 'third', 'running']);
  });
});
