import { listSnapshots, type SnapshotCopy, type SnapshotFile } from './snapshots.ts';
import type { Progress, Witness } from './witness.ts';

/**
 * A snapshot is due where the newest is so old and something was written since. Small files have one more often, and a young store at once,
 * then after one minute, one more, two, three, five ... up to the hour: while it has the most to lose and the least to copy.
 */
const SNAPSHOT_AGE_MS = 24 * 3_600_000;
const SMALL_SNAPSHOT_AGE_MS = 3_600_000;
const YOUNG_SNAPSHOT_AGE_MS = 60_000;
const SMALL_SNAPSHOT_BYTES = 32 * 2 ** 20;

/** When the store's file is copied, and the copy that is under way. */
export class SnapshotSchedule {
  readonly #dir: string;
  readonly #witness: Witness;
  #copy: SnapshotCopy | undefined;
  /** The newest snapshot is of this revision, so that a quiet store need not look at its folder. */
  #copiedRevision = 0;

  constructor(dir: string, witness: Witness) {
    this.#dir = dir;
    this.#witness = witness;
  }

  get isCopying(): boolean {
    return this.#copy !== undefined;
  }

  /** So little that a stop may wait for it. */
  get isSmall(): boolean {
    const { sums, pageSize } = this.#witness.sums;
    return sums.length * pageSize <= SMALL_SNAPSHOT_BYTES;
  }

  /** Begins a copy where one is due. */
  consider(progress: Progress, nowMs: number): void {
    const { revision } = progress;
    if (this.#copy !== undefined || revision === this.#copiedRevision) return;
    const snapshots = listSnapshots(this.#dir);
    const [newest] = snapshots;
    if (revision === 0 || newest?.revision === revision) {
      this.#copiedRevision = revision;
      return;
    }
    if (newest !== undefined && !this.#isOldEnough(newest, snapshots.at(-1)!, nowMs)) return;
    this.#copy = this.#witness.copy(progress, nowMs);
  }

  /** A bounded piece of the copy. Throws where the file is not what was written; the copy is given up then. */
  step(): void {
    const copy = this.#copy;
    try {
      if (copy?.step()) this.#copy = undefined;
    } catch (err) {
      this.#copy = undefined;
      copy?.abandon();
      throw err;
    }
  }

  finish(): void {
    while (this.#copy !== undefined) this.step();
  }

  #isOldEnough(newest: SnapshotFile, oldest: SnapshotFile, nowMs: number): boolean {
    const ageMs = nowMs - newest.takenMs;
    const youngMs = Math.max(newest.takenMs - oldest.takenMs, YOUNG_SNAPSHOT_AGE_MS);
    const dueAfterMs = this.isSmall ? Math.min(youngMs, SMALL_SNAPSHOT_AGE_MS) : SNAPSHOT_AGE_MS;
    // A clock that was put back says nothing of ages.
    return ageMs < 0 || ageMs >= dueAfterMs;
  }
}
