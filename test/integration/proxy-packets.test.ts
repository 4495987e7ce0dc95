import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createExecutor } from '#agent/host/executor.ts';
import type { Executor } from '#agent/host/host.ts';
import { ChangeTracker } from '#agent/proxy/change-tracker.ts';
import { type ChosenBackend, chooseBackend } from '#agent/proxy/choose-backend.ts';
import { createFlowCleaner } from '#agent/proxy/conntrack.ts';
import type { EndpointSlice, Service } from '#api/object/kinds.ts';
import { silentLogger } from '#base/logger.ts';
import { labProblem } from '#test/kit/network-lab.ts';
import { createPodLab, type PodLab } from '#test/kit/pod-lab.ts';

const problem = labProblem();
if (problem !== undefined) console.warn(`packets through real proxy rules skipped: ${problem}`);

const NODE_PORT = 30080;
const NODE_IP = '198.51.100.10';
const OUTSIDE = '198.51.100.1';

/** Two pods on the node whose rules are tried, one on another node. Each pod answers with its name and the address that it sees. */
describe.skipIf(problem !== undefined).each(['iptables', 'nftables'] as const)('real packets through %s', (mode) => {
  let lab: PodLab;
  let exec: Executor;
  let backend: ChosenBackend;
  let tracker: ChangeTracker;

  beforeAll(async () => {
    lab = createPodLab(`pp${mode.slice(0, 1)}`, [2, 1]);
    const [node] = lab.nodes;
    const plain = createExecutor();
    const [program, ...rest] = node!.host.enter as [string, ...string[]];
    exec = { ...plain, run: ([command, ...args], options) => plain.run([program, ...rest, command, ...args], options) };
    await exec.run(['sh', '-c', 'echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet']);
    backend = await chooseBackend(mode, {
      exec,
      log: silentLogger,
      clusterCidrs: { IPv4: '10.244.0.0/16', IPv6: 'fd00:244::/32' },
      nodePortRanges: undefined,
      localhostNodePorts: true,
    });
    for (const [index, pod] of lab.pods.flat().entries()) {
      await pod.agent.serve(`pod${index}`, 8080, { host: '::' });
      await pod.agent.serve(`pod${index}`, 5353, { protocol: 'udp' });
    }
  });
  afterAll(() => lab?.destroy());

  /** From nothing to these Services, by one full sync. */
  async function program(...objects: readonly (Service | EndpointSlice)[]): Promise<void> {
    tracker = new ChangeTracker({ nodeName: 'me' }, () => {});
    for (const object of objects) {
      if ('addressType' in object) tracker.onSlice(object);
      else tracker.onService(object);
    }
    const sync = tracker.beginSync();
    await backend.fullSync(sync.plans);
    sync.confirm();
  }

  async function change(object: EndpointSlice): Promise<void> {
    tracker.onSlice(object);
    const sync = tracker.beginSync();
    await backend.partialSync(sync.changes);
    sync.confirm();
  }

  const pod = (index: number) => lab.pods.flat()[index]!;
  const fromPod = (host: string, port = 80) => pod(0).agent.dial(host, port);

  it('a cluster IP answers pods with their address kept, and the node', async () => {
    await program(service(), slice([pod(2).address]));
    expect(await fromPod('10.96.0.20')).toBe('pod2 10.244.0.10');
    expect(await lab.nodes[0]!.agent.dial('10.96.0.20', 80)).toBe(`pod2 ${NODE_IP}`);
    // As kube-proxy does in this mode alone.
    if (mode !== 'nftables') return;
    for (const from of [pod(0).agent, lab.nodes[0]!.agent]) expect(await from.dial('10.96.0.20', 81)).toBe('refused');
  });

  it('a pod reaches itself through its Service', async () => {
    await program(service(), slice([pod(0).address]));
    expect(await fromPod('10.96.0.20')).toBe('pod0 10.244.0.1');
    expect(await pod(1).agent.dial('10.96.0.20', 80)).toBe('pod0 10.244.0.11');
  });

  it('all endpoints get their share', async () => {
    await program(service(), slice([0, 1, 2].map((index) => pod(index).address)));
    const seen = new Set<string>();
    for (let i = 0; i < 40; i++) seen.add((await pod(1).agent.dial('10.96.0.20', 80)).split(' ')[0]!);
    expect([...seen].sort()).toEqual(['pod0', 'pod1', 'pod2']);
  });

  it('a node port answers outside and on the node', async () => {
    await program(service({ type: 'NodePort' }), slice([pod(2).address]));
    expect(await lab.outside.dial(NODE_IP, NODE_PORT)).toMatch(/^pod2 198\.51\.100\.10$/);
    expect(await lab.nodes[0]!.agent.dial(NODE_IP, NODE_PORT)).toMatch(/^pod2 /);
    // iptables with route_localnet alone; nftables has no such thing, as in kube-proxy.
    expect(await lab.nodes[0]!.agent.dial('127.0.0.1', NODE_PORT)).toMatch(mode === 'iptables' ? /^pod2 / : /refused/);
  });

  it('a Local node port keeps the address of the client and drops where there is no endpoint', async () => {
    const local = { type: 'NodePort', externalTrafficPolicy: 'Local' } as const;
    await program(service(local), slice([pod(0).address, pod(2).address], { here: [pod(0).address] }));
    for (let i = 0; i < 6; i++) expect(await lab.outside.dial(NODE_IP, NODE_PORT)).toBe(`pod0 ${OUTSIDE}`);
    await change(slice([pod(2).address]));
    expect(await lab.outside.dial(NODE_IP, NODE_PORT, { timeoutMs: 300 })).toBe('timeout');
    expect(await fromPod(NODE_IP, NODE_PORT)).toBe('pod2 10.244.0.10');
  });

  it('without endpoints the connection is refused at once, for pods, the node and outside', async () => {
    await program(service({ type: 'NodePort' }), slice([]));
    expect(await fromPod('10.96.0.20')).toBe('refused');
    expect(await lab.nodes[0]!.agent.dial('10.96.0.20', 80)).toBe('refused');
    // The kernel limits how often it tells one host of refusals.
    await expect.poll(() => lab.outside.dial(NODE_IP, NODE_PORT), { timeout: 60_000 }).toBe('refused');
    await change(slice([pod(1).address]));
    expect(await fromPod('10.96.0.20')).toBe('pod1 10.244.0.10');
  });

  it('external and load-balancer addresses answer, the latter within its source ranges', async () => {
    execFileSync('ip', ['-n', lab.lab.hub.namespace, 'route', 'replace', '203.0.113.0/24', 'via', NODE_IP]);
    const status = { loadBalancer: { ingress: [{ ip: '203.0.113.8' }] } };
    const spec = {
      type: 'LoadBalancer',
      externalIPs: ['203.0.113.9'],
      loadBalancerSourceRanges: ['198.51.100.0/24'],
    } as const;
    await program(
      service({ ...spec, externalIPs: ['203.0.113.9'], loadBalancerSourceRanges: ['198.51.100.0/24'] }, status),
      slice([pod(2).address]),
    );
    expect(await lab.outside.dial('203.0.113.9', 80)).toMatch(/^pod2 /);
    expect(await lab.outside.dial('203.0.113.8', 80)).toMatch(/^pod2 /);
    await program(
      service({ ...spec, externalIPs: [], loadBalancerSourceRanges: ['192.0.2.0/24'] }, status),
      slice([pod(2).address]),
    );
    expect(await lab.outside.dial('203.0.113.8', 80, { timeoutMs: 300 })).toBe('timeout');
  });

  it('a client with affinity stays with one endpoint, a restarted agent included', async () => {
    const objects = [
      service({ sessionAffinity: 'ClientIP' }),
      slice([0, 1, 2].map((index) => pod(index).address)),
    ] as const;
    await program(...objects);
    const first = await fromPod('10.96.0.20');
    for (let i = 0; i < 8; i++) expect(await fromPod('10.96.0.20')).toBe(first);
    await program(...objects);
    for (let i = 0; i < 8; i++) expect(await fromPod('10.96.0.20')).toBe(first);
  });

  it('a UDP client that goes on sending follows the endpoints', async () => {
    const clean = createFlowCleaner({ exec, log: silentLogger, addresses: async () => [] });
    const ask = (localPort: number) =>
      pod(0).agent.dial('10.96.0.20', 53, { protocol: 'udp', localPort, timeoutMs: 300 });
    await program(udpService(), udpSlice([pod(1).address]));
    expect(await ask(4001)).toBe('pod1 10.244.0.10');
    await change(udpSlice([pod(2).address]));
    // The kernel keeps to the old choice until the flow is ended.
    expect(await ask(4001)).toBe('pod1 10.244.0.10');
    await clean(tracker.beginSync().plans);
    expect(await ask(4001)).toBe('pod2 10.244.0.10');
  });

  it('of many UDP clients none keeps to an endpoint that is gone, at the cost of a few programs', async () => {
    // More at once would not fit into the server's socket when this machine has no time for it.
    const CLIENTS = 120;
    let runs = 0;
    const run: Executor['run'] = (...call) => {
      runs += 1;
      return exec.run(...call);
    };
    const clean = createFlowCleaner({ exec: { ...exec, run }, log: silentLogger, addresses: async () => [] });
    const askAll = () =>
      Promise.all(
        Array.from({ length: CLIENTS }, (_, i) =>
          pod(0).agent.dial('10.96.0.20', 53, { protocol: 'udp', localPort: 20_000 + i, timeoutMs: 2_000 }),
        ),
      );
    await program(udpService(), udpSlice([pod(1).address, pod(2).address]));
    const seen = (answers: readonly string[]) => [...new Set(answers.map((answer) => answer.split(' ')[0]))].sort();
    expect(seen(await askAll())).toEqual(['pod1', 'pod2']);
    await change(udpSlice([pod(2).address]));
    // Clients go on sending while the flows are ended.
    await Promise.all([clean(tracker.beginSync().plans), askAll()]);
    expect(seen(await askAll())).toEqual(['pod2']);
    expect(runs).toBeLessThan(5);
  });

  it('IPv6: cluster IP and node port', async () => {
    const six = { clusterIP: 'fd00:96::20', clusterIPs: ['fd00:96::20'], ipFamilies: ['IPv6'], type: 'NodePort' };
    // The first packets wait until the neighbours are found.
    const patient = { timeoutMs: 4_000 };
    await program(service(six as never), slice([pod(2).address6], { family: 'IPv6' }));
    expect(await pod(0).agent.dial('fd00:96::20', 80, patient)).toBe('pod2 fd00:244::10');
    expect(await lab.outside.dial('fd00:198::10', NODE_PORT, patient)).toMatch(/^pod2 /);
    await program(service(six as never), slice([], { family: 'IPv6' }));
    expect(await pod(0).agent.dial('fd00:96::20', 80, patient)).toBe('refused');
  });

  it('leaves nothing behind', async () => {
    await backend.cleanUp();
    const left = await exec.run(['sh', '-c', 'iptables-save; ip6tables-save; nft list tables']);
    expect(left.stdout).not.toMatch(/KUBE|kube-proxy/);
  });
});

