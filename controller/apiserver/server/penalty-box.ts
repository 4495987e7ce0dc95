/** So many connections of one address must have been ended for flooding before further ones are refused: once may be a client's bug. */
const OFFENCES = 3;
/** How long an offence counts. */
const MEMORY_MS = 10_000;
/** A penalized address gets a connection in so long: hosts that share it with the attacker still come in, though late. */
const INTERVAL_MS = 1_000;
/** Addresses remembered; an attacker with more of them than that is not stopped by addresses. */
const MAX_ADDRESSES = 10_000;

interface Record {
  offences: number;
  lastOffenceMs: number;
  lastAdmittedMs: number;
}

/**
 * Addresses whose connections had to be ended for flooding. Each limit on a connection (resets, pings, settings, endless headers) ends it
 * after some milliseconds of work, so whoever connects again at once makes the server work without end. `nowMs` is monotonic.
 */
export class PenaltyBox {
  readonly #records = new Map<string, Record>();
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  offend(address: string): void {
    const nowMs = this.#nowMs();
    const known = this.#current(address, nowMs);
    // The newest offender goes to the end, so that the oldest is the first to be forgotten.
    this.#records.delete(address);
    this.#records.set(address, {
      offences: (known?.offences ?? 0) + 1,
      lastOffenceMs: nowMs,
      lastAdmittedMs: known?.lastAdmittedMs ?? nowMs,
    });
    if (this.#records.size > MAX_ADDRESSES) this.#records.delete(this.#records.keys().next().value as string);
  }

  /** False: the connection has to be refused. */
  admits(address: string): boolean {
    if (this.#records.size === 0) return true;
    const nowMs = this.#nowMs();
    const record = this.#current(address, nowMs);
    if (record === undefined || record.offences < OFFENCES) return true;
    if (nowMs - record.lastAdmittedMs < INTERVAL_MS) return false;
    record.lastAdmittedMs = nowMs;
    return true;
  }

  #current(address: string, nowMs: number): Record | undefined {
    const record = this.#records.get(address);
    if (record === undefined || nowMs - record.lastOffenceMs <= MEMORY_MS) return record;
    this.#records.delete(address);
    return undefined;
  }
}
