import { createExecutor } from '#agent/host/executor.ts';
import type { Executor } from '#agent/host/host.ts';
import { ChangeTracker } from '#agent/proxy/change-tracker.ts';
import { createIptablesBackend } from '#agent/proxy/iptables/iptables-backend.ts';
import { chooseIptables } from '#agent/proxy/iptables/iptables-binaries.ts';
import { createNftablesBackend } from '#agent/proxy/nftables/nftables-backend.ts';
import type { ProxyBackend } from '#agent/proxy/proxy-backend.ts';
import { manyServices, oneOfMany, type ServiceWithSlice } from '#agent/proxy/testing/many-services.ts';
import { createNetworkLab } from '#test/kit/network-lab.ts';
import { quantile, type Result } from './result.ts';

const SERVICES = [2_000, 10_000];
const RULES = { family: 'IPv4', clusterCidr: '10.112.0.0/12' } as const;
const CHANGES = 20;

/** Services of two endpoints into a real kernel, in a network namespace: everything at once, then one at a time; both backends. */
export async function measureProxy(): Promise<Result[]> {
  const results: Result[] = [];
  for (const mode of ['iptables', 'nftables'] as const) {
    for (const services of SERVICES) results.push(...(await measureBackend(mode, services)));
  }
  return results;
}

const GOALS_MS = { iptables: { full: 1_000, change: 40 }, nftables: { full: 500, change: 50 } } as const;

export async function createProxyBackend(mode: 'iptables' | 'nftables', exec: Executor): Promise<ProxyBackend> {
  if (mode === 'nftables') return createNftablesBackend({ exec, nft: 'nft', rules: RULES });
  const binaries = await chooseIptables(exec);
  return createIptablesBackend({ exec, binaries, rules: { ...RULES, randomFully: true, localhostNodePorts: true } });
}

async function measureBackend(mode: 'iptables' | 'nftables', services: number): Promise<Result[]> {
  const lab = createNetworkLab('bpx', 0);
  try {
    const backend = await createProxyBackend(mode, enterNetwork(createExecutor(), lab.hub.enter));
    const tracker = new ChangeTracker({ nodeName: 'me' }, () => {});
    const apply = ({ service, slice }: ServiceWithSlice) => {
      tracker.onService(service);
      tracker.onSlice(slice);
    };
    manyServices(services, 2).forEach(apply);
    const fullMs = await timed(async () => {
      const sync = tracker.beginSync();
      await backend.fullSync(sync.plans);
      sync.confirm();
    });
    const partial = async () => {
      const sync = tracker.beginSync();
      await backend.partialSync(sync.changes);
      sync.confirm();
    };
    const endpointMs: number[] = [];
    const serviceMs: number[] = [];
    for (let i = 0; i < CHANGES; i++) {
      tracker.onSlice(oneOfMany(i * 7, 2, i + 1).slice);
      endpointMs.push(await timed(partial));
      apply(oneOfMany(services + i, 2));
      serviceMs.push(await timed(partial));
    }
    // The goals speak of 2,000 Services; more are measured to see how it grows.
    const goal = (key: 'full' | 'change') =>
      services === 2_000 ? { goal: { value: GOALS_MS[mode][key], better: 'lower' as const } } : {};
    const name = `proxy ${mode}, ${services} Services x 2`;
    return [
      { name: `${name}: full sync`, value: fullMs, unit: 'ms', ...goal('full'), note: '' },
      {
        name: `${name}: one endpoint changes, p50`,
        value: quantile(endpointMs, 0.5),
        unit: 'ms',
        ...goal('change'),
        note: '',
      },
      {
        name: `${name}: one Service is added, p50`,
        value: quantile(serviceMs, 0.5),
        unit: 'ms',
        ...goal('change'),
        note: '',
      },
    ];
  } finally {
    lab.destroy();
  }
}

export function enterNetwork(exec: Executor, enter: readonly string[]): Executor {
  return {
    ...exec,
    run: ([program, ...args], options) => exec.run([enter[0]!, ...enter.slice(1), program, ...args], options),
  };
}

export async function timed(work: () => Promise<void>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}
