import { badRequest, isGone, resourceExpired } from '#api/object/api-error.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { Snapshot, StoredObject } from '../../store/store.ts';
import { prepareRead, readStored, sentBytes } from '../registry/encode-object.ts';
import { storagePrefixOf } from '../registry/resource-catalog.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { sendPieces } from '../server/api-request.ts';
import type { PiecedBody } from '../server/pieced-body.ts';
import { type ListMeta, partialMetadata, tableFrame, tableOptions, tableRow } from '../table/table.ts';
import { isPretty, listKind } from './answer.ts';
import type { ApiServices, ResourceTarget } from './api-services.ts';
import { decodeContinueToken, encodeContinueToken } from './continue-token.ts';
import { encodeProtobufList, encodeShownList, encodeStoredList, joinInSlices, type ListFrame } from './encode-list.ts';
import { freshSnapshot } from './fresh-snapshot.ts';
import { type FoundPage, findPage, isWhole, type PageParts } from './list-page.ts';
import { CONTENT_TYPES, negotiate, type Representation } from './negotiation.ts';
import { type ObjectSelector, parseSelector } from './object-selector.ts';
import { type ListOptions, parseListOptions, parseResourceVersion } from './request-options.ts';
import { TimeSlice } from './time-slice.ts';

/** GET of a collection: a page or all of it, from one immutable snapshot, in slices that keep nobody waiting. */
export async function handleList(services: ApiServices, target: ResourceTarget): Promise<void> {
  const { context, definition } = target;
  const options = parseListOptions(context.info.query, false);
  const selector = parseSelector(definition, options);
  const parts = await planPage(services, target, options, selector);
  const representation = negotiate(context.request.header('accept'), definition.format !== undefined);
  const isPlain = representation.as === 'Object' && representation.media === 'json';
  if (isPlain && definition.conversion === undefined && !isPretty(context)) {
    await sendPlain(services, target, parts);
    return;
  }
  if (!selector.fields.isEmpty && definition.conversion?.prepare !== undefined)
    await prepareRead(definition, [...parts.snapshot.range(parts.prefix)]);
  const slice = new TimeSlice(services.clock);
  const page = await findPage(parts, slice);
  if (!isMetadataOnly(definition, representation)) await prepareRead(definition, page.items);
  if (isPlain && !isPretty(context)) {
    const body = await encodeStored(definition, { ...page, items: asSent(definition, page.items) }, slice);
    sendPieces(context.response, 200, { 'content-type': CONTENT_TYPES.json }, body);
    return;
  }
  const { body, type } = await encodePage(services, target, { page, representation, slice });
  context.response.send(200, { 'content-type': type }, body);
}

/** The bytes are found out when they are asked for, so that it happens in slices. */
function asSent(
  definition: ResourceDefinition,
  items: readonly StoredObject[],
): readonly { readonly bytes: Uint8Array }[] {
  return items.map((item) => ({
    get bytes() {
      return sentBytes(definition, item);
    },
  }));
}

/** Metadata is the same in every version of a custom kind. */
function isMetadataOnly(definition: ResourceDefinition, { as, media }: Representation): boolean {
  return definition.format !== undefined && as.startsWith('PartialObjectMetadata') && media !== 'protobuf';
}

/** Stored bytes as they are: the body that is kept of the whole list, or the objects' own bytes one after the other. */
async function sendPlain(services: ApiServices, { context, definition }: ResourceTarget, parts: PageParts) {
  const { lists, clock } = services;
  const { prefix, snapshot } = parts;
  const headers = { 'content-type': CONTENT_TYPES.json };
  const kept = isWhole(parts) ? lists.find(prefix, snapshot.revision) : undefined;
  if (kept !== undefined) {
    context.response.send(200, headers, kept);
    return;
  }
  const slice = new TimeSlice(clock);
  const pieced = await encodeStored(definition, await findPage(parts, slice), slice);
  if (!isWhole(parts) || !lists.isWorthKeeping(prefix, snapshot.revision)) {
    sendPieces(context.response, 200, headers, pieced);
    return;
  }
  const body = await joinInSlices(pieced, slice);
  lists.keep(prefix, snapshot.revision, body);
  context.response.send(200, headers, body);
}

function encodeStored(
  definition: ResourceDefinition,
  { items, meta }: { readonly items: readonly { readonly bytes: Uint8Array }[]; readonly meta: ListMeta },
  slice: TimeSlice,
): Promise<PiecedBody> {
  const { apiVersion, kind } = listKind(definition);
  return encodeStoredList({ kind, apiVersion, metadata: meta, items: [] }, items, slice);
}

interface Encoding {
  readonly page: FoundPage;
  readonly representation: Representation;
  readonly slice: TimeSlice;
}

