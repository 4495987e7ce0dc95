import type { Store, StoredObject, WriteDecision } from '../../../store/store.ts';
import { drawOrder, PORT_BAND } from './bands.ts';
import { type PortRange, PortTakenError } from './port-range.ts';

/** Kubernetes' own: a kube-apiserver at the same etcd goes on with it. */
export const NODE_PORT_RANGE_KEY = '/registry/ranges/servicenodeports';

/** A port that no Service holds for so long was left by a crash between two writes: none takes that long. */
const LEAKED_AFTER_MS = 180_000;

export interface SharedNodePortsOptions {
  readonly range: PortRange;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly nowMs: () => number;
  /** What the stored Services hold. */
  readonly held: (store: Store) => Iterable<number>;
}

/**
 * Node ports in use where several API servers give them out: one object of the store, a `RangeAllocation` whose `data` is a number in
 * big-endian bytes with the bit of each port that is taken. Each change is one read-modify-write of it.
 */
export class SharedNodePorts {
  readonly #options: SharedNodePortsOptions;
  /** Ports taken that no Service holds, and since when. */
  readonly #leaks = new Map<number, number>();

  constructor(options: SharedNodePortsOptions) {
    this.#options = options;
  }

  /** Takes the wanted port, or any that is free and not in `chosen`; undefined when the range is full. Throws PortTakenError. */
  async take(store: Store, wanted: number | undefined): Promise<number | undefined> {
    this.#noteLeaks(store);
    let port: number | undefined;
    await store.write(NODE_PORT_RANGE_KEY, (current) => {
      const taken = this.#withoutLeaks(this.#read(current));
      port = this.#choose(taken, wanted, []);
      if (port === undefined) return { kind: 'unchanged' };
      return this.#put(taken | this.#bit(port));
    });
    return port;
  }

  /** What `take` would answer now, besides ports that this request has been told already. */
  preview(store: Store, wanted: number | undefined, chosen: readonly number[]): number | undefined {
    return this.#choose(this.#read(store.snapshot().get(NODE_PORT_RANGE_KEY)), wanted, chosen);
  }

  /** Marks what stored Services hold: the object is missing, or somebody wrote Services without it. */
  async adopt(store: Store): Promise<void> {
    await store.write(NODE_PORT_RANGE_KEY, (current) => {
      const before = this.#read(current);
      let taken = before;
      for (const port of this.#options.held(store)) if (this.#isInRange(port)) taken |= this.#bit(port);
      return taken === before && current !== undefined ? { kind: 'unchanged' } : this.#put(taken);
    });
  }

  async release(store: Store, ports: readonly number[]): Promise<void> {
    if (ports.length === 0) return;
    await store.write(NODE_PORT_RANGE_KEY, (current) => {
      const before = this.#read(current);
      let taken = before;
      for (const port of ports) if (this.#isInRange(port)) taken &= ~this.#bit(port);
      return taken === before ? { kind: 'unchanged' } : this.#put(taken);
    });
  }

  #choose(taken: bigint, wanted: number | undefined, chosen: readonly number[]): number | undefined {
    const { from, to } = this.#options.range;
    const isFree = (port: number) => (taken & this.#bit(port)) === 0n && !chosen.includes(port);
    if (wanted !== undefined) {
      if (!this.#isInRange(wanted))
        throw new PortTakenError(`provided port is not in the valid range. The range of valid ports is ${from}-${to}`);
      if (!isFree(wanted)) throw new PortTakenError('provided port is already allocated');
      return wanted;
    }
    for (const offset of drawOrder(BigInt(to - from + 1), PORT_BAND, this.#options.random)) {
      const port = from + Number(offset);
      if (isFree(port)) return port;
    }
    return undefined;
  }

  /** A port is leaked only if it was already so a while ago: another server may be about to write its Service. */
  #noteLeaks(store: Store): void {
    const { held, nowMs, range } = this.#options;
    const taken = this.#read(store.snapshot().get(NODE_PORT_RANGE_KEY));
    const known = new Set(held(store));
    for (let port = range.from; port <= range.to; port++) {
      if (known.has(port) || (taken & this.#bit(port)) === 0n) this.#leaks.delete(port);
      else if (!this.#leaks.has(port)) this.#leaks.set(port, nowMs());
    }
  }

  #withoutLeaks(taken: bigint): bigint {
    const before = this.#options.nowMs() - LEAKED_AFTER_MS;
    let kept = taken;
    for (const [port, sinceMs] of this.#leaks) if (sinceMs <= before) kept &= ~this.#bit(port);
    return kept;
  }

  #isInRange(port: number): boolean {
    return port >= this.#options.range.from && port <= this.#options.range.to;
  }

  #bit(port: number): bigint {
    return 1n << BigInt(port - this.#options.range.from);
  }

  #rangeText(): string {
    return `${this.#options.range.from}-${this.#options.range.to}`;
  }

  /** Bits of another range mean other ports: what Services hold is adopted again at every start. */
  #read(stored: StoredObject | undefined): bigint {
    const { data = '', range } = (stored?.object() ?? {}) as { readonly data?: string; readonly range?: string };
    if (range !== this.#rangeText()) return 0n;
    const hex = Buffer.from(data, 'base64').toString('hex');
    return hex === '' ? 0n : BigInt(`0x${hex}`);
  }

  #put(taken: bigint): WriteDecision {
    const hex = taken === 0n ? '' : taken.toString(16);
    const data = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex').toString('base64');
    const object = { apiVersion: 'v1', kind: 'RangeAllocation', metadata: {}, data, range: this.#rangeText() };
    const bytes = new TextEncoder().encode(JSON.stringify(object));
    return { kind: 'put', value: { bytes, labels: {}, fields: {}, durability: 'durable' } };
  }
}
