import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import type { SqliteCommitLog } from '../sqlite-commit-log.ts';
import { openSqliteStore, type SqliteStoreOptions } from '../sqlite-store.ts';
import type { Store } from '../store.ts';
import { classifySample, podKey, putPod, recordEvents, specOf } from '../testing/sample-values.ts';
import { decodeMarks } from './commit-mark.ts';
import { inspect } from './inspect.ts';
import { type Judgement, judge } from './judge.ts';
import { type DamageReport, listDamage } from './recover.ts';
import { listSnapshots } from './snapshots.ts';
import { scanWal } from './wal-file.ts';

/** Hundreds of files, on machines that do other things too. */
const PATIENCE_MS = 30_000;

const PODS = 12;

/** A store that writes, and is then ended as kill -9 would: its WAL stays behind. */
async function openForWriting(dir: string, options: Partial<SqliteStoreOptions> = {}) {
  let log: SqliteCommitLog | undefined;
  const store = await openSqliteStore({
    dir,
    clock: new FakeClock(),
    log: silentLogger,
    classify: classifySample,
    wrapLog: (inner) => {
      log = inner as SqliteCommitLog;
      return inner;
    },
    ...options,
  });
  return { store, kill: () => log!.abandon() };
}

async function fill(store: Store, round: number): Promise<void> {
  for (let i = 0; i < PODS; i++) await putPod(store, `p${i}`, { round, filler: `${i}`.repeat(200) });
}

const isMentioned = ({ findings }: Judgement) => findings.length > 0;

let root: string;
/** Copies of the folder, in the order of time. `killed` has commits in its WAL, and a snapshot of the state of `closed`. */
let closed: string;
let earlier: string;
let killed: string;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'coracle-damage-'));
  const dir = join(root, 'store');
  const keep = (name: string) => {
    cpSync(dir, join(root, name), { recursive: true });
    return join(root, name);
  };
  let session = await openForWriting(dir);
  await fill(session.store, 1);
  await session.store.close();
  closed = keep('closed');
  session = await openForWriting(dir);
  await fill(session.store, 2);
  earlier = keep('earlier');
  await fill(session.store, 3);
  await session.kill();
  killed = keep('killed');
});
afterAll(() => rmSync(root, { recursive: true }));