async function encodePage(
  services: ApiServices,
  target: ResourceTarget,
  { page, representation, slice }: Encoding,
): Promise<{ readonly body: Uint8Array; readonly type: string }> {
  const { context, definition } = target;
  const { items, meta } = page;
  const read = isMetadataOnly(definition, representation)
    ? (item: StoredObject) => item.object() as KubeObject
    : (item: StoredObject) => readStored(definition, item);
  const { frame, show } = formOf(services, target, { meta, representation });
  if (representation.media === 'protobuf') {
    const body = await encodeProtobufList(frame, { items, show: (item) => show(read(item)) }, slice);
    if (body !== undefined) return { body, type: CONTENT_TYPES.protobuf };
  }
  const media = representation.media === 'yaml' ? 'yaml' : isPretty(context) ? 'pretty' : 'json';
  const body = await encodeShownList(frame, { items, media, show: (item) => show(read(item)) }, slice);
  return { body, type: media === 'yaml' ? CONTENT_TYPES.yaml : CONTENT_TYPES.json };
}

async function planPage(
  services: ApiServices,
  target: ResourceTarget,
  options: ListOptions,
  selector: ObjectSelector,
): Promise<PageParts> {
  const prefix = storagePrefixOf(target.definition, target.namespace);
  if (options.continue === '') {
    return { snapshot: await firstSnapshot(services, options), prefix, selector, options, afterKey: undefined };
  }
  if (options.resourceVersion !== '' && options.resourceVersion !== '0') {
    throw badRequest('specifying resource version is not allowed when using continue');
  }
  const { revision, afterKey } = decodeContinueToken(options.continue);
  // A page before this one may have come from another server, which knows more.
  if (revision > services.store.revision) await freshSnapshot(services.store, String(revision));
  const snapshot =
    revision < 0 ? await freshSnapshot(services.store, '') : continuedSnapshot(services, revision, afterKey);
  return { snapshot, prefix, selector, options, afterKey };
}

async function firstSnapshot(services: ApiServices, options: ListOptions): Promise<Snapshot> {
  if (!isExact(options)) return freshSnapshot(services.store, options.resourceVersion);
  await freshSnapshot(services.store, options.resourceVersion);
  return services.store.snapshotAt(parseResourceVersion(options.resourceVersion) ?? 0);
}

/** Pages of a named revision are that revision's, as from before there was a way to say so. */
function isExact({ resourceVersion, resourceVersionMatch, limit }: ListOptions): boolean {
  if (resourceVersionMatch !== '') return resourceVersionMatch === 'Exact';
  return limit > 0 && resourceVersion !== '' && resourceVersion !== '0';
}

/** A token older than history offers a way on that is not consistent with the pages before. */
function continuedSnapshot(services: ApiServices, revision: number, afterKey: string): Snapshot {
  try {
    return services.store.snapshotAt(revision);
  } catch (err) {
    if (!isGone(err)) throw err;
    throw resourceExpired(
      'The provided continue parameter is too old to display a consistent list result. You can start a new list without ' +
        'the continue parameter, or use the continue token in this response to retrieve the remainder of the results. ' +
        'Continuing with the provided token results in an inconsistent list - objects that were created, modified, or ' +
        'deleted between the time the first chunk was returned and now may show up in the list.',
      encodeContinueToken({ revision: -1, afterKey }),
    );
  }
}

/** How a list is framed, and how an item of it is shown: as it is, as a row of a Table, or as metadata alone. */
interface Form {
  readonly frame: ListFrame;
  show(object: KubeObject): unknown;
}

function formOf(
  services: ApiServices,
  { context, definition }: ResourceTarget,
  { meta, representation }: { readonly meta: ListMeta; readonly representation: Representation },
): Form {
  const { as, version } = representation;
  switch (as) {
    case 'Table': {
      const options = { ...tableOptions(context.info.query), nowMs: services.clock.now(), version, list: meta };
      return { frame: tableFrame(definition, options), show: (object) => tableRow(definition, object, options) };
    }
    case 'PartialObjectMetadata':
    case 'PartialObjectMetadataList': {
      const kind = { kind: 'PartialObjectMetadataList', apiVersion: `meta.k8s.io/${version}` };
      return { frame: { ...kind, metadata: meta, items: [] }, show: (object) => partialMetadata(object, version) };
    }
    default:
      return { frame: { ...listKind(definition), metadata: meta, items: [] }, show: (object) => object };
  }
}

/** A list of objects that no store holds, in the form that the client asks for. */
export function transformList(
  services: ApiServices,
  target: ResourceTarget,
  { objects, meta }: { readonly objects: readonly KubeObject[]; readonly meta: ListMeta },
): object {
  const { frame, show } = formOf(services, target, {
    meta,
    representation: negotiate(target.context.request.header('accept')),
  });
  return closedFrame(frame, objects.map(show));
}

/** The frame with its items in it. */
function closedFrame(frame: ListFrame, items: readonly unknown[]): object {
  const [last = 'items'] = Object.keys(frame).slice(-1);
  return { ...frame, [last]: items };
}
