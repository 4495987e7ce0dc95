/**
 * Micro benchmark of the store alone: `node bench/store.ts [objects]`. Prints one table; the numbers over TLS are `scripts/bench`'s.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '#base/clock.ts';
import { createLogger } from '#base/logger.ts';
import { createMemoryStore } from '#controller/store/memory-store.ts';
import { openSqliteStore } from '#controller/store/sqlite-store.ts';
import type { NewValue, Store } from '#controller/store/store.ts';

const OBJECTS = Number(process.argv[2] ?? 10_000);
const CONNECTIONS = 16;

const key = (i: number) => `/registry/configmaps/namespace-${i % 20}/object-${i}`;

function sample(i: number): NewValue {
  const name = `object-${i}`;
  const namespace = `namespace-${i % 20}`;
  const object = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name,
      namespace,
      uid: crypto.randomUUID(),
      creationTimestamp: '2026-01-01T00:00:00Z',
      managedFields: [{ manager: 'bench' }],
    },
    data: { text: 'x'.repeat(512) },
  };
  return {
    bytes: new TextEncoder().encode(JSON.stringify(object)),
    labels: {},
    fields: { 'metadata.name': name, 'metadata.namespace': namespace },
    durability: 'durable',
  };
}

const rows: { what: string; value: string }[] = [];
const report = (what: string, count: number, elapsedMs: number) =>
  rows.push({ what, value: `${Math.round((count / elapsedMs) * 1000).toLocaleString('en')}/s` });

/** `connections` clients that each wait for one write before the next. */
async function createAll(store: Store, connections: number, from: number, count: number): Promise<number> {
  const startMs = performance.now();
  let next = from;
  const client = async () => {
    while (next < from + count) {
      const i = next++;
      await store.write(key(i), () => ({ kind: 'put', value: sample(i) }));
    }
  };
  await Promise.all(Array.from({ length: connections }, client));
  return performance.now() - startMs;
}

function measureReads(store: Store): void {
  const count = 300_000;
  let startMs = performance.now();
  let bytes = 0;
  for (let i = 0; i < count; i++) bytes += store.snapshot().get(key((i * 7919) % OBJECTS))!.bytes.length;
  report('GET by key', count, performance.now() - startMs);
  startMs = performance.now();
  for (let round = 0; round < 20; round++)
    for (const object of store.snapshot().range('/registry/configmaps/')) bytes += object.bytes.length;
  report(`LIST of ${OBJECTS} objects`, 20, performance.now() - startMs);
  if (bytes === 0) throw new Error('nothing was read');
}

/** Latencies of updates over 1,000 keys, one after the other, in ms: sorted. */
async function updateLatencies(store: Store, count: number): Promise<number[]> {
  const latencies: number[] = [];
  for (let i = 0; i < count; i++) {
    const fromMs = performance.now();
    await store.write(key((i * 7) % 1_000), () => ({ kind: 'put', value: sample((i * 7) % 1_000) }));
    latencies.push(performance.now() - fromMs);
  }
  return latencies.sort((a, b) => a - b);
}

/** Contract sentence 10: the slowest writes while old history goes are at most twice as slow as without. */
async function measureCompaction(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'coracle-bench-'));
  const p99 = (latencies: readonly number[]) => latencies[Math.floor(latencies.length * 0.99)]!;
  const withHistory = (minEvents: number) =>
    openSqliteStore({ ...options, dir: folder, historyLimits: { minEvents, maxAgeMs: 0 } });
  let store = await withHistory(1_000_000);
  await createAll(store, 200, 0, 1_000);
  const before = p99(await updateLatencies(store, 6_000));
  await store.close();
  store = await withHistory(500);
  const during = p99(await updateLatencies(store, 6_000));
  await store.close();
  await rm(folder, { recursive: true });
  rows.push({ what: 'SQLite: update, p99', value: `${before.toFixed(2)} ms` });
  rows.push({ what: 'SQLite: update, p99 during compaction', value: `${during.toFixed(2)} ms` });
}

const dir = await mkdtemp(join(tmpdir(), 'coracle-bench-'));
const options = {
  dir,
  clock: systemClock,
  log: createLogger('bench', 'warn'),
  classify: () => ({ labels: {}, fields: {} }),
};

const memory = createMemoryStore();
report('memory: CREATE, 16 at once', OBJECTS, await createAll(memory, CONNECTIONS, 0, OBJECTS));
await memory.close();

let store = await openSqliteStore(options);
report('SQLite: CREATE, 16 at once', OBJECTS, await createAll(store, CONNECTIONS, 0, OBJECTS));
report('SQLite: CREATE, 200 at once', 5_000, await createAll(store, 200, OBJECTS, 5_000));
report('SQLite: CREATE, one after the other', 500, await createAll(store, 1, OBJECTS + 5_000, 500));
measureReads(store);
await store.close();

const startMs = performance.now();
store = await openSqliteStore(options);
rows.push({
  what: `SQLite: open with ${store.snapshot().count('')} objects`,
  value: `${Math.round(performance.now() - startMs)} ms`,
});
globalThis.gc?.();
rows.push({ what: 'RSS afterwards', value: `${Math.round(process.memoryUsage.rss() / 2 ** 20)} MB` });
await store.close();
await rm(dir, { recursive: true });
await measureCompaction();
console.table(rows);
