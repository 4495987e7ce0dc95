import { REVISION_LEAP } from '../store/integrity/recover.ts';

/** Far more than a cluster spends, gaps included, and little enough for a thousand years within 2^53. */
const REVISIONS_PER_SECOND = 1_000_000;

/**
 * Where revisions go on after a state was brought back: above all that anybody may have seen, which the backup alone cannot tell. The same
 * backup may be restored twice, here and elsewhere, with a cluster at work in between; so the leap grows with the age of the backup.
 */
export function raisedRevision({
  revision,
  takenMs,
  nowMs,
  knownRevision,
}: {
  /** Newest of the state that is brought back. */
  readonly revision: number;
  readonly takenMs: number;
  readonly nowMs: number;
  /** Of the store that is replaced; 0: none. */
  readonly knownRevision: number;
}): number {
  const ageSeconds = Math.max(0, Math.ceil((nowMs - takenMs) / 1000));
  return Math.max(revision + ageSeconds * REVISIONS_PER_SECOND, knownRevision) + REVISION_LEAP;
}
