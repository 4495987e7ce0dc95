import http2, { type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import type {
  ContractCall,
  ContractResponse,
  ContractTarget,
} from '#controller/apiserver/testing/contract/contract-target.ts';
import type { ControllerProcess } from './controller-process.ts';

/** A controller keeps about 100 MB of events whatever happens; an object may have 1.5 MiB. */
const FILLER_BYTES = 1_400_000;
const MAX_FILLERS = 60;

/** The API of a real controller process over HTTP/2, as its administrator. */
export function createHttpsTarget(controller: ControllerProcess): ContractTarget {
  const { access } = controller;
  const session = http2.connect(access.server, { ca: access.ca!, cert: access.cert!, key: access.key! });
  session.on('error', () => {});
  const call = (wanted: ContractCall) => requestOver(session, wanted);
  return {
    call,
    // The clock of another process cannot be moved; whoever waits for a frame waits for it.
    elapse: () => Promise.resolve(),
    compact: () => forgetHistory(call),
    async close() {
      session.destroy();
    },
  };
}

export function requestOver(session: ClientHttp2Session, call: ContractCall): Promise<ContractResponse> {
  const { method, path, headers = {} } = call;
  const body = encodeBody(call.body);
  const type = body === undefined || headers['content-type'] ? {} : { 'content-type': 'application/json' };
  const stream = session.request(
    { ':method': method, ':path': path, ...type, ...headers },
    { endStream: body === undefined },
  );
  if (body !== undefined) stream.end(body);
  return new Promise((resolve, reject) => {
    stream.once('error', reject);
    // A session that is destroyed ends its streams without an error.
    stream.once('close', () => reject(new Error(`${method} ${path}: the connection is gone`)));
    stream.once('response', (head) => {
      const plain = Object.entries(head).flatMap(([name, value]) =>
        name.startsWith(':') ? [] : [[name, [value].flat().join(', ')] as const],
      );
      resolve({
        status: Number(head[':status']),
        headers: Object.fromEntries(plain),
        chunks: chunksOf(stream),
        cancel: () => stream.close(http2.constants.NGHTTP2_CANCEL),
      });
    });
  });
}

async function* chunksOf(stream: ClientHttp2Stream): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of stream) yield chunk as Uint8Array;
  } catch (err) {
    // A stream that the client gave up, and one that the server cut off, are over.
    if (!stream.aborted && stream.rstCode === http2.constants.NGHTTP2_NO_ERROR) throw err;
  }
}

function encodeBody(body: ContractCall['body']): Uint8Array | undefined {
  if (body === undefined) return undefined;
  if (body instanceof Uint8Array) return body;
  return new TextEncoder().encode(typeof body === 'string' ? body : JSON.stringify(body));
}

/** Writes until the history has grown too large for the events of before: an object counts when it comes and when it goes. */
async function forgetHistory(call: ContractTarget['call']): Promise<void> {
  const path = '/apis/apps/v1/namespaces/default/controllerrevisions';
  const send = async (method: ContractCall['method'], to: string, body?: object) => {
    const response = await call({ method, path: to, body });
    const parts: Uint8Array[] = [];
    for await (const chunk of response.chunks) parts.push(chunk);
    const answer = JSON.parse(Buffer.concat(parts).toString());
    return { status: response.status, ...answer };
  };
  const start = (await send('GET', `${path}?limit=1`)).metadata.resourceVersion;
  for (let i = 0; i < MAX_FILLERS; i++) {
    const data = { filler: 'x'.repeat(FILLER_BYTES) };
    const { status, message } = await send('POST', path, { metadata: { name: `filler-${i}` }, revision: i, data });
    if (status !== 201) throw new Error(`the history could not be filled: ${status} ${message}`);
    await send('DELETE', `${path}/filler-${i}`);
    if (i % 5 !== 4) continue;
    const { code } = await send('GET', `${path}?resourceVersion=${start}&resourceVersionMatch=Exact&limit=1`);
    if (code === 410) return;
  }
  throw new Error(`the history holds ${2 * MAX_FILLERS} events of ${FILLER_BYTES} bytes`);
}
