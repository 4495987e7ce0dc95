import type { KubeClient } from '#api/client/client.ts';
import { isAlreadyExists, isNotFound } from '#api/object/api-error.ts';
import { type Lease, type Node, resources } from '#api/object/kinds.ts';
import { backoffDelayMs } from '#base/backoff.ts';
import { type Clock, delay, toMicroTime } from '#base/clock.ts';
import { describeError, isAbortError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';

const NAMESPACE = 'kube-node-lease';
const DURATION_SECONDS = 40;
/** A quarter of the duration, as in Kubernetes: three renewals may be lost. */
const RENEW_MS = 10_000;
/** Tries after a failure: soon at first, for a server that is merely restarting. */
const RETRY = { initialMs: 1_000, maxMs: RENEW_MS } as const;

export interface NodeLeaseOptions {
  readonly client: KubeClient;
  readonly nodeName: string;
  /** Owner of the lease, once registered: so that it goes with its Node. */
  readonly node: () => Node | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Renews the node's Lease until aborted: the sign of life that the node lifecycle controller waits for. */
export async function keepNodeLease(options: NodeLeaseOptions, signal: AbortSignal): Promise<void> {
  const { clock, log } = options;
  let lease: Lease | undefined;
  let failures = 0;
  while (!signal.aborted) {
    let pauseMs = RENEW_MS;
    try {
      lease = await renew(options, lease, signal);
      failures = 0;
    } catch (err) {
      if (isAbortError(err) || signal.aborted) return;
      // Told once: the server may be away for days.
      log[failures === 0 ? 'warn' : 'debug']('node lease was not renewed', { err: describeError(err) });
      lease = undefined;
      pauseMs = backoffDelayMs(++failures, RETRY);
    }
    await delay(clock, pauseMs, signal).catch(() => undefined);
  }
}

async function renew(options: NodeLeaseOptions, known: Lease | undefined, signal: AbortSignal): Promise<Lease> {
  const leases = options.client.resource<Lease>(resources.leases);
  const present = known ?? (await fetchOrCreate(options, signal));
  const spec = { ...present.spec, ...leaseSpec(options) };
  return leases.update({ ...present, spec }, undefined, signal);
}

function leaseSpec({ nodeName, clock }: NodeLeaseOptions) {
  return { holderIdentity: nodeName, leaseDurationSeconds: DURATION_SECONDS, renewTime: toMicroTime(clock.now()) };
}

async function fetchOrCreate(options: NodeLeaseOptions, signal: AbortSignal): Promise<Lease> {
  const { client, nodeName, node } = options;
  const leases = client.resource<Lease>(resources.leases);
  try {
    return await leases.fetch(nodeName, NAMESPACE, signal);
  } catch (err) {
    if (!isNotFound(err)) throw err;
  }
  const owner = node();
  const ownerReferences =
    owner === undefined ? [] : [{ apiVersion: 'v1', kind: 'Node', name: nodeName, uid: owner.metadata.uid }];
  try {
    return await leases.create(
      { metadata: { name: nodeName, namespace: NAMESPACE, ownerReferences }, spec: leaseSpec(options) },
      signal,
    );
  } catch (err) {
    if (isAlreadyExists(err)) return leases.fetch(nodeName, NAMESPACE, signal);
    throw err;
  }
}
