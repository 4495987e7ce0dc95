import type { Clock } from '#base/clock.ts';
import type { RequestInfo } from '../chain/request-context.ts';
import type { PriorityLevel } from './priority-level.ts';

/** A write that takes longer than this waits for a disk, not for a processor. */
const SLOW_MS = 100;
/** So many writes of a level may wait without a seat, for each of its nominal ones: all levels together as many as the store queues. */
const WAITING_PER_SEAT = 8;

/** A write that was handed to the store. */
export interface HandedWrite {
  readonly level: PriorityLevel;
  readonly atMs: number;
  /** Gives its seats back; idempotent. Forgotten once the write was answered. */
  release: () => void;
}

const nothing = () => {};

/**
 * Writes that the store has taken and not yet answered. Seats are for work; where the disk stalls, those who only wait for it give theirs
 * back, or readers of the same level would be turned away for as long. On a disk that does its work none comes so far, and nothing differs
 * from Kubernetes. How many may wait is bounded for each level.
 */
export class WaitingWrites {
  readonly #clock: Clock;
  /** In the order of their times. */
  readonly #handed = new Set<HandedWrite>();
  readonly #seatless = new Set<HandedWrite>();
  readonly #counts = new Map<PriorityLevel, number>();
  #isArmed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(write: HandedWrite): void {
    this.#handed.add(write);
    if (!this.#isArmed) this.#arm(SLOW_MS);
  }

  /** It was answered. */
  delete(write: HandedWrite): void {
    // The tables that a busy Set leaves behind hold on to what was in them (see PendingHeads); this would hold on to its request.
    write.release = nothing;
    if (this.#handed.delete(write) || !this.#seatless.delete(write)) return;
    this.#counts.set(write.level, this.waitingOf(write.level) - 1);
  }

  waitingOf(level: PriorityLevel): number {
    return this.#counts.get(level) ?? 0;
  }

  /** Whether a request that writes has to come again later. Heartbeats do not wait for the disk. */
  refuses(level: PriorityLevel, { verb, resource, subresource }: RequestInfo): boolean {
    if (this.#seatless.size === 0 || level.isExempt || READS.has(verb)) return false;
    if (resource === 'leases' || (resource === 'nodes' && subresource === 'status')) return false;
    return this.waitingOf(level) >= WAITING_PER_SEAT * level.limits.nominal;
  }

  #arm(delayMs: number): void {
    this.#isArmed = true;
    this.#clock.after(delayMs, () => {
      this.#isArmed = false;
      this.#sweep();
    });
  }

  #sweep(): void {
    const nowMs = this.#clock.monotonic();
    for (const write of this.#handed) {
      const dueMs = write.atMs + SLOW_MS - nowMs;
      if (dueMs > 0) {
        this.#arm(dueMs);
        return;
      }
      this.#handed.delete(write);
      this.#seatless.add(write);
      this.#counts.set(write.level, this.waitingOf(write.level) + 1);
      write.release();
    }
  }
}

const READS: ReadonlySet<string> = new Set(['get', 'list', 'watch']);
