import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { isGone } from '#api/object/api-error.ts';
import { ConfigError } from '#base/config.ts';
import type { EtcdStore } from '#controller/store/etcd/etcd-store.ts';
import type { EtcdStoreOptions } from '#controller/store/etcd/open-etcd-store.ts';
import type { Store, WriteResult } from '#controller/store/store.ts';
import { GatedTransactions } from '#controller/store/testing/gated-transactions.ts';
import { podKey, putPod, recordEvents, remove, sampleValue, specOf } from '#controller/store/testing/sample-values.ts';
import { type EtcdCluster, startEtcd } from '../kit/etcd.ts';
import { findEtcd } from '../kit/etcd-releases.ts';
import { openTestStore } from '../kit/etcd-store.ts';
import { startTcpRelay, type TcpRelay } from '../kit/tcp-relay.ts';
import { waitUntil } from '../kit/wait-until.ts';

const PODS = '/registry/pods/';

const program = findEtcd('host');
const title = typeof program === 'string' ? `etcd store under faults: skipped, ${program}` : 'etcd store under faults';

describe.skipIf(typeof program === 'string')(title, () => {
  const stops: (() => unknown)[] = [];
  const cleanUp = async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  };

  describe('one member behind a network that breaks', () => {
    let cluster: EtcdCluster;
    let relay: TcpRelay;
    let prefix: string;

    beforeAll(async () => {
      cluster = await startEtcd();
      relay = await startTcpRelay({ host: '127.0.0.1', port: Number(new URL(cluster.servers[0]!).port) });
    });
    afterEach(async () => {
      relay.restore();
      await cleanUp();
    });
    afterAll(async () => {
      await relay.stop();
      await cluster.stop();
    });

    const open = async (options: Partial<EtcdStoreOptions> = {}): Promise<EtcdStore> => {
      const store = await openTestStore(cluster, { prefix, ...options });
      stops.push(() => store.abandon());
      return store;
    };
    /** Another API server, near to etcd; and one that the network can part from it. */
    const openBoth = async () => {
      prefix = `/${randomUUID()}`;
      const far = await open({ servers: [`https://127.0.0.1:${relay.port}`] });
      return { near: await open(), far };
    };

    it('resumes its watch without loss, and its writes', async () => {
      const { near, far } = await openBoth();
      await putPod(near, 'a', { n: 0 });
      await far.shared.catchUp();
      const events = recordEvents(far, PODS, { fromRevision: 1 });
      relay.cut();
      await waitUntil('the loss is noticed', 5_000, () => far.connectionProblem() !== undefined);
      expect(specOf(far.snapshot().get(podKey('a')))).toEqual({ n: 0 });
      const write = putPod(far, 'far', {});
      for (let n = 1; n <= 5; n++) await putPod(near, 'a', { n });
      await near.write(podKey('a'), remove);
      relay.restore();
      await write;
      await far.shared.catchUp();
      await near.shared.catchUp();
      const seen = (store: Store) =>
        recordEvents(store, PODS, { fromRevision: 1 }).map((event) => [event.type, event.revision, event.object.key]);
      expect(events.map((event) => [event.type, event.revision, event.object.key])).toEqual(seen(near));
      expect(far.connectionProblem()).toBeUndefined();
    });

    it('reads anew when what it missed was compacted, and tells its watches', async () => {
      const { near, far } = await openBoth();
      await putPod(near, 'stays', {});
      const { revision } = await putPod(near, 'goes', {});
      await far.shared.catchUp();
      const closed: string[] = [];
      far.watch({ prefix: PODS, fromRevision: revision, onEvent() {}, onClose: (reason) => closed.push(reason) });
      relay.cut();
      await near.write(podKey('goes'), remove);
      const last = await putPod(near, 'new', {});
      await cluster.client.compact(last.revision);
      relay.restore();
      await far.shared.catchUp();
      expect(closed).toEqual(['compacted']);
      expect([...far.snapshot().range(PODS)].map(({ key }) => key)).toEqual([podKey('new'), podKey('stays')]);
      expect(isGone(await thrownBy(() => recordEvents(far, PODS, { fromRevision: revision })))).toBe(true);
      expect((await putPod(far, 'after', {})).changed).toBe(true);
    });

    it('answers 504 to a consistent read that cannot be made sure of, and serves any state meanwhile', async () => {
      const { near, far } = await openBoth();
      await putPod(near, 'a', { n: 1 });
      await far.shared.catchUp();
      relay.cut();
      await expect(far.shared.catchUp()).rejects.toMatchObject({
        code: expect.toSatisfy((c) => c === 503 || c === 504),
      });
      expect(specOf(far.snapshot().get(podKey('a')))).toEqual({ n: 1 });
    });

    it('keeps what was written as its answer was lost', async () => {
      prefix = `/${randomUUID()}`;
      const gate = new GatedTransactions();
      const store = await open({ wrapTxn: (txn) => gate.wrap(txn) });
      const attempts: [string, 'before' | 'after', () => Promise<WriteResult>][] = [
        ['creation', 'before', () => putPod(store, 'a', { n: 1 })],
        ['update', 'after', () => putPod(store, 'a', { n: 2 })],
        ['creation', 'after', () => putPod(store, 'b', { n: 3 })],
        ['update', 'before', () => putPod(store, 'b', { n: 4 })],
        ['deletion', 'before', () => store.write(podKey('b'), remove)],
      ];
      const events = recordEvents(store, PODS);
      for (const [what, when, attempt] of attempts) {
        gate.loseNext(when);
        const { revision, changed } = await attempt();
        expect({ what, when, changed, revision }).toMatchObject({ changed: true, revision: events.at(-1)!.revision });
      }
      // Each happened once, whether it had to be sent again or not.
      expect(events.map(({ type, object }) => `${type} ${object.key.slice(-1)}`)).toEqual([
        'ADDED a',
        'MODIFIED a',
        'ADDED b',
        'MODIFIED b',
        'DELETED b',
      ]);
    });

    it('does not claim a deletion that somebody else may have made', async () => {
      prefix = `/${randomUUID()}`;
      const gate = new GatedTransactions();
      const store = await open({ wrapTxn: (txn) => gate.wrap(txn) });
      await putPod(store, 'a', {});
      gate.loseNext('after');
      await expect(store.write(podKey('a'), remove)).rejects.toMatchObject({ code: 504 });
      expect(store.snapshot().get(podKey('a'))).toBeUndefined();
    });

    it('fences off what still lay in a queue when its answer was given up', async () => {
      prefix = `/${randomUUID()}`;
      const late: (() => Promise<unknown>)[] = [];
      const store = await open({
        wrapTxn: (txn) => async (request) => {
          if (late.length > 0) return txn(request);
          late.push(() => txn(request));
          const gate = new GatedTransactions();
          gate.loseNext('before');
          return gate.wrap(txn)(request);
        },
      });
      await putPod(store, 'a', { n: 1 });
      await store.write(podKey('a'), remove);
      // The key is absent again, as it was when the first attempt was made: without the fence it would come back from the dead.
      await late[0]!();
      await store.shared.catchUp();
      expect(store.snapshot().get(podKey('a'))).toBeUndefined();
    });

    it('decides anew what was decided on a state that another server had changed', async () => {
      const { near, far } = await openBoth();
      await putPod(near, 'a', { n: 0 });
      await far.shared.catchUp();
      relay.stall();
      await putPod(near, 'a', { n: 1 });
      const seen: unknown[] = [];
      const write = far.write(podKey('a'), (current) => {
        seen.push(specOf(current));
        return { kind: 'put', value: sampleValue('Pod', 'a', { spec: { n: 10 } }) };
      });
      const refused = far.write(podKey('b'), (current) => {
        if (current === undefined) throw new Error('not found');
        return { kind: 'unchanged' };
      });
      const { revision } = await putPod(near, 'b', {});
      relay.restore();
      await write;
      // However often it was decided in between.
      expect([seen[0], seen.at(-1)]).toEqual([{ n: 0 }, { n: 1 }]);
      // "Not found" was true when it was decided, and is not any more.
      expect((await refused).revision).toBe(revision);
    });
  });

  describe('one member', () => {
    let cluster: EtcdCluster | undefined;
    afterEach(async () => {
      await cleanUp();
      await cluster?.stop();
    });

    it('is refused at the start in one line that tells the cure, where the configuration is wrong', async () => {
      cluster = await startEtcd();
      const { servers, caFile, certFile, keyFile, members } = cluster;
      const [server] = servers as [string];
      const other = await startEtcd();
      stops.push(() => other.stop());
      const wrong: [Partial<EtcdStoreOptions>, RegExp][] = [
        [{ servers: [] }, /etcdServers: name at least one/],
        [{ servers: ['127.0.0.1:2379'] }, /"127.0.0.1:2379" is no address/],
        [{ servers: [server, server.replace('https', 'http')] }, /all servers begin with https/],
        [{ servers: ['https://127.0.0.1:1'] }, /ECONNREFUSED.*is etcd running/],
        [{ servers: [server.replace('https', 'http')] }, /begin its address with https/],
        [{ caFile: '' }, /name the CA file/],
        [{ caFile: other.caFile }, /name the CA file/],
        [{ certFile: '', keyFile: '' }, /client certificate.*set etcdCert and etcdKey/],
        [{ certFile: other.certFile, keyFile: other.keyFile }, /client certificate.*set etcdCert and etcdKey/],
        [{ certFile: '' }, /etcdCert and etcdKey belong together/],
        [{ caFile: '/nowhere' }, /etcdCa: .*ENOENT/],
        [{ certFile: caFile, keyFile: caFile }, /etcdCa, etcdCert, etcdKey: /],
      ];
      for (const [options, message] of wrong) {
        const opened = openTestStore({ servers, caFile, certFile, keyFile }, { ...options, patienceMs: 2_500 });
        const err = await thrownBy(() => opened);
        expect(err).toBeInstanceOf(ConfigError);
        expect((err as Error).message).toMatch(message);
        expect((err as Error).message).not.toContain('\n');
      }
      await members[0]!.end();
    });

    it('takes new certificates: they are read anew when connections fail', async () => {
      cluster = await startEtcd();
      const store = await openTestStore(cluster);
      stops.push(() => store.abandon());
      await putPod(store, 'a', { n: 1 });
      const [member] = cluster.members;
      await member!.end('SIGTERM');
      await cluster.renewCertificates();
      member!.start();
      await putPod(store, 'a', { n: 2 });
      await store.shared.catchUp();
      expect(specOf(store.snapshot().get(podKey('a')))).toEqual({ n: 2 });
    });

    it('of another cluster is never written to', async () => {
      cluster = await startEtcd();
      const other = await startEtcd({ ca: cluster });
      stops.push(() => other.stop());
      const servers = [...cluster.servers, ...other.servers];
      const store = await openTestStore(cluster, { servers });
      stops.push(() => store.abandon());
      await putPod(store, 'a', {});
      const { header } = await other.client.range({ key: Uint8Array.of(0), count_only: true });
      await cluster.members[0]!.end();
      const deadline = AbortSignal.timeout(3_000);
      const write = store.write(podKey('a'), remove, { signal: deadline });
      await expect(write).rejects.toMatchObject({ code: expect.toSatisfy((code) => code === 503 || code === 504) });
      const after = await other.client.range({ key: Uint8Array.of(0), count_only: true });
      expect(after.header.revision).toBe(header.revision);
    });

    it('is full: writes are refused by name, reads and deletions go on, and all is well after the cure', async () => {
      cluster = await startEtcd({ args: ['--quota-backend-bytes', String(8 * 2 ** 20)] });
      const store = await openTestStore(cluster);
      stops.push(() => store.abandon());
      const big = (n: number) => putPod(store, `big${n}`, { filler: 'x'.repeat(2 ** 20), n });
      const fill = async () => {
        for (let n = 0; n < 20; n++) await big(n);
      };
      await expect(fill()).rejects.toMatchObject({ code: 507, message: expect.stringMatching(/NOSPACE.*disarm/) });
      expect(store.contentProblem()).toContain('NOSPACE');
      await store.shared.catchUp();
      const names = [...store.snapshot().range(PODS)].map(({ key }) => key);
      expect(names.length).toBeGreaterThan(3);
      for (const key of names) await store.write(key, remove);
      await cluster.client.compact(store.revision);
      await cluster.etcdctl('defrag');
      await cluster.etcdctl('alarm', 'disarm');
      await waitUntil('writes succeed', 10_000, () => putPod(store, 'small', {}));
      expect(store.contentProblem()).toBeUndefined();
    });

    it('was restored to an older state: watches are told, and revisions that do not exist yet are gone', async () => {
      cluster = await startEtcd();
      const store = await openTestStore(cluster);
      stops.push(() => store.abandon());
      await putPod(store, 'old', { n: 1 });
      const snapshot = join(cluster.folder, 'backup.db');
      // One member is what a snapshot is taken of.
      await cluster.etcdctl('snapshot', 'save', snapshot);
      for (let n = 0; n < 10; n++) await putPod(store, 'new', { n });
      const seen = store.revision;
      const closed: string[] = [];
      store.watch({ prefix: PODS, fromRevision: seen, onEvent() {}, onClose: (reason) => closed.push(reason) });
      await cluster.restore(snapshot);
      await waitUntil('the store has gone back', 20_000, () => store.revision < seen);
      expect(closed).toEqual(['compacted']);
      expect([...store.snapshot().range(PODS)].map(({ key }) => key)).toEqual([podKey('old')]);
      expect(isGone(await thrownBy(() => recordEvents(store, PODS, { fromRevision: seen })))).toBe(true);
      expect(isGone(await thrownBy(() => store.waitFor(seen, 100)))).toBe(true);
      expect((await putPod(store, 'new', { n: 100 })).changed).toBe(true);
    });
  });

  describe('three members', () => {
    let cluster: EtcdCluster;
    beforeAll(async () => {
      cluster = await startEtcd({ members: 3 });
    });
    afterEach(cleanUp);
    afterAll(() => cluster.stop());

    it('loses no acknowledged write and no event when the leader is killed under load', async () => {
      const prefix = `/${randomUUID()}`;
      const stores = [await openTestStore(cluster, { prefix }), await openTestStore(cluster, { prefix })];
      for (const store of stores) stops.push(() => store.abandon());
      const events = recordEvents(stores[1]!, PODS, { fromRevision: 1 });
      const acknowledged = new Map<string, number>();
      const failures: unknown[] = [];
      const running = { on: true };
      const writer = async (id: number) => {
        for (let n = 0; running.on; n++) {
          const name = `w${id}-${n % 5}`;
          await putPod(stores[id % 2]!, name, { n }).then(
            () => acknowledged.set(name, n),
            (err: unknown) => failures.push(err),
          );
        }
      };
      const writers = Array.from({ length: 8 }, (_, id) => writer(id));
      await waitUntil('the first writes', 10_000, () => acknowledged.size === 40);
      const leader = await cluster.leader();
      await leader.end('SIGKILL');
      const atKill = events.length;
      await waitUntil('writes after the election', 20_000, () => events.length > atKill + 200);
      leader.start();
      running.on = false;
      await Promise.all(writers);
      for (const store of stores) {
        await store.shared.catchUp();
        for (const [name, n] of acknowledged) expect(specOf(store.snapshot().get(podKey(name)))).toEqual({ n });
      }
      expect(failures).toEqual([]);
      const revisions = events.map(({ revision }) => revision);
      expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
      // Every write of every key is there once, in its order: 0, 1, 2 ... of each writer.
      for (let id = 0; id < 8; id++) {
        const own = events.filter(({ object }) => object.key.startsWith(podKey(`w${id}-`)));
        expect(own.map(({ object }) => (specOf(object) as { n: number }).n)).toEqual(own.map((_, n) => n));
      }
    });

    it('goes on when the member that it talks to stops without a word', async () => {
      const prefix = `/${randomUUID()}`;
      await cluster.leader();
      const [slow, ...others] = cluster.members;
      const store = await openTestStore(cluster, { prefix, servers: [slow!, ...others].map(({ server }) => server) });
      stops.push(() => store.abandon());
      await putPod(store, 'a', { n: 0 });
      slow!.pause();
      stops.push(() => slow!.resume());
      const fromMs = performance.now();
      await putPod(store, 'a', { n: 1 });
      await store.shared.catchUp();
      expect(performance.now() - fromMs).toBeLessThan(60_000);
      expect(specOf(store.snapshot().get(podKey('a')))).toEqual({ n: 1 });
    });
  });
});

async function thrownBy(act: () => unknown): Promise<unknown> {
  try {
    await act();
  } catch (err) {
    return err;
  }
  return undefined;
}
