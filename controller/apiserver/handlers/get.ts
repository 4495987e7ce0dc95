import { notFound } from '#api/object/api-error.ts';
import type { Snapshot, StoredObject } from '../../store/store.ts';
import { prepareRead } from '../registry/encode-object.ts';
import { resourceName, storageKey } from '../registry/resource-catalog.ts';
import { answerObject } from './answer.ts';
import type { ApiServices, ResourceTarget } from './api-services.ts';
import { freshSnapshot } from './fresh-snapshot.ts';

const DONE = Promise.resolve();

/** GET of one object. The newest durable state satisfies every resourceVersion but one from the future. Throws or rejects with ApiError. */
export function handleGet(services: ApiServices, target: ResourceTarget): Promise<void> {
  const { query } = target.context.info;
  const { conversion } = target.definition;
  if (query.size > 0 || services.store.shared !== undefined || conversion?.prepare !== undefined) {
    return getInTime(services, target);
  }
  answerObject(services, target.context, target.definition, {
    status: 200,
    view: find(services.store.snapshot(), target),
  });
  return DONE;
}

/** Where the state, or the object's form, has to be waited for. */
async function getInTime(services: ApiServices, target: ResourceTarget): Promise<void> {
  const { context, definition } = target;
  const snapshot = await freshSnapshot(services.store, context.info.query.get('resourceVersion') ?? '');
  const view = find(snapshot, target);
  await prepareRead(definition, [view]);
  answerObject(services, context, definition, { status: 200, view });
}

function find(snapshot: Snapshot, { definition, namespace, name }: ResourceTarget): StoredObject {
  const stored = snapshot.get(storageKey(definition, namespace, name));
  if (stored === undefined) throw notFound(resourceName(definition), name);
  return stored;
}
