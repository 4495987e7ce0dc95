import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { encodeProtobuf } from '#api/codec/encode-protobuf.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { builtinTypes } from '#api/schema/builtin-types.ts';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { Compactor } from '#controller/store/etcd/compactor.ts';
import type { EtcdStore } from '#controller/store/etcd/etcd-store.ts';
import type { EtcdStoreOptions } from '#controller/store/etcd/open-etcd-store.ts';
import type { RequestOp } from '#controller/store/etcd/wire-protocol.ts';
import {
  eventKey,
  podKey,
  putPod,
  recordEvents,
  remove,
  sampleValue,
  specOf,
} from '#controller/store/testing/sample-values.ts';
import { type EtcdCluster, startEtcd } from '../kit/etcd.ts';
import { type EtcdRelease, findEtcd } from '../kit/etcd-releases.ts';
import { openTestStore } from '../kit/etcd-store.ts';
import { waitUntil } from '../kit/wait-until.ts';

const PODS = '/registry/pods/';
/** Of a megabyte each; some 30 are enough. */
const MOST_FILLERS = 500;

/** On either side of the release that made progress requests safe. */
const RELEASES: readonly { readonly release: EtcdRelease; readonly safe: boolean }[] = [
  { release: 'bookworm', safe: false },
  { release: 'trixie', safe: true },
];

const bytes = (text: string) => new TextEncoder().encode(text);

