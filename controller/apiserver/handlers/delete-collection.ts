import { isNotFound } from '#api/object/api-error.ts';
import { deleteObject } from '../registry/delete-object.ts';
import { metadataOf, prepareRead, readStored } from '../registry/encode-object.ts';
import type { ObjectView } from '../registry/registry-services.ts';
import { storagePrefixOf } from '../registry/resource-catalog.ts';
import { answerValue, listKind } from './answer.ts';
import type { ApiServices, ResourceTarget } from './api-services.ts';
import { type DeleteOptions, readDeleteOptions } from './delete-options.ts';
import { freshSnapshot } from './fresh-snapshot.ts';
import { findPage } from './list-page.ts';
import { parseSelector } from './object-selector.ts';
import { parseListOptions } from './request-options.ts';
import { TimeSlice } from './time-slice.ts';

/** Deletes under way at once: enough to fill a group commit, few enough that one request does not fill the write queue. */
const WIDTH = 32;

/** DELETE of a collection: every object that the selectors mean, each by the rules of a delete of its own. */
export async function handleDeleteCollection(services: ApiServices, target: ResourceTarget): Promise<void> {
  const { context, definition, namespace } = target;
  const options = await readDeleteOptions(services, context);
  const listOptions = parseListOptions(context.info.query, false);
  const selector = parseSelector(definition, listOptions);
  const snapshot = await freshSnapshot(services.store, '');
  const prefix = storagePrefixOf(definition, namespace);
  if (!selector.fields.isEmpty && definition.conversion?.prepare !== undefined)
    await prepareRead(definition, [...snapshot.range(prefix)]);
  const parts = { snapshot, prefix, selector, options: listOptions, afterKey: undefined };
  const waiting = [...(await findPage(parts, new TimeSlice(services.clock))).items];
  const deleted: ObjectView[] = [];
  const worker = async () => {
    for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) {
      const metadata = metadataOf(one);
      const own = { ...target, namespace: metadata.namespace ?? '', name: metadata.name ?? '' };
      const view = await deleteOne(services, own, options);
      if (view !== undefined) deleted.push(view);
    }
  };
  await Promise.all(Array.from({ length: Math.min(WIDTH, waiting.length) }, worker));
  answerValue(context, 200, {
    ...listKind(definition),
    metadata: { resourceVersion: String(snapshot.revision) },
    items: deleted.map((view) => readStored(definition, view)),
  });
}

async function deleteOne(
  services: ApiServices,
  { context, definition, namespace, name }: ResourceTarget,
  { wish, dryRun }: DeleteOptions,
): Promise<ObjectView | undefined> {
  try {
    return (await deleteObject(services, { context, definition, namespace, name, wish, dryRun })).view;
  } catch (err) {
    if (isNotFound(err)) return undefined;
    throw err;
  }
}
