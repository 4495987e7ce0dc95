import type { Clock } from '#base/clock.ts';

interface CachedBody {
  readonly revision: number;
  readonly body: Uint8Array;
  usedMs: number;
}

/** Bodies above this are worth keeping for the next client that asks for the same list. */
const MIN_BYTES = 64 * 1024;
/** All kept bodies together. */
const MAX_TOTAL_BYTES = 32 * 1024 * 1024;
/** A fleet that starts lists the same things at once; a quiet server must not hold the copies. */
const IDLE_MS = 5_000;

/**
 * A list that is asked for again so long after it was first asked for at its revision is put together: the store stands still, but for the
 * leases that are renewed several times a second.
 */
const STILL_MS = 30;
/** Lists of which that is remembered. */
const MAX_ASKED = 64;

/** Assembled answers of unselected lists, as long as the store stands still and somebody asks. */
export class ListBodyCache {
  readonly #clock: Clock;
  readonly #bodies = new Map<string, CachedBody>();
  readonly #asked = new Map<string, { readonly revision: number; readonly sinceMs: number }>();
  #totalBytes = 0;
  #cancelSweep: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  find(prefix: string, revision: number): Uint8Array | undefined {
    const cached = this.#bodies.get(prefix);
    if (cached === undefined || cached.revision !== revision) return undefined;
    cached.usedMs = this.#clock.monotonic();
    return cached.body;
  }

  /** While the store changes all the time, each body would be made, and thrown away, for one client. */
  isWorthKeeping(prefix: string, revision: number): boolean {
    const nowMs = this.#clock.monotonic();
    const asked = this.#asked.get(prefix);
    if (asked?.revision === revision) return nowMs - asked.sinceMs >= STILL_MS;
    if (this.#asked.size >= MAX_ASKED) this.#asked.clear();
    this.#asked.set(prefix, { revision, sinceMs: nowMs });
    return false;
  }

  keep(prefix: string, revision: number, body: Uint8Array): void {
    this.#drop(prefix);
    if (body.byteLength < MIN_BYTES || body.byteLength > MAX_TOTAL_BYTES) return;
    for (const oldest of this.#bodies.keys()) {
      if (this.#totalBytes + body.byteLength <= MAX_TOTAL_BYTES) break;
      this.#drop(oldest);
    }
    this.#bodies.set(prefix, { revision, body, usedMs: this.#clock.monotonic() });
    this.#totalBytes += body.byteLength;
    this.#cancelSweep ??= this.#clock.after(IDLE_MS, this.#sweep);
  }

  readonly #sweep = (): void => {
    this.#cancelSweep = undefined;
    const nowMs = this.#clock.monotonic();
    for (const [prefix, { usedMs }] of this.#bodies) if (nowMs - usedMs >= IDLE_MS) this.#drop(prefix);
    if (this.#bodies.size > 0) this.#cancelSweep = this.#clock.after(IDLE_MS, this.#sweep);
  };

  #drop(prefix: string): void {
    const cached = this.#bodies.get(prefix);
    if (cached === undefined) return;
    this.#bodies.delete(prefix);
    this.#totalBytes -= cached.body.byteLength;
  }
}
