import { withoutResourceVersion, withResourceVersion } from '#api/codec/resource-version.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { StoredObject } from '../../store/store.ts';
import { readStored } from '../registry/encode-object.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { buildTable, type IncludeObject, partialMetadata } from '../table/table.ts';
import type { Representation } from './negotiation.ts';

export type FrameType = 'ADDED' | 'MODIFIED' | 'DELETED';

/** Turns what happened to an object into the bytes of one watch frame, in the form that a watcher asked for. */
export interface FrameEncoder {
  encode(type: FrameType, object: StoredObject): Uint8Array;
  bookmark(revision: number, annotations?: Readonly<Record<string, string>>): Uint8Array;
}

const encoder = new TextEncoder();
const HEADS: Readonly<Record<FrameType, Uint8Array>> = {
  ADDED: encoder.encode('{"type":"ADDED","object":'),
  MODIFIED: encoder.encode('{"type":"MODIFIED","object":'),
  DELETED: encoder.encode('{"type":"DELETED","object":'),
};
const TAIL = encoder.encode('}\n');

/** One event is encoded once, however many watch it. Keyed by the object, whose every revision is an object of its own. */
const frames = new WeakMap<StoredObject, Partial<Record<FrameType, Uint8Array>>>();

/** The frame of the stored bytes as they are; shared by all watchers, never written to. */
export function sharedFrame(type: FrameType, object: StoredObject): Uint8Array {
  let known = frames.get(object);
  if (known === undefined) {
    known = {};
    frames.set(object, known);
  }
  known[type] ??= frameBytes(type, object.bytes);
  return known[type];
}

/** A frame that nobody else will ask for: the initial events of one watcher. */
export function frameBytes(type: FrameType, object: Uint8Array): Uint8Array {
  const head = HEADS[type];
  const frame = new Uint8Array(head.byteLength + object.byteLength + TAIL.byteLength);
  frame.set(head, 0);
  frame.set(object, head.byteLength);
  frame.set(TAIL, head.byteLength + object.byteLength);
  return frame;
}

const departures = new WeakMap<StoredObject, { readonly revision: number; readonly object: StoredObject }>();

/**
 * What a watcher is told of an object that left its selection: the last state that it knew, under the revision of the change that took
 * it away. Kept with the previous state, so that all watchers share it.
 */
export function departed(previous: StoredObject, revision: number): StoredObject {
  const known = departures.get(previous);
  if (known?.revision === revision) return known.object;
  const bytes = withResourceVersion(withoutResourceVersion(previous.bytes), revision);
  const object: StoredObject = {
    key: previous.key,
    revision,
    bytes,
    labels: previous.labels,
    fields: previous.fields,
    object: () => JSON.parse(new TextDecoder().decode(bytes)),
  };
  departures.set(previous, { revision, object });
  return object;
}

export interface FrameOptions {
  readonly definition: ResourceDefinition;
  readonly representation: Representation;
  readonly includeObject: IncludeObject;
  readonly nowMs: () => number;
}

export function createFrameEncoder(options: FrameOptions): FrameEncoder {
  const { definition, representation } = options;
  switch (representation.as) {
    case 'Table':
      return new TableFrames(options);
    case 'PartialObjectMetadata':
    case 'PartialObjectMetadataList':
      return valueFrames(options, (object) => partialMetadata(object, representation.version));
    default:
      return definition.conversion === undefined
        ? { encode: sharedFrame, bookmark: (...args) => bookmarkFrame(definition, ...args) }
        : valueFrames(options, (object) => object);
  }
}

const renderFrame = (type: string, object: unknown) => encoder.encode(`${JSON.stringify({ type, object })}\n`);

function bookmarkObject(kind: string, apiVersion: string, metadata: object): object {
  return { kind, apiVersion, metadata: { ...metadata, creationTimestamp: null } };
}

function bookmarkMeta(revision: number, annotations: Readonly<Record<string, string>> | undefined): object {
  return { resourceVersion: String(revision), ...(annotations === undefined ? {} : { annotations }) };
}

function bookmarkFrame(
  { group, version, kind }: ResourceDefinition,
  revision: number,
  annotations?: Readonly<Record<string, string>>,
): Uint8Array {
  const apiVersion = group === '' ? version : `${group}/${version}`;
  return renderFrame('BOOKMARK', bookmarkObject(kind, apiVersion, bookmarkMeta(revision, annotations)));
}

function valueFrames(options: FrameOptions, show: (object: KubeObject) => object): FrameEncoder {
  const { definition, representation } = options;
  const isPartial = representation.as !== 'Object';
  return {
    encode: (type, object) => renderFrame(type, show(readStored(definition, object))),
    bookmark: (revision, annotations) =>
      isPartial
        ? renderFrame(
            'BOOKMARK',
            bookmarkObject(
              'PartialObjectMetadata',
              `meta.k8s.io/${representation.version}`,
              bookmarkMeta(revision, annotations),
            ),
          )
        : bookmarkFrame(definition, revision, annotations),
  };
}

/** Each event is a Table of one row; only the first carries the columns. */
class TableFrames implements FrameEncoder {
  readonly #options: FrameOptions;
  #isFirst = true;

  constructor(options: FrameOptions) {
    this.#options = options;
  }

  encode(type: FrameType, stored: StoredObject): Uint8Array {
    const object = readStored(this.#options.definition, stored);
    return renderFrame(type, this.#table([object], { resourceVersion: String(stored.revision) }));
  }

  bookmark(revision: number, annotations?: Readonly<Record<string, string>>): Uint8Array {
    const { definition, representation } = this.#options;
    const table = this.#table([], { resourceVersion: String(revision) });
    // kubectl reads bookmarks of a Table from the metadata of its only row.
    const object = bookmarkObject(
      'PartialObjectMetadata',
      `meta.k8s.io/${representation.version}`,
      bookmarkMeta(revision, annotations),
    );
    return renderFrame('BOOKMARK', { ...table, rows: [{ cells: definition.columns.map(() => null), object }] });
  }

  #table(objects: readonly KubeObject[], list: { readonly resourceVersion: string }): object {
    const { definition, representation, includeObject, nowMs } = this.#options;
    const withoutColumns = !this.#isFirst;
    this.#isFirst = false;
    return buildTable(definition, objects, {
      includeObject,
      nowMs: nowMs(),
      version: representation.version,
      list,
      withoutColumns,
    });
  }
}

/** The last frame of a watch that cannot go on: a Status in place of an object. */
export function errorFrame(status: object): Uint8Array {
  return renderFrame('ERROR', status);
}
