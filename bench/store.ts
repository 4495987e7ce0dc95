import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { systemClock } from '#base/clock.ts';
import { createLogger } from '#base/logger.ts';
import type { HistoryLimits } from '#controller/store/history.ts';
import { createMemoryStore } from '#controller/store/memory-store.ts';
import { openSqliteStore } from '#controller/store/sqlite-store.ts';
import type { NewValue, Store } from '#controller/store/store.ts';
import { quantile, type Result } from './result.ts';

const OBJECTS = 10_000;
const CONNECTIONS = 16;
/** Over so many keys. `BENCH_STORE_UPDATES=10000000`, a quarter of an hour, is what the design promises; the file is as large after each tenth. */
const UPDATES = Number(process.env.BENCH_STORE_UPDATES ?? 500_000);
const KEYS = 1_000;
const WIDTH = 256;
const LATENCIES = 6_000;

/** The store alone, without TLS and API: commits, reads, memory, and what compaction makes of updates without end. */
export async function measureStore(): Promise<Result[]> {
  return [...(await measureSpeed()), ...(await measureCompaction()), ...(await measureForEver())];
}

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

const open = (dir: string, historyLimits: Partial<HistoryLimits> = {}) =>
  openSqliteStore({
    dir,
    clock: systemClock,
    log: createLogger('bench', 'warn'),
    classify: () => ({ labels: {}, fields: {} }),
    historyLimits,
  });

async function withFolder<T>(use: (dir: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'coracle-bench-'));
  try {
    return await use(dir);
  } finally {
    await rm(dir, { recursive: true });
  }
}

/** Writes `keyOf(i)` for each i, so many at a time, each after the one before it is durable; answers the elapsed ms. */
async function writeAll(store: Store, count: number, width: number, keyOf: (i: number) => number): Promise<number> {
  const startMs = performance.now();
  let next = 0;
  const client = async () => {
    while (next < count) {
      const value = sample(keyOf(next++));
      await store.write(key(Number(value.fields['metadata.name']!.slice(7))), () => ({ kind: 'put', value }));
    }
  };
  await Promise.all(Array.from({ length: width }, client));
  return performance.now() - startMs;
}

const rate = (name: string, count: number, elapsedMs: number): Result => ({
  name: `store: ${name}`,
  value: (count / elapsedMs) * 1000,
  unit: '/s',
});

function measureSpeed(): Promise<Result[]> {
  return withFolder(async (dir) => {
    const results: Result[] = [];
    const memory = createMemoryStore();
    results.push(rate('CREATE in memory, 16 at once', OBJECTS, await writeAll(memory, OBJECTS, CONNECTIONS, (i) => i)));
    await memory.close();
    let store = await open(dir);
    results.push(rate('CREATE on SQLite, 16 at once', OBJECTS, await writeAll(store, OBJECTS, CONNECTIONS, (i) => i)));
    const more = await writeAll(store, 20_000, 200, (i) => i % OBJECTS);
    results.push(rate('durable updates, 200 at once', 20_000, more));
    results.push(rate('durable updates, one after the other', 500, await writeAll(store, 500, 1, (i) => i)));
    results.push(...measureReads(store));
    await store.close();
    const beforeBytes = residentBytes();
    const startMs = performance.now();
    store = await open(dir);
    results.push({ name: `store: open with ${OBJECTS} objects`, value: performance.now() - startMs, unit: 'ms' });
    // As they are once clients have read them.
    for (const { bytes, fields } of store.snapshot().range('')) if (bytes.length === 0) throw new Error(`${fields}`);
    const bytesPerObject = (residentBytes() - beforeBytes) / OBJECTS;
    const valueBytes = sample(0).bytes.length;
    results.push({
      name: 'store: memory per object',
      value: bytesPerObject,
      unit: 'bytes',
      note: `of ${valueBytes} bytes each; history included`,
    });
    await store.close();
    return results;
  });
}

