import { expect, test } from 'vitest';
import { runChaos } from '#test/kit/chaos/run-chaos.ts';
import { startControlPlane } from '#test/kit/control-plane.ts';
import { findEtcd } from '#test/kit/etcd-releases.ts';

const etcd = findEtcd('host');
if (typeof etcd === 'string') console.warn(`rolling restarts are not tested: ${etcd}`);

const seed = Number(process.env.CORACLE_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** What Kubernetes' clients repeat without being told, beside the answers that are no failures. */
const RETRIABLE = [429, 503];

test.skipIf(typeof etcd === 'string')(
  `a rolling restart of three controllers fails no request and loses no write (seed ${seed})`,
  async () => {
    const plane = await startControlPlane({ controllers: 3, members: 1 });
    try {
      const { verdict, surprises, watchProblems, ...report } = await runChaos({
        plane,
        seed,
        clients: 12,
        keys: 24,
        watchers: 10,
        async disturb(strike) {
          for (const [i, controller] of plane.controllers.entries())
            await strike(`controller ${i}`, () => controller.restart('SIGTERM'));
        },
      });
      console.info(`rolling restart: ${JSON.stringify(report)}`);
      const failures = Object.keys(report.statuses)
        .map(Number)
        .filter((status) => (status === 0 || status >= 400) && ![404, 409, ...RETRIABLE].includes(status));
      expect(failures).toEqual([]);
      expect(verdict).toMatchObject({ kind: 'linearizable' });
      expect(surprises).toEqual([]);
      expect(watchProblems).toEqual([]);
      expect(report.relists).toBe(0);
      // Leases are given up and taken, not waited for.
      expect(report.longestLeadershipGapMs).toBeLessThan(8_000);
    } finally {
      await plane.stop();
    }
  },
  120_000,
);