describe.skipIf(problem !== undefined)('switching the proxy mode', () => {
  it('removes what the other mode left, once its own rules stand', async () => {
    const lab = createPodLab('ppx', [1]);
    try {
      const plain = createExecutor();
      const [program, ...rest] = lab.nodes[0]!.host.enter as [string, ...string[]];
      const exec: Executor = {
        ...plain,
        run: ([command, ...args], options) => plain.run([program, ...rest, command, ...args], options),
      };
      for (const mode of ['iptables', 'nftables', 'iptables'] as const) {
        const backend = await chooseBackend(mode, {
          exec,
          log: silentLogger,
          clusterCidrs: { IPv4: '10.244.0.0/16' },
          nodePortRanges: undefined,
          localhostNodePorts: true,
        });
        const tracker = new ChangeTracker({ nodeName: 'me' }, () => {});
        tracker.onService(service());
        tracker.onSlice(slice(['10.244.0.10']));
        await backend.fullSync(tracker.beginSync().plans);
        await backend.cleanOthers();
        const { stdout } = await exec.run(['sh', '-c', 'iptables-save; nft list tables']);
        expect(stdout.includes('KUBE-SERVICES')).toBe(mode === 'iptables');
        expect(stdout.includes('kube-proxy')).toBe(mode === 'nftables');
      }
    } finally {
      await lab.destroy();
    }
  });
});

