import { notFound } from '#api/object/api-error.ts';
import { resourceName, storageKey } from '../registry/resource-catalog.ts';
import { answerObject } from './answer.ts';
import type { ApiServices, ResourceTarget } from './api-services.ts';
import { freshSnapshot } from './fresh-snapshot.ts';

/** GET of one object. The newest durable state satisfies every resourceVersion but one from the future. */
export async function handleGet(services: ApiServices, target: ResourceTarget): Promise<void> {
  const { context, definition, namespace, name } = target;
  const { query } = context.info;
  const snapshot =
    query.size === 0 && services.store.shared === undefined
      ? services.store.snapshot()
      : await freshSnapshot(services.store, query.get('resourceVersion') ?? '');
  const stored = snapshot.get(storageKey(definition, namespace, name));
  if (stored === undefined) throw notFound(resourceName(definition), name);
  if (definition.conversion?.prepare !== undefined) await definition.conversion.prepare.read([stored]);
  answerObject(services, context, definition, { status: 200, view: stored });
}
