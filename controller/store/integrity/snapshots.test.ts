import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SqliteDatabase } from '../sqlite-database.ts';
import { sampleValue } from '../testing/sample-values.ts';
import { listSnapshots } from './snapshots.ts';

const MINUTE_MS = 60_000;

describe('snapshots of a small store', () => {
  let dir: string;
  let database: SqliteDatabase;
  let revision: number;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'coracle-snapshots-'));
    database = new SqliteDatabase({ dir, nowMs: 0 });
    revision = database.reserve(1_000_000).reservedRevision;
  });
  afterEach(() => {
    database.close(revision, 0);
    rmSync(dir, { recursive: true });
  });

  const write = () => {
    revision += 1;
    const { bytes: value } = sampleValue('Pod', 'p', { spec: { revision } });
    const record = {
      type: 'ADDED',
      key: `/registry/${revision}`,
      revision,
      timeMs: 0,
      overlaid: false,
      epoch: 1,
      value,
    } as const;
    database.apply({ records: [record], count: 1, reservedRevision: undefined, compactedRevision: 0 });
  };
  /** True where a snapshot was made then. */
  const consider = (nowMs: number): boolean => {
    const before = listSnapshots(dir)[0]?.path;
    database.considerSnapshot(nowMs);
    while (database.maintain());
    return listSnapshots(dir)[0]?.path !== before;
  };

  it('begin with the first write, follow each other closely, and then once an hour', () => {
    const made: number[] = [];
    for (let minute = 0; minute < 12 * 60; minute++) {
      write();
      if (consider(minute * MINUTE_MS)) made.push(minute);
    }
    expect(made.slice(0, 6)).toEqual([0, 1, 2, 4, 7, 12]);
    const gaps = made.slice(1).map((minute, i) => minute - made[i]!);
    expect(Math.max(...gaps)).toBe(60);
    expect(gaps.slice(-5)).toEqual([60, 60, 60, 60, 60]);
  });

  it('are made where something was written, and nowhere else', () => {
    expect(consider(0)).toBe(false);
    write();
    expect(consider(0)).toBe(true);
    expect(consider(24 * 60 * MINUTE_MS)).toBe(false);
  });

  it('are made by a clock that was put back too', () => {
    write();
    consider(100 * MINUTE_MS);
    write();
    expect(consider(MINUTE_MS)).toBe(true);
  });
});
