import { encodeProtobufWatchEvent } from '#api/codec/encode-protobuf.ts';
import { withoutResourceVersion, withResourceVersion } from '#api/codec/resource-version.ts';
import type { Status } from '#api/object/api-error.ts';
import { apiVersionOf, type GroupVersionKind } from '#api/object/group-version.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { StoredObject } from '../../store/store.ts';
import { readStored } from '../registry/encode-object.ts';
import type { ObjectFormat } from '../registry/object-format.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { buildTable, type IncludeObject, partialMetadata } from '../table/table.ts';
import type { Representation } from './negotiation.ts';

export type FrameType = 'ADDED' | 'MODIFIED' | 'DELETED';

/** Turns what happened to an object into the bytes of one watch frame, in the form that a watcher asked for. */
export interface FrameEncoder {
  readonly contentType: string;
  encode(type: FrameType, object: StoredObject): Uint8Array;
  bookmark(revision: number, annotations?: Readonly<Record<string, string>>): Uint8Array;
  /** The last frame of a watch that cannot go on: a Status in place of an object. */
  error(status: Status): Uint8Array;
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
  readonly format: ObjectFormat;
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
      if (representation.media === 'protobuf')
        return protobufFrames(options) ?? valueFrames(options, (object) => object);
      return definition.conversion === undefined ? plainFrames(definition) : valueFrames(options, (object) => object);
  }
}

const JSON_TYPE = 'application/json';

const plainFrames = (definition: ResourceDefinition): FrameEncoder => ({
  contentType: JSON_TYPE,
  encode: sharedFrame,
  bookmark: (revision, annotations) => renderFrame('BOOKMARK', ownBookmark(definition, revision, annotations)),
  error: errorFrame,
});

const protobufCache = new WeakMap<StoredObject, Partial<Record<FrameType, Uint8Array>>>();

/** Frames as Go clients prefer them: a length of four bytes, then a WatchEvent. Undefined for kinds without a protobuf form. */
function protobufFrames({ definition, format }: FrameOptions): FrameEncoder | undefined {
  const encodeAs = (type: string, object: KubeObject, gvk: GroupVersionKind) => {
    const bytes = format.toProtobuf(object, gvk);
    return bytes === undefined ? undefined : withLength(encodeProtobufWatchEvent(type, bytes));
  };
  const bookmark = (revision: number, annotations?: Readonly<Record<string, string>>) =>
    encodeAs('BOOKMARK', ownBookmark(definition, revision, annotations), definition);
  if (bookmark(1) === undefined) return undefined;
  const none = new Uint8Array();
  return {
    contentType: 'application/vnd.kubernetes.protobuf;stream=watch',
    encode(type, stored) {
      const render = () => encodeAs(type, readStored(definition, stored), definition) ?? none;
      if (definition.conversion !== undefined) return render();
      let known = protobufCache.get(stored);
      if (known === undefined) {
        known = {};
        protobufCache.set(stored, known);
      }
      known[type] ??= render();
      return known[type];
    },
    bookmark: (revision, annotations) => bookmark(revision, annotations) ?? none,
    error: (status) => encodeAs('ERROR', status as unknown as KubeObject, STATUS_KIND) ?? none,
  };
}

const STATUS_KIND = { group: '', version: 'v1', kind: 'Status' };

function withLength(event: Uint8Array): Uint8Array {
  const frame = new Uint8Array(event.byteLength + 4);
  new DataView(frame.buffer).setUint32(0, event.byteLength);
  frame.set(event, 4);
  return frame;
}

const renderFrame = (type: string, object: unknown) => encoder.encode(`${JSON.stringify({ type, object })}\n`);

function bookmarkObject(kind: string, apiVersion: string, metadata: object): KubeObject {
  return { kind, apiVersion, metadata: { ...metadata, creationTimestamp: null } };
}

function bookmarkMeta(revision: number, annotations: Readonly<Record<string, string>> | undefined): object {
  return { resourceVersion: String(revision), ...(annotations === undefined ? {} : { annotations }) };
}

function ownBookmark(
  { group, version, kind }: ResourceDefinition,
  revision: number,
  annotations?: Readonly<Record<string, string>>,
): KubeObject {
  return bookmarkObject(kind, apiVersionOf({ group, version }), bookmarkMeta(revision, annotations));
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
        : renderFrame('BOOKMARK', ownBookmark(definition, revision, annotations)),
    contentType: JSON_TYPE,
    error: errorFrame,
  };
}

/** Each event is a Table of one row; only the first carries the columns. */
class TableFrames implements FrameEncoder {
  readonly contentType = JSON_TYPE;
  readonly error = errorFrame;
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

function errorFrame(status: Status): Uint8Array {
  return renderFrame('ERROR', status);
}
