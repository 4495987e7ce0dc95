import { isNotFound } from '#api/object/api-error.ts';
import type { CertificateSigningRequest } from '#api/object/kinds.ts';
import { resources } from '#api/object/kinds.ts';
import { keyOf, type ObjectKey } from '#api/object/kube-object.ts';
import { createControllerQueue, runQueue, type StartController } from '../controller-context.ts';
import { hasCondition, isDecided } from './request-state.ts';

const HOUR_MS = 3_600_000;
/** Kubernetes' own terms: a decision is kept for an hour, a question for a day. */
const DECIDED_LIFE_MS = HOUR_MS;
const PENDING_LIFE_MS = 24 * HOUR_MS;

/** When the request has outlived its use, in epoch ms; pure. */
export function requestExpiryMs(csr: CertificateSigningRequest): number {
  const createdMs = Date.parse(csr.metadata.creationTimestamp);
  if (!isDecided(csr) && !hasCondition(csr, 'Failed')) return createdMs + PENDING_LIFE_MS;
  const changes = (csr.status?.conditions ?? []).map(({ lastUpdateTime }) => Date.parse(lastUpdateTime ?? ''));
  return Math.max(createdMs, ...changes.filter((ms) => !Number.isNaN(ms))) + DECIDED_LIFE_MS;
}

/** Deletes requests that nobody needs any more. Acts as certificate-controller. */
export const startCsrCleaner: StartController = async (context, signal) => {
  const requests = context.informers.informer<CertificateSigningRequest>(resources.certificateSigningRequests);
  const api = context.client.resource<CertificateSigningRequest>(resources.certificateSigningRequests);

  const sync = async (key: ObjectKey): Promise<void> => {
    const csr = requests.byKey(key);
    if (csr === undefined) return;
    const leftMs = requestExpiryMs(csr) - context.clock.now();
    if (leftMs > 0) {
      queue.addAfter(key, leftMs);
      return;
    }
    try {
      await api.delete({ name: csr.metadata.name, preconditions: { uid: csr.metadata.uid } });
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  };
  const queue = createControllerQueue<ObjectKey>(context, { name: 'csr-cleaner', sync, concurrency: 1 });
  requests.addHandler({
    onAdd: (csr) => queue.add(keyOf(csr)),
    onUpdate: (_, csr) => queue.add(keyOf(csr)),
  });
  await runQueue(queue, [requests], signal);
};
