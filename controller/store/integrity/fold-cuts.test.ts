import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PackedRecord } from '../packed-records.ts';
import { SqliteDatabase } from '../sqlite-database.ts';
import { sampleValue } from '../testing/sample-values.ts';
import { inspect } from './inspect.ts';
import { judge } from './judge.ts';

/** Hundreds of files, on machines that do other things too. */
const PATIENCE_MS = 30_000;

const PAGE_BYTES = 4096;
const KEYS = 40;

/**
 * Every state that a power cut may leave while the WAL is folded into the file: pages of the file in any mixture of old and new, later
 * files torn or missing. Built from copies before and after one real fold.
 */
describe('a power cut while the WAL is folded', { timeout: PATIENCE_MS }, () => {
  let root: string;
  /** Folders: before the fold, after it, and after the first commit of the next WAL. */
  let before: string;
  let after: string;
  let next: string;
  let cut: string;

  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'coracle-fold-'));
    const dir = join(root, 'store');
    mkdirSync(dir);
    const keep = (name: string) => {
      cpSync(dir, join(root, name), { recursive: true });
      return join(root, name);
    };
    const database = new SqliteDatabase({ dir, nowMs: 0 });
    let revision = database.reserve(1_000_000).reservedRevision;
    const commitRound = (round: number) => {
      for (let key = 0; key < KEYS; key++) {
        revision += 1;
        const type = round === 0 ? 'ADDED' : 'MODIFIED';
        const { bytes } = sampleValue('Pod', `p${key}`, { spec: { round, filler: 'x'.repeat(300) } });
        const record: PackedRecord = {
          type,
          key: `/registry/p${key}`,
          revision,
          timeMs: 0,
          overlaid: false,
          epoch: 1,
          value: bytes,
        };
        database.apply({ records: [record], count: 1, reservedRevision: undefined, compactedRevision: 0 });
      }
    };
    commitRound(0);
    database.considerSnapshot(0);
    while (database.maintain());
    commitRound(1);
    before = keep('before');
    database.considerSnapshot(24 * 3_600_000);
    after = keep('after');
    while (database.maintain());
    commitRound(2);
    next = keep('next');
    database.close(revision, 24 * 3_600_000);
  });
  afterAll(() => rmSync(root, { recursive: true }));

  const read = (folder: string, name: string) => readFileSync(join(folder, name));
  /** A folder with these files; undefined: absent. */
  const judgeCut = (files: Readonly<Record<string, Uint8Array | undefined>>) => {
    cut = join(root, 'cut');
    rmSync(cut, { recursive: true, force: true });
    mkdirSync(cut);
    for (const [name, content] of Object.entries(files))
      if (content !== undefined) writeFileSync(join(cut, name), content);
    return judge(inspect(cut));
  };
  const filesOf = (folder: string) =>
    Object.fromEntries(
      ['state.db', 'state.db-wal', 'state.mark', 'state.sums.0', 'state.sums.1'].map((name) => [
        name,
        read(folder, name),
      ]),
    );
  /** The file as it is while pages are copied; `isNew` says which have arrived. */
  const mixed = (isNew: (page: number) => boolean) => {
    const target = read(after, 'state.db');
    const old = read(before, 'state.db');
    const bytes = Buffer.from(target);
    for (let page = 0; page * PAGE_BYTES < target.length; page++) {
      if (isNew(page)) continue;
      bytes.fill(0, page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
      bytes.set(old.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES), page * PAGE_BYTES);
    }
    return bytes;
  };
  const SOUND = { condition: 'sound', findings: [] };

  it('is one that changes the file', () => {
    expect(read(before, 'state.db').equals(read(after, 'state.db'))).toBe(false);
    expect(read(before, 'state.db-wal').equals(read(after, 'state.db-wal'))).toBe(true);
    expect(read(next, 'state.db-wal').equals(read(after, 'state.db-wal'))).toBe(false);
    for (const folder of [before, after, next]) expect(judge(inspect(folder))).toMatchObject(SOUND);
  });

  it('raises no alarm while the new sums are written', () => {
    const files = filesOf(before);
    const changed = ['state.sums.0', 'state.sums.1'].find((name) => !read(before, name).equals(read(after, name)))!;
    const written = read(after, changed);
    for (let length = 0; length <= written.length; length += 8)
      expect(judgeCut({ ...files, [changed]: written.subarray(0, length) })).toMatchObject(SOUND);
  });

  it('raises no alarm while pages arrive, in whatever order, whole or torn', () => {
    const files = filesOf(after);
    const pages = read(after, 'state.db').length / PAGE_BYTES;
    for (let upTo = 0; upTo <= pages; upTo++) {
      for (const isNew of [
        (page: number) => page < upTo,
        (page: number) => page >= upTo,
        (page: number) => page !== upTo,
      ]) {
        const db = mixed(isNew);
        expect([upTo, judgeCut({ ...files, 'state.db': db })]).toMatchObject([upTo, SOUND]);
        // The file grows last of all, and a page may arrive in part.
        const short = db.subarray(0, Math.max(read(before, 'state.db').length, upTo * PAGE_BYTES - 1000));
        expect([upTo, judgeCut({ ...files, 'state.db': short })]).toMatchObject([upTo, SOUND]);
      }
    }
  });

  it('knows the loss where the WAL that was being folded is destroyed', () => {
    const half = mixed((page) => page % 2 === 0);
    const files = { ...filesOf(after), 'state.db': half };
    expect(judgeCut({ ...files, 'state.db-wal': undefined })).toMatchObject({ condition: 'destroyed' });
    const garbled = read(after, 'state.db-wal');
    garbled[5_000]! ^= 1;
    expect(judgeCut({ ...files, 'state.db-wal': garbled })).toMatchObject({ condition: 'destroyed' });
    expect(judgeCut({ ...filesOf(after), 'state.db-wal': garbled })).toMatchObject({
      condition: 'sound',
      dropWal: true,
    });
    expect(judgeCut({ ...filesOf(before), 'state.db-wal': garbled })).toMatchObject({ condition: 'cut' });
  });

  it('raises no alarm while the next WAL begins, before its first commit was acknowledged', () => {
    const files = filesOf(after);
    const begun = read(next, 'state.db-wal');
    const stale = read(after, 'state.db-wal');
    for (let length = 0; length < 3 * 4120; length += 97) {
      const wal = Buffer.concat([begun.subarray(0, length), stale.subarray(length)]);
      expect([length, judgeCut({ ...files, 'state.db-wal': wal })]).toMatchObject([length, SOUND]);
    }
  });
});

it('finds a page that changed while the store was open when it copies it', () => {
  const dir = mkdtempSync(join(tmpdir(), 'coracle-scrub-'));
  const database = new SqliteDatabase({ dir, nowMs: 0 });
  const revision = database.reserve(1_000).reservedRevision + 1;
  const { bytes } = sampleValue('Pod', 'p');
  const record: PackedRecord = {
    type: 'ADDED',
    key: '/registry/p',
    revision,
    timeMs: 0,
    overlaid: false,
    epoch: 1,
    value: bytes,
  };
  database.apply({ records: [record], count: 1, reservedRevision: undefined, compactedRevision: 0 });
  database.considerSnapshot(0);
  const file = readFileSync(join(dir, 'state.db'));
  file[PAGE_BYTES + 100]! ^= 1;
  writeFileSync(join(dir, 'state.db'), file);
  expect(() => database.maintain()).toThrow(/page 2 of state.db is not what was written/);
  expect(readdirSync(join(dir, 'snapshots'))).toEqual([]);
  rmSync(dir, { recursive: true });
});
