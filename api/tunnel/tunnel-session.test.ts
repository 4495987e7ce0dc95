import { Duplex, PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { decodeFrame, encodeFrame, INITIAL_CREDIT_BYTES, type TunnelFrame, type TunnelTarget } from './frames.ts';
import { TunnelSession } from './tunnel-session.ts';

describe('tunnel frames', () => {
  it.each<TunnelFrame>([
    { type: 'open', stream: 1, target: { host: '10.244.1.2', port: 80 } },
    { type: 'opened', stream: 4294967295 },
    { type: 'data', stream: 3, bytes: new Uint8Array([0, 1, 255]) },
    { type: 'credit', stream: 3, bytes: 65536 },
    { type: 'end', stream: 3 },
    { type: 'reset', stream: 3, reason: 'connect ECONNREFUSED' },
    { type: 'packet', stream: 0, node: 'node-1', bytes: new Uint8Array([8, 0, 255]) },
    { type: 'packet', stream: 0, node: 'node-1', bytes: new Uint8Array() },
  ])('survive the wire: $type', (frame) => {
    expect(decodeFrame(encodeFrame(frame))).toEqual(frame);
  });

  it('of an unknown type are ignored, broken ones refused', () => {
    expect(decodeFrame(new Uint8Array([99, 0, 0, 0, 1]))).toBeUndefined();
    expect(() => decodeFrame(new Uint8Array([1, 0]))).toThrow('header');
    expect(() => decodeFrame(new Uint8Array([7, 0, 0, 0, 0, 9, 97]))).toThrow('name of its node');
    expect(() =>
      decodeFrame(encodeFrame({ type: 'data', stream: 1, bytes: new Uint8Array() }).fill(1, 0, 1)),
    ).toThrow();
  });
});

/** Two sessions joined by queues; `backend` is what the agent side connects to. */
function pair(connect: (target: TunnelTarget, signal: AbortSignal) => Promise<Duplex>) {
  const sent: TunnelFrame[] = [];
  const controller: TunnelSession = new TunnelSession({
    send: (message, done) =>
      setImmediate(() => {
        sent.push(decodeFrame(message)!);
        agent.receive(message);
        done?.();
      }),
  });
  const agent: TunnelSession = new TunnelSession({
    send: (message, done) =>
      setImmediate(() => {
        controller.receive(message);
        done?.();
      }),
    connect,
  });
  return { controller, agent, sent };
}

/** Answers what it got, in upper case, after the end. */
function shouter(): Duplex {
  let text = '';
  return new Duplex({
    write(chunk, _, done) {
      text += chunk;
      done();
    },
    final(done) {
      this.push(text.toUpperCase());
      this.push(null);
      done();
    },
    read() {},
  });
}

const target = { host: '10.244.0.5', port: 8080 };
const text = async (stream: Duplex) => Buffer.concat(await stream.toArray()).toString();
const idle = () => new Promise((resolve) => setTimeout(resolve, 20));

describe('tunnel session', () => {
  it('carries a stream to the asked-for target and keeps the halves apart', async () => {
    const asked: TunnelTarget[] = [];
    const { controller, agent } = pair(async (to) => {
      asked.push(to);
      return shouter();
    });
    const stream = await controller.open(target);
    stream.end('hello');
    expect(await text(stream)).toBe('HELLO');
    expect(asked).toEqual([target]);
    await expect.poll(() => [controller.streamCount, agent.streamCount]).toEqual([0, 0]);
  });

  it('carries large data both ways unharmed, many streams at once', async () => {
    const { controller } = pair(async () => new PassThrough());
    const data = Buffer.alloc(3 * 1024 * 1024, 'abcdefghijklmnopqrstuvwxyz0123456789');
    const echo = async () => {
      const stream = await controller.open(target);
      stream.end(data);
      return Buffer.compare(Buffer.concat(await stream.toArray()), data);
    };
    expect(await Promise.all([echo(), echo(), echo()])).toEqual([0, 0, 0]);
  });

  it('tells the caller why the agent could not connect', async () => {
    const { controller } = pair(async () => {
      throw new Error('connect ECONNREFUSED 10.244.0.5:8080');
    });
    await expect(controller.open(target)).rejects.toThrow('ECONNREFUSED 10.244.0.5:8080');
    expect(controller.streamCount).toBe(0);
  });

  it('stops a sender whose reader does not read, and no other stream', async () => {
    const blocked = new Duplex({ read() {}, write() {} });
    const backends: Duplex[] = [blocked, new PassThrough()];
    const { controller, sent } = pair(async () => backends.shift()!);
    const slow = await controller.open(target);
    slow.write(Buffer.alloc(4 * INITIAL_CREDIT_BYTES));
    await idle();
    const onTheWay = sent.reduce((sum, frame) => sum + (frame.type === 'data' ? frame.bytes.length : 0), 0);
    expect(onTheWay).toBeLessThanOrEqual(2 * INITIAL_CREDIT_BYTES);
    const other = await controller.open(target);
    other.end('still here');
    expect(await text(other)).toBe('still here');
    slow.destroy();
  });

  it('closes the backend when the caller goes away', async () => {
    const backend = new PassThrough();
    const { controller, agent } = pair(async () => backend);
    const stream = await controller.open(target);
    stream.destroy();
    await expect.poll(() => backend.destroyed).toBe(true);
    expect(agent.streamCount).toBe(0);
  });

  it('passes on what was sent before a close, however slowly it is read', async () => {
    const backend = new PassThrough();
    const { controller } = pair(async () => backend);
    const stream = await controller.open(target);
    backend.push('last words');
    await idle();
    backend.push(null);
    backend.destroy();
    await idle();
    expect(await text(stream)).toBe('last words');
  });

  it('gives up connecting when the caller aborts', async () => {
    const { promise, resolve } = Promise.withResolvers<AbortSignal>();
    const { controller } = pair((_, signal) => {
      resolve(signal);
      return new Promise(() => {});
    });
    const stop = new AbortController();
    const opening = controller.open(target, stop.signal);
    const signal = await promise;
    stop.abort();
    await expect(opening).rejects.toMatchObject({ name: 'AbortError' });
    await expect.poll(() => signal.aborted).toBe(true);
  });

  it('fails every stream when the channel breaks', async () => {
    const { controller } = pair(async () => new PassThrough());
    const stream = await controller.open(target);
    const failed = new Promise<Error>((resolve) => stream.once('error', resolve));
    controller.close(new Error('tunnel lost'));
    expect((await failed).message).toBe('tunnel lost');
    await expect(controller.open(target)).rejects.toThrow('tunnel lost');
  });
});
