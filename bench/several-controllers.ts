import { killAnyone, runChaos } from '#test/kit/chaos/run-chaos.ts';
import { startControlPlane } from '#test/kit/control-plane.ts';
import { findEtcd } from '#test/kit/etcd-releases.ts';
import type { Result } from './result.ts';

const MINUTES = Number(process.env.CORACLE_CHAOS_MINUTES ?? 5);
const OPERATIONS_GOAL = 100_000;
/** So often a leader stays away until another one has taken over. */
const LONG_EVERY = 8;

/** Any one process of two API servers and three members of etcd killed at a time, under load; throws where the history has no order. */
export async function measureSeveralControllers(): Promise<readonly Result[]> {
  const etcd = findEtcd('host');
  if (typeof etcd === 'string') throw new Error(etcd);
  const seed = Number(process.env.CORACLE_SEED ?? Math.floor(Math.random() * 2 ** 31));
  console.error(`bench: seed ${seed}, ${MINUTES} minutes`);
  const plane = await startControlPlane({ controllers: 2, fromSource: false });
  try {
    const durationMs = MINUTES * 60_000;
    const report = await runChaos({
      plane,
      seed,
      clients: 48,
      keys: 64,
      watchers: 20,
      disturb: killAnyone({ plane, durationMs, seed, longEvery: LONG_EVERY }),
    });
    const { verdict, surprises, watchProblems, kills, statuses } = report;
    console.error(`bench: ${JSON.stringify({ kills: kills.length, statuses, relists: report.relists })}`);
    if (verdict.kind !== 'linearizable') throw new Error(`the history has no order: ${JSON.stringify(verdict)}`);
    if (surprises.length + watchProblems.length > 0)
      throw new Error(`clients were told what cannot be: ${[...surprises, ...watchProblems].slice(0, 5).join('; ')}`);
    const note = `${kills.length} kills, ${report.unknown} unknown outcomes, linearizable`;
    const goal = { value: (OPERATIONS_GOAL * MINUTES) / 5, better: 'higher' } as const;
    return [
      { name: 'operations while processes are killed', value: report.operations, unit: 'operations', goal, note },
      {
        name: 'longest time without a leader',
        value: report.longestLeadershipGapMs / 1000,
        unit: 's',
        goal: { value: 20, better: 'lower' },
        note: `leadership went to another controller ${report.leadershipMoves} times`,
      },
      { name: 'longest silence that a client met', value: report.longestSilenceMs / 1000, unit: 's' },
    ];
  } finally {
    await plane.stop();
  }
}
