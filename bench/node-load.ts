import { setTimeout as sleep } from 'node:timers/promises';
import type { TestCluster } from '#test/kit/cluster.ts';
import { memoryOf } from '#test/kit/controller-process.ts';
import { cpuMsOf, waitUntilCalm } from './process-cpu.ts';
import type { Result } from './result.ts';

const MANY = 100;
const IDLE_MS = Number(process.env.BENCH_IDLE_SECONDS ?? 60) * 1000;
/** As the unit test of an idle node has it. */
const MOST_CALLS_PER_MINUTE = 20;

/**
 * What a node costs that has `present` pods and nothing to do, and what it weighs with a hundred. `startMore` starts so many further pods,
 * that stay, and tells the ms of each.
 */
export async function measureNodeLoad(
  cluster: TestCluster,
  present: number,
  startMore: (count: number) => Promise<number[]>,
): Promise<Result[]> {
  const [controller, agent] = [cluster.controller.pid, cluster.agents[0]!.pid];
  await waitUntilCalm([controller, agent]);
  const weights = { controller: memoryOf(controller).rssMb, agent: memoryOf(agent).rssMb };
  const idle = await idleUse(cluster);
  const startedMs = await startMore(MANY - present);
  await waitUntilCalm([controller, agent]);
  const ready = (await cluster.kubectlOk(['get', 'pods', '--no-headers'])).match(/\s1\/1\s/g)?.length ?? 0;
  const full = memoryOf(agent);
  return [
    { name: `controller: resident memory, ${present} pods`, value: weights.controller, unit: 'MB' },
    { name: `agent: resident memory, ${present} pods`, value: weights.agent, unit: 'MB' },
    { name: `controller: CPU, idle with ${present} pods`, value: idle.controllerPercent, unit: '%', goal: CPU_GOAL },
    { name: `agent: CPU, idle with ${present} pods`, value: idle.agentPercent, unit: '%', goal: CPU_GOAL },
    {
      name: `agent: CRI calls a minute, idle with ${present} pods`,
      value: idle.callsPerMinute,
      unit: 'calls',
      goal: { value: MOST_CALLS_PER_MINUTE, better: 'lower' },
    },
    {
      name: `pods that run on one node, of ${MANY}`,
      value: ready,
      unit: 'pods',
      goal: { value: MANY, better: 'higher' },
      note: `the last ${MANY - present} at once: ${(Math.max(...startedMs) / 1000).toFixed(1)} s`,
    },
    {
      name: `agent: resident memory, ${MANY} pods`,
      value: full.rssMb,
      unit: 'MB',
      goal: { value: 130, better: 'lower' },
      note: `anonymous ${full.anonymousMb.toFixed(0)} MB`,
    },
  ];
}

const CPU_GOAL = { value: 1, better: 'lower' } as const;

async function idleUse(cluster: TestCluster) {
  const pids = [cluster.controller.pid, cluster.agents[0]!.pid] as const;
  const before = pids.map(cpuMsOf);
  const [callsBefore, sinceMs] = [await runtimeCalls(cluster), performance.now()];
  await sleep(IDLE_MS);
  const elapsedMs = performance.now() - sinceMs;
  const [controllerPercent, agentPercent] = pids.map((pid, i) => ((cpuMsOf(pid) - before[i]!) / elapsedMs) * 100);
  const callsPerMinute = (((await runtimeCalls(cluster)) - callsBefore) / elapsedMs) * 60_000;
  return { controllerPercent: controllerPercent!, agentPercent: agentPercent!, callsPerMinute };
}

/** As the node's own metrics count them. */
async function runtimeCalls({ agents, kubectlOk }: TestCluster): Promise<number> {
  const text = await kubectlOk(['get', '--raw', `/api/v1/nodes/${agents[0]!.nodeName}/proxy/metrics`]);
  const lines = [...text.matchAll(/^kubelet_runtime_operations_total\{.*\} (\d+)$/gm)];
  return lines.reduce((sum, [, count]) => sum + Number(count), 0);
}
