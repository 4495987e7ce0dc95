import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { decodeMarks, markPath } from './commit-mark.ts';
import type { Evidence } from './judge.ts';
import { type PageSums, readIfThere, readPageSums, sumPagesOf, sumsPath } from './page-sums.ts';
import { listSnapshots } from './snapshots.ts';
import { scanWal } from './wal-file.ts';

const DEFAULT_PAGE_SIZE = 4096;

export const databasePath = (dir: string) => join(dir, 'state.db');

/** Reads everything that tells whether a store is whole. Changes nothing; nobody may have the database open. */
export function inspect(dir: string): Evidence {
  const marks = decodeMarks(readIfThere(markPath(dir)));
  const candidates = [0, 1].flatMap((parity) => readPageSums(sumsPath(dir, parity)) ?? []);
  const sums = chooseSums(candidates, marks.mark?.sumsVersion);
  const walFile = readIfThere(`${databasePath(dir)}-wal`);
  const wal = walFile === undefined ? undefined : scanWal(walFile);
  return {
    marks,
    sums,
    pages: sumPagesOf(databasePath(dir), sums?.pageSize ?? wal?.pageSize ?? DEFAULT_PAGE_SIZE),
    wal,
    walBytes: walFile?.length ?? 0,
    hasCompanions: [0, 1].some((parity) => existsSync(sumsPath(dir, parity))) || listSnapshots(dir).length > 0,
  };
}

function chooseSums(candidates: readonly PageSums[], version: number | undefined): PageSums | undefined {
  if (version !== undefined) return candidates.find((sums) => sums.version === version);
  return candidates.toSorted((a, b) => b.version - a.version)[0];
}
