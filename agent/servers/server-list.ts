import type { EndpointSlice } from '#api/object/kinds.ts';

export interface ServerListOptions {
  /** From the configuration: `https://host:port`. At least one. */
  readonly configured: readonly string[];
  /** What the cluster told an earlier run of this agent. */
  readonly learned: readonly string[];
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

type Listener = (servers: readonly string[]) => void;

/**
 * Addresses of all API servers, in the order in which this agent tries them: first what its configuration names, then what the cluster
 * says; each part in an order of its own, so that the agents of a fleet spread over the servers.
 */
export class ServerList {
  readonly #configured: readonly string[];
  readonly #random: () => number;
  readonly #listeners = new Set<Listener>();
  #learned: readonly string[];

  constructor({ configured, learned, random }: ServerListOptions) {
    this.#random = random;
    this.#configured = shuffle([...new Set(configured)], random);
    this.#learned = shuffle(learned, random);
  }

  get all(): readonly string[] {
    return [...new Set([...this.#configured, ...this.#learned])];
  }

  /** What the cluster says now; true when that is news. An empty list is nobody's truth and changes nothing. */
  learn(servers: readonly string[]): boolean {
    const isKnown = servers.length === this.#learned.length && servers.every((one) => this.#learned.includes(one));
    if (isKnown || servers.length === 0) return false;
    const added = servers.filter((one) => !this.#learned.includes(one));
    this.#learned = [...this.#learned.filter((one) => servers.includes(one)), ...shuffle(added, this.#random)];
    for (const listener of this.#listeners) listener(this.all);
    return true;
  }

  /** Calls `listener` with every new list until the returned function is called. */
  onChange(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

function shuffle(values: readonly string[], random: () => number): string[] {
  const rest = [...values];
  return values.map(() => rest.splice(Math.floor(random() * rest.length), 1)[0]!);
}

/** `https://address:port` of everybody whom the Service `kubernetes` leads to. Pure. */
export function serversOfSlices(slices: readonly EndpointSlice[]): string[] {
  const servers = slices.flatMap(({ addressType, endpoints, ports }) => {
    const port = ports?.find(({ name }) => name === 'https')?.port;
    if (port === undefined || (addressType !== 'IPv4' && addressType !== 'IPv6')) return [];
    return (endpoints ?? [])
      .filter(({ conditions }) => conditions?.ready !== false)
      .flatMap(({ addresses }) => addresses)
      .map((address) => new URL(`https://${address.includes(':') ? `[${address}]` : address}:${port}`).origin);
  });
  return [...new Set(servers)].sort();
}
