import { encodeProtobufWatchEvent } from '#api/codec/encode-protobuf.ts';
import {
  leanMetadataOfBytes,
  metadataOfBytes,
  withoutResourceVersion,
  withResourceVersion,
} from '#api/codec/resource-version.ts';
import type { Status } from '#api/object/api-error.ts';
import { apiVersionOf, type GroupVersionKind } from '#api/object/group-version.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { StoredObject } from '../../store/store.ts';
import { protobufOf } from '../chain/protobuf-answer.ts';
import { isSentAsStored, readStored } from '../registry/encode-object.ts';
import type { ObjectFormat } from '../registry/object-format.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { buildTable, type IncludeObject, partialMetadata } from '../table/table.ts';
import type { Representation } from './negotiation.ts';

export type FrameType = 'ADDED' | 'MODIFIED' | 'DELETED';

/** Turns what happened to an object into the bytes of one watch frame, in the form that a watcher asked for. */
export interface FrameEncoder {
  readonly contentType: string;
  /** It looks at metadata alone, which is the same in every version of a kind. */
  readonly needsMetadataOnly?: boolean;
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

/**
 * One event is encoded once for each form, however many watch it: all its watchers are told in one go. Only the newest event's frames are
 * kept; frames that lived as long as their object would hold the whole store twice.
 */
class LatestFrames {
  #object: StoredObject | undefined;
  #frames: Partial<Record<FrameType, Uint8Array>> = {};

  get(type: FrameType, object: StoredObject, render: () => Uint8Array): Uint8Array {
    if (object !== this.#object) {
      this.#object = object;
      this.#frames = {};
    }
    this.#frames[type] ??= render();
    return this.#frames[type];
  }
}

/** The frame around JSON that is there already; a new array that owns its buffer. */
function frameAround(pieces: readonly Uint8Array[]): Uint8Array {
  const frame = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.byteLength, 0));
  let at = 0;
  for (const piece of pieces) {
    frame.set(piece, at);
    at += piece.byteLength;
  }
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
  /** The watcher has no use for managedFields. Where they cost nothing they may be told all the same. */
  readonly isLean: boolean;
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
      if (representation.media === 'protobuf') return partialProtobufFrames(options);
      // Metadata is the same in every version of a custom kind.
      if (definition.conversion === undefined || definition.format !== undefined) {
        return metadataFrames(representation.version, options.isLean);
      }
      return valueFrames(options, (object) => partialMetadata(object, representation.version));
    default:
      if (representation.media === 'protobuf')
        return protobufFrames(options) ?? valueFrames(options, (object) => object);
      return definition.conversion === undefined ? plainFrames(definition) : convertedFrames(options);
  }
}

const JSON_TYPE = 'application/json';

const plainCache = new LatestFrames();

/** Stored bytes as they are. */
const plainFrames = (definition: ResourceDefinition): FrameEncoder => ({
  contentType: JSON_TYPE,
  encode: (type, object) => plainCache.get(type, object, () => frameAround([HEADS[type], object.bytes, TAIL])),
  bookmark: (revision, annotations) => renderFrame('BOOKMARK', ownBookmark(definition, revision, annotations)),
  error: errorFrame,
});

/** Stored bytes where they are in the wanted form already. */
function convertedFrames(options: FrameOptions): FrameEncoder {
  const { definition } = options;
  const plain = plainFrames(definition);
  const decoded = valueFrames(options, (object) => object);
  return {
    ...decoded,
    encode: (type, object) => (isSentAsStored(definition, object) ? plain : decoded).encode(type, object),
  };
}

type MetaVersion = Representation['version'];

const metadataHead = (version: MetaVersion) =>
  encoder.encode(`{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/${version}","metadata":`);
const METADATA_HEADS: Readonly<Record<MetaVersion, Uint8Array>> = {
  v1: metadataHead('v1'),
  v1beta1: metadataHead('v1beta1'),
};
const METADATA_TAIL = encoder.encode('}}\n');
const metadataCaches: Readonly<Record<MetaVersion, LatestFrames>> = {
  v1: new LatestFrames(),
  v1beta1: new LatestFrames(),
};
const leanCaches: Readonly<Record<MetaVersion, LatestFrames>> = {
  v1: new LatestFrames(),
  v1beta1: new LatestFrames(),
};

/** The metadata cut out of the stored bytes: garbage collectors watch every kind, and decoding each object for them costs more than storing it. */
function metadataFrames(version: MetaVersion, isLean: boolean): FrameEncoder {
  const cache = (isLean ? leanCaches : metadataCaches)[version];
  const metadataOf = isLean ? leanMetadataOfBytes : (bytes: Uint8Array) => [metadataOfBytes(bytes)];
  return {
    contentType: JSON_TYPE,
    needsMetadataOnly: true,
    encode: (type, object) =>
      cache.get(type, object, () =>
        frameAround([HEADS[type], METADATA_HEADS[version], ...metadataOf(object.bytes), METADATA_TAIL]),
      ),
    bookmark: (revision, annotations) => renderFrame('BOOKMARK', partialBookmark(version, revision, annotations)),
    error: errorFrame,
  };
}

const protobufCache = new LatestFrames();

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
    contentType: PROTOBUF_STREAM,
    encode(type, stored) {
      const render = () => encodeAs(type, readStored(definition, stored), definition) ?? none;
      return definition.conversion === undefined ? protobufCache.get(type, stored, render) : render();
    },
    bookmark: (revision, annotations) => bookmark(revision, annotations) ?? none,
    error: (status) => encodeAs('ERROR', status as unknown as KubeObject, STATUS_KIND) ?? none,
  };
}

const partialProtobufCaches: Readonly<Record<MetaVersion, LatestFrames>> = {
  v1: new LatestFrames(),
  v1beta1: new LatestFrames(),
};

/** The same of metadata alone, which every kind has. */
function partialProtobufFrames({ definition, representation: { version } }: FrameOptions): FrameEncoder {
  const frame = (type: string, object: unknown) =>
    withLength(encodeProtobufWatchEvent(type, protobufOf(object) as Uint8Array));
  return {
    contentType: PROTOBUF_STREAM,
    encode: (type, stored) =>
      partialProtobufCaches[version].get(type, stored, () =>
        frame(type, partialMetadata(readStored(definition, stored), version)),
      ),
    bookmark: (revision, annotations) => frame('BOOKMARK', partialBookmark(version, revision, annotations)),
    error: (status) => frame('ERROR', status),
  };
}

const PROTOBUF_STREAM = 'application/vnd.kubernetes.protobuf;stream=watch';

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

function partialBookmark(
  version: MetaVersion,
  revision: number,
  annotations?: Readonly<Record<string, string>>,
): KubeObject {
  return bookmarkObject('PartialObjectMetadata', `meta.k8s.io/${version}`, bookmarkMeta(revision, annotations));
}

function valueFrames(options: FrameOptions, show: (object: KubeObject) => object): FrameEncoder {
  const { definition, representation } = options;
  const isPartial = representation.as !== 'Object';
  return {
    encode: (type, object) => renderFrame(type, show(readStored(definition, object))),
    bookmark: (revision, annotations) =>
      renderFrame(
        'BOOKMARK',
        isPartial
          ? partialBookmark(representation.version, revision, annotations)
          : ownBookmark(definition, revision, annotations),
      ),
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
    const object = partialBookmark(representation.version, revision, annotations);
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
