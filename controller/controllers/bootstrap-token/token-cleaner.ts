import { isNotFound } from '#api/object/api-error.ts';
import { resources, type Secret } from '#api/object/kinds.ts';
import { keyOf, type ObjectKey } from '#api/object/kube-object.ts';
import { type ControllerContext, createControllerQueue, runQueue } from '../controller-context.ts';

/** Milliseconds since the epoch, or undefined for a token without end. Unreadable counts as expired: it must not live for ever. */
function tokenExpiryMs(secret: Secret): number | undefined {
  const encoded = secret.data?.expiration;
  if (encoded === undefined) return undefined;
  const atMs = Date.parse(Buffer.from(encoded, 'base64').toString('utf8'));
  return Number.isNaN(atMs) ? 0 : atMs;
}

/** Deletes bootstrap tokens at the moment they expire. */
export function startTokenCleaner(context: ControllerContext, signal: AbortSignal): Promise<void> {
  const tokens = context.informers.informer<Secret>(resources.secrets, {
    namespace: 'kube-system',
    fieldSelector: 'type=bootstrap.kubernetes.io/token',
  });

  async function sync(key: ObjectKey): Promise<void> {
    const secret = tokens.byKey(key);
    const expiryMs = secret === undefined ? undefined : tokenExpiryMs(secret);
    if (secret === undefined || expiryMs === undefined) return;
    const leftMs = expiryMs - context.clock.now();
    if (leftMs > 0) {
      queue.addAfter(key, leftMs);
      return;
    }
    const { name, namespace, uid } = secret.metadata;
    try {
      await context.client.resource<Secret>(resources.secrets).delete({ name, namespace, preconditions: { uid } });
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  }

  const queue = createControllerQueue<ObjectKey>(context, { name: 'token-cleaner', sync });
  tokens.addHandler({
    onAdd: (secret) => queue.add(keyOf(secret)),
    onUpdate: (_, secret) => queue.add(keyOf(secret)),
  });
  return runQueue(queue, [tokens], signal);
}
