import type { Informer } from '#api/client/informer.ts';
import type { EndpointSlice, Service } from '#api/object/kinds.ts';
import { backoffDelayMs } from '#base/backoff.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { ChangeTracker } from './change-tracker.ts';
import type { ProxyBackend } from './proxy-backend.ts';

export interface ProxierDeps {
  readonly nodeName: string;
  readonly services: Informer<Service>;
  readonly endpointSlices: Informer<EndpointSlice>;
  readonly backend: ProxyBackend;
  readonly clock: Clock;
  readonly log: Logger;
  /** Somebody flushed the tables: rules of others than the proxy are gone too. */
  readonly onRulesLost?: () => void;
  /** How often the kernel is asked whether somebody flushed our rules. */
  readonly intactCheckIntervalMs?: number;
}

export interface Proxier {
  /** Runs until aborted. Rules stay in the kernel afterwards: traffic must not stop because the agent restarts. */
  start(signal: AbortSignal): void;
  /** Milliseconds on the monotonic clock at which the last sync succeeded; undefined before the first. */
  readonly lastSyncMs: number | undefined;
}

const RETRY = { initialMs: 250, maxMs: 30_000, jitter: 0.2 };

/**
 * Waits for both caches, brings everything once, then only what changed. Changes that arrive during a sync go into the next one, so a
 * burst costs two syncs. A failed sync is followed by a full one; so is a flush of the rules by somebody else.
 */
export function createProxier(deps: ProxierDeps): Proxier {
  const { clock, log, backend, intactCheckIntervalMs = 30_000 } = deps;
  let lastSyncMs: number | undefined;
  let needsFullSync = true;
  let wake: () => void = () => {};
  const tracker = new ChangeTracker(deps.nodeName, () => wake());

  deps.services.addHandler({
    onAdd: (service) => tracker.onService(service),
    onUpdate: (_, service) => tracker.onService(service),
    onDelete: (service) => tracker.onServiceDeleted(service),
  });
  deps.endpointSlices.addHandler({
    onAdd: (slice) => tracker.onSlice(slice),
    onUpdate: (_, slice) => tracker.onSlice(slice),
    onDelete: (slice) => tracker.onSliceDeleted(slice),
  });

  async function syncOnce(): Promise<void> {
    const startedMs = clock.monotonic();
    const full = needsFullSync;
    const sync = tracker.beginSync();
    if (full) await backend.fullSync(sync.plans);
    else await backend.partialSync(sync.changes);
    sync.confirm();
    needsFullSync = false;
    lastSyncMs = clock.monotonic();
    log.debug('synced proxy rules', {
      full,
      changes: sync.changes.length,
      elapsedMs: Math.round(lastSyncMs - startedMs),
    });
  }

  function requireFullSync(): void {
    tracker.forget();
    needsFullSync = true;
  }

  /** Resolves when there is work, or when it is time to look whether the rules still stand. */
  function nextTurn(signal: AbortSignal): Promise<void> {
    if (tracker.hasChanges || needsFullSync || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const finish = () => {
        cancel();
        wake = () => {};
        signal.removeEventListener('abort', finish);
        resolve();
      };
      const cancel = clock.after(intactCheckIntervalMs, finish);
      signal.addEventListener('abort', finish, { once: true });
      wake = finish;
    });
  }

  async function run(signal: AbortSignal): Promise<void> {
    await Promise.all([deps.services.waitForSync(signal), deps.endpointSlices.waitForSync(signal)]);
    let failures = 0;
    while (!signal.aborted) {
      try {
        if (!needsFullSync && !tracker.hasChanges && !(await backend.isIntact())) {
          log.warn('proxy rules were removed by somebody else; writing them again');
          deps.onRulesLost?.();
          requireFullSync();
        }
        if (needsFullSync || tracker.hasChanges) await syncOnce();
        failures = 0;
        await nextTurn(signal);
      } catch (err) {
        failures += 1;
        requireFullSync();
        log.error('proxy sync failed; trying again with a full sync', { err: describeError(err), failures });
        await delay(clock, backoffDelayMs(failures, RETRY), signal);
      }
    }
  }

  return {
    start(signal) {
      run(signal).catch((err: unknown) => {
        if (!signal.aborted) log.error('proxier stopped', { err: describeError(err) });
      });
    },
    get lastSyncMs() {
      return lastSyncMs;
    },
  };
}
