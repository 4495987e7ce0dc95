import { describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { createMemoryStore } from '../memory-store.ts';
import type { EnvelopeKey } from '../seal/envelope.ts';
import { classifySample, recordEvents, sampleValue } from '../testing/sample-values.ts';
import { startResealing } from './etcd-reseal.ts';
import { KeySpace } from './key-space.ts';
import type { RangeResponse } from './wire-protocol.ts';

describe('startResealing', () => {
  it('writes what is stale, a bounded number a second, and again when another key takes over', async () => {
    const keys = new KeySpace('/registry');
    const clock = new FakeClock();
    const store = createMemoryStore({ classify: classifySample });
    const names = Array.from({ length: 50 }, (_, at) => `/registry/secrets/default/s${String(at).padStart(2, '0')}`);
    /** What etcd would keep: the name of the key that a value lies under. */
    const sealedUnder = new Map<string, string>();
    let newest = 'second';
    for (const [at, key] of names.entries()) {
      await store.write(key, () => ({ kind: 'put', value: sampleValue('Secret', `s${at}`) }));
      sealedUnder.set(key, at < 45 ? 'first' : 'second');
    }
    const events = recordEvents(store, '/registry/');
    store.watch({
      prefix: '/registry/',
      fromRevision: store.revision,
      onEvent: ({ object }) => sealedUnder.set(object.key, newest),
      onClose() {},
    });
    const range = async ({ key: from, limit = 0 }: { key: Uint8Array; limit?: number }) => {
      const start = Buffer.from(from).toString();
      const found = names.filter((key) => key >= start);
      const kvs = found
        .slice(0, limit)
        .map((key) => ({ key: Buffer.from(key), value: Buffer.from(sealedUnder.get(key)!) }));
      return { kvs, more: found.length > limit } as unknown as RangeResponse;
    };
    const stop = startResealing({
      client: { range },
      keys,
      sealer: { isCurrent: (_key, stored) => Buffer.from(stored).toString() === newest },
      ring: {
        get newest() {
          return { name: newest } as EnvelopeKey;
        },
      },
      store,
      clock,
      log: silentLogger,
      random: () => 0,
    });
    const countAfter = async (ms: number) => {
      await clock.advance(ms);
      for (let turn = 0; turn < 200; turn++) await Promise.resolve();
      return events.length;
    };
    expect(await countAfter(59_000)).toBe(0);
    expect(await countAfter(1_000)).toBe(20);
    expect(await countAfter(1_000)).toBe(40);
    expect(await countAfter(1_000)).toBe(45);
    expect(await countAfter(600_000)).toBe(45);
    expect(new Set(events.map(({ type }) => type))).toEqual(new Set(['MODIFIED']));
    newest = 'third';
    for (let i = 0; i < 70; i++) await countAfter(1_000);
    expect(events.length).toBe(95);
    stop();
  });
});
