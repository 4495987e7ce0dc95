/**
 * Leads a SQLite store through everything it does to its files, for a trace of its system calls: creation, commits in groups, folds,
 * compaction, vacuum, snapshots, clean ends, kills, starts. Argument: directory. What it wants and what it was told goes to stdout, one
 * `write` for each line, so that the trace holds it in its place (see `history.ts`).
 */
import { writeSync } from 'node:fs';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import type { SqliteCommitLog } from '#controller/store/sqlite-commit-log.ts';
import { openSqliteStore } from '#controller/store/sqlite-store.ts';
import type { Store } from '#controller/store/store.ts';
import { classifySample, leaseKey, podKey, putLease, sampleValue } from '#controller/store/testing/sample-values.ts';

const dir = process.argv[2]!;
const tell = (line: string) => writeSync(1, `${line}\n`);

let op = 0;
let sessions = 0;

async function put(store: Store, name: string, bytes: number): Promise<void> {
  const current = ++op;
  tell(`want ${current} put ${podKey(name)}`);
  const value = sampleValue('Pod', name, { spec: { op: current, filler: 'x'.repeat(bytes) } });
  const { revision } = await store.write(podKey(name), () => ({ kind: 'put', value }));
  tell(`done ${current} ${revision}`);
}

async function remove(store: Store, name: string): Promise<void> {
  const current = ++op;
  tell(`want ${current} delete ${podKey(name)}`);
  const { revision } = await store.write(podKey(name), () => ({ kind: 'delete' }));
  tell(`done ${current} ${revision}`);
}

/** Stays in memory, but somebody has seen its revision. */
async function renew(store: Store): Promise<void> {
  const { revision } = await putLease(
    store,
    'node',
    ++op,
    store.snapshot().get(leaseKey('node')) ? 'volatile' : 'durable',
  );
  tell(`shown ${revision}`);
}

/** `act` for each number, so many at a time. */
async function each(count: number, width: number, act: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await act(next++);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

async function open(minEvents: number) {
  let log: SqliteCommitLog | undefined;
  process.env.HOURS_AHEAD = String(2 * sessions++);
  const store = await openSqliteStore({
    dir,
    clock: systemClock,
    log: silentLogger,
    classify: classifySample,
    worker: new URL('./clocked-worker.ts', import.meta.url),
    historyLimits: { minEvents, maxAgeMs: 0 },
    wrapLog: (inner) => {
      log = inner as SqliteCommitLog;
      return inner;
    },
  });
  tell(`shown ${store.revision}`);
  // Asks for the history before the start, which is else read two seconds later: nothing is compacted until it was.
  store.watch({ prefix: '/', fromRevision: store.compactedRevision, onEvent() {}, onClose() {} }).stop();
  return { store, kill: () => log!.abandon() };
}

tell('phase create');
let session = await open(1_000_000);
await each(60, 8, (i) => put(session.store, `pod-${i}`, 300));
await renew(session.store);
await session.kill();

tell('phase commit');
session = await open(1_000_000);
await each(40, 1, (i) => put(session.store, `pod-${i % 60}`, 500));
await each(60, 5, (i) => put(session.store, `pod-${(i * 7) % 60}`, 500));
await renew(session.store);
await renew(session.store);
await session.store.close();

tell('phase fold');
session = await open(1_000_000);
await each(60, 3, (i) => put(session.store, `wide-${i}`, 900));
await each(150, 4, (i) => put(session.store, `wide-${(i * 7) % 60}`, 900));
await renew(session.store);
await session.kill();

tell('phase compact');
session = await open(30);
await each(80, 2, (i) => put(session.store, `pod-${(i * 11) % 60}`, 400));
await renew(session.store);
await session.store.close();

tell('phase vacuum');
session = await open(0);
for (let cycle = 0; cycle < 3; cycle++) {
  await each(40, 20, (i) => put(session.store, `bulk-${i}`, 10_000));
  await each(36, 6, (i) => remove(session.store, `bulk-${i}`));
  await each(10, 1, (i) => put(session.store, `pod-${i}`, 300));
}
await session.store.close();

tell('phase snapshot');
for (let round = 0; round < 4; round++) {
  session = await open(30);
  await each(4, 1, (i) => put(session.store, `pod-${i}`, 300));
  await renew(session.store);
  await session.store.close();
}
tell('phase end');
process.exit();
