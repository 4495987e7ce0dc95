import type { FakeClock } from '#base/fake-clock.ts';
import type { HistoryLimits } from '../../history.ts';
import type { Store } from '../../store.ts';
import type { StoreGate } from '../store-gate.ts';

export const PODS = '/registry/pods/';
export const LEASES = '/registry/leases/';
export const EVENTS = '/registry/events/';
export const EVENT_TTL_MS = 3_600_000;
export const QUEUE_LIMIT = 20;
/** For `expect.poll`: a real disk on a busy machine. */
export const PATIENCE = { timeout: 20_000 };
export const HISTORY = { minEvents: 100 } satisfies Partial<HistoryLimits>;

/**
 * `alone`: nobody else writes to this backend. `shared`: a second API server may, so three sentences mean something else there (ADR 13):
 * 2, decisions see the newest visible state, not a pending one; 3, each object is a transaction of its own; 5, nothing is volatile.
 */
export type BackendKind = 'alone' | 'shared';

/** What a sentence's tests work with. Properties are those of the test at hand: read them within it. */
export interface ContractContext {
  /** How long the state of this backend lasts. */
  readonly survival: 'process' | 'disk';
  readonly backend: BackendKind;
  readonly store: Store;
  readonly log: StoreGate;
  readonly clock: FakeClock;
  /** Opens the same state again; `store` and `log` are others then. */
  restart(how: 'closed' | 'killed'): Promise<void>;
}
