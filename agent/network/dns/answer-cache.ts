import type { Clock } from '#base/clock.ts';
import { copyOf, type DnsQuery, findTtls, responseCodeOf } from './dns-message.ts';

export interface CachedAnswer {
  readonly bytes: Uint8Array;
  readonly storedMs: number;
  readonly ttlSeconds: number;
  readonly offsets: readonly number[];
}

export interface AnswerCacheOptions {
  readonly clock: Clock;
  readonly maxEntries?: number;
}

/** Long enough to spare the host's resolver, short enough that a changed name is seen soon. */
const MAX_TTL_SECONDS = 300;
const MAX_NEGATIVE_TTL_SECONDS = 30;
/** A negative answer without SOA says nothing about how long it holds. */
const DEFAULT_NEGATIVE_TTL_SECONDS = 5;
/** While resolvers are silent, an old answer is better than none (RFC 8767). */
const MAX_STALE_MS = 3_600_000;
const STALE_TTL_SECONDS = 30;
const NXDOMAIN = 3;

/** Answers of other resolvers as they came; times count down in the copies that go out. */
export class AnswerCache {
  readonly #clock: Clock;
  readonly #maxEntries: number;
  readonly #entries = new Map<string, CachedAnswer>();

  constructor({ clock, maxEntries = 10_000 }: AnswerCacheOptions) {
    this.#clock = clock;
    this.#maxEntries = maxEntries;
  }

  get size(): number {
    return this.#entries.size;
  }

  put(key: string, bytes: Uint8Array): void {
    const entry = this.#entryOf(bytes);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    if (this.#entries.size > this.#maxEntries) this.#entries.delete(this.#entries.keys().next().value!);
  }

  /** The answer for this client; undefined when there is none that is fresh, or with `stale` none at all. */
  find(key: string, query: DnsQuery, stale = false): Uint8Array | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    const ageMs = this.#clock.monotonic() - entry.storedMs;
    const isFresh = ageMs < entry.ttlSeconds * 1000;
    if (!isFresh && ageMs > MAX_STALE_MS) this.#entries.delete(key);
    if (!isFresh && !(stale && ageMs <= MAX_STALE_MS)) return undefined;
    return render(entry, query, isFresh ? Math.floor(ageMs / 1000) : undefined);
  }

  #entryOf(bytes: Uint8Array): CachedAnswer | undefined {
    const code = responseCodeOf(bytes);
    if (code !== 0 && code !== NXDOMAIN) return undefined;
    const { offsets, minimumTtl, negativeTtl } = findTtls(bytes);
    const isNegative = code === NXDOMAIN || ((bytes[6]! << 8) | bytes[7]!) === 0;
    const ttlSeconds = isNegative
      ? Math.min(negativeTtl ?? DEFAULT_NEGATIVE_TTL_SECONDS, MAX_NEGATIVE_TTL_SECONDS)
      : Math.min(minimumTtl ?? 0, MAX_TTL_SECONDS);
    if (ttlSeconds === 0) return undefined;
    return { bytes, storedMs: this.#clock.monotonic(), ttlSeconds, offsets };
  }
}

/** Id, question (the client compares upper and lower case) and times are the client's own. */
function render({ bytes, offsets }: CachedAnswer, query: DnsQuery, ageSeconds: number | undefined): Uint8Array {
  const copy = copyOf(bytes);
  const view = new DataView(copy.buffer);
  view.setUint16(0, query.id);
  copy.set(query.bytes.subarray(12, query.questionEnd), 12);
  for (const offset of offsets) {
    const ttl = ageSeconds === undefined ? STALE_TTL_SECONDS : Math.max(0, view.getUint32(offset) - ageSeconds);
    view.setUint32(offset, ttl);
  }
  return copy;
}

/** What makes two questions the same: name, type and what the client understands. */
export function cacheKeyOf({ name, type, hasEdns, dnssecOk, bytes, recursionDesired }: DnsQuery): string {
  const checkingDisabled = ((bytes[3] ?? 0) & 0x10) !== 0;
  const flags = (hasEdns ? 1 : 0) | (dnssecOk ? 2 : 0) | (checkingDisabled ? 4 : 0) | (recursionDesired ? 8 : 0);
  return `${type} ${flags} ${name.toLowerCase()}`;
}
