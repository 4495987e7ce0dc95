import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startCluster, type TestCluster } from '#test/kit/cluster.ts';
import { memoryOf } from '#test/kit/controller-process.ts';
import { quantile, type Result } from './result.ts';
import { measureRuntimeFloor } from './runtime-floor.ts';

const SERIAL = 20;
const BURST = 30;

/** Pod start, one by one and 30 at once, beside the same runtime without us; and what both processes weigh, idle and with 30 pods. */
export async function measurePods(): Promise<Result[]> {
  const cluster = await startCluster({ name: 'bench', nodes: 1 });
  try {
    const agent = cluster.agents[0]!;
    // A first pod of each kind pays for caches that all later ones share.
    await startPods(cluster, 1, 'serial');
    const idle = { controller: memoryOf(cluster.controller.pid), agent: memoryOf(agent.pid) };
    const floor = await measureRuntimeFloor(agent.socketPath, join(agent.folder, 'floor-logs'), {
      serial: SERIAL,
      burst: BURST,
    });
    const serial = await startPods(cluster, SERIAL, 'serial');
    const burst = await startPods(cluster, BURST, 'burst', 'keep');
    const busy = { controller: memoryOf(cluster.controller.pid), agent: memoryOf(agent.pid) };
    const floorMs = quantile(floor.serialMs, 0.5);
    const floorLastMs = Math.max(...floor.burstMs);
    return [
      {
        name: 'pod create -> Ready, one by one, p50',
        value: quantile(serial, 0.5),
        unit: 'ms',
        floor: floorMs,
        goal: { value: 1.3 * floorMs, better: 'lower' },
        note: `${(quantile(serial, 0.5) / floorMs).toFixed(2)} x the runtime alone`,
      },
      {
        name: `${BURST} pods at once, p50`,
        value: quantile(burst, 0.5),
        unit: 'ms',
        floor: quantile(floor.burstMs, 0.5),
        goal: { value: 2_200, better: 'lower' },
      },
      {
        name: `${BURST} pods at once, last`,
        value: Math.max(...burst),
        unit: 'ms',
        floor: floorLastMs,
        goal: { value: 1.15 * floorLastMs, better: 'lower' },
        note: `${(Math.max(...burst) / floorLastMs).toFixed(2)} x the runtime alone`,
      },
      {
        name: 'controller: resident memory, idle',
        value: idle.controller.rssMb,
        unit: 'MB',
        goal: { value: 150, better: 'lower' },
        note: `anonymous ${idle.controller.anonymousMb.toFixed(0)} MB`,
      },
      {
        name: 'agent: resident memory, idle',
        value: idle.agent.rssMb,
        unit: 'MB',
        goal: { value: 90, better: 'lower' },
        note: `anonymous ${idle.agent.anonymousMb.toFixed(0)} MB`,
      },
      { name: `controller: resident memory, ${BURST} pods`, value: busy.controller.rssMb, unit: 'MB' },
      { name: `agent: resident memory, ${BURST} pods`, value: busy.agent.rssMb, unit: 'MB' },
    ];
  } finally {
    await cluster.destroy();
  }
}

async function startPods(cluster: TestCluster, count: number, mode: 'serial' | 'burst', keep = ''): Promise<number[]> {
  const { enter } = cluster.lab.hub;
  const client = join(import.meta.dirname, 'pod-client.ts');
  const { stdout } = await promisify(execFile)(
    enter[0]!,
    [...enter.slice(1), process.execPath, client, cluster.kubeconfig, String(count), mode, keep],
    { timeout: 300_000 },
  );
  return JSON.parse(stdout) as number[];
}
