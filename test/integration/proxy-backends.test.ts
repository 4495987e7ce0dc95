import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createExecutor } from '#agent/host/executor.ts';
import type { Executor } from '#agent/host/host.ts';
import { ChangeTracker } from '#agent/proxy/change-tracker.ts';
import { createIptablesBackend } from '#agent/proxy/iptables/iptables-backend.ts';
import { chooseIptables } from '#agent/proxy/iptables/iptables-binaries.ts';
import { createNftablesBackend } from '#agent/proxy/nftables/nftables-backend.ts';
import type { ProxyBackend } from '#agent/proxy/proxy-backend.ts';
import type { EndpointSlice, Service } from '#api/object/kinds.ts';
import { createNetworkLab, labProblem, type NetworkLab } from '#test/kit/network-lab.ts';

const problem = labProblem();
if (problem !== undefined) console.warn(`proxy in a real kernel skipped: ${problem}`);

/** Small and repeatable (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** 1,000 of them take two minutes for each backend. */
const RESTARTS = Number(process.env.CORACLE_RESTARTS ?? 5);

const RULES = { family: 'IPv4', clusterCidr: '10.244.0.0/16' } as const;

interface Subject {
  readonly backend: ProxyBackend;
  /** Everything of ours in the kernel, comparable. */
  saved(): Promise<string[]>;
  flush(): Promise<unknown>;
}

async function iptablesSubject(exec: Executor): Promise<Subject> {
  const binaries = await chooseIptables(exec);
  const rules = { ...RULES, randomFully: true, localhostNodePorts: true };
  return {
    backend: createIptablesBackend({ exec, binaries, rules }),
    async saved() {
      const { stdout } = await exec.run([binaries.save]);
      // The order of rules in a chain that partial syncs insert into does not matter, and counters and comments of the tool change.
      const lines = stdout.split('\n').filter((line) => line.startsWith('-A') || line.startsWith(':KUBE'));
      return lines.map((line) => line.replace(/\[\d+:\d+\]/, '')).sort();
    },
    flush: () => exec.run([binaries.iptables, '-t', 'nat', '-F']),
  };
}

