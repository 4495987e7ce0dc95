import http2, { type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import type {
  ContractCall,
  ContractResponse,
  ContractTarget,
} from '#controller/apiserver/testing/contract/contract-target.ts';
import type { ControllerProcess } from './controller-process.ts';

/** Two of them are more than a controller keeps in its history for every ninety. */
const FILLER_BYTES = 1_400_000;
const MAX_FILLERS = 120;

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

/** Writes until the history has grown too large for the events of before. */
async function forgetHistory(call: ContractTarget['call']): Promise<void> {
  const path = '/api/v1/namespaces/default/configmaps';
  const send = async (method: 'POST' | 'PUT' | 'GET' | 'DELETE', to: string, body?: object) => {
    const response = await call({ method, path: to, body });
    const parts: Uint8Array[] = [];
    for await (const chunk of response.chunks) parts.push(chunk);
    return JSON.parse(Buffer.concat(parts).toString());
  };
  await send('POST', path, { metadata: { name: 'filler' } });
  const start = (await send('GET', `${path}?limit=1`)).metadata.resourceVersion;
  for (let i = 0; i < MAX_FILLERS; i++) {
    await send('PUT', `${path}/filler`, {
      metadata: { name: 'filler' },
      data: { i: `${i} `.padEnd(FILLER_BYTES, 'x') },
    });
    if (i % 10 !== 9) continue;
    const old = await send('GET', `${path}?resourceVersion=${start}&resourceVersionMatch=Exact&limit=1`);
    if (old.code !== 410) continue;
    await send('DELETE', `${path}/filler`);
    return;
  }
  throw new Error(`the history holds ${MAX_FILLERS} events of ${FILLER_BYTES} bytes`);
}
