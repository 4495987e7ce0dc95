import { expect, test } from 'vitest';
import { StartGate } from './start-gate.ts';

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
