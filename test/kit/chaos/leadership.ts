import type { KubeClient } from '#api/client/client.ts';
import { type Lease, resources } from '#api/object/kinds.ts';

export const LEASES = ['kube-scheduler', 'kube-controller-manager'] as const;

export interface Leadership {
  /** The longest time without a renewal by anybody, of any of the leases. */
  readonly longestGapMs: () => number;
  /** How often a lease went to another holder. */
  readonly moves: () => number;
  /** Who holds each now. */
  readonly holders: () => ReadonlyMap<string, string>;
}

const POLL_MS = 200;

/** Watches the leader leases until aborted; times are those of the observer. */
export function observeLeadership(client: KubeClient, signal: AbortSignal): Leadership {
  const leases = client.resource<Lease>(resources.leases);
  const last = new Map<string, { readonly renewed: string; readonly holder: string; readonly atMs: number }>();
  let longest = 0;
  let moves = 0;
  const look = async (name: string) => {
    const { spec } = await leases.fetch(name, 'kube-system', AbortSignal.any([signal, AbortSignal.timeout(5_000)]));
    const [renewed, holder] = [spec?.renewTime ?? '', spec?.holderIdentity ?? ''];
    const before = last.get(name);
    // An empty holder has renewed nothing: the lease was given up.
    if (before?.renewed === renewed || holder === '') return;
    const atMs = performance.now();
    if (before !== undefined) longest = Math.max(longest, atMs - before.atMs);
    if (before !== undefined && before.holder !== holder) moves++;
    last.set(name, { renewed, holder, atMs });
  };
  void (async () => {
    while (!signal.aborted) {
      // A server that is away tells nothing; the gap tells of it.
      await Promise.allSettled(LEASES.map(look));
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  })();
  return {
    longestGapMs: () => Math.max(longest, ...[...last.values()].map(({ atMs }) => performance.now() - atMs)),
    moves: () => moves,
    holders: () => new Map([...last].map(([name, { holder }]) => [name, holder])),
  };
}