describe('bytes that were durable', { timeout: PATIENCE_MS }, () => {
  let dir: string;
  beforeEach(() => {
    dir = join(root, 'case');
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  const path = (name: string) => join(dir, name);
  const sumsInForce = (from: string) => {
    const version = decodeMarks(readFileSync(join(from, 'state.mark'))).mark!.sumsVersion;
    return `state.sums.${version % 2}`;
  };
  const flip = (name: string, at: number) => {
    const bytes = readFileSync(path(name));
    bytes[at]! ^= 0x10;
    writeFileSync(path(name), bytes);
  };
  const zeroFrom = (name: string, at: number) => {
    const bytes = readFileSync(path(name));
    writeFileSync(path(name), bytes.fill(0, at));
  };

  it('are all found where nothing is wrong', () => {
    for (const state of [closed, earlier, killed])
      expect(judge(inspect(state))).toMatchObject({ condition: 'sound', findings: [] });
  });

  it.each([
    { file: 'state.db', state: () => closed },
    { file: 'state.db', state: () => killed },
    { file: 'state.db-wal', state: () => killed },
    { file: 'sums', state: () => killed },
    { file: 'sums', state: () => closed },
  ])('are missed wherever one of $file changes, is cut off or is zeroed', ({ file, state }) => {
    const name = file === 'sums' ? sumsInForce(state()) : file;
    cpSync(state(), dir, { recursive: true });
    const whole = readFileSync(path(name));
    const step = Math.max(1, Math.floor(whole.length / 60));
    for (let at = 0; at < whole.length; at += step) {
      flip(name, at);
      expect([at, isMentioned(judge(inspect(dir)))]).toEqual([at, true]);
      writeFileSync(path(name), whole);
      truncateSync(path(name), at);
      expect([at, isMentioned(judge(inspect(dir)))]).toEqual([at, true]);
      writeFileSync(path(name), whole);
      if (whole.subarray(at).every((byte) => byte === 0)) continue;
      zeroFrom(name, at);
      expect([at, isMentioned(judge(inspect(dir)))]).toEqual([at, true]);
      writeFileSync(path(name), whole);
    }
  });

  it.each([
    ['state.db', 'deleted', () => killed, () => undefined],
    ['state.db', 'deleted', () => closed, () => undefined],
    ['state.db-wal', 'deleted', () => killed, () => undefined],
    ['state.mark', 'deleted', () => killed, () => undefined],
    ['state.mark', 'deleted', () => closed, () => undefined],
    ['sums', 'deleted', () => closed, () => undefined],
    ['state.db', 'an older one', () => killed, () => join(root, 'old.db')],
    ['state.db-wal', 'an older one', () => killed, () => join(earlier, 'state.db-wal')],
    ['state.mark', 'an older one', () => killed, () => join(closed, 'state.mark')],
  ])('are missed where %s is %s', (file, _how, state, replacement) => {
    cpSync(state(), dir, { recursive: true });
    // The first snapshot is an older database of the same store; changed so that it is not the very one in use.
    const old = readFileSync(listSnapshots(killed)[0]!.path);
    writeFileSync(join(root, 'old.db'), old.subarray(0, -4096));
    const name = file === 'sums' ? sumsInForce(state()) : file;
    const source = replacement();
    if (source === undefined) rmSync(path(name));
    else cpSync(source, path(name));
    expect(isMentioned(judge(inspect(dir)))).toBe(true);
  });

  it('are missed where either mark changes, though one alone tells all', () => {
    cpSync(killed, dir, { recursive: true });
    const whole = readFileSync(join(killed, 'state.mark'));
    for (let at = 0; at < 80; at++) {
      for (const slot of [0, 4096]) {
        flip('state.mark', slot + at);
        const judgement = judge(inspect(dir));
        expect([at, judgement]).toMatchObject([at, { condition: 'sound' }]);
        expect([at, judgement.findings]).toEqual([at, [expect.stringContaining('state.mark')]]);
        writeFileSync(path('state.mark'), whole);
      }
    }
  });

  it('are missed where a mark is cut off within the zeros that it ends with', () => {
    cpSync(killed, dir, { recursive: true });
    const file = readFileSync(path('state.mark'));
    // One record in 256 ends so.
    const revision = writeMarkEndingWithZero(file, 4096);
    writeFileSync(path('state.mark'), file);
    expect(judge(inspect(dir))).toMatchObject({ condition: 'sound', findings: [] });
    truncateSync(path('state.mark'), 4096 + 79);
    expect(judge(inspect(dir))).toMatchObject({
      condition: 'sound',
      findings: [expect.stringContaining('state.mark')],
    });
    // Nothing of it is lost, so it still is the one that counts.
    expect(inspect(dir).marks.mark).toMatchObject({ revision });
  });

  it('are missed where the WAL changed behind a mark that was not synced', () => {
    cpSync(killed, dir, { recursive: true });
    cpSync(join(earlier, 'state.mark'), path('state.mark'));
    const frames = scanWal(readFileSync(path('state.db-wal')))!.committedFrames;
    const marked = decodeMarks(readFileSync(path('state.mark'))).mark!.frames;
    expect(frames).toBeGreaterThan(marked + 10);
    flip('state.db-wal', 32 + marked * 4120 + 1000);
    expect(judge(inspect(dir))).toMatchObject({
      condition: 'cut',
      findings: [expect.stringContaining('garbled behind')],
    });
  });
});

describe('bytes that an honest disk may lose', { timeout: PATIENCE_MS }, () => {
  it('raise no alarm: a tail of the WAL that was not acknowledged, cut or torn anywhere', () => {
    const dir = join(root, 'honest');
    cpSync(killed, dir, { recursive: true });
    // As of the first commit: the kernel had not yet written the later, unsynced marks, nor had the later commits been answered.
    cpSync(join(earlier, 'state.mark'), join(dir, 'state.mark'));
    const whole = readFileSync(join(killed, 'state.db-wal'));
    const kept = statSync(join(earlier, 'state.db-wal')).size;
    // The transaction behind the kept ones: cut off, and with each of its sectors lost while the rest came through.
    const { frameEnd } = nextCommit(whole, kept);
    for (let at = kept; at < frameEnd; at += 173) {
      writeFileSync(join(dir, 'state.db-wal'), whole.subarray(0, at));
      expect([at, judge(inspect(dir))]).toMatchObject([at, { condition: 'sound', findings: [] }]);
      const torn = Buffer.from(whole.subarray(0, frameEnd));
      torn.fill(0, at, Math.min(at + 512, frameEnd));
      writeFileSync(join(dir, 'state.db-wal'), torn);
      expect([at, judge(inspect(dir))]).toMatchObject([at, { condition: 'sound', findings: [] }]);
    }
    rmSync(dir, { recursive: true });
  });

  it('raise no alarm: a store that was being made', async () => {
    const dir = join(root, 'young');
    const { kill } = await openForWriting(dir);
    await kill();
    for (const lost of [['state.mark'], ['state.mark', 'state.sums.1']]) {
      const cut = join(root, 'young-cut');
      cpSync(dir, cut, { recursive: true });
      // Before the first mark that is not new there are no sums.
      for (const name of [...lost, 'state.sums.0', 'state.sums.1']) rmSync(join(cut, name), { force: true });
      expect(judge(inspect(cut))).toMatchObject({ condition: 'unmarked', findings: [] });
      rmSync(cut, { recursive: true });
    }
  });
});

/** End of the transaction that begins at `from`. */
function nextCommit(wal: Buffer, from: number): { readonly frameEnd: number } {
  for (let at = from; at < wal.length; at += 4120) if (wal.readUInt32BE(at + 4) !== 0) return { frameEnd: at + 4120 };
  throw new Error('no commit behind it');
}

describe('a start after a loss', { timeout: PATIENCE_MS }, () => {
  let dir: string;
  let reports: readonly DamageReport[];
  let stores: Store[];
  beforeEach(() => {
    dir = join(root, 'start');
    reports = [];
    stores = [];
  });
  afterEach(async () => {
    for (const store of stores) await store.close();
    rmSync(dir, { recursive: true, force: true });
  });
  const open = async () => {
    const { store, kill } = await openForWriting(dir, {
      onDamage: (found) => {
        reports = found;
      },
    });
    stores.push(store);
    return { store, kill };
  };
  const roundOf = (store: Store, pod: string) =>
    (specOf(store.snapshot().get(podKey(pod))) as { round: number } | undefined)?.round;

  it('serves what the WAL still holds, names what is lost, and raises the revision', async () => {
    cpSync(killed, dir, { recursive: true });
    const acknowledged = decodeMarks(readFileSync(join(dir, 'state.mark'))).mark!.revision;
    truncateSync(join(dir, 'state.db-wal'), statSync(join(earlier, 'state.db-wal')).size);
    const { store } = await open();
    expect([roundOf(store, 'p0'), roundOf(store, `p${PODS - 1}`)]).toEqual([2, 2]);
    const [report] = reports;
    expect(report).toMatchObject({ lostUpTo: acknowledged, findings: [expect.stringContaining('lost commits')] });
    expect(report!.lostAfter).toBeLessThan(acknowledged);
    expect(store.revision).toBeGreaterThanOrEqual(acknowledged + 1e9);
    expect(() => recordEvents(store, '/', { fromRevision: acknowledged })).toThrow(/too old/);
    expect(() => store.snapshotAt(acknowledged)).toThrow(/too old/);
    expect((await putPod(store, 'new')).revision).toBeGreaterThan(acknowledged + 1e9);
  });

  it.each(['deleted', 'garbled'] as const)('serves the newest sound snapshot where the database is %s', async (how) => {
    cpSync(killed, dir, { recursive: true });
    if (how === 'deleted') rmSync(join(dir, 'state.db'));
    else {
      const bytes = readFileSync(join(dir, 'state.db'));
      // Every page, so that one is hit that the WAL does not replace.
      for (let at = 50; at < bytes.length; at += 4096) bytes[at]! ^= 1;
      writeFileSync(join(dir, 'state.db'), bytes);
    }
    const { store } = await open();
    expect([roundOf(store, 'p0'), store.snapshot().count('/registry/pods/')]).toEqual([1, PODS]);
    expect(reports).toMatchObject([{ served: expect.stringContaining('snapshot') }]);
    expect(existsSync(join(reports[0]!.evidence, 'state.db-wal'))).toBe(true);
  });

  it('does not begin empty where there is no snapshot, and harms nothing', async () => {
    cpSync(killed, dir, { recursive: true });
    rmSync(join(dir, 'snapshots'), { recursive: true });
    rmSync(join(dir, 'state.db'));
    await expect(open()).rejects.toThrow(/state.db is missing.*coracle doctor store/);
    await expect(open()).rejects.toThrow(/state.db is missing/);
    expect(existsSync(join(dir, 'state.db-wal'))).toBe(true);
    expect(listDamage(dir)).toEqual([]);
  });

  it('tells of the loss at every later start until its folder is deleted, and finds no new one', async () => {
    cpSync(killed, dir, { recursive: true });
    rmSync(join(dir, 'state.db-wal'));
    const first = await open();
    await fill(first.store, 4);
    await first.kill();
    const told = reports;
    const second = await open();
    expect(reports).toEqual(told);
    expect(roundOf(second.store, 'p3')).toBe(4);
    await second.store.close();
    rmSync(reports[0]!.evidence, { recursive: true });
    reports = [];
    await open();
    expect(reports).toEqual([]);
  });

  it('serves a database that another program has folded, with an alarm', async () => {
    const { DatabaseSync } = await import('node:sqlite');
    cpSync(killed, dir, { recursive: true });
    new DatabaseSync(join(dir, 'state.db')).exec('PRAGMA wal_checkpoint(TRUNCATE)');
    rmSync(join(dir, 'state.db-wal'));
    const { store } = await open();
    expect(roundOf(store, 'p0')).toBe(3);
    expect(reports).toMatchObject([{ served: 'what is left of it' }]);
  });

  it.each(['state.mark', 'sums'])('serves everything, with an alarm, where %s is gone', async (file) => {
    cpSync(killed, dir, { recursive: true });
    const version = decodeMarks(readFileSync(join(dir, 'state.mark'))).mark!.sumsVersion;
    rmSync(join(dir, file === 'sums' ? `state.sums.${version % 2}` : file));
    const { store } = await open();
    expect(roundOf(store, 'p0')).toBe(3);
    expect(reports).toHaveLength(1);
  });
});

/** Writes the newest mark once more, newer and with a revision that makes its checksum end with a zero; tells that revision. */
function writeMarkEndingWithZero(file: Buffer, at: number): number {
  const { mark, sequence, slot } = decodeMarks(file);
  file.copyWithin(at, slot * 4096, slot * 4096 + 80);
  file.writeDoubleLE(sequence + 1, at + 8);
  for (let revision = mark!.revision; ; revision++) {
    file.writeDoubleLE(revision, at + 48);
    const sum = crc32(file.subarray(at, at + 76));
    if (sum >= 2 ** 24) continue;
    file.writeUInt32LE(sum, at + 76);
    return revision;
  }
}
