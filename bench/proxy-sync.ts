import { createExecutor } from '#agent/host/executor.ts';
import type { Executor } from '#agent/host/host.ts';
import { ChangeTracker } from '#agent/proxy/change-tracker.ts';
import { createIptablesBackend } from '#agent/proxy/iptables/iptables-backend.ts';
import { chooseIptables } from '#agent/proxy/iptables/iptables-binaries.ts';
import type { EndpointSlice, Service } from '#api/object/kinds.ts';
import { createNetworkLab } from '#test/kit/network-lab.ts';
import { quantile, type Result } from './result.ts';

const SERVICES = 2_000;
const CHANGES = 20;

/** 2,000 Services of two endpoints into a real kernel, in a network namespace: everything at once, then one endpoint at a time. */
export async function measureProxy(): Promise<Result[]> {
  const lab = createNetworkLab('bpx', 0);
  try {
    const exec = inside(createExecutor(), lab.hub.enter);
    const binaries = await chooseIptables(exec);
    const backend = createIptablesBackend({
      exec,
      binaries,
      rules: { clusterCidr: '10.244.0.0/16', randomFully: true },
    });
    const tracker = new ChangeTracker('me', () => {});
    for (let i = 0; i < SERVICES; i++) {
      tracker.onService(service(i));
      tracker.onSlice(slice(i, 0));
    }
    const fullMs = await timed(async () => {
      const sync = tracker.beginSync();
      await backend.fullSync(sync.plans);
      sync.confirm();
    });
    const endpointMs: number[] = [];
    const serviceMs: number[] = [];
    const partial = async () => {
      const sync = tracker.beginSync();
      await backend.partialSync(sync.changes);
      sync.confirm();
    };
    for (let i = 0; i < CHANGES; i++) {
      tracker.onSlice(slice(i * 7, i + 1));
      endpointMs.push(await timed(partial));
      tracker.onService(service(SERVICES + i));
      tracker.onSlice(slice(SERVICES + i, 0));
      serviceMs.push(await timed(partial));
    }
    const note = `iptables-${binaries.variant}`;
    return [
      {
        name: `proxy: full sync of ${SERVICES} Services x 2`,
        value: fullMs,
        unit: 'ms',
        goal: { value: 1_000, better: 'lower' },
        note,
      },
      {
        name: 'proxy: one endpoint changes, p50',
        value: quantile(endpointMs, 0.5),
        unit: 'ms',
        goal: { value: 40, better: 'lower' },
        note,
      },
      {
        name: 'proxy: one Service is added, p50',
        value: quantile(serviceMs, 0.5),
        unit: 'ms',
        goal: { value: 40, better: 'lower' },
        note,
      },
    ];
  } finally {
    lab.destroy();
  }
}

function inside(exec: Executor, enter: readonly string[]): Executor {
  return {
    ...exec,
    run: ([program, ...args], options) => exec.run([enter[0]!, ...enter.slice(1), program, ...args], options),
  };
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

const address = (base: number, index: number): string => `10.${base}.${Math.floor(index / 250)}.${1 + (index % 250)}`;

function service(index: number): Service {
  return {
    metadata: { name: `s${index}`, namespace: 'bench', uid: `s${index}`, resourceVersion: '1', creationTimestamp: '' },
    spec: { type: 'ClusterIP', clusterIP: address(96, index), ports: [{ name: 'http', port: 80, protocol: 'TCP' }] },
  } as Service;
}

function slice(index: number, generation: number): EndpointSlice {
  return {
    addressType: 'IPv4',
    metadata: {
      name: `s${index}-x`,
      namespace: 'bench',
      uid: `s${index}-x`,
      resourceVersion: '1',
      creationTimestamp: '',
      labels: { 'kubernetes.io/service-name': `s${index}` },
    },
    ports: [{ name: 'http', port: 8080 + generation, protocol: 'TCP' }],
    endpoints: [0, 1].map((n) => ({
      addresses: [address(244, index * 2 + n)],
      conditions: { ready: true },
      nodeName: 'other',
    })),
  } as unknown as EndpointSlice;
}
