import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe } from 'vitest';
import { systemClock } from '#base/clock.ts';
import type { EtcdStore } from '#controller/store/etcd/etcd-store.ts';
import { KeySpace } from '#controller/store/etcd/key-space.ts';
import { openEtcdStore } from '#controller/store/etcd/open-etcd-store.ts';
import { GatedTransactions } from '#controller/store/testing/gated-transactions.ts';
import { describeStoreContract } from '#controller/store/testing/store-contract.ts';
import { type EtcdCluster, startEtcd } from '../kit/etcd.ts';
import { type EtcdRelease, findEtcd } from '../kit/etcd-releases.ts';

/** The servers before 3.4.31 and 3.5.13 have no safe way of telling progress: Debian 12's is one, Debian 13's is not. */
const CLUSTERS: readonly { readonly members: 1 | 3; readonly release: EtcdRelease; readonly offset: number }[] = [
  // The state was brought into this etcd: see revision-offset.ts.
  { members: 1, release: 'bookworm', offset: 7_000_000_000 },
  { members: 3, release: 'trixie', offset: 0 },
];

for (const { members, release, offset } of CLUSTERS) {
  const program = findEtcd(release);
  const name = `etcd of ${release}, ${members === 1 ? 'one member' : 'three members'}`;
  describe.skipIf(typeof program === 'string')(
    typeof program === 'string' ? `${name}: skipped, ${program}` : `${name}, ${program.version}`,
    () => {
      let cluster: EtcdCluster;
      beforeAll(async () => {
        cluster = await startEtcd({ members, release });
      });
      afterAll(() => cluster.stop());

      describeStoreContract(
        name,
        'disk',
        async () => {
          // Of its own for each test, so that they share a cluster.
          const prefix = `/${randomUUID()}`;
          if (offset > 0) {
            const { revisionOffset: key } = new KeySpace(prefix);
            const put = { request_put: { key, value: Buffer.from(String(offset)) } };
            await cluster.client.txn({ compare: [], success: [put], failure: [] });
          }
          let store: EtcdStore | undefined;
          return {
            async open(options) {
              const log = new GatedTransactions();
              store = await openEtcdStore({
                ...options,
                ...cluster,
                prefix,
                random: Math.random,
                ioClock: systemClock,
                wrapTxn: (txn) => log.wrap(txn),
              });
              return { store, log };
            },
            crash: async () => store?.abandon(),
            dispose: () => Promise.resolve(),
          };
        },
        'shared',
      );
    },
  );
}
