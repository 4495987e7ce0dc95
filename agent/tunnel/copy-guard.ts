import { type Clock, delay } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';

/** What came of an attempt to connect to a server. */
export type TunnelVerdict =
  | { readonly kind: 'open' | 'down' }
  /** Another host is at work with the identity of this one; the server says which, and what to do. */
  | { readonly kind: 'copy'; readonly message: string };

export interface CopyGuardOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** This host has begun to work and is told now that another one is at work in its place. */
  readonly onLate: (message: string) => void;
}

export interface CopyGuard {
  onVerdict(server: string, verdict: TunnelVerdict): void;
  /**
   * Resolves once this host may work: no server knows of another one with its identity, or none answers. Until then it is held, and tries
   * on: the other one may go away. Rejects when aborted.
   */
  mayBegin(signal: AbortSignal): Promise<void>;
}

/** A server that says nothing for so long keeps no node from its work. */
const PATIENCE_MS = 3_000;
const LOOK_MS = 100;

/** Keeps the copy of an SD card from running the pods of the node that it was copied from. */
export function createCopyGuard({ clock, log, onLate }: CopyGuardOptions): CopyGuard {
  const verdicts = new Map<string, TunnelVerdict>();
  let hasBegun = false;
  const copy = () => [...verdicts.values()].find(({ kind }) => kind === 'copy');
  return {
    onVerdict(server, verdict) {
      const before = verdicts.get(server);
      verdicts.set(server, verdict);
      if (verdict.kind !== 'copy') return;
      if (before?.kind !== 'copy') log.error('this host is held', { why: verdict.message, server });
      if (hasBegun) onLate(verdict.message);
    },
    async mayBegin(signal) {
      const startMs = clock.monotonic();
      while (copy() !== undefined || (verdicts.size === 0 && clock.monotonic() - startMs < PATIENCE_MS))
        await delay(clock, LOOK_MS, signal);
      hasBegun = true;
    },
  };
}