async function nftablesSubject(exec: Executor): Promise<Subject> {
  const bare = (line: string) => line.replace(/^\s*(elements = \{)?\s*/, '').replace(/[,\s}]*$/, '');
  return {
    backend: createNftablesBackend({ exec, nft: 'nft', rules: RULES }),
    async saved() {
      const { stdout } = await exec.run(['nft', 'list', 'tables', 'ip']);
      if (!stdout.includes('kube-proxy')) return [];
      const table = (await exec.run(['nft', 'list', 'table', 'ip', 'kube-proxy'])).stdout;
      const blocks = table.split('\n\n').map((block) =>
        block
          .split('\n')
          .map(bare)
          .filter((line) => line !== ''),
      );
      // What served as many endpoints as no Service has any more stays, empty, until the next full sync.
      const isUnused = (lines: readonly string[]) =>
        /-(tcp|udp|sctp)-\d+ \{/.test(lines[0]!) && !lines.some((line) => line.includes(' . 0 : '));
      return blocks
        .filter((lines) => !isUnused(lines))
        .map((lines) => lines.sort().join('\n'))
        .sort();
    },
    flush: () => exec.run(['nft', 'flush', 'ruleset']),
  };
}

describe.skipIf(problem !== undefined).each([
  { name: 'iptables', create: iptablesSubject },
  { name: 'nftables', create: nftablesSubject },
])('the $name backend in a real kernel', ({ name, create }) => {
  let lab: NetworkLab;
  let subject: Subject;
  let exec: Executor;

  beforeAll(async () => {
    lab = createNetworkLab(`pb${name.slice(0, 1)}`, 0);
    const plain = createExecutor();
    const [program, ...rest] = lab.hub.enter as [string, ...string[]];
    exec = { ...plain, run: ([command, ...args], options) => plain.run([program, ...rest, command, ...args], options) };
    subject = await create(exec);
  });
  afterAll(() => lab?.destroy());

  const fullSync = async (tracker: ChangeTracker) => {
    const sync = tracker.beginSync();
    await subject.backend.fullSync(sync.plans);
    sync.confirm();
  };

  it('holds after any number of partial syncs what one full sync would have made', { timeout: 300_000 }, async () => {
    const random = randomFrom(7);
    const pick = (n: number) => Math.floor(random() * n);
    const tracker = new ChangeTracker({ nodeName: 'me' }, () => {});
    await fullSync(tracker);
    for (let round = 0; round < 60; round++) {
      for (let change = 0; change <= pick(4); change++) {
        const name = `s${pick(6)}`;
        const dice = random();
        if (dice < 0.2) tracker.onServiceDeleted(service(name, pick));
        else if (dice < 0.6) tracker.onService(service(name, pick));
        else if (dice < 0.7) tracker.onSliceDeleted(slice(name, pick));
        else tracker.onSlice(slice(name, pick));
      }
      const sync = tracker.beginSync();
      await subject.backend.partialSync(sync.changes);
      sync.confirm();
    }
    const partial = await subject.saved();
    tracker.forget();
    await fullSync(tracker);
    expect(partial).toEqual(await subject.saved());
    // An agent that starts again over what stands adds nothing: it knows nothing of what the one before it did.
    for (let restart = 0; restart < RESTARTS; restart++) {
      subject = await create(exec);
      tracker.forget();
      await fullSync(tracker);
    }
    expect(await subject.saved()).toEqual(partial);
  });

  it('notices a flush and leaves nothing after clean-up', async () => {
    expect(await subject.backend.isIntact()).toBe(true);
    await subject.flush();
    expect(await subject.backend.isIntact()).toBe(false);
    await subject.backend.cleanUp();
    expect(await subject.saved()).toEqual([]);
    // Twice is fine.
    await subject.backend.cleanUp();
  });
});

function service(name: string, pick: (n: number) => number): Service {
  const ports = [
    { name: 'web', port: 80 + pick(2), protocol: 'TCP', nodePort: 30_000 + pick(3) * 100 + Number(name.slice(1)) },
    { name: 'dns', port: 53, protocol: 'UDP', nodePort: 31_000 + Number(name.slice(1)) },
  ];
  return {
    metadata: { name, namespace: 'fuzz', uid: name, resourceVersion: '1', creationTimestamp: '' },
    spec: {
      type: ['ClusterIP', 'NodePort', 'LoadBalancer'][pick(3)],
      clusterIP: `10.96.0.${10 + Number(name.slice(1)) * 2 + pick(2)}`,
      ports: ports.slice(0, 1 + pick(2)),
      sessionAffinity: pick(3) === 0 ? 'ClientIP' : 'None',
      internalTrafficPolicy: pick(4) === 0 ? 'Local' : 'Cluster',
      externalTrafficPolicy: pick(3) === 0 ? 'Local' : 'Cluster',
      externalIPs: pick(4) === 0 ? [`203.0.113.${Number(name.slice(1))}`] : [],
      loadBalancerSourceRanges: pick(4) === 0 ? ['198.51.100.0/24'] : [],
    },
    status: { loadBalancer: pick(2) === 0 ? { ingress: [{ ip: `203.0.113.${100 + Number(name.slice(1))}` }] } : {} },
  } as unknown as Service;
}

function slice(name: string, pick: (n: number) => number): EndpointSlice {
  return {
    addressType: 'IPv4',
    metadata: {
      name: `${name}-x`,
      namespace: 'fuzz',
      uid: `${name}-x`,
      resourceVersion: '1',
      creationTimestamp: '',
      labels: { 'kubernetes.io/service-name': name },
    },
    ports: [
      { name: 'web', port: 8080, protocol: 'TCP' },
      { name: 'dns', port: 5353, protocol: 'UDP' },
    ],
    endpoints: Array.from({ length: pick(4) }, (_, i) => ({
      addresses: [`10.244.${pick(3)}.${10 + i}`],
      nodeName: pick(2) === 0 ? 'me' : 'other',
      conditions: { ready: pick(4) !== 0, serving: true, terminating: pick(3) === 0 },
    })),
  } as unknown as EndpointSlice;
}
