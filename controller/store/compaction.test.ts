import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PackedRecord } from './packed-records.ts';
import { SqliteDatabase } from './sqlite-database.ts';
import { sampleValue } from './testing/sample-values.ts';

/** Hundreds of files, on machines that do other things too. */
const PATIENCE_MS = 30_000;

const KEYS = 1_000;
const VALUE_BYTES = 700;
const PAGE_BYTES = 4096;

/** What the disk thread does, without the thread. */
describe('compaction of the SQLite file (sentence 10)', { timeout: PATIENCE_MS }, () => {
  let dir: string;
  let database: SqliteDatabase;
  let revision: number;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'coracle-compaction-'));
    database = new SqliteDatabase({ dir, nowMs: 0 });
    revision = database.reserve(1_000_000).reservedRevision;
  });
  afterEach(() => rm(dir, { recursive: true }));

  const write = (type: PackedRecord['type'], key: number): PackedRecord => {
    revision += 1;
    const spec = { n: revision, filler: 'x'.repeat(VALUE_BYTES - 140) };
    const value = type === 'DELETED' ? undefined : sampleValue('Pod', `p${key}`, { spec }).bytes;
    return { type, key: `/registry/pods/p${key}`, revision, timeMs: 0, overlaid: false, epoch: 1, value };
  };
  const commit = (records: readonly PackedRecord[], compactedRevision: number) => {
    database.apply({ records, count: records.length, reservedRevision: undefined, compactedRevision });
    database.maintain();
  };
  const fileBytes = async (name = 'state.db') => (await stat(join(dir, name))).size;
  /** Rows by a second connection, as a backup would see them. */
  const countRows = (table: string): number => {
    const reader = new DatabaseSync(join(dir, 'state.db'), { readOnly: true });
    try {
      return reader.prepare(`SELECT count(*) AS count FROM ${table}`).get()?.count as number;
    } finally {
      reader.close();
    }
  };

  it('keeps file and WAL within their bounds however many updates there are', async () => {
    const history = 500;
    for (let key = 0; key < KEYS; key += 50)
      commit(
        Array.from({ length: 50 }, (_, i) => write('ADDED', key + i)),
        0,
      );
    const liveBytes = (KEYS + history) * VALUE_BYTES;
    let largest = 0;
    let largestWal = 0;
    for (let update = 0; update < 30_000; update += 50) {
      commit(
        Array.from({ length: 50 }, (_, i) => write('MODIFIED', (update * 7 + i * 31) % KEYS)),
        revision - history,
      );
      if (update < 5_000) continue;
      largest = Math.max(largest, await fileBytes());
      largestWal = Math.max(largestWal, await fileBytes('state.db-wal'));
    }
    expect(largest).toBeLessThan(3 * liveBytes);
    expect(largestWal).toBeLessThan(6 * 2 ** 20);
    expect(countRows('objects')).toBe(KEYS);
    database.close(revision, 0);
  });

  it('does a bounded piece of work with each commit, until a history that became too long is gone', async () => {
    for (let key = 0; key < KEYS; key += 50)
      commit(
        Array.from({ length: 50 }, (_, i) => write('ADDED', key + i)),
        0,
      );
    for (let update = 0; update < 5_000; update += 50)
      commit(
        Array.from({ length: 50 }, (_, i) => write('MODIFIED', (update + i) % KEYS)),
        0,
      );
    const full = { rows: countRows('history'), inode: (await stat(join(dir, 'state.db'))).ino };
    expect(full.rows).toBe(6_000);
    let rows = full.rows;
    for (let commits = 0; rows > 100 && commits < 1_000; commits++) {
      commit([write('MODIFIED', commits % KEYS)], revision - 20);
      const left = countRows('history');
      // One row came; at most twice as many and a few more went.
      expect(rows + 1 - left).toBeLessThanOrEqual(2 + 32);
      rows = left;
    }
    expect(rows).toBeLessThanOrEqual(200);
    for (let commits = 0; commits < 60; commits++) commit([write('MODIFIED', commits)], revision - 20);
    database.close(revision, 0);
    const { size, ino } = await stat(join(dir, 'state.db'));
    expect(ino).toBe(full.inode);
    expect(size).toBeLessThan(2 * KEYS * (VALUE_BYTES + 300));
  });

  it('gives at most so many pages back with each commit', async () => {
    for (let key = 0; key < 6 * KEYS; key += 100)
      commit(
        Array.from({ length: 100 }, (_, i) => write('ADDED', key + i)),
        0,
      );
    commit(
      Array.from({ length: 5 * KEYS }, (_, i) => write('DELETED', i)),
      0,
    );
    const pages = () => {
      const reader = new DatabaseSync(join(dir, 'state.db'), { readOnly: true });
      const { page_count: count } = reader.prepare('PRAGMA page_count').get() as { page_count: number };
      reader.close();
      return count;
    };
    let before = pages();
    const most = before;
    for (let commits = 0; commits < 400; commits++) {
      commit([write('MODIFIED', 6 * KEYS - 1)], revision);
      const now = pages();
      expect(before - now).toBeLessThanOrEqual(256);
      before = now;
    }
    expect(before).toBeLessThan(most / 2);
    database.close(revision, 0);
    expect(await fileBytes()).toBe(before * PAGE_BYTES);
  });
});
