import type { Informer } from '#api/client/informer.ts';
import type { EndpointSlice, Service } from '#api/object/kinds.ts';
import { backoffDelayMs } from '#base/backoff.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { ChangeTracker, type PlanChange } from './change-tracker.ts';
import type { NodePlace } from './plan.ts';
import type { ProxyBackend } from './proxy-backend.ts';
import type { ServicePortPlan } from './service-port-plan.ts';

export interface ProxierDeps {
  readonly nodeName: string;
  readonly standIn?: NodePlace['standIn'];
  readonly services: Informer<Service>;
  readonly endpointSlices: Informer<EndpointSlice>;
  readonly backend: ProxyBackend;
  readonly clock: Clock;
  readonly log: Logger;
  /** Somebody flushed the tables: rules of others than the proxy are gone too. */
  readonly onRulesLost?: () => void;
  /** How often the kernel is asked whether somebody flushed our rules. */
  readonly intactCheckIntervalMs?: number;
  /** Calls back when rules of the kernel changed, until aborted: whether ours still stand is then asked at once. */
  readonly watchRules?: (onChange: () => void, signal: AbortSignal) => void;
  /** Tells of this node's zone, now and whenever it changes. */
  readonly watchZone?: (onZone: (zone: string | undefined) => void) => void;
  /** Ends UDP flows that the plans no longer want. */
  readonly cleanFlows?: (plans: readonly ServicePortPlan[]) => Promise<void>;
  /** Rules of other backends may go now. Called once, after the first sync. */
  readonly onFirstSync?: () => Promise<void>;
  /** The kernel, or the program that talks to it, refused the rules so often in a row. */
  readonly onSyncFailed?: (err: unknown, failures: number) => void;
  /** What was brought into the kernel. */
  readonly onSynced?: (sync: SyncResult) => void;
}

export interface SyncResult {
  readonly full: boolean;
  readonly elapsedMs: number;
  readonly changes: readonly PlanChange[];
  /** Every plan; computed when asked for, during the call only. */
  plans(): readonly ServicePortPlan[];
}

export interface Proxier {
  /** Runs until aborted. Rules stay in the kernel afterwards: traffic must not stop because the agent restarts. */
  start(signal: AbortSignal): void;
  /** Milliseconds on the monotonic clock at which the last sync succeeded; undefined before the first. */
  readonly lastSyncMs: number | undefined;
  /** The same clock: since when changes wait that no sync has brought yet; undefined when none does. */
  readonly waitingSinceMs: number | undefined;
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
  let waitingSinceMs: number | undefined = clock.monotonic();
  let isSuspicious = false;
  const place = { nodeName: deps.nodeName, ...(deps.standIn === undefined ? {} : { standIn: deps.standIn }) };
  const tracker = new ChangeTracker(place, () => {
    waitingSinceMs ??= clock.monotonic();
    wake();
  });

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

  deps.watchZone?.((zone) => tracker.setZone(zone));

  async function syncOnce(): Promise<void> {
    const startedMs = clock.monotonic();
    const full = needsFullSync;
    waitingSinceMs = startedMs;
    const sync = tracker.beginSync();
    const { changes } = sync;
    let known: readonly ServicePortPlan[] | undefined;
    const plans = () => (known ??= sync.plans);
    if (full) await backend.fullSync(plans());
    else await backend.partialSync(changes);
    const isUdp = changes.some(({ previous, next }) => (next ?? previous)?.protocol === 'UDP');
    const forFlows = full || isUdp ? plans() : [];
    const elapsedMs = clock.monotonic() - startedMs;
    deps.onSynced?.({ full, elapsedMs, changes, plans });
    sync.confirm();
    needsFullSync = false;
    lastSyncMs = clock.monotonic();
    // Changes that came meanwhile have their own sync before them.
    waitingSinceMs = tracker.hasChanges ? lastSyncMs : undefined;
    log.debug('synced proxy rules', { full, changes: changes.length, elapsedMs: Math.round(elapsedMs) });
    if (forFlows.some(({ protocol }) => protocol === 'UDP')) await cleanFlows(forFlows);
  }

  /** The rules stand: a flow that could not be ended is no reason to write them again. */
  async function cleanFlows(plans: readonly ServicePortPlan[]): Promise<void> {
    await deps
      .cleanFlows?.(plans)
      .catch((err: unknown) => log.warn('stale UDP flows could not be ended', { err: describeError(err) }));
  }

  function requireFullSync(): void {
    tracker.forget();
    needsFullSync = true;
  }

  /** Resolves when there is work, or when it is time to look whether the rules still stand. */
  function nextTurn(signal: AbortSignal): Promise<void> {
    if (tracker.hasChanges || needsFullSync || isSuspicious || signal.aborted) return Promise.resolve();
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
    let isFirst = true;
    deps.watchRules?.(() => {
      isSuspicious = true;
      wake();
    }, signal);
    while (!signal.aborted) {
      try {
        isSuspicious = false;
        if (!needsFullSync && !tracker.hasChanges && !(await backend.isIntact())) {
          log.warn('proxy rules were removed by somebody else; writing them again');
          deps.onRulesLost?.();
          requireFullSync();
        }
        if (needsFullSync || tracker.hasChanges) await syncOnce();
        failures = 0;
        if (isFirst) await deps.onFirstSync?.();
        isFirst = false;
        await nextTurn(signal);
      } catch (err) {
        failures += 1;
        requireFullSync();
        log.error('proxy sync failed; trying again with a full sync', { err: describeError(err), failures });
        if (!signal.aborted) deps.onSyncFailed?.(err, failures);
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
    get waitingSinceMs() {
      return waitingSinceMs;
    },
  };
}
