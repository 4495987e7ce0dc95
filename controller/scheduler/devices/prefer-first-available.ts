import type { IAllocationResult } from 'kubernetes-models/resource.k8s.io/v1/AllocationResult';
import type { ResourceClaim } from '#api/object/kinds.ts';

/** As many alternatives as a request may have. */
const MAX_ALTERNATIVES = 8;

/**
 * How well a node suits the preferences of claims: one point for each alternative that would have been worse, for each request that has
 * alternatives. Pure.
 */
export function preferenceScore(claims: readonly ResourceClaim[], allocations: readonly IAllocationResult[]): number {
  let score = 0;
  for (const [index, claim] of claims.entries()) {
    const chosen = new Set((allocations[index]?.devices?.results ?? []).map(({ request }) => request));
    for (const { name, firstAvailable = [] } of claim.spec?.devices?.requests ?? []) {
      const rank = firstAvailable.findIndex((one) => chosen.has(`${name}/${one.name}`));
      if (rank >= 0) score += MAX_ALTERNATIVES - rank;
    }
  }
  return score;
}

export const hasPreferences = (claims: readonly ResourceClaim[]): boolean =>
  claims.some(({ spec }) =>
    (spec?.devices?.requests ?? []).some(({ firstAvailable = [] }) => firstAvailable.length > 0),
  );
