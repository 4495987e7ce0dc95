import type { NodePlace } from './plan.ts';
import type { EndpointTarget } from './service-port-plan.ts';

/** An endpoint with what decides whether traffic may go to it. */
export interface Candidate {
  readonly target: EndpointTarget;
  readonly ready: boolean;
  /** Still answers although it is on its way out (KEP-1669). */
  readonly servesWhileTerminating: boolean;
  /** Hints of the EndpointSlice: zones and nodes that this endpoint is meant for; empty without hints. */
  readonly forZones: readonly string[];
  readonly forNodes: readonly string[];
}

/** Ready endpoints; where there is none, those that still serve while they terminate. */
export function pickUsable(candidates: readonly Candidate[]): EndpointTarget[] {
  const ready = candidates.filter((candidate) => candidate.ready);
  const chosen = ready.length > 0 ? ready : candidates.filter((candidate) => candidate.servesWhileTerminating);
  return chosen.map((candidate) => candidate.target);
}

/**
 * The endpoints meant for this node, else those meant for its zone, else all. Hints count only when every ready endpoint has one: slices
 * with and without them mean that the control plane is changing its mind. Endpoints that are not ready stay: they stand in for none.
 */
export function preferByTopology(candidates: readonly Candidate[], { nodeName, zone }: NodePlace): Candidate[] {
  const ready = candidates.filter((candidate) => candidate.ready);
  const choose = (
    hints: (candidate: Candidate) => readonly string[],
    here: string | undefined,
  ): Candidate[] | undefined => {
    if (here === undefined || ready.some((candidate) => hints(candidate).length === 0)) return undefined;
    const meant = ready.filter((candidate) => hints(candidate).includes(here));
    return meant.length === 0 ? undefined : meant;
  };
  return choose(({ forNodes }) => forNodes, nodeName) ?? choose(({ forZones }) => forZones, zone) ?? [...candidates];
}
