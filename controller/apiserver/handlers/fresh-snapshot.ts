import type { Snapshot, Store } from '../../store/store.ts';
import { parseResourceVersion } from './request-options.ts';

/** How long a read waits for a revision that this server has not seen yet. */
const FUTURE_WAIT_MS = 3_000;

/**
 * The current state, at least as new as `resourceVersion`: '0' means any, '' the newest, which where others write too must be asked for.
 * Rejects with 504 when that does not come in time.
 */
export async function freshSnapshot(store: Store, resourceVersion: string): Promise<Snapshot> {
  if (resourceVersion === '' && store.shared !== undefined) await store.shared.catchUp();
  const wanted = parseResourceVersion(resourceVersion) ?? 0;
  if (wanted > store.revision) await store.waitFor(wanted, FUTURE_WAIT_MS);
  return store.snapshot();
}
