import type { KubeClient } from '#api/client/client.ts';
import type { EventRecorder } from '#api/client/event-recorder.ts';
import { findCondition } from '#api/meta/conditions.ts';
import type { Pod, ResourceClaim } from '#api/object/kinds.ts';
import { keyOf } from '#api/object/kube-object.ts';
import type { Clock } from '#base/clock.ts';
import type { DeviceCache } from './device-cache.ts';

/** How long devices have to become ready before they are given back: Kubernetes' default. */
export const BINDING_TIMEOUT_MS = 600_000;

export type BindingState =
  | { readonly kind: 'ready' }
  | { readonly kind: 'waiting'; readonly untilMs: number }
  /** The claim should get other devices. */
  | { readonly kind: 'failed'; readonly message: string };

const READY: BindingState = { kind: 'ready' };

const resultsOf = ({ status }: ResourceClaim) => status?.allocation?.devices?.results ?? [];

/** Some devices are made ready by their driver once they are allocated, before a pod may be bound. */
export const hasBindingConditions = (claim: ResourceClaim): boolean =>
  resultsOf(claim).some(({ bindingConditions }) => (bindingConditions ?? []).length > 0);

/** What drivers say of the devices of an allocated claim. Times in milliseconds since the epoch. Pure. */
export function bindingState(claim: ResourceClaim, nowMs: number): BindingState {
  const { name } = claim.metadata;
  let isWaiting = false;
  for (const result of resultsOf(claim)) {
    const { bindingConditions = [], bindingFailureConditions = [], driver, pool, device, shareID } = result;
    if (bindingConditions.length === 0) continue;
    const told = claim.status?.devices?.find(
      (one) =>
        one.driver === driver && one.pool === pool && one.device === device && (one.shareID ?? '') === (shareID ?? ''),
    );
    const isTrue = (type: string) => findCondition(told?.conditions, type)?.status === 'True';
    const failure = findCondition(told?.conditions, bindingFailureConditions.find(isTrue) ?? '');
    if (failure !== undefined)
      return {
        kind: 'failed',
        message: `claim ${name} binding failed: reason=${failure.reason}, message=${JSON.stringify(failure.message)}`,
      };
    isWaiting ||= !bindingConditions.every(isTrue);
  }
  if (!isWaiting) return READY;
  const sinceMs = Date.parse(String(claim.status?.allocation?.allocationTimestamp ?? ''));
  const untilMs = (Number.isNaN(sinceMs) ? nowMs : sinceMs) + BINDING_TIMEOUT_MS;
  return nowMs < untilMs ? { kind: 'waiting', untilMs } : { kind: 'failed', message: `claim ${name} binding timeout` };
}

export interface BindingWaitOptions {
  readonly client: KubeClient;
  readonly cache: DeviceCache;
  readonly events: EventRecorder;
  readonly clock: Clock;
}

/** Resolves once drivers have made all devices ready. Throws Kubernetes' words when one says that it cannot, or none says so in time. */
export async function waitForBinding(
  options: BindingWaitOptions,
  {
    pod,
    nodeName,
    claims,
  }: { readonly pod: Pod; readonly nodeName: string; readonly claims: readonly ResourceClaim[] },
  signal: AbortSignal,
): Promise<void> {
  const waiting = claims.filter(hasBindingConditions);
  if (waiting.length === 0) return;
  const { cache, clock, events } = options;
  const subject = { apiVersion: 'v1', kind: 'Pod', metadata: pod.metadata };
  const message = `waiting for binding conditions for device on node ${nodeName}`;
  events.record(subject, 'Normal', 'BindingConditionsPending', message);
  for (const claim of waiting) {
    for (;;) {
      const shown = cache.claim(keyOf(claim));
      // The cache may not show yet what we have written.
      const current = shown?.status?.allocation === undefined ? claim : shown;
      const state = bindingState(current, clock.now());
      if (state.kind === 'ready') break;
      if (state.kind === 'failed') throw new Error(state.message);
      // It may have been called off while claims were written.
      signal.throwIfAborted();
      await nextChange(options, claim, state.untilMs, signal);
    }
  }
}

function nextChange(
  { cache, clock }: BindingWaitOptions,
  claim: ResourceClaim,
  untilMs: number,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (settle: () => void) => () => {
      forget();
      cancel();
      signal.removeEventListener('abort', onAbort);
      settle();
    };
    const onAbort = end(() => reject(signal.reason as Error));
    const forget = cache.onChange(claim, end(resolve));
    const cancel = clock.after(Math.max(0, untilMs - clock.now()), end(resolve));
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
