import { MessageChannel } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { INITIAL_WINDOW_BYTES, type ToClient, type ToServer } from './port-protocol.ts';
import { createPortTransport } from './port-transport.ts';
import { TransportError } from './transport.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** A server's end that answers as the test says and remembers what it got. */
function setUp(onMessage: (message: ToServer, send: (answer: ToClient) => void) => void) {
  const { port1, port2 } = new MessageChannel();
  const received: ToServer[] = [];
  port2.on('message', (message: ToServer) => {
    received.push(message);
    onMessage(message, (answer) => port2.postMessage(answer));
  });
  const transport = createPortTransport(port1, 'system:kube-scheduler');
  cleanups.push(() => transport.close());
  return { transport, received, port2 };
}

describe('port transport', () => {
  it('carries request and answer, naming the component', async () => {
    const { transport, received } = setUp((message, send) => {
      if (message.type !== 'request') return;
      send({ type: 'head', id: message.id, status: 200, headers: { a: 'b' } });
      send({ type: 'data', id: message.id, chunk: Uint8Array.of(1, 2) });
      send({ type: 'end', id: message.id });
    });
    const body = Buffer.from('hi');
    const response = await transport.request({ method: 'POST', path: '/x', body });
    const chunks: Uint8Array[] = [];
    for await (const chunk of response.body) chunks.push(chunk);
    expect(response).toMatchObject({ status: 200, headers: { a: 'b' } });
    expect(Buffer.concat(chunks)).toEqual(Buffer.of(1, 2));
    const request = received[0] as Extract<ToServer, { type: 'request' }>;
    expect(request).toMatchObject({ component: 'system:kube-scheduler', method: 'POST' });
    // Node's Buffers share a pool; what crosses the port owns its memory.
    expect(request.body?.buffer.byteLength).toBe(2);
  });

  it('gives credit for what was read, so that long answers never stop', async () => {
    const chunkBytes = 64 * 1024;
    let windowBytes = INITIAL_WINDOW_BYTES;
    let left = 64;
    const { transport } = setUp((message, send) => {
      if (message.type === 'request') send({ type: 'head', id: message.id, status: 200, headers: {} });
      if (message.type === 'credit') windowBytes += message.bytes;
      for (; left > 0 && windowBytes >= chunkBytes; left--, windowBytes -= chunkBytes)
        send({ type: 'data', id: message.id, chunk: new Uint8Array(chunkBytes) });
      if (left === 0) send({ type: 'end', id: message.id });
    });
    const response = await transport.request({ method: 'GET', path: '/' });
    let bytes = 0;
    for await (const chunk of response.body) bytes += chunk.byteLength;
    expect(bytes).toBe(64 * chunkBytes);
  });

  it('tells the server when the reader leaves or aborts', async () => {
    const cancelled = Promise.withResolvers<void>();
    let cancels = 0;
    const { transport } = setUp((message, send) => {
      if (message.type === 'request') {
        send({ type: 'head', id: message.id, status: 200, headers: {} });
        send({ type: 'data', id: message.id, chunk: Uint8Array.of(1) });
      }
      if (message.type === 'cancel' && ++cancels === 2) cancelled.resolve();
    });
    const left = await transport.request({ method: 'GET', path: '/' });
    for await (const _ of left.body) break;
    const abort = new AbortController();
    const aborted = await transport.request({ method: 'GET', path: '/', signal: abort.signal });
    const reading = (async () => {
      for await (const _ of aborted.body) abort.abort(new Error('enough'));
    })();
    await expect(reading).rejects.toThrow('enough');
    await cancelled.promise;
  });

  it('fails what is under way when the port closes', async () => {
    const { transport, port2 } = setUp((message, send) => {
      if (message.type === 'request') send({ type: 'head', id: message.id, status: 200, headers: {} });
      port2.close();
    });
    const response = await transport.request({ method: 'GET', path: '/' });
    const reading = (async () => {
      for await (const _ of response.body);
    })();
    await expect(reading).rejects.toBeInstanceOf(TransportError);
  });
});
