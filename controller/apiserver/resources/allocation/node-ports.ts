import type { Store } from '../../../store/store.ts';
import { drawOrder, PORT_BAND } from './bands.ts';
import { type PortRange, PortTakenError } from './port-range.ts';
import { SharedNodePorts, type SharedNodePortsOptions } from './shared-node-ports.ts';

/**
 * Node ports in use, by their number alone: TCP and UDP of one Service may share a number, two Services may not. Kept in memory and
 * rebuilt from the Services at start; reserving is synchronous, so two requests of one process can never get the same port.
 */
class NodePortAllocator {
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

/** Node ports as requests take them: from memory, or where other servers give them out too from the store. */
export interface NodePorts {
  /** The wanted port, or any; undefined when the range is full. Throws PortTakenError. */
  take(store: Store, request: PortRequest): Promise<number | undefined>;
  /** `dryRun`: what a dry run was told. */
  release(store: Store, ports: readonly number[], dryRun: boolean): Promise<void>;
  /** Marks what the stored Services hold. */
  adopt(store: Store): Promise<void>;
}

export interface PortRequest {
  readonly wanted: number | undefined;
  readonly dryRun: boolean;
  /** What the request has been given before. */
  readonly chosen: readonly number[];
}

export function createNodePorts(options: SharedNodePortsOptions): NodePorts {
  const own = new NodePortAllocator(options.range, options.random);
  const shared = new SharedNodePorts(options);
  return {
    async take(store, { wanted, dryRun, chosen }) {
      if (store.shared !== undefined)
        return dryRun ? shared.preview(store, wanted, chosen) : await shared.take(store, wanted);
      if (wanted === undefined) return own.reserveNext();
      own.reserve(wanted);
      return wanted;
    },
    async release(store, ports, dryRun) {
      if (store.shared === undefined) for (const port of ports) own.release(port);
      else if (!dryRun) await shared.release(store, ports);
    },
    async adopt(store) {
      if (store.shared !== undefined) await shared.adopt(store);
      else for (const port of options.held(store)) own.adopt(port);
    },
  };
}
