/**
 * The messages of the agent's tunnel: one frame per binary WebSocket message, `type u8, stream u32 big-endian, payload`. Streams are opened
 * by the controller alone. Both sides of the wire, and every version of them, read this file: types are never renumbered, and a frame of
 * an unknown type is ignored.
 */
export type TunnelFrame =
  /** Controller -> agent: connect to `target`. */
  | { readonly type: 'open'; readonly stream: number; readonly target: TunnelTarget }
  /** Agent -> controller: connected. */
  | { readonly type: 'opened'; readonly stream: number }
  | { readonly type: 'data'; readonly stream: number; readonly bytes: Uint8Array }
  /** The receiver has room for this many bytes more. */
  | { readonly type: 'credit'; readonly stream: number; readonly bytes: number }
  /** No more data in this direction. */
  | { readonly type: 'end'; readonly stream: number }
  /** The stream is over, both ways; also the refusal of an `open`. */
  | { readonly type: 'reset'; readonly stream: number; readonly reason: string }
  /**
   * One datagram between two nodes, of no stream: `node` is where it goes on the way to the controller, and where it came from afterwards.
   * It may be lost. Without bytes, to an agent: that node has no tunnel here.
   */
  | { readonly type: 'packet'; readonly stream: 0; readonly node: string; readonly bytes: Uint8Array };

export interface TunnelTarget {
  /** IP address; the empty string means the agent's own host. */
  readonly host: string;
  readonly port: number;
}

/** Path of a node's tunnel: a subresource of its Node, so that it passes the same authorization as everything else. */
export const tunnelPath = (nodeName: string) => `/api/v1/nodes/${encodeURIComponent(nodeName)}/tunnel`;
export const TUNNEL_PROTOCOL = 'v1.tunnel.coracle.dev';
/** Header of the server's answer: an id of its process, by which an agent sees that two addresses lead to one server. */
export const TUNNEL_SERVER_HEADER = 'coracle-server';

/** Header of the agent's request: an id of its process, by which a server tells a connection made anew from a second host with the same identity. */
export const TUNNEL_AGENT_HEADER = 'coracle-agent';

/** Bytes that one side may send on a new stream before it hears of room: enough for 20 MB/s at 10 ms of delay. */
export const INITIAL_CREDIT_BYTES = 256 * 1024;
/** Small enough that a bulk stream does not hold up a keystroke of another one for long. */
export const MAX_DATA_BYTES = 32 * 1024;

const HEADER_BYTES = 5;
const CODES = { open: 1, opened: 2, data: 3, credit: 4, end: 5, reset: 6, packet: 7 } as const;

export function encodeFrame(frame: TunnelFrame): Uint8Array {
  const payload = encodePayload(frame);
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  bytes[0] = CODES[frame.type];
  new DataView(bytes.buffer).setUint32(1, frame.stream);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

function encodePayload(frame: TunnelFrame): Uint8Array {
  switch (frame.type) {
    case 'open':
      return new TextEncoder().encode(JSON.stringify(frame.target));
    case 'data':
      return frame.bytes;
    case 'credit': {
      const bytes = new Uint8Array(4);
      new DataView(bytes.buffer).setUint32(0, frame.bytes);
      return bytes;
    }
    case 'reset':
      return new TextEncoder().encode(frame.reason);
    case 'packet': {
      const name = new TextEncoder().encode(frame.node);
      const bytes = new Uint8Array(1 + name.length + frame.bytes.length);
      bytes[0] = name.length;
      bytes.set(name, 1);
      bytes.set(frame.bytes, 1 + name.length);
      return bytes;
    }
    default:
      return new Uint8Array();
  }
}

/** undefined for a type that this version does not know. Throws for a frame that breaks the format: the session cannot go on. */
export function decodeFrame(bytes: Uint8Array): TunnelFrame | undefined {
  if (bytes.length < HEADER_BYTES) throw new Error('tunnel frame without its header');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const stream = view.getUint32(1);
  const payload = bytes.subarray(HEADER_BYTES);
  switch (bytes[0]) {
    case CODES.open:
      return { type: 'open', stream, target: decodeTarget(payload) };
    case CODES.opened:
      return { type: 'opened', stream };
    case CODES.data:
      return { type: 'data', stream, bytes: payload };
    case CODES.credit:
      if (payload.length !== 4) throw new Error('tunnel credit of the wrong size');
      return { type: 'credit', stream, bytes: view.getUint32(HEADER_BYTES) };
    case CODES.end:
      return { type: 'end', stream };
    case CODES.reset:
      return { type: 'reset', stream, reason: new TextDecoder().decode(payload) };
    case CODES.packet: {
      const end = 1 + (payload[0] ?? 0);
      if (payload.length < end) throw new Error('tunnel packet that ends within the name of its node');
      return {
        type: 'packet',
        stream: 0,
        node: new TextDecoder().decode(payload.subarray(1, end)),
        bytes: payload.subarray(end),
      };
    }
    default:
      return undefined;
  }
}

function decodeTarget(payload: Uint8Array): TunnelTarget {
  const { host, port } = JSON.parse(new TextDecoder().decode(payload)) as Partial<TunnelTarget>;
  if (typeof host !== 'string' || !Number.isInteger(port)) throw new Error('tunnel target without host and port');
  return { host, port: port! };
}
