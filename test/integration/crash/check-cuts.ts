/**
 * Opens a store on the states that a power cut may leave at the indices of a trace, and prints what it finds as JSON (`CutReport`).
 * Arguments: trace file, folder that the trace is of, folder for the states, seed, share of the states in percent, and the finding (a regular
 * expression) after which nothing more is looked for. A process of its own, so that a mutant of the store can be loaded in its place (see
 * `mutate.ts`).
 */
import { mkdirSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { SqliteDatabase } from '#controller/store/sqlite-database.ts';
import { SqliteReader } from '#controller/store/sqlite-reader.ts';
import { openSqliteStore } from '#controller/store/sqlite-store.ts';
import { classifySample, podKey, specOf } from '#controller/store/testing/sample-values.ts';
import { type CutPhase, phasesOf } from './cut-phases.ts';
import { HonestDisk, seededRandom } from './honest-disk.ts';
import { Promises } from './promises.ts';
import { readTrace } from './system-call-trace.ts';

export interface CutReport {
  /** States that a store was opened on. */
  readonly states: number;
  readonly byPhase: Readonly<Partial<Record<CutPhase, number>>>;
  /** Those that were opened with the disk thread and all. */
  readonly wholeStores: number;
  readonly failures: readonly { readonly index: number; readonly phase: CutPhase; readonly what: string }[];
}

/** States to open in each phase: spread over its events, several for an event where there are few. */
const QUOTAS: Readonly<Record<CutPhase, number>> = {
  creation: 200,
  commit: 500,
  compaction: 350,
  vacuum: 350,
  checkpoint: 450,
  snapshot: 250,
  'start and end': 200,
};
/** Each so many-th state is opened as the controller does it; the others without the thread, which takes a tenth of the time. */
const WHOLE_EVERY = 50;
const BLOCK = 1_000_000;

const [traceFile, traced, scratch, seed, percent] = process.argv.slice(2) as [string, string, string, string, string];
const enough = process.argv[7] === undefined ? undefined : new RegExp(process.argv[7]);
const random = seededRandom(Number(seed));
const events = await readTrace(traceFile, traced);
const phases = phasesOf(events);
const shares = Object.fromEntries(
  Object.entries(QUOTAS).map(([phase, quota]) => [
    phase,
    (quota * Number(percent)) / 100 / phases.filter((one) => one === phase).length,
  ]),
) as Readonly<Record<CutPhase, number>>;

const disk = new HonestDisk();
const promises = new Promises();
const due: Partial<Record<CutPhase, number>> = {};
const byPhase: Partial<Record<CutPhase, number>> = {};
const failures: { index: number; phase: CutPhase; what: string }[] = [];
let states = 0;
let wholeStores = 0;

let isOver = false;
for (const [index, event] of events.entries()) {
  if (isOver) break;
  if (event.kind === 'line') promises.take(event.text);
  disk.take(event);
  const phase = phases[index];
  if (phase === undefined) continue;
  due[phase] = (due[phase] ?? random()) + shares[phase];
  for (; due[phase] >= 1; due[phase] -= 1) {
    states += 1;
    byPhase[phase] = (byPhase[phase] ?? 0) + 1;
    const isWhole = states % WHOLE_EVERY === 0;
    if (isWhole) wholeStores += 1;
    const dir = join(scratch, 'state');
    // Now and then the process alone died.
    layOut(dir, random() < 0.05 ? disk.stateAfterKill() : disk.stateAfterCut(random));
    const what = isWhole ? await checkWhole(dir) : check(dir);
    if (what !== undefined) failures.push({ index, phase, what });
    isOver ||= what !== undefined && enough?.test(what) === true;
    rmSync(dir, { recursive: true });
  }
}
const report: CutReport = { states, byPhase, wholeStores, failures: failures.slice(0, 100) };
// Written before the process ends, unlike what goes to a pipe by console.log.
writeSync(1, JSON.stringify(report));
process.exit();

function layOut(dir: string, state: ReadonlyMap<string, Buffer | undefined>): void {
  mkdirSync(dir, { recursive: true });
  const paths = [...state.keys()].sort();
  for (const path of paths) {
    const target = join(dir, relative(traced, path));
    const content = state.get(path);
    if (content === undefined) mkdirSync(target, { recursive: true });
    // Whose folder was lost is lost.
    else if (dirname(path) === traced || state.has(dirname(path))) writeFileSync(target, content);
  }
  // Shared memory is worth nothing after a power cut, but a file of that name may be there.
  if (random() < 0.3) writeFileSync(join(dir, 'state.db-shm'), Buffer.alloc(32_768, Math.floor(random() * 256)));
}

/** What is wrong; undefined: nothing. */
function check(dir: string): string | undefined {
  let database: SqliteDatabase;
  try {
    database = new SqliteDatabase({ dir, nowMs: Date.now(), sync: () => {} });
  } catch (err) {
    return `failed start: ${err instanceof Error ? err.message : err}`;
  }
  try {
    const { findings, damage, reservedRevision } = database.reserve(BLOCK);
    if (findings.length + damage.length > 0)
      return `false alarm: ${[...findings, ...damage.map((one) => one.findings)]}`;
    if (reservedRevision < promises.shownRevision) return reused(reservedRevision);
    return promises.breach(readHeld(dir));
  } finally {
    database.close(promises.shownRevision, 0);
  }
}

function reused(revision: number): string {
  return `revisions begin again at ${revision}, ${promises.shownRevision} was shown`;
}

function readHeld(dir: string): Map<string, number> {
  const held = new Map<string, number>();
  const reader = new SqliteReader(dir);
  for (const { key, value } of reader.objects())
    if (key.startsWith(podKey(''))) held.set(key, JSON.parse(Buffer.from(value).toString()).spec.op);
  reader.close();
  return held;
}

async function checkWhole(dir: string): Promise<string | undefined> {
  const alarms: string[] = [];
  const alarm = (message: string, fields?: object) => alarms.push(`${message} ${JSON.stringify(fields)}`);
  let store: Awaited<ReturnType<typeof openSqliteStore>>;
  try {
    const log = { ...silentLogger, warn: alarm, error: alarm };
    store = await openSqliteStore({ dir, clock: systemClock, log, classify: classifySample });
  } catch (err) {
    return `failed start: ${err instanceof Error ? err.message : err}`;
  }
  const held = new Map<string, number>();
  for (const object of store.snapshot().range(podKey(''))) held.set(object.key, (specOf(object) as { op: number }).op);
  const { revision } = store;
  await store.close();
  if (alarms.length > 0) return `false alarm: ${alarms}`;
  if (revision < promises.shownRevision) return reused(revision);
  return promises.breach(held);
}
