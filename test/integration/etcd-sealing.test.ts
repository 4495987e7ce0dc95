import { randomUUID } from 'node:crypto';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '#base/clock.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { retireCa, rotateCa } from '#controller/pki/ca-rotation.ts';
import { openClusterPki } from '#controller/pki/cluster-pki.ts';
import { openSharedSealing, type SharedSealing } from '#controller/shared-sealing.ts';
import { startResealing } from '#controller/store/etcd/etcd-reseal.ts';
import type { EtcdStore } from '#controller/store/etcd/etcd-store.ts';
import type { EtcdConnection } from '#controller/store/etcd/open-etcd-store.ts';
import { sealedUnder } from '#controller/store/seal/envelope.ts';
import { planSealing } from '#controller/store/seal/sealing-plan.ts';
import { sampleValue, specOf } from '#controller/store/testing/sample-values.ts';
import { type EtcdCluster, startEtcd } from '../kit/etcd.ts';
import { findEtcd } from '../kit/etcd-releases.ts';
import { openTestStore } from '../kit/etcd-store.ts';
import { waitUntil } from '../kit/wait-until.ts';

const program = findEtcd('host');
const title = 'sealed values that API servers share in etcd';
/** Longer than another server needs to hear of the next key; see etcd-key-ring.ts. */
const SETTLED_MS = 61_000;
const REFRESHED_MS = 31_000;

interface Server extends SharedSealing, EtcdConnection {
  readonly store: EtcdStore;
  readonly clock: FakeClock;
}

describe.skipIf(typeof program === 'string')(
  typeof program === 'string' ? `${title}: skipped, ${program}` : title,
  () => {
    let cluster: EtcdCluster;
    let root: string;
    let prefix: string;
    const stops: (() => void)[] = [];

    beforeAll(async () => {
      cluster = await startEtcd();
      root = mkdtempSync(join(tmpdir(), 'coracle-sealing-'));
      const names = { hostnames: [], addresses: [], serviceIp: '10.96.0.1', clusterDomain: 'cluster.local' };
      await openClusterPki({ dir: join(root, 'one', 'pki'), clock: systemClock, log: silentLogger, ...names });
    });
    beforeEach(() => {
      prefix = `/${randomUUID()}`;
    });
    afterEach(() => {
      for (const stop of stops.splice(0)) stop();
    });
    afterAll(async () => {
      await cluster.stop();
      rmSync(root, { recursive: true });
    });

    /** The data directory of another server: what a token brings along. */
    const joinAs = (name: string) => {
      cpSync(join(root, 'one', 'pki'), join(root, name, 'pki'), { recursive: true });
      return name;
    };
    const open = async (name: string): Promise<Server> => {
      const dataDir = join(root, name);
      const ringPath = join(dataDir, 'seal', 'keys.json');
      const plan = planSealing({ ringPath, encryptSecrets: true, configuration: undefined }, []);
      const clock = new FakeClock();
      let parts: (SharedSealing & EtcdConnection) | undefined;
      const store = await openTestStore(cluster, {
        prefix,
        sealer: async (connection) => {
          const opened = await openSharedSealing(connection, { dataDir, prefix, plan, clock, log: silentLogger });
          parts = { ...opened, ...connection };
          return opened.sealer;
        },
        onClose: () => parts?.ring.stop(),
      });
      stops.push(() => store.abandon());
      return { ...parts!, store, clock };
    };
    const put = ({ store }: Server, name: string) =>
      store.write(`/registry/secrets/default/${name}`, () => ({
        kind: 'put',
        value: sampleValue('Secret', name, { spec: { of: name } }),
      }));
    const read = async ({ store }: Server, name: string) => {
      await store.shared.catchUp();
      return specOf(store.snapshot().get(`/registry/secrets/default/${name}`));
    };
    /** Name of the key that it lies under. */
    const keyOf = async (name: string) => {
      const { kvs } = await cluster.client.range({ key: Buffer.from(`${prefix}/secrets/default/${name}`) });
      return sealedUnder(kvs[0]!.value).keyName;
    };

    it('open on all servers while the key rotates, and all of them take the next one', async () => {
      const one = await open('one');
      const two = await open(joinAs('two'));
      await put(one, 'old');
      const first = await keyOf('old');
      for (const { clock } of [one, two]) await clock.advance(SETTLED_MS);
      await one.ring.rotate();
      await put(one, 'new');
      const second = await keyOf('new');
      expect(second).not.toBe(first);
      // The other one has not heard of the rotation: it knew the next key before, and seals under the old one still.
      expect([await read(two, 'new'), await read(two, 'old')]).toEqual([{ of: 'new' }, { of: 'old' }]);
      await put(two, 'late');
      expect([await keyOf('late'), await read(one, 'late')]).toEqual([first, { of: 'late' }]);
      await two.clock.advance(REFRESHED_MS);
      await waitUntil('the other server seals under the next key', 10_000, async () => {
        await put(two, 'later');
        return (await keyOf('later')) === second;
      });
      stops.push(startResealing({ ...two, log: silentLogger, random: () => 0 }));
      await waitUntil('what lay under the old key is sealed anew', 20_000, async () => {
        await two.clock.advance(SETTLED_MS);
        return (await keyOf('old')) === second && (await keyOf('late')) === second;
      });
      expect(await read(one, 'old')).toEqual({ of: 'old' });
      const third = await open(joinAs('three'));
      for (const name of ['old', 'new', 'late', 'later']) expect(await read(third, name)).toEqual({ of: name });
      expect(third.store.contentProblem()).toBeUndefined();
    });

    it('open after the CA was rotated, and the one before retired', async () => {
      const before = await open(joinAs('rotated'));
      await put(before, 'a');
      before.store.abandon();
      const dir = join(root, 'rotated', 'pki');
      await rotateCa({ dir, clock: systemClock });
      await retireCa(dir);
      const after = await open('rotated');
      expect(await read(after, 'a')).toEqual({ of: 'a' });
    });

    it('are not touched by a server of another cluster: it refuses to start', async () => {
      const ours = await open('one');
      await put(ours, 'a');
      const names = { hostnames: [], addresses: [], serviceIp: '10.96.0.1', clusterDomain: 'cluster.local' };
      await openClusterPki({ dir: join(root, 'foreign', 'pki'), clock: systemClock, log: silentLogger, ...names });
      await expect(open('foreign')).rejects.toThrow(/pki\/sa\.key.*does it belong to this cluster\?/);
      expect(await read(ours, 'a')).toEqual({ of: 'a' });
    });
  },
);
