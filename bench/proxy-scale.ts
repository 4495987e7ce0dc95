import { join } from 'node:path';
import { createExecutor } from '#agent/host/executor.ts';
import type { Executor } from '#agent/host/host.ts';
import { ChangeTracker } from '#agent/proxy/change-tracker.ts';
import { serviceChain } from '#agent/proxy/iptables/chain-names.ts';
import { servicePortId } from '#agent/proxy/plan.ts';
import type { ProxyBackend } from '#agent/proxy/proxy-backend.ts';
import { manyServices, oneOfMany, type ServiceWithSlice } from '#agent/proxy/testing/many-services.ts';
import type { EndpointSlice } from '#api/object/kinds.ts';
import { startCluster, type TestCluster } from '#test/kit/cluster.ts';
import { memoryOf } from '#test/kit/controller-process.ts';
import { createPodLab } from '#test/kit/pod-lab.ts';
import { waitUntil } from '#test/kit/wait-until.ts';
import { LAST_SERVICE, LAST_SERVICE_IP } from './create-services.ts';
import { createProxyBackend, enterNetwork, timed } from './proxy-sync.ts';
import { quantile, type Result } from './result.ts';

const MODES = ['iptables', 'nftables'] as const;
type Mode = (typeof MODES)[number];

const FEW = 10;
const MANY = 10_000;
const DIALS = 200;
/** As good as constant, on a machine that has other things to do too. */
const MOST_GROWTH = 1.5;
/** 2,500 Services of 100 endpoints, which is what one EndpointSlice holds. */
const CROWD = { services: 2_500, endpoints: 100 };

/** What grows with the number of Services though it should not, and what may grow but must not break. */
export async function measureProxyScale(): Promise<Result[]> {
  const results: Result[] = [];
  for (const mode of MODES) {
    results.push(await measureFirstPacket(mode));
    results.push(await measureCrowd(mode));
    results.push(...(await measureMemory(mode)));
  }
  return results;
}

/** From the first packet of a connection to its answer, through the Service that was programmed last. */
async function measureFirstPacket(mode: Mode): Promise<Result> {
  const medians: number[] = [];
  for (const count of [FEW, MANY]) {
    const lab = createPodLab('bfp', [1, 1]);
    try {
      const backend = await createProxyBackend(mode, enterNetwork(createExecutor(), lab.nodes[0]!.host.enter));
      const [client, server] = [lab.pods[0]![0]!, lab.pods[1]![0]!];
      await server.agent.serve('server', 8080);
      const all = manyServices(count, 2);
      const target = oneOfMany(count - 1, 2);
      await programAll(backend, [...all.slice(0, -1), { ...target, slice: leadingTo(target.slice, server.address) }]);
      const address = target.service.spec?.clusterIP ?? '';
      const elapsedMs: number[] = [];
      for (let i = 0; i < DIALS; i++) {
        const dialled = await client.agent.dialMany(address, 80, {
          perSecond: 1_000,
          seconds: 0.001,
          timeoutMs: 2_000,
        });
        if (dialled[0]?.answer.startsWith('server') !== true) throw new Error(`no answer: ${dialled[0]?.answer}`);
        elapsedMs.push(dialled[0].elapsedMs);
      }
      medians.push(quantile(elapsedMs, 0.5));
    } finally {
      await lab.destroy();
    }
  }
  const [few = 0, many = 0] = medians;
  return {
    name: `proxy ${mode}: first packet to answer, ${MANY} Services, p50`,
    value: many,
    unit: 'ms',
    floor: few,
    ...(mode === 'nftables' ? { goal: { value: few * MOST_GROWTH, better: 'lower' as const } } : {}),
    note: `"bare machine": with ${FEW} Services${mode === 'iptables' ? '; one rule after the other, as kube-proxy has them' : ''}`,
  };
}

/** Resolves once all of them stand in the kernel; a failure ends the bench. */
async function measureCrowd(mode: Mode): Promise<Result> {
  const lab = createPodLab('bcr', [0]);
  try {
    const backend = await createProxyBackend(mode, enterNetwork(createExecutor(), lab.nodes[0]!.host.enter));
    const fullMs = await timed(() => programAll(backend, manyServices(CROWD.services, CROWD.endpoints)));
    if (!(await backend.isIntact())) throw new Error('the rules do not stand');
    const endpoints = CROWD.services * CROWD.endpoints;
    return {
      name: `proxy ${mode}: ${endpoints} endpoints, full sync`,
      value: fullMs,
      unit: 'ms',
      note: 'loads without failure',
    };
  } finally {
    await lab.destroy();
  }
}

async function programAll(backend: ProxyBackend, objects: readonly ServiceWithSlice[]): Promise<void> {
  const tracker = new ChangeTracker({ nodeName: 'me' }, () => {});
  for (const { service, slice } of objects) {
    tracker.onService(service);
    tracker.onSlice(slice);
  }
  const sync = tracker.beginSync();
  await backend.fullSync(sync.plans);
  sync.confirm();
}

const leadingTo = (slice: EndpointSlice, address: string): EndpointSlice => ({
  ...slice,
  endpoints: [{ addresses: [address], conditions: { ready: true }, nodeName: 'other' }],
});

/** A whole agent, before and after there are many Services. */
async function measureMemory(mode: Mode): Promise<Result[]> {
  const cluster = await startCluster({ name: 'bmem', nodes: 1, agentFlags: ['--proxy-mode', mode] });
  try {
    const { pid, host } = cluster.agents[0]!;
    const exec = enterNetwork(createExecutor(), host.enter);
    const idle = memoryOf(pid);
    const createMs = await timed(() => createServices(cluster, MANY));
    const waitMs = await timed(async () => {
      await waitUntil('the rules of the last Service', 120_000, () => standsLast(exec, mode));
    });
    const busy = memoryOf(pid);
    const seconds = (ms: number) => `${(ms / 1000).toFixed(0)} s`;
    return [
      {
        name: `agent, ${mode}: RSS with ${MANY} Services`,
        value: busy.rssMb,
        unit: 'MB',
        floor: idle.rssMb,
        note: `"bare machine": before; created in ${seconds(createMs)}, ${seconds(waitMs)} more until all rules stood`,
      },
    ];
  } finally {
    await cluster.destroy();
  }
}

/** In a process of its own, because the API is in another network. */
async function createServices(cluster: TestCluster, count: number): Promise<void> {
  const program = join(import.meta.dirname, 'create-services.ts');
  const [enter = '', ...rest] = cluster.lab.hub.enter;
  await createExecutor().run([enter, ...rest, process.execPath, program, cluster.kubeconfig, String(count)], {
    timeoutMs: 300_000,
  });
}

/** Asks for what a single Service has: listing everything would be the load that is measured. */
async function standsLast(exec: Executor, mode: Mode): Promise<boolean> {
  const chain = serviceChain({ id: servicePortId('bench', LAST_SERVICE, 'http'), protocol: 'TCP' });
  const argv =
    mode === 'iptables'
      ? (['iptables', '-t', 'nat', '-n', '-L', chain] as const)
      : (['nft', 'get', 'element', 'ip', 'kube-proxy', 'service-ips', `{ ${LAST_SERVICE_IP} . tcp . 80 }`] as const);
  return exec.run([...argv]).then(
    () => true,
    () => false,
  );
}
