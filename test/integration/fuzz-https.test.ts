import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ContractApi } from '#controller/apiserver/testing/contract/contract-target.ts';
import { bodyCorpus } from '#controller/apiserver/testing/fuzz/body-corpus.ts';
import { describeFuzz } from '#controller/apiserver/testing/fuzz/describe-fuzz.ts';
import { Flag, FrameType, frame, GREETING, PREFACE, uint32 } from '#test/kit/abuse/http2-frames.ts';
import { type ControllerProcess, startControllerProcess } from '#test/kit/controller-process.ts';
import { createHttpsTarget } from '#test/kit/https-contract-target.ts';

/** The corpus again and again, in a heap that could not hold what it leaves behind if it left anything. */
const HEAP_MB = 256;
const REPEATS = 5;
const ANSWER_TIMEOUT_MS = 15_000;

let controller: ControllerProcess;
let api: ContractApi;
let pid = 0;
let startMb = 0;

const residentMb = () =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${controller.pid}/status`, 'utf8'))?.[1]) >> 10;

beforeAll(async () => {
  controller = await startControllerProcess({
    fromSource: true,
    flags: [],
    environment: { NODE_OPTIONS: `--max-old-space-size=${HEAP_MB}` },
  });
  pid = controller.pid;
  startMb = residentMb();
  api = new ContractApi(createHttpsTarget(controller));
});
afterAll(async () => {
  await api?.target.close();
  await controller?.stop();
});

describeFuzz({ api: () => api, isRemote: true });

let opened = 0;

/** Each from an address of its own: one that breaks the rules of HTTP/2 again and again has to wait for its next connection. */
async function open(alpn: string): Promise<TLSSocket> {
  const { ca, cert, key, server } = controller.access;
  const url = new URL(server);
  const localAddress = `127.0.1.${1 + (opened++ % 250)}`;
  const options = { host: url.hostname, port: Number(url.port), localAddress, ca, cert, key, ALPNProtocols: [alpn] };
  const socket = connect(options as ConnectionOptions);
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  return socket;
}

/** Sends bytes as they are and answers with what comes back until the server hangs up, or nothing comes for a while. */
async function converse(bytes: Uint8Array | string, { alpn = 'http/1.1', endsAfter = true } = {}): Promise<string> {
  const socket = await open(alpn);
  let answer = '';
  socket.on('data', (chunk: Buffer) => {
    answer += chunk.toString('latin1');
  });
  if (endsAfter) socket.end(bytes);
  else socket.write(bytes);
  const timer = setTimeout(() => socket.destroy(), ANSWER_TIMEOUT_MS);
  // A reset is an end too: `once` would take it for a failure of the test.
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
  clearTimeout(timer);
  return answer;
}

const CREATE = 'POST /api/v1/namespaces/fuzz/configmaps HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';
const BODY = '{"metadata":{"name":"raw"}}';

/** `status` '' where the connection may simply end. */
const RAW: readonly (readonly [name: string, bytes: string | Uint8Array, status: RegExp])[] = [
  ['a body that is shorter than it says', `${CREATE}Content-Length: 500\r\n\r\n${BODY}`, /^$|^HTTP\/1\.1 4\d\d/],
  ['a length that is no number', `${CREATE}Content-Length: many\r\n\r\n${BODY}`, /^HTTP\/1\.1 400/],
  ['two lengths', `${CREATE}Content-Length: 5\r\nContent-Length: 6\r\n\r\n${BODY}`, /^HTTP\/1\.1 400/],
  [
    'a length and chunks',
    `${CREATE}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    /^HTTP\/1\.1 400/,
  ],
  ['a chunk that is none', `${CREATE}Transfer-Encoding: chunked\r\n\r\nxyz\r\n`, /^$|^HTTP\/1\.1 400/],
  ['chunks without an end', `${CREATE}Transfer-Encoding: chunked\r\n\r\n5\r\n{"met`, /^$|^HTTP\/1\.1 4\d\d/],
  ['a line that is no request', 'hello\r\n\r\n', /^HTTP\/1\.1 400/],
  ['a method of nobody', 'FROB /api HTTP/1.1\r\nHost: x\r\n\r\n', /^HTTP\/1\.1 4\d\d/],
  [
    'a header of a megabyte',
    `GET /api HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(1_000_000)}\r\n\r\n`,
    /^$|^HTTP\/1\.1 431/,
  ],
  ['an address of a megabyte', `GET /${'x'.repeat(1_000_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, /^$|^HTTP\/1\.1 4\d\d/],
  ['a control character in a header', 'GET /api HTTP/1.1\r\nHost: x\r\nX: a\u0001b\r\n\r\n', /^HTTP\/1\.1 4\d\d/],
  ['noise', Uint8Array.from({ length: 4096 }, (_, i) => (i * 7919) % 256), /^$|^HTTP\/1\.1 400/],
];

describe('bytes that are no HTTP/1.1', () => {
  test.each(RAW)('%s', async (_name, bytes, status) => {
    const answer = await converse(bytes);
    expect(answer.slice(0, 60)).toMatch(status);
    expect(answer).not.toMatch(/^HTTP\/1\.1 5/);
    expect((await api.get('/readyz')).status).toBe(200);
  });
});

const OPEN_HEADERS = Flag.endStream | Flag.endHeaders;
const CANCEL = uint32(8);
const greeted = (...frames: readonly Uint8Array[]) => Buffer.concat([GREETING, ...frames]);
const repeated = (times: number, bytes: Uint8Array) => Array.from({ length: times }, () => bytes);

const FRAMES: readonly (readonly [name: string, bytes: Uint8Array])[] = [
  ['no preface', Buffer.from('x'.repeat(64))],
  ['a preface alone', PREFACE],
  ['headers that are no HPACK', greeted(frame(FrameType.headers, OPEN_HEADERS, 1, Buffer.alloc(6, 0xff)))],
  ['data on a stream that was never opened', greeted(frame(FrameType.data, Flag.endStream, 7, Buffer.from([1, 2, 3])))],
  ['a window of zero', greeted(frame(FrameType.windowUpdate, Flag.none, 0, uint32(0)))],
  ['a frame that is cut', greeted(frame(FrameType.headers, OPEN_HEADERS, 1, Buffer.alloc(256)).subarray(0, 6))],
  ['resets in a row', greeted(...repeated(2_000, frame(FrameType.resetStream, Flag.none, 1, CANCEL)))],
  ['settings in a row', greeted(...repeated(5_000, frame(FrameType.settings, Flag.none, 0)))],
  ['pings in a row', greeted(...repeated(5_000, frame(FrameType.ping, Flag.none, 0, Buffer.alloc(8, 1))))],
];

describe('bytes that are no HTTP/2', () => {
  test.each(FRAMES)('%s', async (_name, bytes) => {
    await converse(bytes, { alpn: 'h2' });
    expect((await api.get('/readyz')).status).toBe(200);
  });
});

test('a hundred clients that stop in the middle of their body', async () => {
  const sockets = await Promise.all(Array.from({ length: 100 }, () => open('http/1.1')));
  for (const socket of sockets) socket.write(`${CREATE}Content-Length: 3000000\r\n\r\n{"metadata":{"name":"`);
  expect((await api.get('/readyz')).status).toBe(200);
  for (const socket of sockets) socket.destroy();
  expect((await api.get('/readyz')).status).toBe(200);
});

test('the process is the one that it was, and does not grow with what it is asked', async () => {
  const onceMb = residentMb();
  for (let round = 0; round < REPEATS; round++) for (const wanted of bodyCorpus()) await api.send(wanted);
  console.log(
    `fuzz-https: resident ${startMb} MB at the start, ${onceMb} MB after the corpus, ${residentMb()} MB after ${REPEATS} more`,
  );
  expect(controller.pid).toBe(pid);
  expect((await api.get('/readyz')).status).toBe(200);
}, 240_000);
