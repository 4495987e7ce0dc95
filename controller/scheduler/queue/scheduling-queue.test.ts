import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import type { ClusterEvent } from '../framework/cluster-event.ts';
import { makeNode, podInfo } from '../testing/builders.ts';
import { SchedulingQueue } from './scheduling-queue.ts';

const EVENT: ClusterEvent = { kind: 'nodeAdded', node: makeNode() };

describe('SchedulingQueue', () => {
  let clock: FakeClock;
  let helped: Set<string>;
  let queue: SchedulingQueue;

  beforeEach(() => {
    clock = new FakeClock();
    helped = new Set();
    queue = new SchedulingQueue({
      clock,
      isHelpedBy: (_event, pod) => [...pod.rejectedBy].some((plugin) => helped.has(plugin)),
      onReady() {},
    });
  });

  const popName = () => queue.pop()?.info.pod.metadata.name;

  it('hands out the most important pod first, then the oldest', async () => {
    queue.add(podInfo({ name: 'old' }));
    await clock.advance(1);
    queue.add(podInfo({ name: 'new' }));
    queue.add(podInfo({ name: 'important', priority: 10 }));
    expect([popName(), popName(), popName(), popName()]).toEqual(['important', 'old', 'new', undefined]);
  });

  it('wakes an unschedulable pod when a plugin that turned it down is helped, after its back-off', async () => {
    queue.add(podInfo({ name: 'a' }));
    queue.addUnschedulable(queue.pop()!, new Set(['NodePorts']));
    queue.onEvent(EVENT);
    await clock.advance(60_000);
    expect(popName()).toBeUndefined();
    helped.add('NodePorts');
    queue.onEvent(EVENT);
    expect(queue.lengths.active).toBe(1);

    queue.addUnschedulable(queue.pop()!, new Set(['NodePorts']));
    queue.onEvent(EVENT);
    expect(queue.lengths).toEqual({ active: 0, backingOff: 1, unschedulable: 0 });
    await clock.advance(1999);
    expect(popName()).toBeUndefined();
    await clock.advance(1);
    expect(popName()).toBe('a');
  });

  it('doubles the back-off up to ten seconds', async () => {
    queue.add(podInfo({ name: 'a' }));
    const waits: number[] = [];
    for (let attempt = 0; attempt < 6; attempt++) {
      queue.addBackoff(queue.pop()!);
      const startMs = clock.monotonic();
      while (queue.lengths.active === 0) await clock.advance(500);
      waits.push(clock.monotonic() - startMs);
    }
    expect(waits).toEqual([1000, 2000, 4000, 8000, 10_000, 10_000]);
  });

  it('tries everything again after five minutes, whatever the hints say', async () => {
    queue.add(podInfo({ name: 'a' }));
    queue.addUnschedulable(queue.pop()!, new Set(['NodePorts']));
    await clock.advance(5 * 60_000);
    expect(popName()).toBe('a');
  });

  it('takes a changed pod up again, and forgets a deleted one', async () => {
    const pod = podInfo({ name: 'a' });
    queue.add(pod);
    queue.addUnschedulable(queue.pop()!, new Set(['NodePorts']));
    await clock.advance(1000);
    queue.update(podInfo({ name: 'a', labels: { x: 'status only' } }), false);
    expect(queue.lengths.unschedulable).toBe(1);
    queue.update(podInfo({ name: 'a', labels: { x: 'y' } }), true);
    expect(queue.pop()?.info.labels).toEqual({ x: 'y' });
    queue.add(pod);
    queue.remove(pod.key);
    expect(popName()).toBeUndefined();
  });
});
