import { badRequest, isGone, resourceExpired } from '#api/object/api-error.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { Snapshot, StoredObject } from '../../store/store.ts';
import { prepareRead, readStored } from '../registry/encode-object.ts';
import { storagePrefixOf } from '../registry/resource-catalog.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { buildTable, type ListMeta, partialMetadata, tableOptions } from '../table/table.ts';
import { answerValue, isPretty, listKind, sendProtobuf } from './answer.ts';
import type { ApiServices, ResourceTarget } from './api-services.ts';
import { decodeContinueToken, encodeContinueToken } from './continue-token.ts';
import { freshSnapshot } from './fresh-snapshot.ts';
import { CONTENT_TYPES, negotiate, type Representation } from './negotiation.ts';
import { type ObjectSelector, parseSelector } from './object-selector.ts';
import { type ListOptions, parseListOptions, parseResourceVersion } from './request-options.ts';

/** GET of a collection: a page or all of it, from one immutable snapshot. */
export async function handleList(services: ApiServices, target: ResourceTarget): Promise<void> {
  const { context, definition } = target;
  const options = parseListOptions(context.info.query, false);
  const selector = parseSelector(definition, options);
  const page = await readPage(services, target, options, selector);
  if (!selector.fields.isEmpty) await prepareRead(definition, [...page.snapshot.range(page.prefix)]);
  const representation = negotiate(context.request.header('accept'));
  const isPlain = representation.as === 'Object' && representation.media === 'json';
  if (isPlain && definition.conversion === undefined && !isPretty(context)) {
    const body = encodePage(services, definition, page);
    context.response.send(200, { 'content-type': CONTENT_TYPES.json }, body);
    return;
  }
  if (representation.as === 'Object' && representation.media === 'protobuf' && sendPage(services, target, page)) return;
  if (isMetadataOnly(definition, representation)) {
    // Metadata is the same in every version of a custom kind.
    const stored = page.items().map((item) => item.object() as KubeObject);
    answerValue(context, 200, transformList(services, target, { objects: stored, meta: page.meta() }), representation);
    return;
  }
  await prepareRead(definition, page.items());
  const objects = page.items().map((item) => readStored(definition, item));
  answerValue(context, 200, transformList(services, target, { objects, meta: page.meta() }), representation);
}

function isMetadataOnly(definition: ResourceDefinition, { as, media }: Representation): boolean {
  return definition.format !== undefined && as.startsWith('PartialObjectMetadata') && media !== 'protobuf';
}

function sendPage(services: ApiServices, { context, definition }: ResourceTarget, page: Page): boolean {
  const { apiVersion, kind } = listKind(definition);
  const items = page.items().map((item) => readStored(definition, item));
  const object: KubeObject = { apiVersion, kind, metadata: page.meta() as object, items };
  return sendProtobuf(services, context, { status: 200, object, gvk: { ...definition, kind } });
}

/** One page of a list. Items are found on first use, so that a cached body costs no walk. */
class Page {
  readonly snapshot: Snapshot;
  readonly prefix: string;
  readonly #selector: ObjectSelector;
  readonly #options: ListOptions;
  readonly #afterKey: string | undefined;
  #found: { items: StoredObject[]; hasMore: boolean } | undefined;

  constructor(parts: {
    readonly snapshot: Snapshot;
    readonly prefix: string;
    readonly selector: ObjectSelector;
    readonly options: ListOptions;
    readonly afterKey: string | undefined;
  }) {
    this.snapshot = parts.snapshot;
    this.prefix = parts.prefix;
    this.#selector = parts.selector;
    this.#options = parts.options;
    this.#afterKey = parts.afterKey;
  }

  /** The whole collection, which every client that asks gets alike. */
  get isWhole(): boolean {
    return this.#selector.isEverything && this.#options.limit === 0 && this.#afterKey === undefined;
  }

  items(): readonly StoredObject[] {
    return this.#find().items;
  }

