import { beforeEach, describe, expect, test } from 'vitest';
import type { InMemoryResponse } from '../server/in-memory.ts';
import { createTestServer, type TestServer } from '../server/testing/test-server.ts';
import { toyConfigMaps, toyPods } from '../server/testing/toy-resources.ts';

const PODS = '/api/v1/namespaces/a/pods';
const pod = (name: string, labels: object = {}, nodeName = '') => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, labels },
  spec: { containers: [], nodeName },
});

// biome-ignore lint/suspicious/noExplicitAny: frames carry objects of many shapes.
type Frame = { type: string; object: any };

/** Reads a watch frame by frame. */
class FrameReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #text = '';

  constructor(response: InMemoryResponse) {
    this.#chunks = response.chunks[Symbol.asyncIterator]();
  }

  /** The next frame, or undefined at the end. */
  async next(): Promise<Frame | undefined> {
    for (;;) {
      const end = this.#text.indexOf('\n');
      if (end >= 0) {
        const line = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 1);
        return JSON.parse(line);
      }
      const { value, done } = await this.#chunks.next();
      if (done) return undefined;
      this.#text += new TextDecoder().decode(value);
    }
  }

  /** `TYPE name` of the next frames. */
  async summary(count: number): Promise<string[]> {
    const lines: string[] = [];
    for (let i = 0; i < count; i++) {
      const frame = await this.next();
      lines.push(frame === undefined ? 'END' : `${frame.type} ${frame.object.metadata?.name ?? ''}`.trim());
    }
    return lines;
  }
}

let api: TestServer;
const watch = async (query: string, headers?: Record<string, string>) => {
  const response = await api.call('GET', `${PODS}?watch=true${query}`, undefined, headers);
  return { response, frames: new FrameReader(response) };
};

beforeEach(async () => {
  api = createTestServer({ definitions: [toyPods, toyConfigMaps] });
  await api.expect(201, 'POST', PODS, pod('x', { app: 'web' }));
});

