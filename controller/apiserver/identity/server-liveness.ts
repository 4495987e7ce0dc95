import type { Lease } from '#api/object/kinds.ts';

/** Where the clients of a cluster reach an API server, on its Lease. */
export const ADDRESS_ANNOTATION = 'coracle.dev/advertise-address';
/** A server whose Lease was not renewed for so long is gone; Kubernetes' figure. */
const SERVER_TTL_MS = 15_000;
/** Kubernetes keeps the Leases of servers that are gone for an hour. */
const FORGET_AFTER_MS = 3_600_000;

interface Sighting {
  readonly renewTime: string;
  readonly atMs: number;
}

export interface ServerCensus {
  /** Addresses of those that live, sorted. */
  readonly live: readonly string[];
  /** Names of the Leases of those that nobody needs to know of any more. */
  readonly forgotten: readonly string[];
}

/**
 * Who lives, by when this server saw a Lease change: the clocks of other hosts are not trusted. Whom it sees for the first time it believes.
 */
export class ServerLiveness {
  readonly #sightings = new Map<string, Sighting>();

  /** `nowMs` is of the monotonic clock. */
  observe(leases: readonly Lease[], nowMs: number): ServerCensus {
    const live = new Set<string>();
    const forgotten: string[] = [];
    for (const { metadata, spec } of leases) {
      const renewTime = spec?.renewTime ?? '';
      const before = this.#sightings.get(metadata.name);
      const sighting = before?.renewTime === renewTime ? before : { renewTime, atMs: nowMs };
      this.#sightings.set(metadata.name, sighting);
      const ageMs = nowMs - sighting.atMs;
      const address = metadata.annotations?.[ADDRESS_ANNOTATION];
      if (ageMs < SERVER_TTL_MS && address !== undefined) live.add(address);
      if (ageMs >= FORGET_AFTER_MS) forgotten.push(metadata.name);
    }
    for (const name of this.#sightings.keys())
      if (!leases.some(({ metadata }) => metadata.name === name)) this.#sightings.delete(name);
    return { live: [...live].sort(), forgotten };
  }
}