  meta(): ListMeta {
    const { items, hasMore } = this.#find();
    const resourceVersion = String(this.snapshot.revision);
    const last = items.at(-1);
    if (!hasMore || last === undefined) return { resourceVersion };
    const token = encodeContinueToken({
      revision: this.snapshot.revision,
      afterKey: last.key.slice(this.prefix.length),
    });
    if (!this.#selector.isEverything) return { resourceVersion, continue: token };
    return {
      resourceVersion,
      continue: token,
      remainingItemCount: this.snapshot.count(this.prefix, last.key),
    };
  }

  #find(): { items: StoredObject[]; hasMore: boolean } {
    if (this.#found !== undefined) return this.#found;
    const items: StoredObject[] = [];
    let hasMore = false;
    for (const object of this.#candidates()) {
      if (!this.#selector.matches(object)) continue;
      if (this.#options.limit > 0 && items.length === this.#options.limit) {
        hasMore = true;
        break;
      }
      items.push(object);
    }
    this.#found = { items, hasMore };
    return this.#found;
  }

  /** An index narrows the walk where the selector demands one value of an indexed field. */
  #candidates(): Iterable<StoredObject> {
    if (this.#options.limit === 0 && this.#afterKey === undefined) {
      for (const { field, operator, value } of this.#selector.fields.requirements) {
        const indexed = operator === '=' ? this.snapshot.byField(this.prefix, field, value) : undefined;
        if (indexed !== undefined) return indexed;
      }
    }
    const afterKey = this.#afterKey === undefined ? undefined : this.prefix + this.#afterKey;
    return this.snapshot.range(this.prefix, afterKey);
  }
}

async function readPage(
  services: ApiServices,
  target: ResourceTarget,
  options: ListOptions,
  selector: ObjectSelector,
): Promise<Page> {
  const prefix = storagePrefixOf(target.definition, target.namespace);
  if (options.continue === '') {
    return new Page({
      snapshot: await firstSnapshot(services, options),
      prefix,
      selector,
      options,
      afterKey: undefined,
    });
  }
  if (options.resourceVersion !== '' && options.resourceVersion !== '0') {
    throw badRequest('specifying resource version is not allowed when using continue');
  }
  const { revision, afterKey } = decodeContinueToken(options.continue);
  const snapshot = revision < 0 ? services.store.snapshot() : continuedSnapshot(services, revision, afterKey);
  return new Page({ snapshot, prefix, selector, options, afterKey });
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

const encoder = new TextEncoder();
const COMMA = 0x2c;

function encodePage(services: ApiServices, definition: ResourceDefinition, page: Page): Uint8Array {
  const { prefix, snapshot } = page;
  const cached = page.isWhole ? services.lists.find(prefix, snapshot.revision) : undefined;
  if (cached !== undefined) return cached;
  const body = encodeList(definition, page.meta(), page.items());
  if (page.isWhole) services.lists.keep(prefix, snapshot.revision, body);
  return body;
}

/** The stored bytes of all items within a list's frame, in one buffer. */
export function encodeList(
  definition: ResourceDefinition,
  meta: ListMeta,
  items: readonly { readonly bytes: Uint8Array }[],
): Uint8Array {
  const { apiVersion, kind } = listKind(definition);
  const head = encoder.encode(
    `{"kind":${JSON.stringify(kind)},"apiVersion":${JSON.stringify(apiVersion)},"metadata":${JSON.stringify(meta)},"items":[`,
  );
  let bytes = head.byteLength + Math.max(items.length - 1, 0) + 2;
  for (const item of items) bytes += item.bytes.byteLength;
  const body = new Uint8Array(bytes);
  body.set(head, 0);
  let at = head.byteLength;
  for (const [index, item] of items.entries()) {
    if (index > 0) body[at++] = COMMA;
    body.set(item.bytes, at);
    at += item.bytes.byteLength;
  }
  body[at] = 0x5d;
  body[at + 1] = 0x7d;
  return body;
}

/** A list as a Table or as metadata alone, where the client asks for that. */
export function transformList(
  services: ApiServices,
  { context, definition }: ResourceTarget,
  { objects, meta }: { readonly objects: readonly KubeObject[]; readonly meta: ListMeta },
): unknown {
  const { as, version } = negotiate(context.request.header('accept'));
  switch (as) {
    case 'Table':
      return buildTable(definition, objects, {
        ...tableOptions(context.info.query),
        nowMs: services.clock.now(),
        version,
        list: meta,
      });
    case 'PartialObjectMetadata':
    case 'PartialObjectMetadataList':
      return {
        kind: 'PartialObjectMetadataList',
        apiVersion: `meta.k8s.io/${version}`,
        metadata: meta,
        items: objects.map((object) => partialMetadata(object, version)),
      };
    default:
      return { ...listKind(definition), metadata: meta, items: objects };
  }
}
