/** Frames of HTTP/2 by hand (RFC 9113): what no well-behaved library would send. */

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

export const FrameType = {
  data: 0,
  headers: 1,
  priority: 2,
  resetStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const Flag = { none: 0, ack: 1, endStream: 1, endHeaders: 4 } as const;

const HEAD_BYTES = 9;

export function frame(type: number, flags: number, stream: number, payload: Uint8Array = new Uint8Array()): Buffer {
  const bytes = Buffer.alloc(HEAD_BYTES + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes.writeUInt8(type, 3);
  bytes.writeUInt8(flags, 4);
  bytes.writeUInt32BE(stream, 5);
  bytes.set(payload, HEAD_BYTES);
  return bytes;
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export interface Head {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly fields?: Readonly<Record<string, string>>;
}

/** A header block of literals (RFC 7541), no table and no Huffman coding. */
export function headerBlock({ method, path, fields = {} }: Head): Buffer {
  const all = { ':method': method, ':scheme': 'https', ':path': path, ':authority': 'x', ...fields };
  return Buffer.concat(Object.entries(all).flatMap(([name, value]) => [NEW_LITERAL, text(name), text(value)]));
}

const NEW_LITERAL = Buffer.from([0]);
/** Of the seven bits of a length: more of it follows. */
const LENGTH_CONTINUES = 127;

function text(value: string): Buffer {
  return Buffer.concat([length(value.length), Buffer.from(value, 'latin1')]);
}

/** RFC 7541, 5.1. */
function length(value: number): Buffer {
  if (value < LENGTH_CONTINUES) return Buffer.from([value]);
  const bytes = [LENGTH_CONTINUES];
  let rest = value - LENGTH_CONTINUES;
  for (; rest >= 128; rest >>= 7) bytes.push((rest & 127) | 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** How a connection of HTTP/2 begins: our settings are the defaults. */
export const GREETING = Buffer.concat([PREFACE, frame(FrameType.settings, Flag.none, 0)]);