describe('a watch', () => {
  test('without a version begins with what is there', async () => {
    const { frames } = await watch('');
    expect(await frames.summary(1)).toEqual(['ADDED x']);
    await api.expect(201, 'POST', PODS, pod('y'));
    await api.expect(200, 'DELETE', `${PODS}/x`, { gracePeriodSeconds: 0 });
    expect(await frames.summary(2)).toEqual(['ADDED y', 'DELETED x']);
  });

  test('from a version tells what came after it', async () => {
    const from = api.store.revision;
    await api.expect(201, 'POST', PODS, pod('y'));
    const { frames } = await watch(`&resourceVersion=${from}`);
    const frame = await frames.next();
    expect(frame).toMatchObject({
      type: 'ADDED',
      object: { metadata: { name: 'y', resourceVersion: String(from + 1) } },
    });
  });

  test('with sendInitialEvents marks where the beginning ends', async () => {
    const { frames } = await watch(
      '&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan',
    );
    expect(await frames.summary(1)).toEqual(['ADDED x']);
    expect(await frames.next()).toEqual({
      type: 'BOOKMARK',
      object: {
        kind: 'Pod',
        apiVersion: 'v1',
        metadata: {
          resourceVersion: String(api.store.revision),
          annotations: { 'k8s.io/initial-events-end': 'true' },
          creationTimestamp: null,
        },
      },
    });
  });

  test('with a selector sees objects come and go as their labels change', async () => {
    const { frames } = await watch(`&labelSelector=app%3Dweb&resourceVersion=${api.store.revision}`);
    const relabel = async (name: string, labels: object) => {
      const current = await api.expect(200, 'GET', `${PODS}/${name}`);
      return api.expect(200, 'PUT', `${PODS}/${name}`, { ...current, metadata: { ...current.metadata, labels } });
    };
    await api.expect(201, 'POST', PODS, pod('y'));
    const left = await relabel('x', { app: 'db' });
    const gone = await frames.next();
    expect(gone).toMatchObject({ type: 'DELETED', object: { metadata: { name: 'x', labels: { app: 'web' } } } });
    expect(gone?.object.metadata.resourceVersion).toBe(left.metadata.resourceVersion);
    await relabel('x', { app: 'web' });
    await relabel('x', { app: 'web', more: '1' });
    expect(await frames.summary(2)).toEqual(['ADDED x', 'MODIFIED x']);
  });

  test.each([
    ['the history', '&resourceVersion=1', 301],
    ['what is there', '', 301],
  ])('tells %s in slices, and what happens meanwhile behind it', async (_, query, count) => {
    let looks = 0;
    // Every look at the clock costs a millisecond.
    const busy = createTestServer({
      definitions: [toyPods],
      extend: ({ clock }) => ({ clock: { ...clock, now: () => 0, monotonic: () => looks++, after: () => () => {} } }),
    });
    for (let i = 0; i < count; i++) await busy.expect(201, 'POST', PODS, pod(`p-${String(i).padStart(3, '0')}`));
    const names = Array.from({ length: count }, (_, i) => `ADDED p-${String(i).padStart(3, '0')}`);
    const answer = busy.call('GET', `${PODS}?watch=true${query}`);
    const frames = new FrameReader(await answer);
    let turns = 0;
    let isDone = false;
    const read = frames.summary(count + 1).finally(() => {
      isDone = true;
    });
    while (!isDone) {
      await new Promise((resolve) => setImmediate(resolve));
      turns += 1;
      if (turns === 3) await busy.expect(201, 'POST', PODS, pod('later'));
    }
    expect(await read).toEqual([...names, 'ADDED later']);
    expect(turns).toBeGreaterThan(count / 10);
  });

  test('of one node is narrowed by the index', async () => {
    const { frames } = await watch('&fieldSelector=spec.nodeName%3Dn1');
    await api.expect(201, 'POST', PODS, pod('other', {}, 'n2'));
    await api.expect(201, 'POST', PODS, pod('mine', {}, 'n1'));
    expect(await frames.summary(1)).toEqual(['ADDED mine']);
  });

  test('sends a bookmark about once a minute where the client wants them', async () => {
    const { frames } = await watch(`&allowWatchBookmarks=true&resourceVersion=${api.store.revision}`);
    await api.expect(201, 'POST', '/api/v1/namespaces/b/configmaps', { metadata: { name: 'elsewhere' } });
    await api.clock.advance(60_000);
    const frame = await frames.next();
    expect(frame).toMatchObject({
      type: 'BOOKMARK',
      object: { metadata: { resourceVersion: String(api.store.revision) } },
    });
  });

  test('ends at its time-out', async () => {
    const { frames } = await watch(`&timeoutSeconds=5&resourceVersion=${api.store.revision}`);
    await api.clock.advance(5_000);
    expect(await frames.next()).toBeUndefined();
  });

  test('ends at its time-out, be it in the middle of what is there', async () => {
    for (let i = 0; i < 25; i++) {
      await api.expect(201, 'POST', PODS, {
        ...pod(`p${i}`),
        metadata: { name: `p${i}`, annotations: { a: 'x'.repeat(200_000) } },
      });
    }
    const { frames } = await watch('&timeoutSeconds=5');
    await api.clock.advance(5_000);
    let count = 0;
    while ((await frames.next()) !== undefined) count++;
    expect(count).toBeLessThan(25);
  });

  test('stops when the client leaves', async () => {
    const { response, frames } = await watch('');
    await frames.next();
    response.cancel();
    expect(await frames.next()).toBeUndefined();
  });

  test('is cut off when the client does not take what it asked for', async () => {
    const { response, frames } = await watch(`&resourceVersion=${api.store.revision}`);
    const big = { metadata: { name: '', annotations: { a: 'x'.repeat(200_000) } }, spec: { containers: [] } };
    for (let i = 0; i < 25; i++) {
      await api.expect(201, 'POST', PODS, { ...big, metadata: { ...big.metadata, name: `p${i}` } });
    }
    let count = 0;
    while ((await frames.next()) !== undefined) count++;
    expect(response.status).toBe(200);
    expect(count).toBeLessThan(25);
  });

  test('of metadata alone tells the whole metadata and nothing else, at the beginning and of events', async () => {
    const accept = 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io';
    const { frames } = await watch('&sendInitialEvents=true&resourceVersionMatch=NotOlderThan', { accept });
    await api.expect(201, 'POST', PODS, pod('y'));
    for (const name of ['x', 'y']) {
      const frame = await frames.next();
      const { metadata } = (await api.expect(200, 'GET', `${PODS}/${name}`)) as { metadata: object };
      const object = { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata };
      expect(frame).toEqual({ type: 'ADDED', object });
    }
  });

  test('of metadata alone leaves managedFields out for who asks for it, beside one that does not', async () => {
    const accept = 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io';
    const full = await watch('', { accept });
    const lean = await watch('', { accept, 'coracle-omit': 'managedFields' });
    const { metadata } = await api.expect(200, 'GET', `${PODS}/x`);
    const { managedFields, ...rest } = metadata;
    expect(managedFields).toHaveLength(1);
    expect((await full.frames.next())?.object.metadata).toEqual(metadata);
    expect((await lean.frames.next())?.object.metadata).toEqual(rest);
  });

  test('as a Table carries the columns in its first frame alone', async () => {
    await api.expect(201, 'POST', PODS, pod('y'));
    const { frames } = await watch('', { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' });
    const [first, second] = [await frames.next(), await frames.next()];
    expect(first?.object).toMatchObject({ kind: 'Table', columnDefinitions: [{ name: 'Name' }, {}] });
    expect(first?.object.rows[0].cells[0]).toBe('x');
    expect(second?.object).toMatchObject({ columnDefinitions: null, rows: [{ object: { metadata: { name: 'y' } } }] });
  });

  test.each([
    ['sendInitialEvents=true', 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan'],
    ['resourceVersionMatch=NotOlderThan', 'resourceVersionMatch is forbidden for watch unless sendInitialEvents'],
  ])('refuses %s alone', async (query, message) => {
    const status = await api.expect(422, 'GET', `${PODS}?watch=true&${query}`);
    expect(status.message).toContain(message);
  });
});
