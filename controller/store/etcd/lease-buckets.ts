import type { Clock } from '#base/clock.ts';

/** One lease serves for so long, and for so many keys: etcd deletes the keys of a lease in one transaction. */
const REUSE_MS = 60_000;
const REUSE_SHARE_OF_TTL = 0.05;
const MAX_KEYS = 1_000;

interface Bucket {
  readonly lease: Promise<string>;
  readonly endsMs: number;
  keys: number;
}

/** Leases for objects that expire. A lease of its own for each object would cost etcd more than the object. */
export class LeaseBuckets {
  readonly #clock: Clock;
  readonly #grant: (ttlSeconds: number) => Promise<string>;
  readonly #open = new Map<number, Bucket>();

  constructor(clock: Clock, grant: (ttlSeconds: number) => Promise<string>) {
    this.#clock = clock;
    this.#grant = grant;
  }

  /** A lease that ends in `ttlMs` at the earliest, and little later. */
  take(ttlMs: number): Promise<string> {
    const nowMs = this.#clock.monotonic();
    let bucket = this.#open.get(ttlMs);
    if (bucket === undefined || bucket.endsMs <= nowMs || bucket.keys >= MAX_KEYS) {
      const reuseMs = Math.min(REUSE_MS, ttlMs * REUSE_SHARE_OF_TTL);
      const opened = {
        lease: this.#grant(Math.ceil((ttlMs + reuseMs) / 1000)),
        endsMs: nowMs + reuseMs,
        keys: 0,
      };
      opened.lease.catch(() => this.#drop(ttlMs, opened));
      this.#open.set(ttlMs, opened);
      bucket = opened;
    }
    bucket.keys += 1;
    return bucket.lease;
  }

  /** etcd does not know these leases any more. */
  forget(): void {
    this.#open.clear();
  }

  #drop(ttlMs: number, bucket: Bucket): void {
    if (this.#open.get(ttlMs) === bucket) this.#open.delete(ttlMs);
  }
}