for (const { release, safe } of RELEASES) {
  const program = findEtcd(release);
  const title = `etcd of ${release} shared with others`;
  describe.skipIf(typeof program === 'string')(
    typeof program === 'string' ? `${title}: skipped, ${program}` : `${title}, ${program.version}`,
    () => {
      let cluster: EtcdCluster;
      let prefix: string;
      const open = async (options: Partial<EtcdStoreOptions> = {}): Promise<EtcdStore> => {
        const store = await openTestStore(cluster, { prefix, ...options });
        stores.push(store);
        return store;
      };
      const stores: EtcdStore[] = [];
      const commit = (...success: readonly RequestOp[]) => cluster.client.txn({ compare: [], success, failure: [] });
      const put = (key: string, value: Uint8Array): RequestOp => ({
        request_put: { key: bytes(`${prefix}${key}`), value },
      });

      beforeAll(async () => {
        cluster = await startEtcd({ release });
      });
      afterEach(() => {
        for (const store of stores.splice(0)) store.abandon();
      });
      afterAll(() => cluster.stop());

      it('reads through one server what was written through another, whatever else uses up revisions', async () => {
        prefix = `/${randomUUID()}`;
        const [one, two] = [await open(), await open()];
        expect(two.shared.servesWatchLists).toBe(safe);
        for (let n = 0; n < 50; n++) {
          // A neighbour in the same etcd: its revisions never show up in our watch.
          const { revision } = await putPod(one, 'a', { n });
          const neighbour = commit({ request_put: { key: bytes('/neighbour'), value: bytes(String(n)) } });
          const told = n % 5 === 2 ? Number((await neighbour).header.revision) : 0;
          await two.shared.catchUp();
          expect(two.revision).toBeGreaterThanOrEqual(told);
          await neighbour;
          expect(specOf(two.snapshot().get(podKey('a')))).toEqual({ n });
          expect(two.revision).toBeGreaterThanOrEqual(revision);
        }
      });

      it('reads on, and starts, where a neighbour has filled it up', async () => {
        const full = await startEtcd({ release, args: ['--quota-backend-bytes', String(8 * 2 ** 20)] });
        prefix = `/${randomUUID()}`;
        const open = async () => {
          const store = await openTestStore(full, { prefix });
          stores.push(store);
          return store;
        };
        try {
          const store = await open();
          await putPod(store, 'a', { n: 1 });
          await putPod(store, 'b', {});
          await store.write(podKey('b'), remove);
          const filler = { request_put: { key: bytes('/neighbour/x'), value: new Uint8Array(2 ** 20) } };
          const fill = () => full.client.txn({ compare: [], success: [filler], failure: [] });
          // etcd learns its own size ten times a second: until then more gets in than there is room for.
          const fillUp = async () => {
            for (let n = 0; n < MOST_FILLERS; n++) await fill();
          };
          await expect(fillUp()).rejects.toMatchObject({ fault: 'noSpace' });
          for (let n = 0; n < 3; n++) await store.shared.catchUp();
          await expect(putPod(store, 'c', {})).rejects.toMatchObject({ code: 507 });
          expect(store.contentProblem()).toContain('NOSPACE');
          const restarted = await open();
          expect(specOf(restarted.snapshot().get(podKey('a')))).toEqual({ n: 1 });
          // Deletions make room, so they are let through; and are seen by the others.
          await store.write(podKey('a'), remove);
          await restarted.shared.catchUp();
          expect(restarted.snapshot().count(PODS)).toBe(0);
        } finally {
          for (const store of stores.splice(0)) store.abandon();
          await full.stop();
        }
      });

      it('waits for a revision that only a neighbour has made', async () => {
        prefix = `/${randomUUID()}`;
        const store = await open();
        const { header } = await commit({ request_put: { key: bytes('/neighbour'), value: bytes('x') } });
        await store.waitFor(Number(header.revision), 3_000);
        expect(store.revision).toBeGreaterThanOrEqual(Number(header.revision));
      });

      it('shows what Kubernetes wrote, in protobuf and in the JSON of Go', async () => {
        prefix = `/${randomUUID()}`;
        const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', namespace: 'default', uid: 'u1' } };
        const type = builtinTypes().typeOf({ group: '', version: 'v1', kind: 'Pod' })!;
        await commit(put('/pods/default/p', encodeProtobuf(pod as KubeObject, type)));
        const store = await open();
        const custom = { kind: 'Widget', apiVersion: 'example.com/v1', metadata: { name: 'w', resourceVersion: '9' } };
        await commit(put('/example.com/widgets/w', bytes(`${JSON.stringify({ ...custom, aaa: 1 })}\n`)));
        const event = {
          kind: 'Pod',
          apiVersion: 'v1',
          spec: { nodeName: 'n1' },
          metadata: { namespace: 'default', name: 'q' },
        };
        const { header } = await commit(put('/pods/default/q', bytes(`${JSON.stringify(event)}\n`)));
        await store.shared.catchUp();
        const text = (key: string) => new TextDecoder().decode(store.snapshot().get(key)?.bytes);
        expect(JSON.parse(text(podKey('p'))).metadata).toMatchObject({ name: 'p', uid: 'u1' });
        expect(text(podKey('q'))).toMatch(
          new RegExp(`^{"apiVersion":"v1","kind":"Pod","metadata":{"resourceVersion":"${header.revision}","name":"q"`),
        );
        expect(text('/registry/example.com/widgets/w')).toMatch(
          /^{"apiVersion":"example\.com\/v1","kind":"Widget","metadata":{"resourceVersion":"\d+","name":"w"},"aaa":1}$/,
        );
        // And our own write on top of it is one that compares with theirs.
        expect((await putPod(store, 'p', { n: 1 })).changed).toBe(true);
      });

      it('leaves out what nobody can read, says so, and does not overwrite it', async () => {
        prefix = `/${randomUUID()}`;
        await commit(put('/pods/default/broken', bytes('k8s:enc:aesgcm:v1:lost:…')));
        const store = await open();
        await putPod(store, 'whole', {});
        expect([...store.snapshot().range(PODS)].map(({ key }) => key)).toEqual([podKey('whole')]);
        expect(store.contentProblem()).toContain('/pods/default/broken cannot be read');
        await expect(putPod(store, 'broken', {})).rejects.toMatchObject({ code: 500 });
        await commit({ request_delete_range: { key: bytes(`${prefix}/pods/default/broken`) } });
        await store.shared.catchUp();
        expect(store.contentProblem()).toBeUndefined();
        expect((await putPod(store, 'broken', {})).changed).toBe(true);
      });

      it('goes on when somebody deletes keys of ours that are no objects', async () => {
        prefix = `/${randomUUID()}`;
        const store = await open();
        // Makes the fence, where progress is told by it and where not.
        await commit(put('/coracle.dev/fence', bytes('')));
        await putPod(store, 'a', { n: 1 });
        await commit({ request_delete_range: { key: bytes(`${prefix}/coracle.dev/fence`) } });
        await putPod(store, 'a', { n: 2 });
        await store.shared.catchUp();
        expect(specOf(store.snapshot().get(podKey('a')))).toEqual({ n: 2 });
        expect([...store.snapshot().range('/registry/')]).toHaveLength(1);
      });

      it('delivers all that one foreign transaction did, under its one revision', async () => {
        prefix = `/${randomUUID()}`;
        const store = await open();
        await putPod(store, 'gone', {});
        const events = recordEvents(store, PODS);
        const pod = (name: string) => put(`/pods/default/${name}`, sampleValue('Pod', name).bytes);
        const { header } = await commit(pod('x'), pod('y'), {
          request_delete_range: { key: bytes(`${prefix}${podKey('gone').slice('/registry'.length)}`) },
        });
        await store.shared.catchUp();
        const told = (list: typeof events) =>
          list.map(({ type, object, revision }) => [type, object.key, revision]).sort();
        const revision = Number(header.revision);
        expect(told(events)).toEqual([
          ['ADDED', podKey('x'), revision],
          ['ADDED', podKey('y'), revision],
          ['DELETED', podKey('gone'), revision],
        ]);
        expect(told(recordEvents(store, PODS, { fromRevision: revision - 1 }))).toEqual(told(events));
        expect([...store.snapshotAt(revision - 1).range(PODS)].map(({ key }) => key)).toEqual([podKey('gone')]);
      });

      it('deletes Events when their lease ends, and gives an updated one its full time again', async () => {
        prefix = `/${randomUUID()}`;
        const store = await open({ volatilePrefixes: [{ prefix: '/registry/events/', ttlMs: 2_000 }] });
        const write = (name: string) =>
          store.write(eventKey(name), () => ({ kind: 'put', value: sampleValue('Event', name) }));
        const events = recordEvents(store, '/registry/events/');
        await Promise.all([write('a'), write('b')]);
        const { kvs } = await cluster.client.range({
          key: bytes(`${prefix}/events/`),
          range_end: bytes(`${prefix}/events0`),
        });
        expect(new Set(kvs.map(({ lease }) => lease)).size).toBe(1);
        expect(kvs[0]!.lease).not.toBe('0');
        await waitUntil('both are gone', 10_000, () => events.length === 4);
        expect(events.slice(2).map(({ type }) => type)).toEqual(['DELETED', 'DELETED']);
        expect(store.snapshot().count('/registry/events/')).toBe(0);
      });

      it('compacts in turns with other API servers, and spares what is younger than two rounds', async () => {
        prefix = `/${randomUUID()}`;
        const store = await open();
        const compactor = () => new Compactor({ client: cluster.client, clock: systemClock, log: silentLogger });
        const servers = [compactor(), compactor()];
        const round = () => Promise.all(servers.map((server) => server.runRound()));
        const version = async () =>
          Number((await cluster.client.range({ key: bytes('compact_rev_key') })).kvs[0]?.version ?? 0);
        await round();
        const from = await version();
        const written: number[] = [];
        for (let n = 0; n < 4; n++) {
          written.push((await putPod(store, 'a', { n })).revision);
          await round();
          // Each round is counted once, whoever carried it out.
          expect(await version()).toBe(from + n + 1);
        }
        const readable = (revision: number) =>
          cluster.client.range({ key: bytes('/x'), revision, count_only: true }).then(
            () => true,
            () => false,
          );
        expect(await Promise.all(written.map(readable))).toEqual([false, false, true, true]);
        await store.write(podKey('a'), remove);
      });
    },
  );
}
