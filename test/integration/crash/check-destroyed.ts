/**
 * Destroys bytes that were durable, in states of a trace, and prints as JSON which of them a start did not notice (`DestructionReport`).
 * Arguments: trace file, folder that the trace is of, folder for the states, seed, share of the cases in percent. A process of its own for the sake of mutants.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { decodeMarks } from '#controller/store/integrity/commit-mark.ts';
import { examineStore } from '#controller/store/integrity/doctor.ts';
import { StoreDestroyedError } from '#controller/store/integrity/recover.ts';
import { scanWal } from '#controller/store/integrity/wal-file.ts';
import { SqliteDatabase } from '#controller/store/sqlite-database.ts';
import { SqliteReader } from '#controller/store/sqlite-reader.ts';
import { phasesOf } from './cut-phases.ts';
import { HonestDisk, seededRandom } from './honest-disk.ts';
import { readTrace } from './system-call-trace.ts';

export interface DestructionReport {
  readonly cases: number;
  readonly byWay: Readonly<Record<string, number>>;
  /** What a start neither refused nor told of, or told of without naming the file, or answered with an empty store or old revisions. */
  readonly unnoticed: readonly string[];
}

type State = ReadonlyMap<string, Buffer>;
/** `killed` has commits in its WAL; `older` is from the same session, `earlier` from before it; `folding` from the midst of a checkpoint. */
type Moment = 'closed' | 'killed' | 'older' | 'earlier' | 'folding';
type Change = (bytes: Buffer, at: number) => Buffer;

/** Of each range, for each way. */
const PLACES = 18;
const SECTOR_BYTES = 512;
const LEAP = 1_000_000_000;

const WAYS: Readonly<Record<string, Change>> = {
  'one bit flipped': (bytes, at) => {
    const copy = Buffer.from(bytes);
    copy[at]! ^= 1 << (at % 8);
    return copy;
  },
  'a sector zeroed': (bytes, at) => {
    const copy = Buffer.from(bytes);
    const sector = at - (at % SECTOR_BYTES);
    return copy.fill(0, sector, Math.min(sector + SECTOR_BYTES, copy.length));
  },
  'cut off': (bytes, at) => bytes.subarray(0, at),
  'zeroed from there on': (bytes, at) => Buffer.from(bytes).fill(0, at),
};

const [traceFile, traced, scratch, seed, percent] = process.argv.slice(2) as [string, string, string, string, string];
const places = Math.ceil((PLACES * Number(percent)) / 100);
const random = seededRandom(Number(seed));
const byWay: Record<string, number> = {};
const unnoticed: string[] = [];
let cases = 0;

const moments = await statesOfTrace();
for (const [moment, state] of Object.entries(moments)) {
  for (const [name, from, to] of durableRanges(moment, state)) {
    for (const [way, change] of Object.entries(WAYS)) {
      for (let i = 0; i < places; i++) {
        const at = from + Math.floor(((i + random()) / places) * (to - from));
        const bytes = change(state.get(name)!, at);
        // Zeros where there were zeros, or nothing but what lies behind: of an older WAL, for example.
        if (bytes.subarray(from, to).equals(state.get(name)!.subarray(from, to))) continue;
        tryCase(`${moment}: ${name}, ${way} at ${at}`, way, new Map(state).set(name, bytes), name);
      }
    }
    const without = new Map(state);
    without.delete(name);
    tryCase(`${moment}: ${name} missing`, 'missing', without, name);
  }
}
for (const name of ['state.db', 'state.db-wal', 'state.mark', sumsInForce(moments.killed)]) {
  const newer = moments.killed.get(name)!;
  // A mark of the same session may be what was synced last.
  const candidates = name === 'state.mark' ? [moments.earlier] : [moments.older, moments.earlier];
  const older = candidates.map((state) => state.get(name)).find((bytes) => bytes && !bytes.equals(newer));
  if (older === undefined) throw new Error(`there is no older ${name}`);
  tryCase(
    `killed: an older ${name}`,
    'an old file beside newer ones',
    new Map(moments.killed).set(name, older),
    'state.',
  );
}
const report: DestructionReport = { cases, byWay, unnoticed: unnoticed.slice(0, 100) };
// Written before the process ends, unlike what goes to a pipe by console.log.
writeSync(1, JSON.stringify(report));
process.exit();

