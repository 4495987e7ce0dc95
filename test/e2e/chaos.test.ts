import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ChaosOptions, killAnyone, runChaos } from '#test/kit/chaos/run-chaos.ts';
import { type ControlPlane, startControlPlane } from '#test/kit/control-plane.ts';
import { findEtcd } from '#test/kit/etcd-releases.ts';

const etcd = findEtcd('host');
if (typeof etcd === 'string') console.warn(`chaos of several controllers is skipped: ${etcd}`);

const seed = Number(process.env.CORACLE_SEED ?? Math.floor(Math.random() * 2 ** 31));
/** `scripts/bench ha` runs the same for five minutes. */
const SECONDS = Number(process.env.CORACLE_CHAOS_SECONDS ?? 25);
const STALL_MS = 1_000;

describe.skipIf(typeof etcd === 'string')('two API servers over three members of etcd', () => {
  let plane: ControlPlane;
  beforeAll(async () => {
    plane = await startControlPlane({ controllers: 2, isLastRelayed: true });
  }, 240_000);
  afterAll(() => plane?.stop());

  const run = (options: Pick<ChaosOptions, 'disturb'> & Partial<ChaosOptions>) =>
    runChaos({ plane, seed, clients: 24, keys: 24, watchers: 10, ...options });

  /** Nobody is killed: what one server tells, the other does not see for a while. Long enough to be asked, too short for it to go elsewhere. */
  const stalled = (options: Pick<ChaosOptions, 'hasStaleReaders'>) =>
    run({
      ...options,
      keys: 3,
      disturb: (strike) =>
        strike('the network between the last server and etcd', async () => {
          for (const relay of plane.relays) relay.stall();
          await new Promise((resolve) => setTimeout(resolve, STALL_MS));
          for (const relay of plane.relays) relay.restore();
        }),
    });

  test(`reads from the memory of a server that lags are found out (seed ${seed})`, async () => {
    const { verdict } = await stalled({ hasStaleReaders: true });
    expect(verdict.kind).toBe('violation');
  }, 240_000);

  test(`clients of a server that lags see what is (seed ${seed})`, async () => {
    const { verdict, surprises, watchProblems } = await stalled({});
    expect(verdict).toMatchObject({ kind: 'linearizable' });
    expect(surprises).toEqual([]);
    expect(watchProblems).toEqual([]);
  }, 240_000);

  test(
    `stay linearizable while any one process is killed (seed ${seed})`,
    async () => {
      const { verdict, surprises, watchProblems, ...report } = await run({
        disturb: killAnyone({ plane, durationMs: SECONDS * 1000, seed }),
      });
      console.info(`chaos: ${JSON.stringify(report)}`);
      expect(verdict).toMatchObject({ kind: 'linearizable' });
      expect(surprises).toEqual([]);
      expect(watchProblems).toEqual([]);
      expect(report.longestLeadershipGapMs).toBeLessThan(60_000);
    },
    SECONDS * 1000 + 120_000,
  );
});
