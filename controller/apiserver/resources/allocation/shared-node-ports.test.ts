import { describe, expect, it } from 'vitest';
import { createMemoryStore } from '../../../store/memory-store.ts';
import { NODE_PORT_RANGE_KEY, SharedNodePorts } from './shared-node-ports.ts';

const RANGE = { from: 30_000, to: 30_009 };

describe('SharedNodePorts', () => {
  const setUp = (range = RANGE) => {
    const store = createMemoryStore();
    const services = new Set<number>();
    const time = { nowMs: 0 };
    const server = () => new SharedNodePorts({ range, random: () => 0, nowMs: () => time.nowMs, held: () => services });
    const stored = () => store.snapshot().get(NODE_PORT_RANGE_KEY)?.object() as { data: string; range: string };
    return { store, services, time, server, stored };
  };

  it('gives out each port once, whichever server is asked', async () => {
    const { store, services, server } = setUp();
    const servers = [server(), server()];
    const ports = await Promise.all(Array.from({ length: 10 }, (_, i) => servers[i % 2]!.take(store, undefined)));
    expect([...new Set(ports)].sort()).toEqual(Array.from({ length: 10 }, (_, i) => 30_000 + i));
    for (const port of ports) services.add(port!);
    expect(await servers[0]!.take(store, undefined)).toBeUndefined();
    await servers[1]!.release(store, [30_004]);
    await expect(servers[0]!.take(store, 30_003)).rejects.toThrow('provided port is already allocated');
    expect(await servers[0]!.take(store, 30_004)).toBe(30_004);
    await expect(servers[0]!.take(store, 80)).rejects.toThrow('The range of valid ports is 30000-30009');
  });

  it('keeps them as Kubernetes does: one bit each, in a big-endian number', async () => {
    const { store, server, stored } = setUp();
    for (const port of [30_000, 30_009]) await server().take(store, port);
    expect(stored()).toMatchObject({ kind: 'RangeAllocation', range: '30000-30009' });
    expect([...Buffer.from(stored().data, 'base64')]).toEqual([0b10, 0b1]);
  });

  it('adopts what Services hold, also when the range is another than before', async () => {
    const { store, services, server } = setUp();
    await server().take(store, 30_001);
    services.add(30_002).add(40_000);
    const wider = new SharedNodePorts({
      range: { from: 30_000, to: 40_000 },
      random: () => 0,
      nowMs: () => 0,
      held: () => services,
    });
    await wider.adopt(store);
    await expect(wider.take(store, 30_002)).rejects.toThrow('already allocated');
    await expect(wider.take(store, 40_000)).rejects.toThrow('already allocated');
    expect(await wider.take(store, 30_001)).toBe(30_001);
  });

  it('gives back what no Service has held for three minutes, and not before', async () => {
    const { store, time, server } = setUp();
    const ports = server();
    await ports.take(store, 30_001);
    await ports.take(store, 30_002);
    time.nowMs = 179_999;
    await expect(ports.take(store, 30_001)).rejects.toThrow('already allocated');
    time.nowMs = 180_000;
    expect(await ports.take(store, 30_001)).toBe(30_001);
  });

  it('previews without taking', async () => {
    const { store, server, stored } = setUp();
    expect(server().preview(store, undefined, [])).toBe(30_000);
    expect(server().preview(store, undefined, [30_000])).toBe(30_001);
    expect(stored()).toBeUndefined();
  });
});
