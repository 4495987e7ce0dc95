import { describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { createWorkQueue } from './work-queue.ts';

function setUp(sync: (key: string) => Promise<void> | void, concurrency = 4) {
  const clock = new FakeClock();
  const queue = createWorkQueue({ name: 'test', sync, clock, log: silentLogger, concurrency, random: () => 0 });
  return { clock, queue, signal: new AbortController().signal };
}

describe('work queue', () => {
  it('runs a key once however often it was added, and once more when it was added while running', async () => {
    const runs: string[] = [];
    const gate = Promise.withResolvers<void>();
    const { queue, signal } = setUp(async (key) => {
      runs.push(key);
      if (runs.length === 1) await gate.promise;
    });
    queue.add('a');
    queue.add('a');
    queue.start(signal);
    await new Promise(setImmediate);
    queue.add('a');
    queue.add('a');
    gate.resolve();
    await queue.whenIdle();
    expect(runs).toEqual(['a', 'a']);
  });

  it('never works on more keys at once than allowed', async () => {
    let running = 0;
    let most = 0;
    const { queue, signal } = setUp(async () => {
      most = Math.max(most, ++running);
      await new Promise(setImmediate);
      running--;
    }, 2);
    for (const key of ['a', 'b', 'c', 'd', 'e']) queue.add(key);
    queue.start(signal);
    await queue.whenIdle();
    expect(most).toBe(2);
  });

  it('repeats a failing key with growing pauses and never drops it', async () => {
    let runs = 0;
    const { clock, queue, signal } = setUp(() => {
      runs++;
      throw new Error('no');
    });
    queue.add('a');
    queue.start(signal);
    await queue.whenIdle();
    expect(runs).toBe(1);
    await clock.advance(5 + 10 + 20);
    expect(runs).toBe(4);
    await clock.advance(3600_000);
    const afterAnHour = runs;
    await clock.advance(61_000);
    expect(runs).toBe(afterAnHour + 1);
  });

  it('takes the shortest of several delays and forgets them when the key runs', async () => {
    let runs = 0;
    const { clock, queue, signal } = setUp(() => {
      runs++;
    });
    queue.start(signal);
    queue.addAfter('a', 1000);
    queue.addAfter('a', 100);
    queue.addAfter('a', 500);
    await clock.advance(100);
    expect(runs).toBe(1);
    await clock.advance(5000);
    expect(runs).toBe(1);
  });
});