const metadata = { namespace: 'ns', resourceVersion: '1', creationTimestamp: '' };

function service(spec: Partial<NonNullable<Service['spec']>> = {}, status: Service['status'] = {}): Service {
  const ports = [{ port: 80, targetPort: 8080, protocol: 'TCP', nodePort: NODE_PORT }];
  return {
    metadata: { ...metadata, name: 'a', uid: 'a' },
    spec: { type: 'ClusterIP', clusterIP: '10.96.0.20', ports, ...spec },
    status,
  } as Service;
}

const udpService = (): Service =>
  service({ ports: [{ port: 53, targetPort: 5353, protocol: 'UDP' }] } as Partial<NonNullable<Service['spec']>>);

interface SliceOptions {
  readonly family?: 'IPv4' | 'IPv6';
  /** Addresses of endpoints on the node under test. */
  readonly here?: readonly string[];
}

function slice(addresses: readonly string[], { family = 'IPv4', here = [] }: SliceOptions = {}): EndpointSlice {
  return {
    addressType: family,
    metadata: { ...metadata, name: 'a-x', uid: 'a-x', labels: { 'kubernetes.io/service-name': 'a' } },
    ports: [{ port: 8080, protocol: 'TCP' }],
    endpoints: addresses.map((address) => ({
      addresses: [address],
      conditions: { ready: true },
      nodeName: here.includes(address) || /^10\.244\.0\.|^fd00:244:0:/.test(address) ? 'me' : 'other',
    })),
  } as unknown as EndpointSlice;
}

const udpSlice = (addresses: readonly string[]): EndpointSlice =>
  ({ ...slice(addresses), ports: [{ port: 5353, protocol: 'UDP' }] }) as EndpointSlice;
