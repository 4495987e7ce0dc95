/**
 * The part of SPDY/3.1 that a client of a container runtime's streaming server needs. Go's implementation at the other end knows no flow
 * control (window updates are ignored and none are sent), and takes header blocks in stored (uncompressed) deflate blocks.
 */

const CONTROL_BIT = 0x80;
const VERSION = 3;
const FIN = 0x01;
const SPDY_HEADER_BYTES = 8;

const TYPES = { synStream: 1, rstStream: 3, ping: 6, goAway: 7 } as const;
/** Control frames of this protocol are small; a larger one is a broken peer. */
const MAX_CONTROL_BYTES = 1024 * 1024;

export type SpdyEvent =
  | { readonly type: 'data'; readonly stream: number; readonly bytes: Uint8Array }
  | { readonly type: 'end'; readonly stream: number }
  | { readonly type: 'reset'; readonly stream: number }
  /** To be sent back as it is. */
  | { readonly type: 'ping'; readonly id: number }
  | { readonly type: 'goAway' };

function controlFrame(type: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(SPDY_HEADER_BYTES);
  header[0] = CONTROL_BIT;
  header[1] = VERSION;
  header.writeUInt16BE(type, 2);
  header.writeUInt32BE(payload.length, 4);
  return Buffer.concat([header, payload]);
}

function lengthPrefixed(text: string): Buffer {
  const bytes = Buffer.from(text);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** The zlib header belongs to the connection's first header block alone: all blocks are one compressed stream. */
function headerBlock(headers: Readonly<Record<string, string>>, isFirst: boolean): Buffer {
  const entries = Object.entries(headers);
  const count = Buffer.alloc(4);
  count.writeUInt32BE(entries.length);
  const raw = Buffer.concat([
    count,
    ...entries.flatMap(([name, value]) => [lengthPrefixed(name), lengthPrefixed(value)]),
  ]);
  const stored = Buffer.alloc(5);
  stored.writeUInt16LE(raw.length, 1);
  stored.writeUInt16LE(~raw.length & 0xffff, 3);
  // An empty stored block flushes: without it the peer waits for more input.
  const flush = Buffer.from([0, 0, 0, 0xff, 0xff]);
  return Buffer.concat([isFirst ? Buffer.from([0x78, 0x01]) : Buffer.alloc(0), stored, raw, flush]);
}

/** Streams of a client have odd ids, in growing order. */
export function encodeSynStream(stream: number, headers: Readonly<Record<string, string>>, isFirst: boolean): Buffer {
  const head = Buffer.alloc(10);
  head.writeUInt32BE(stream, 0);
  return controlFrame(TYPES.synStream, Buffer.concat([head, headerBlock(headers, isFirst)]));
}

export function encodeDataHeader(stream: number, sizeBytes: number, isLast: boolean): Buffer {
  const header = Buffer.alloc(SPDY_HEADER_BYTES);
  header.writeUInt32BE(stream, 0);
  header.writeUInt32BE(sizeBytes, 4);
  header[4] = isLast ? FIN : 0;
  return header;
}

export function encodePing(id: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(id);
  return controlFrame(TYPES.ping, payload);
}

/** Reads frames from any cut of the byte stream. Data is passed on as it comes, so a large frame is never held as a whole. */
export class SpdyParser {
  #pending: Buffer = Buffer.alloc(0);
  #dataStream = 0;
  #dataRemaining = 0;
  #dataEnds = false;

  /** Throws when the peer breaks the protocol. */
  push(chunk: Uint8Array): SpdyEvent[] {
    const events: SpdyEvent[] = [];
    let input = this.#pending.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#pending, chunk]);
    for (;;) {
      if (this.#dataRemaining > 0) {
        if (input.length === 0) break;
        const bytes = input.subarray(0, this.#dataRemaining);
        events.push({ type: 'data', stream: this.#dataStream, bytes });
        this.#dataRemaining -= bytes.length;
        input = input.subarray(bytes.length);
        if (this.#dataRemaining === 0 && this.#dataEnds) events.push({ type: 'end', stream: this.#dataStream });
        continue;
      }
      if (input.length < SPDY_HEADER_BYTES) break;
      const sizeBytes = input.readUInt32BE(4) & 0xffffff;
      if ((input[0]! & CONTROL_BIT) === 0) {
        this.#startData(input, sizeBytes, events);
        input = input.subarray(SPDY_HEADER_BYTES);
        continue;
      }
      if (sizeBytes > MAX_CONTROL_BYTES) throw new Error('SPDY control frame too large');
      const end = SPDY_HEADER_BYTES + sizeBytes;
      if (input.length < end) break;
      const event = controlEvent(input.readUInt16BE(2), input[4]!, input.subarray(SPDY_HEADER_BYTES, end));
      if (event !== undefined) events.push(event);
      input = input.subarray(end);
    }
    this.#pending = input;
    return events;
  }

  #startData(input: Buffer, sizeBytes: number, events: SpdyEvent[]): void {
    this.#dataStream = input.readUInt32BE(0) & 0x7fffffff;
    this.#dataRemaining = sizeBytes;
    this.#dataEnds = (input[4]! & FIN) !== 0;
    if (sizeBytes === 0 && this.#dataEnds) events.push({ type: 'end', stream: this.#dataStream });
  }
}

/** SYN_REPLY, SETTINGS, HEADERS and WINDOW_UPDATE say nothing that matters here, but for a reply that also ends its stream. */
function controlEvent(type: number, flags: number, payload: Buffer): SpdyEvent | undefined {
  const SYN_REPLY = 2;
  const HEADERS = 8;
  const stream = payload.length >= 4 ? payload.readUInt32BE(0) & 0x7fffffff : 0;
  if (type === TYPES.rstStream) return { type: 'reset', stream };
  if (type === TYPES.ping && payload.length >= 4) return { type: 'ping', id: payload.readUInt32BE(0) };
  if (type === TYPES.goAway) return { type: 'goAway' };
  if ((type === SYN_REPLY || type === HEADERS) && (flags & FIN) !== 0) return { type: 'end', stream };
  return undefined;
}
