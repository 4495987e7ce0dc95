import { drawOrder, PORT_BAND } from './bands.ts';

export interface PortRange {
  readonly from: number;
  readonly to: number;
}

export class PortTakenError extends Error {
  override readonly name = 'PortTakenError';
}

/**
 * Node ports in use, by their number alone: TCP and UDP of one Service may share a number, two Services may not. Kept in memory and
 * rebuilt from the Services at start; reserving is synchronous, so two requests of one process can never get the same port.
 */
export class NodePortAllocator {
  readonly #range: PortRange;
  readonly #random: () => number;
  readonly #used = new Set<number>();

  constructor(range: PortRange, random: () => number) {
    this.#range = range;
    this.#random = random;
  }

  /** Throws PortTakenError, in Kubernetes' words, for a port that is in use or outside the range. */
  reserve(port: number): void {
    const { from, to } = this.#range;
    if (port < from || port > to) {
      throw new PortTakenError(`provided port is not in the valid range. The range of valid ports is ${from}-${to}`);
    }
    if (this.#used.has(port)) throw new PortTakenError('provided port is already allocated');
    this.#used.add(port);
  }

  /** A free port, or undefined when the range is full. */
  reserveNext(): number | undefined {
    const { from, to } = this.#range;
    for (const offset of drawOrder(BigInt(to - from + 1), PORT_BAND, this.#random)) {
      const port = from + Number(offset);
      if (this.#used.has(port)) continue;
      this.#used.add(port);
      return port;
    }
    return undefined;
  }

  /** Marks what a stored Service holds; ports outside the range (it may have been changed) are left alone. */
  adopt(port: number): void {
    if (port >= this.#range.from && port <= this.#range.to) this.#used.add(port);
  }

  release(port: number): void {
    this.#used.delete(port);
  }
}
