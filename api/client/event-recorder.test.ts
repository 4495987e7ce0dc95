import { describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { MemoryCluster } from '#test/kit/memory-client.ts';
import { type Event, resources } from '../object/kinds.ts';
import { createEventRecorder } from './event-recorder.ts';

const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web', namespace: 'n', uid: 'u1' } };

function setUp() {
  const clock = new FakeClock();
  const cluster = new MemoryCluster(clock);
  const recorder = createEventRecorder({ client: cluster.client(), component: 'kubelet', clock, log: silentLogger });
  const list = async () => (await cluster.client().resource<Event>(resources.events).fetchList()).items;
  return { clock, recorder, list };
}

describe('event recorder', () => {
  it('counts repetitions on one Event', async () => {
    const { clock, recorder, list } = setUp();
    for (let i = 0; i < 3; i++) {
      recorder.record(pod, 'Warning', 'BackOff', 'Back-off restarting');
      await clock.advance(10_000);
    }
    await recorder.flush();
    const events = await list();
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({ count: 3, type: 'Warning', reason: 'BackOff', involvedObject: { uid: 'u1' } });
    expect(events[0]?.lastTimestamp).toBe('2026-01-01T00:00:20Z');
  });

  it('combines many different messages of one reason', async () => {
    const { recorder, list } = setUp();
    for (let i = 0; i < 20; i++) recorder.record(pod, 'Warning', 'Failed', `message ${i}`);
    await recorder.flush();
    const events = await list();
    expect(events).toHaveLength(11);
    expect(events.at(-1)).toMatchObject({ count: 10, message: '(combined from similar events): message 19' });
  });

  it('lets nobody flood the server', async () => {
    const { recorder, list } = setUp();
    for (let i = 0; i < 200; i++) recorder.record(pod, 'Normal', `Reason${i}`, 'x');
    await recorder.flush();
    expect(await list()).toHaveLength(25);
  });
});
