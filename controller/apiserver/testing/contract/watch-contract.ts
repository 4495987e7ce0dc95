import { describe, expect, test } from 'vitest';
import type { Answer } from '../../server/testing/test-server.ts';
import type { ContractSuite, Frame } from './contract-target.ts';
import { configMap, configMapsOf, pod, podsOf, secret, secretsOf } from './samples.ts';

const INITIAL_END = 'k8s.io/initial-events-end';
const TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';
const METADATA = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json';
/** Far more than a connection and a socket hold: 4 MiB and what the windows take. */
const FLOOD = { objects: 24, bytes: 1_000_000 };

export function describeWatch({ api }: ContractSuite): void {
  const create = async (ns: string, name: string, labels: Record<string, string> = {}): Promise<Answer> =>
    api().expect(201, api().post(secretsOf(ns), secret(name, labels)));
  const label = (ns: string, name: string, app: string | null): Promise<Answer> =>
    api().expect(200, api().patch(`${secretsOf(ns)}/${name}`, 'merge', { metadata: { labels: { app } } }));
  const remove = (ns: string, name: string): Promise<Answer> =>
    api().expect(200, api().delete(`${secretsOf(ns)}/${name}`));
  const watch = (ns: string, query = '', headers?: Record<string, string>) =>
    api().watch(`${secretsOf(ns)}?watch=true&${query}`, headers);
  const revisionOf = async (ns: string): Promise<string> =>
    (await api().expect(200, api().get(secretsOf(ns)))).metadata.resourceVersion;

  describe('a watch', () => {
    test.each(['', 'resourceVersion=0'])('from %s begins with what is there as ADDED', async (query) => {
      const ns = await api().namespace();
      await create(ns, 'a');
      await create(ns, 'b');
      const frames = await watch(ns, query);
      expect(await frames.summary(2)).toEqual(['ADDED a', 'ADDED b']);
      await label(ns, 'a', 'x');
      await remove(ns, 'b');
      expect(await frames.summary(2)).toEqual(['MODIFIED a', 'DELETED b']);
      frames.cancel();
    });

    test('from a revision tells all that came after it, and nothing before', async () => {
      const ns = await api().namespace();
      await create(ns, 'a');
      const from = await revisionOf(ns);
      await create(ns, 'b');
      await label(ns, 'a', 'x');
      await remove(ns, 'a');
      const frames = await watch(ns, `resourceVersion=${from}`);
      expect(await frames.summary(3)).toEqual(['ADDED b', 'MODIFIED a', 'DELETED a']);
      frames.cancel();
    });

    test('tells of a deletion the last state, under the revision of the deletion', async () => {
      const ns = await api().namespace();
      const { metadata } = await create(ns, 'a', { app: 'x' });
      const frames = await watch(ns, `resourceVersion=${metadata.resourceVersion}`);
      await remove(ns, 'a');
      const frame = (await frames.next()) as Frame;
      expect(frame).toMatchObject({
        type: 'DELETED',
        object: { data: { key: 'dmFsdWU=' }, metadata: { labels: { app: 'x' } } },
      });
      expect(Number(frame.object.metadata.resourceVersion)).toBeGreaterThan(Number(metadata.resourceVersion));
      frames.cancel();
    });

    test('carries the same object as a get', async () => {
      const ns = await api().namespace();
      const frames = await watch(ns, `resourceVersion=${await revisionOf(ns)}`);
      const object = await create(ns, 'a');
      expect((await frames.next())?.object).toEqual(object);
      frames.cancel();
    });

    test('from a forgotten revision ends with an ERROR of 410 Expired', async () => {
      const ns = await api().namespace();
      const from = await revisionOf(ns);
      await api().target.compact();
      const frames = await watch(ns, `resourceVersion=${from}`);
      expect(await frames.rest()).toMatchObject([
        {
          type: 'ERROR',
          object: {
            kind: 'Status',
            code: 410,
            reason: 'Expired',
            message: expect.stringMatching(/^too old resource version: \d+ \(\d+\)$/),
          },
        },
      ]);
    });

    test.each([
      ['no number', 'resourceVersion=abc', 400],
      ['resourceVersionMatch alone', 'resourceVersionMatch=NotOlderThan', 422],
      ['sendInitialEvents alone', 'sendInitialEvents=true', 422],
      ['sendInitialEvents with Exact', 'sendInitialEvents=true&resourceVersionMatch=Exact&resourceVersion=1', 422],
      ['a selector that does not parse', 'labelSelector=)', 400],
    ])('with %s is refused before it begins', async (_what, query, status) => {
      const ns = await api().namespace();
      expect(await api().expect(status, api().get(`${secretsOf(ns)}?watch=true&${query}`))).toMatchObject({
        kind: 'Status',
      });
    });

    test('ends after timeoutSeconds, with a bookmark shortly before for those who take it', async () => {
      const ns = await api().namespace();
      await create(ns, 'a');
      const [plain, marked] = await Promise.all([
        watch(ns, 'timeoutSeconds=3'),
        watch(ns, 'timeoutSeconds=3&allowWatchBookmarks=true'),
      ]);
      expect(await plain.summary(1)).toEqual(['ADDED a']);
      expect(await marked.summary(1)).toEqual(['ADDED a']);
      const revision = await revisionOf(ns);
      await api().target.elapse(3_000);
      expect(await plain.rest()).toEqual([]);
      const frames = await marked.rest();
      expect(frames).toMatchObject([{ type: 'BOOKMARK', object: { kind: 'Secret', apiVersion: 'v1' } }]);
      expect(Number(frames[0]?.object.metadata.resourceVersion)).toBeGreaterThanOrEqual(Number(revision));
    });

    test('without timeoutSeconds does not end soon', async () => {
      const ns = await api().namespace();
      const frames = await watch(ns);
      await api().target.elapse(60_000);
      await create(ns, 'a');
      expect(await frames.summary(1)).toEqual(['ADDED a']);
      frames.cancel();
    });

    test('of one name by field selector sees that one alone', async () => {
      const ns = await api().namespace();
      const frames = await watch(ns, 'fieldSelector=metadata.name%3Db');
      await create(ns, 'a');
      await create(ns, 'b');
      await remove(ns, 'a');
      await remove(ns, 'b');
      expect(await frames.summary(2)).toEqual(['ADDED b', 'DELETED b']);
      frames.cancel();
    });

    test('by the old paths: a collection, all namespaces, one name', async () => {
      const ns = await api().namespace();
      const from = await api().revision();
      await create(ns, 'a');
      await create(ns, 'b');
      const here = await api().watch(`/api/v1/watch/namespaces/${ns}/secrets?resourceVersion=${from}`);
      const one = await api().watch(`/api/v1/watch/namespaces/${ns}/secrets/b?resourceVersion=${from}`);
      const all = await api().watch(`/api/v1/watch/secrets?resourceVersion=${from}`);
      expect(await here.summary(2)).toEqual(['ADDED a', 'ADDED b']);
      expect(await one.summary(1)).toEqual(['ADDED b']);
      expect((await all.next())?.type).toBe('ADDED');
      for (const reader of [here, one, all]) reader.cancel();
    });

    test('watch=1 is one, watch=false is a list', async () => {
      const ns = await api().namespace();
      const frames = await api().watch(`${secretsOf(ns)}?watch=1&timeoutSeconds=1`);
      await api().target.elapse(1_000);
      expect(await frames.rest()).toEqual([]);
      expect((await api().expect(200, api().get(`${secretsOf(ns)}?watch=false`))).kind).toBe('SecretList');
    });
  });

  describe('a watch with a selector', () => {
    test('tells of objects that enter as ADDED and of those that leave as DELETED', async () => {
      const ns = await api().namespace();
      await create(ns, 'a', { app: 'x' });
      const frames = await watch(ns, `labelSelector=app%3Dx&resourceVersion=${await revisionOf(ns)}`);
      await label(ns, 'a', 'y');
      await create(ns, 'b', { app: 'y' });
      await label(ns, 'b', 'x');
      await api().expect(200, api().patch(`${secretsOf(ns)}/b`, 'merge', { data: { more: 'eA==' } }));
      await label(ns, 'a', null);
      await remove(ns, 'a');
      await remove(ns, 'b');
      const seen = [await frames.next(), await frames.next(), await frames.next(), await frames.next()] as Frame[];
      expect(seen.map(({ type, object }) => `${type} ${object.metadata.name}`)).toEqual([
        'DELETED a',
        'ADDED b',
        'MODIFIED b',
        'DELETED b',
      ]);
      // What leaves is shown as it was last seen.
      expect(seen[0]?.object.metadata.labels).toEqual({ app: 'x' });
      frames.cancel();
    });

    test('tells the revision of the change that took the object away', async () => {
      const ns = await api().namespace();
      await create(ns, 'a', { app: 'x' });
      const frames = await watch(ns, `labelSelector=app%3Dx&resourceVersion=${await revisionOf(ns)}`);
      const { metadata } = await label(ns, 'a', 'y');
      expect((await frames.next())?.object.metadata.resourceVersion).toBe(metadata.resourceVersion);
      frames.cancel();
    });

    test('by node follows a pod as it is bound', async () => {
      const ns = await api().namespace();
      await api().expect(201, api().post(podsOf(ns), pod('a')));
      const from = (await api().expect(200, api().get(podsOf(ns)))).metadata.resourceVersion;
      const there = await api().watch(
        `${podsOf(ns)}?watch=true&fieldSelector=spec.nodeName%3Dn1&resourceVersion=${from}`,
      );
      const nowhere = await api().watch(
        `${podsOf(ns)}?watch=true&fieldSelector=spec.nodeName%3D&resourceVersion=${from}`,
      );
      const binding = {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { name: 'a' },
        target: { kind: 'Node', name: 'n1' },
      };
      await api().expect(201, api().post(`${podsOf(ns)}/a/binding`, binding));
      expect(await there.summary(1)).toEqual(['ADDED a']);
      expect(await nowhere.summary(1)).toEqual(['DELETED a']);
      there.cancel();
      nowhere.cancel();
    });
  });

  describe('sendInitialEvents', () => {
    const begin = (ns: string, query = '') =>
      watch(ns, `sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&${query}`);

    test('tells the state, then the bookmark that ends it, then what happens', async () => {
      const ns = await api().namespace();
      await create(ns, 'a');
      const revision = Number(await revisionOf(ns));
      const frames = await begin(ns);
      expect(await frames.summary(1)).toEqual(['ADDED a']);
      const mark = (await frames.next()) as Frame;
      expect(mark).toMatchObject({
        type: 'BOOKMARK',
        object: { kind: 'Secret', metadata: { annotations: { [INITIAL_END]: 'true' } } },
      });
      expect(Number(mark.object.metadata.resourceVersion)).toBeGreaterThanOrEqual(revision);
      await create(ns, 'b');
      expect(await frames.summary(1)).toEqual(['ADDED b']);
      frames.cancel();
    });

    test('of nothing is the bookmark alone', async () => {
      const frames = await begin(await api().namespace());
      expect((await frames.next())?.object.metadata.annotations).toEqual({ [INITIAL_END]: 'true' });
      frames.cancel();
    });

    test('honours selectors and a revision that it may not be older than', async () => {
      const ns = await api().namespace();
      await create(ns, 'a', { app: 'x' });
      await create(ns, 'b', { app: 'y' });
      const frames = await begin(ns, `labelSelector=app%3Dy&resourceVersion=${await revisionOf(ns)}`);
      expect(await frames.summary(2)).toEqual(['ADDED b', 'BOOKMARK']);
      frames.cancel();
    });

    test('without allowWatchBookmarks has no mark; false has no state', async () => {
      const ns = await api().namespace();
      await create(ns, 'a');
      const unmarked = await watch(ns, 'sendInitialEvents=true&resourceVersionMatch=NotOlderThan');
      const stateless = await watch(ns, 'sendInitialEvents=false&resourceVersionMatch=NotOlderThan');
      expect(await unmarked.summary(1)).toEqual(['ADDED a']);
      await create(ns, 'b');
      expect(await unmarked.summary(1)).toEqual(['ADDED b']);
      expect(await stateless.summary(1)).toEqual(['ADDED b']);
      unmarked.cancel();
      stateless.cancel();
    });

    test('as a Table marks its end in the only row', async () => {
      const ns = await api().namespace();
      const frames = await watch(
        ns,
        'sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true',
        { accept: TABLE },
      );
      const { type, object } = (await frames.next()) as Frame;
      expect([type, object.kind]).toEqual(['BOOKMARK', 'Table']);
      expect(object.rows[0].object.metadata.annotations).toEqual({ [INITIAL_END]: 'true' });
      frames.cancel();
    });
  });

  describe('other forms of a watch', () => {
    test('metadata alone', async () => {
      const ns = await api().namespace();
      await create(ns, 'a', { app: 'x' });
      const frames = await watch(ns, '', { accept: METADATA });
      const { object } = (await frames.next()) as Frame;
      expect(object).toMatchObject({
        kind: 'PartialObjectMetadata',
        apiVersion: 'meta.k8s.io/v1',
        metadata: { labels: { app: 'x' } },
      });
      expect(object).not.toHaveProperty('data');
      frames.cancel();
    });

    test('Tables of one row, with the columns in the first alone', async () => {
      const ns = await api().namespace();
      await create(ns, 'a');
      await create(ns, 'b');
      const frames = await watch(ns, 'includeObject=Object', { accept: TABLE });
      const [first, second] = [(await frames.next()) as Frame, (await frames.next()) as Frame];
      expect(first.object.columnDefinitions.length).toBeGreaterThan(0);
      expect(second.object.columnDefinitions).toBeNull();
      expect(second.object.rows).toHaveLength(1);
      expect(second.object.rows[0]).toMatchObject({ cells: expect.arrayContaining(['b']), object: { kind: 'Secret' } });
      frames.cancel();
    });
  });

  describe('watchers', () => {
    test('that do not take what they asked for are cut off; the others see everything', async () => {
      const ns = await api().namespace();
      const from = await revisionOf(ns);
      const [slow, quick] = [
        await api().watch(`${configMapsOf(ns)}?watch=true&resourceVersion=${from}`),
        await api().watch(`${configMapsOf(ns)}?watch=true&resourceVersion=${from}`),
      ];
      const names: string[] = [];
      const reading = (async () => {
        while (!names.includes(`c${FLOOD.objects - 1}`)) names.push((await quick.next())?.object.metadata.name);
      })();
      for (let i = 0; i < FLOOD.objects; i++)
        await api().expect(201, api().post(configMapsOf(ns), configMap(`c${i}`, { pad: 'x'.repeat(FLOOD.bytes) })));
      await reading;
      expect(names.filter((name) => /^c\d+$/.test(name))).toEqual(
        Array.from({ length: FLOOD.objects }, (_, i) => `c${i}`),
      );
      // It gets what was already under way, and then the end rather than the rest.
      const taken = await slow.rest().catch(() => []);
      expect(taken.length).toBeLessThan(FLOOD.objects);
      quick.cancel();
    });

    test('that come back to far more than they may be behind get all of it', async () => {
      const ns = await api().namespace();
      const from = await revisionOf(ns);
      const written: string[] = [];
      for (let i = 0; i < FLOOD.objects; i++) {
        const body = configMap(`c${i}`, { pad: 'x'.repeat(FLOOD.bytes) });
        written.push((await api().expect(201, api().post(configMapsOf(ns), body))).metadata.name);
      }
      const frames = await api().watch(`${configMapsOf(ns)}?watch=true&resourceVersion=${from}`);
      const seen: string[] = [];
      while (seen.length < FLOOD.objects) {
        const frame = await frames.next();
        if (frame === undefined) break;
        if (/^c\d+$/.test(frame.object.metadata.name)) seen.push(frame.object.metadata.name);
      }
      expect(seen).toEqual(written);
      frames.cancel();
    });

    test('that resume from the last revision they saw lose nothing and see nothing twice', async () => {
      const ns = await api().namespace();
      let from = await revisionOf(ns);
      const written: string[] = [];
      const seen: string[] = [];
      const writing = (async () => {
        for (let i = 0; i < 60; i++) {
          const name = `s${i % 7}`;
          const reply = await api().put(`${secretsOf(ns)}/${name}`, { ...secret(name), data: { i: btoa(String(i)) } });
          const { metadata } = reply.status === 404 ? await create(ns, name) : reply.body;
          written.push(metadata.resourceVersion);
        }
      })();
      while (seen.length < 60) {
        const frames = await watch(ns, `resourceVersion=${from}`);
        for (let i = 0; i < 1 + (seen.length % 9) && seen.length < 60; i++) {
          from = (await frames.next())?.object.metadata.resourceVersion;
          seen.push(from);
        }
        frames.cancel();
      }
      await writing;
      expect(seen).toEqual(written);
    });

    test('all see the same events in the same order', async () => {
      const ns = await api().namespace();
      const from = await revisionOf(ns);
      const readers = await Promise.all(Array.from({ length: 10 }, () => watch(ns, `resourceVersion=${from}`)));
      await Promise.all(Array.from({ length: 20 }, (_, i) => create(ns, `s${i}`)));
      const orders = await Promise.all(readers.map((reader) => reader.summary(20)));
      for (const order of orders) expect(order).toEqual(orders[0]);
      for (const reader of readers) reader.cancel();
    });
  });
}
