import { afterAll, describe, expect, it } from 'vitest';
import type { Store } from '#controller/store/store.ts';
import { GatedTransactions } from '#controller/store/testing/gated-transactions.ts';
import { podKey, recordEvents, sampleValue, specOf } from '#controller/store/testing/sample-values.ts';
import { type EtcdCluster, startEtcd } from '../kit/etcd.ts';
import { findEtcd } from '../kit/etcd-releases.ts';
import { openTestStore } from '../kit/etcd-store.ts';
import { startTcpRelay } from '../kit/tcp-relay.ts';

const program = findEtcd('host');
const title = 'counters that two servers raise over one etcd';

const seed = Number(process.env.CORACLE_SEED ?? Math.floor(Math.random() * 2 ** 31));
const SECONDS = Number(process.env.CORACLE_CHAOS_SECONDS ?? 12);

type Counter = { readonly n: number } | undefined;

/** Both servers make the very same object of the same number: only the count tells whether both writes happened. */
function raise(store: Store, name: string, signal?: AbortSignal) {
  return store.write(
    podKey(name),
    (current) => {
      const n = ((specOf(current) as Counter)?.n ?? 0) + 1;
      return { kind: 'put', value: sampleValue('Pod', name, { spec: { n } }) };
    },
    signal === undefined ? {} : { signal },
  );
}

const countOf = (store: Store, name: string) => (specOf(store.snapshot().get(podKey(name))) as Counter)?.n ?? 0;

describe.skipIf(typeof program === 'string')(
  typeof program === 'string' ? `${title}: skipped, ${program}` : title,
  () => {
    const stops: (() => unknown)[] = [];
    afterAll(async () => {
      for (const stop of stops.splice(0).reverse()) await stop();
    });

    it('does not take the same write of another server for its own, when its answer was lost', async () => {
      const cluster = await startEtcd();
      stops.push(() => cluster.stop());
      const gate = new GatedTransactions();
      const [one, two] = [
        await openTestStore(cluster, { wrapTxn: (txn) => gate.wrap(txn) }),
        await openTestStore(cluster),
      ];
      stops.push(() => [one, two].map((store) => store.abandon()));
      gate.stall();
      const lost = raise(one, 'a');
      await raise(two, 'a');
      gate.loseNext('before');
      gate.release();
      await lost;
      expect(countOf(one, 'a')).toBe(2);
    });

    it(
      `count each success once, whatever breaks (seed ${seed})`,
      async () => {
        const random = createRandom(seed);
        const cluster = await startEtcd({ members: 3 });
        stops.push(() => cluster.stop());
        const ports = cluster.servers.map((server) => Number(new URL(server).port));
        const relays = await Promise.all(ports.map((port) => startTcpRelay({ host: '127.0.0.1', port })));
        for (const relay of relays) stops.push(() => relay.stop());
        const servers = relays.map(({ port }) => `https://127.0.0.1:${port}`);
        const stores = [
          await openTestStore(cluster, { servers }),
          await openTestStore(cluster, { servers: [...servers].reverse() }),
        ];
        for (const store of stores) stops.push(() => store.abandon());
        const events = recordEvents(stores[0]!, '/registry/', { fromRevision: 1 });
        const names = ['a', 'b', 'c', 'd'];
        const done = new Map(names.map((name) => [name, { acknowledged: 0, unknown: 0 }]));
        const running = { on: true };
        const work = Array.from({ length: 10 }, async (_, id) => {
          while (running.on) {
            const name = names[Math.floor(random() * names.length)]!;
            await raise(stores[id % 2]!, name, AbortSignal.timeout(20_000)).then(
              () => done.get(name)!.acknowledged++,
              () => done.get(name)!.unknown++,
            );
          }
        });
        await breakThings({ cluster, relays, random, untilMs: performance.now() + SECONDS * 1000 });
        running.on = false;
        await Promise.all(work);
        for (const store of stores) await store.shared.catchUp();
        for (const [name, { acknowledged, unknown }] of done) {
          for (const store of stores) {
            expect(countOf(store, name)).toBeGreaterThanOrEqual(acknowledged);
            expect(countOf(store, name)).toBeLessThanOrEqual(acknowledged + unknown);
          }
          const told = events.filter(({ object }) => object.key === podKey(name)).map(({ object }) => specOf(object));
          expect(told).toEqual(told.map((_, at) => ({ n: at + 1 })));
          expect(told).toHaveLength(countOf(stores[0]!, name));
        }
        expect([...done.values()].reduce((sum, { acknowledged }) => sum + acknowledged, 0)).toBeGreaterThan(100);
      },
      SECONDS * 1000 + 90_000,
    );
  },
);

interface Breaking {
  readonly cluster: EtcdCluster;
  readonly relays: readonly Awaited<ReturnType<typeof startTcpRelay>>[];
  readonly random: () => number;
  readonly untilMs: number;
}

/** One thing at a time, of one member: killed, stopped without a word, cut off, or behind a firewall that drops. */
async function breakThings({ cluster, relays, random, untilMs }: Breaking): Promise<void> {
  const pass = (fromMs: number, spreadMs: number) =>
    new Promise((resolve) => setTimeout(resolve, fromMs + random() * spreadMs));
  while (performance.now() < untilMs) {
    const at = Math.floor(random() * relays.length);
    const member = cluster.members[at]!;
    const relay = relays[at]!;
    const ways = [
      { break: () => member.end(), mend: () => member.start() },
      { break: () => member.pause(), mend: () => member.resume() },
      { break: () => relay.cut(), mend: () => relay.restore() },
      { break: () => relay.stall(), mend: () => relay.restore() },
    ];
    const way = ways[Math.floor(random() * ways.length)]!;
    await way.break();
    await pass(300, 2_500);
    way.mend();
    await pass(500, 1_000);
  }
}

/** Small and the same for the same seed (mulberry32). */
function createRandom(from: number): () => number {
  let state = from;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