/** As a killed process leaves them. */
async function statesOfTrace(): Promise<Record<Moment, State>> {
  const events = await readTrace(traceFile, traced);
  const phases = phasesOf(events);
  const disk = new HonestDisk();
  const states: Partial<Record<Moment, State>> = {};
  const keep = (): State => {
    const entries = [...disk.stateAfterKill()].flatMap(([path, bytes]) =>
      bytes === undefined ? [] : [[relative(traced, path), bytes] as const],
    );
    return new Map(entries);
  };
  const keepKilled = () => {
    const state = keep();
    const { mark } = decodeMarks(state.get('state.mark'));
    if (mark!.frames > mark!.foldedFrames) states.killed = state;
  };
  let declared = '';
  let commits = 0;
  for (const [i, event] of events.entries()) {
    if (event.kind === 'line' && event.text.startsWith('phase')) {
      // What the session of the phase before, which was killed, left behind.
      if (event.text === 'phase fold') states.earlier = keep();
      if (event.text === 'phase compact') keepKilled();
      declared = event.text;
    }
    // Where the killed session had paused for so long that its WAL was folded, what it was before that.
    if (declared === 'phase fold' && phases[i] === 'checkpoint' && phases[i - 1] !== 'checkpoint') keepKilled();
    // Some time within that session: the fold at its start is over.
    if (declared === 'phase fold' && phases[i] === 'commit' && ++commits === 200) states.older = keep();
    disk.take(event);
    if (declared === 'phase compact' && phases[i] === 'checkpoint' && phases[i + 40] === 'checkpoint')
      states.folding ??= phases[i - 40] === 'checkpoint' ? keep() : undefined!;
  }
  states.closed = keep();
  return states as Record<Moment, State>;
}

function sumsInForce(state: State): string {
  return `state.sums.${decodeMarks(state.get('state.mark')).mark!.sumsVersion % 2}`;
}

/** Files and the part of them that holds what was durable and still counts. */
function durableRanges(moment: string, state: State): (readonly [name: string, from: number, to: number])[] {
  const db = state.get('state.db')!;
  const wal = state.get('state.db-wal') ?? Buffer.alloc(0);
  const scan = scanWal(wal);
  const walRange = [
    'state.db-wal',
    0,
    scan === undefined ? 0 : 32 + scan.committedFrames * (24 + scan.pageSize),
  ] as const;
  // While pages are folded, those of the file that the WAL holds too may be anything.
  if (moment === 'folding') return [walRange];
  if (moment === 'older' || moment === 'earlier') return [];
  const sums = sumsInForce(state);
  const { slot } = decodeMarks(state.get('state.mark'));
  return [
    ['state.db', 0, db.length],
    ...(moment === 'killed' ? [walRange] : []),
    [sums, 0, state.get(sums)!.length],
    ['state.mark', slot * 4096, slot * 4096 + 80],
  ];
}

function tryCase(what: string, way: string, state: State, named: string): void {
  cases += 1;
  byWay[way] = (byWay[way] ?? 0) + 1;
  const dir = join(scratch, 'case');
  for (const [name, bytes] of state) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), bytes);
  }
  const problem = problemOfStart(dir, named.startsWith('state.sums') ? 'state.sums' : named);
  if (problem !== undefined) unnoticed.push(`${what}: ${problem}`);
  rmSync(dir, { recursive: true });
}

/** What is wrong with how a start took it; undefined: nothing. */
function problemOfStart(dir: string, named: string): string | undefined {
  const doctor = examineStore(dir).lines.join('\n');
  if (!doctor.includes(named)) return `the doctor does not name it: ${doctor}`;
  const shown = decodeMarks(
    existsSync(join(dir, 'state.mark')) ? readFileSync(join(dir, 'state.mark')) : undefined,
  ).mark;
  let database: SqliteDatabase;
  try {
    database = new SqliteDatabase({ dir, nowMs: Date.now(), sync: () => {} });
  } catch (err) {
    if (!(err instanceof StoreDestroyedError)) return `the start failed with ${err}`;
    return err.message.includes(named) ? undefined : `the start failed without naming it: ${err.message}`;
  }
  try {
    const { findings, damage, reservedRevision } = database.reserve(1);
    const told = [...findings, ...damage.flatMap((one) => one.findings)];
    if (!told.some((finding) => finding.includes(named))) return `told was ${JSON.stringify(told)}`;
    if (damage.length > 0 && reservedRevision < LEAP + (shown?.revision ?? 0))
      return `revisions go on at ${reservedRevision}`;
    const reader = new SqliteReader(dir);
    const isEmpty = reader.objects().next().done;
    reader.close();
    return isEmpty ? 'the store is empty' : undefined;
  } finally {
    end(database);
  }
}

/** Its snapshot may find what a mutant did not: then the start has not noticed it, which is what counts. */
function end(database: SqliteDatabase): void {
  try {
    database.close(0, 0);
  } catch (err) {
    if (!/is not what was written/.test(String(err))) throw err;
  }
}