/** Of the whole process, after what is garbage is gone (`--expose-gc`). */
function residentBytes(): number {
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function measureReads(store: Store): Result[] {
  const count = 300_000;
  let startMs = performance.now();
  let bytes = 0;
  for (let i = 0; i < count; i++) bytes += store.snapshot().get(key((i * 7919) % OBJECTS))!.bytes.length;
  const gets = rate('GET by key', count, performance.now() - startMs);
  startMs = performance.now();
  for (let round = 0; round < 20; round++)
    for (const object of store.snapshot().range('/registry/configmaps/')) bytes += object.bytes.length;
  if (bytes === 0) throw new Error('nothing was read');
  return [gets, rate(`LIST of ${OBJECTS} objects`, 20, performance.now() - startMs)];
}

/** Contract sentence 10: the slowest writes while old history goes are at most twice as slow as without. */
function measureCompaction(): Promise<Result[]> {
  return withFolder(async (dir) => {
    let store = await open(dir, { minEvents: 1_000_000, maxAgeMs: 0 });
    await writeAll(store, KEYS, 200, (i) => i);
    const before = quantile(await updateLatencies(store), 0.99);
    await store.close();
    store = await open(dir, { minEvents: 500, maxAgeMs: 0 });
    const during = quantile(await updateLatencies(store), 0.99);
    await store.close();
    const goal = { value: 2 * before, better: 'lower' } as const;
    const note = `without ${before.toFixed(2)} ms; the goal is twice that`;
    return [{ name: 'store: update while history is compacted, p99', value: during, unit: 'ms', goal, note }];
  });
}

/** In ms, one after the other. */
async function updateLatencies(store: Store): Promise<number[]> {
  const latencies: number[] = [];
  for (let i = 0; i < LATENCIES; i++) {
    const fromMs = performance.now();
    const value = sample((i * 7) % KEYS);
    await store.write(key((i * 7) % KEYS), () => ({ kind: 'put', value }));
    latencies.push(performance.now() - fromMs);
  }
  return latencies;
}

/** Updates without end over few keys: how large the file becomes, and that it shrinks in place when most of it goes. */
function measureForEver(): Promise<Result[]> {
  return withFolder(async (dir) => {
    // Ten thousand revisions of history, however young: writes come so fast that ten minutes of them would not fit into memory.
    const store = await open(dir, { maxAgeMs: 0 });
    await writeAll(store, KEYS, WIDTH, (i) => i);
    const step = Math.max(1, Math.floor(UPDATES / 100));
    let largest = 0;
    let largestLog = 0;
    let elapsedMs = 0;
    for (let done = 0; done < UPDATES; done += step) {
      elapsedMs += await writeAll(store, step, WIDTH, (i) => (i * 7 + done) % KEYS);
      largest = Math.max(largest, (await sizeOf(dir, 'state.db')) / liveBytes(dir));
      largestLog = Math.max(largestLog, await sizeOf(dir, 'state.db-wal'));
    }
    await store.close();
    const full = await stat(join(dir, 'state.db'));
    const shrunk = await shrink(dir);
    if (shrunk.ino !== full.ino) throw new Error('the file was replaced, not shrunk');
    const name = `store: ${UPDATES.toLocaleString('en')} updates over ${KEYS} keys`;
    const [before, after, log] = [full.size, shrunk.size, largestLog].map(
      (size) => `${(size / 2 ** 20).toFixed(1)} MB`,
    );
    return [
      { name, value: (UPDATES / elapsedMs) * 1000, unit: '/s' },
      {
        name: `${name}: largest file, of its live data and history`,
        value: largest,
        unit: 'times',
        goal: { value: 3, better: 'lower' },
        note: `${before} at the end, log at most ${log}; ${after} in place once 90 % and the history are gone`,
      },
    ];
  });
}

/** Deletes nine tenths, and lets the history go too. */
async function shrink(dir: string) {
  const store = await open(dir, { minEvents: 100, maxAgeMs: 0 });
  for (let i = 0; i < KEYS * 0.9; i++) await store.write(key(i), () => ({ kind: 'delete' }));
  // What goes is given back in bounded pieces, each with a commit.
  await writeAll(store, 1_000, 1, (i) => KEYS * 0.9 + (i % (KEYS * 0.1)));
  await store.close();
  return stat(join(dir, 'state.db'));
}

const sizeOf = async (dir: string, name: string) => (await stat(join(dir, name))).size;

/** Values of objects, and those that the history must keep (sentence 6). */
function liveBytes(dir: string): number {
  const reader = new DatabaseSync(join(dir, 'state.db'), { readOnly: true });
  try {
    const sum =
      'SELECT (SELECT sum(length(value)) FROM objects) + (SELECT ifnull(sum(length(previous)), 0) FROM history)';
    return reader.prepare(`${sum} AS bytes`).get()?.bytes as number;
  } finally {
    reader.close();
  }
}
