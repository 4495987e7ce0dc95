import type { KubeClient } from '#api/client/client.ts';
import { isNotFound } from '#api/object/api-error.ts';
import { type ResourceSlice, resources } from '#api/object/kinds.ts';
import { backoffDelayMs } from '#base/backoff.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { DraDrivers } from './dra-driver.ts';

export interface SliceWiperOptions {
  readonly client: KubeClient;
  readonly nodeName: string;
  readonly drivers: DraDrivers;
  readonly clock: Clock;
  readonly log: Logger;
}

/** How long a driver has to come back, and after our own start to come at all: Kubernetes' time for a restart of its pod. */
const RETURN_MS = 30_000;
const RETRY = { initialMs: 1_000, maxMs: 300_000 } as const;

/**
 * Takes back what drivers have offered that are no longer here: a pod that was given such devices could not start. Kubernetes' kubelet
 * wipes everything at its own start; here the drivers that come back in time keep what they offer. Runs until aborted.
 */
export function keepResourceSlices(options: SliceWiperOptions, signal: AbortSignal): void {
  const { drivers } = options;
  const pending = new Map<string, AbortController>();
  drivers.onChange((driver, isThere) => {
    pending.get(driver)?.abort();
    pending.delete(driver);
    if (isThere) return;
    const wait = new AbortController();
    pending.set(driver, wait);
    void wipe(options, () => `spec.driver=${driver}`, AbortSignal.any([signal, wait.signal]));
  });
  void wipe(
    options,
    () =>
      drivers
        .names()
        .map((driver) => `spec.driver!=${driver}`)
        .join(),
    signal,
  );
}

/** Waits, then deletes the slices of this node that `which` selects, however long that takes. */
async function wipe(options: SliceWiperOptions, which: () => string, signal: AbortSignal): Promise<void> {
  const { client, nodeName, clock, log } = options;
  const slices = client.resource<ResourceSlice>(resources.resourceSlices);
  let pauseMs = RETURN_MS;
  for (let failures = 1; ; failures++) {
    const isCancelled = await delay(clock, pauseMs, signal).then(
      () => false,
      () => true,
    );
    if (isCancelled) return;
    const fieldSelector = [`spec.nodeName=${nodeName}`, which()].filter((term) => term !== '').join();
    try {
      await slices.deleteCollection({ fieldSelector, signal });
      return;
    } catch (err) {
      // A server of another kind need not know them.
      if (isNotFound(err) || signal.aborted) return;
      log[failures === 1 ? 'warn' : 'debug']('ResourceSlices could not be deleted', {
        fieldSelector,
        err: describeError(err),
      });
      pauseMs = backoffDelayMs(failures, RETRY);
    }
  }
}
