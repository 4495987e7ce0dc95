import { stringify } from 'yaml';
import { encodeProtobufMessage, wrapProtobuf } from '#api/codec/encode-protobuf.ts';
import { protobufTypeOf } from '../chain/protobuf-answer.ts';
import type { PiecedBody } from '../server/pieced-body.ts';
import type { TimeSlice } from './time-slice.ts';

const encoder = new TextEncoder();
const COMMA = encoder.encode(',');
const NOTHING = new Uint8Array();

/** Items of a protobuf list that are encoded at a time. */
const PROTOBUF_ITEMS = 10;
/** Copied at a time. */
const COPY_BYTES = 512 * 1024;

export type ListMedia = 'json' | 'pretty' | 'yaml';

/** A list without its items, which is what its last field is: `items` of a list, `rows` of a Table. */
export type ListFrame = Readonly<Record<string, unknown>>;

/** A list whose items lie encoded already. */
export async function encodeStoredList(
  frame: ListFrame,
  items: readonly { readonly bytes: Uint8Array }[],
  slice: TimeSlice,
): Promise<PiecedBody> {
  const { head, tail, separator } = partsOf(frame, 'json');
  const pieces: Uint8Array[] = [head];
  let byteLength = head.byteLength + tail.byteLength + Math.max(0, items.length - 1) * separator.byteLength;
  for (const [index, item] of items.entries()) {
    const pause = slice.pause();
    if (pause !== undefined) await pause;
    const { bytes } = item;
    if (index > 0) pieces.push(separator);
    pieces.push(bytes);
    byteLength += bytes.byteLength;
  }
  pieces.push(tail);
  return { pieces, byteLength, pause: () => slice.pause() };
}

/** The same in one buffer. */
export function joinInSlices({ pieces }: PiecedBody, slice: TimeSlice): Promise<Uint8Array> {
  return concat(pieces, slice);
}

/** A list whose items are shown in some other form than they are stored. */
export async function encodeShownList<T>(
  frame: ListFrame,
  { items, show, media }: { readonly items: readonly T[]; readonly media: ListMedia; show(item: T): unknown },
  slice: TimeSlice,
): Promise<Uint8Array> {
  const { head, tail, separator, encode } = partsOf(frame, media);
  const pieces: Uint8Array[] = [items.length === 0 && media !== 'json' ? NOTHING : head];
  for (const [index, item] of items.entries()) {
    const pause = slice.pause();
    if (pause !== undefined) await pause;
    if (index > 0) pieces.push(separator);
    pieces.push(encode(show(item)));
  }
  if (items.length === 0 && media === 'pretty') return encoder.encode(`${JSON.stringify(frame, null, 2)}\n`);
  if (items.length === 0 && media === 'yaml') return encoder.encode(stringify(frame));
  pieces.push(tail);
  return concat(pieces, slice);
}

interface Parts {
  readonly head: Uint8Array;
  readonly tail: Uint8Array;
  readonly separator: Uint8Array;
  encode(item: unknown): Uint8Array;
}

/** What stands around and between the items: the frame is written with an empty list, which is then opened. */
function partsOf(frame: ListFrame, media: ListMedia): Parts {
  switch (media) {
    case 'json':
      return {
        head: encoder.encode(JSON.stringify(frame).slice(0, -2)),
        tail: encoder.encode(']}'),
        separator: COMMA,
        encode: (item) => encoder.encode(JSON.stringify(item)),
      };
    case 'pretty':
      return {
        head: encoder.encode(`${JSON.stringify(frame, null, 2).slice(0, -'[]\n}'.length)}[\n    `),
        tail: encoder.encode('\n  ]\n}\n'),
        separator: encoder.encode(',\n    '),
        // Line breaks within strings are escaped: every one that is left is between lines.
        encode: (item) => encoder.encode(JSON.stringify(item, null, 2).replaceAll('\n', '\n    ')),
      };
    case 'yaml':
      return {
        head: encoder.encode(stringify(frame).slice(0, -' []\n'.length).concat('\n')),
        tail: NOTHING,
        separator: NOTHING,
        encode: (item) => encoder.encode(stringify([item])),
      };
  }
}

async function concat(pieces: readonly Uint8Array[], slice: TimeSlice): Promise<Uint8Array> {
  // Every byte is written below: there is no need to clear megabytes first.
  const whole = Buffer.allocUnsafeSlow(pieces.reduce((sum, piece) => sum + piece.byteLength, 0));
  let at = 0;
  let copied = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.byteLength;
    copied += piece.byteLength;
    if (copied < COPY_BYTES) continue;
    copied = 0;
    const pause = slice.pause();
    if (pause !== undefined) await pause;
  }
  return whole;
}

/** Undefined for kinds without a protobuf form. Repeated fields may come piece by piece: that is how a long list is encoded. */
export async function encodeProtobufList<T>(
  frame: ListFrame,
  { items, show }: { readonly items: readonly T[]; show(item: T): unknown },
  slice: TimeSlice,
): Promise<Uint8Array | undefined> {
  const type = protobufTypeOf(frame);
  if (type === undefined) return undefined;
  const pieces = [encodeProtobufMessage({ metadata: frame.metadata }, type)];
  for (let at = 0; at < items.length; at += PROTOBUF_ITEMS) {
    const pause = slice.pause();
    if (pause !== undefined) await pause;
    pieces.push(encodeProtobufMessage({ items: items.slice(at, at + PROTOBUF_ITEMS).map(show) }, type));
  }
  return wrapProtobuf({ apiVersion: String(frame.apiVersion), kind: String(frame.kind) }, pieces);
}
