import { existsSync } from 'node:fs';
import { processHolding } from '../file-lock.ts';
import { databasePath, inspect } from './inspect.ts';
import { type Condition, type Evidence, type Judgement, judge } from './judge.ts';
import { describeDamage, leavesNothing, listDamage } from './recover.ts';
import { listSnapshots, verifySnapshot } from './snapshots.ts';

/** `healthy`: nothing to do. `recoverable`: the next start repairs it, perhaps with a loss. `lost`: nothing to start from. `busy`: cannot be told now. */
export type Diagnosis = 'healthy' | 'recoverable' | 'lost' | 'busy';

export interface DoctorReport {
  readonly diagnosis: Diagnosis;
  /** For people, in order. */
  readonly lines: readonly string[];
}

const OUTLOOK: Readonly<Record<Condition, string>> = {
  empty: 'there is no store yet; a start makes one',
  unmarked: 'the store is of a build without marks, or was just being made; a start takes it as it is',
  sound: 'sound: everything that was acknowledged is there',
  cut: 'damaged: the newest commits are lost; a start serves what was before them, and says so',
  unsure:
    'damaged: evidence is missing; a start serves the database if SQLite finds it whole and nothing newer was acknowledged',
  destroyed: 'damaged: parts of the database are lost; a start needs a sound snapshot',
};

/** Examines a store's folder and changes nothing. */
export function examineStore(dir: string): DoctorReport {
  if (!existsSync(dir)) return { diagnosis: 'lost', lines: [`${dir}: no such folder`] };
  const holder = processHolding(`${databasePath(dir)}.lock`);
  if (holder !== undefined) {
    const lines = [
      `${dir} is in use by process ${holder}: stop the controller first, a store that is written to cannot be examined`,
    ];
    return { diagnosis: 'busy', lines };
  }
  const evidence = inspect(dir);
  const judgement = judge(evidence);
  const snapshots = listSnapshots(dir).map((snapshot) => ({
    ...snapshot,
    isSound: verifySnapshot(snapshot) !== undefined,
  }));
  const lines = [
    ...describeFiles(evidence),
    ...snapshots.map(
      ({ path, takenMs, revision, isSound }) =>
        `snapshot of ${new Date(takenMs).toISOString()}, revision ${revision}: ${isSound ? 'sound' : 'garbled'} (${path})`,
    ),
    ...listDamage(dir).map((report) => `earlier loss, ${report.time}: ${describeDamage(report)}`),
    ...judgement.findings.map((finding) => `found: ${finding}`),
    OUTLOOK[judgement.condition],
  ];
  const diagnosis = diagnose(judgement, dir, () => snapshots.some(({ isSound }) => isSound));
  if (diagnosis === 'lost')
    lines.push(
      'nothing is left, and there is no sound snapshot: restore a backup, or move the folder away to begin anew',
    );
  return { diagnosis, lines };
}

function diagnose(judgement: Judgement, dir: string, hasSoundSnapshot: () => boolean): Diagnosis {
  const { condition } = judgement;
  if (condition !== 'destroyed' && condition !== 'cut') return condition === 'unsure' ? 'recoverable' : 'healthy';
  if (hasSoundSnapshot() || (condition === 'cut' && !leavesNothing(dir, judgement))) return 'recoverable';
  return 'lost';
}

function describeFiles({ marks, pages, sums, wal, walBytes }: Evidence): string[] {
  const { mark } = marks;
  const walText =
    wal === undefined ? (walBytes === 0 ? 'empty' : 'no usable beginning') : `${wal.committedFrames} sound frames`;
  return [
    `state.db: ${pages === undefined ? 'missing' : `${pages.length} pages`}`,
    `state.db-wal: ${walText}`,
    `state.sums: ${sums === undefined ? 'missing or garbled' : `${sums.sums.length} pages, version ${sums.version}`}`,
    mark === undefined
      ? `state.mark: ${marks.isFileThere ? 'garbled' : 'missing'}`
      : `state.mark: revision ${mark.revision}, ${mark.frames} frames of the WAL of which ${mark.foldedFrames} are folded`,
  ];
}
