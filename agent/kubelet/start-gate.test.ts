import { expect, test } from 'vitest';
import { StartGate } from './start-gate.ts';

test('a gate is idle once the last pod has left it', async () => {
  const gate = new StartGate(2);
  await gate.idle();
  const slots = [await gate.acquire('fresh'), await gate.acquire('fresh')];
  let isIdle = false;
  const idle = gate.idle().then(() => {
    isIdle = true;
  });
  slots[0]?.release();
  await new Promise(setImmediate);
  expect(isIdle).toBe(false);
  slots[1]?.release();
  await idle;
});

test('a gate lets pods that have begun go before fresh ones, and never more than its width', async () => {
  const gate = new StartGate(1);
  const order: string[] = [];
  const enter = async (name: string, kind: 'begun' | 'fresh') => {
    const slot = await gate.acquire(kind);
    order.push(name);
    await Promise.resolve();
    slot.release();
    slot.release();
  };
  const first = await gate.acquire('fresh');
  const waiting = [enter('fresh 1', 'fresh'), enter('fresh 2', 'fresh'), enter('begun', 'begun')];
  await Promise.resolve();
  expect(order).toEqual([]);
  first.release();
  await Promise.all(waiting);
  expect(order).toEqual(['begun', 'fresh 1', 'fresh 2']);
});
