import { expect, test } from 'vitest';
import { killAnyone, runChaos } from '#test/kit/chaos/run-chaos.ts';
import { startControlPlane } from '#test/kit/control-plane.ts';
import { findEtcd } from '#test/kit/etcd-releases.ts';

const etcd = findEtcd('host');
if (typeof etcd === 'string') console.warn(`chaos of several controllers is skipped: ${etcd}`);

const seed = Number(process.env.CORACLE_SEED ?? Math.floor(Math.random() * 2 ** 31));
/** `scripts/bench ha` runs the same for five minutes. */
const SECONDS = Number(process.env.CORACLE_CHAOS_SECONDS ?? 30);

test.skipIf(typeof etcd === 'string')(
  `two API servers over three members of etcd stay linearizable while any one process is killed (seed ${seed})`,
  async () => {
    const plane = await startControlPlane({ controllers: 2 });
    try {
      const { verdict, surprises, watchProblems, ...report } = await runChaos({
        plane,
        seed,
        disturb: killAnyone({ plane, durationMs: SECONDS * 1000, seed }),
        clients: 24,
        keys: 24,
        watchers: 10,
      });
      console.info(`chaos: ${JSON.stringify(report)}`);
      expect(verdict).toMatchObject({ kind: 'linearizable' });
      expect(surprises).toEqual([]);
      expect(watchProblems).toEqual([]);
      expect(report.longestLeadershipGapMs).toBeLessThan(20_000);
    } finally {
      await plane.stop();
    }
  },
  SECONDS * 1000 + 120_000,
);
