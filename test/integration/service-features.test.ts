import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createExecutor } from '#agent/host/executor.ts';
import type { Executor } from '#agent/host/host.ts';
import { ChangeTracker } from '#agent/proxy/change-tracker.ts';
import { type BackendOptions, chooseBackend } from '#agent/proxy/choose-backend.ts';
import type { EndpointSlice, Service } from '#api/object/kinds.ts';
import { silentLogger } from '#base/logger.ts';
import { labProblem } from '#test/kit/network-lab.ts';
import { createPodLab, type PodLab } from '#test/kit/pod-lab.ts';

const problem = labProblem();
if (problem !== undefined) console.warn(`features of Services skipped: ${problem}`);

const SERVICE_IP = '10.96.0.20';
const NODE_PORT = 30080;
const NODE_IP = '198.51.100.10';
/** A second address of the node, in no range for node ports. */
const OTHER_NODE_IP = '192.0.2.10';
const OUTSIDE = '198.51.100.1';
const EXTERNAL_IP = '203.0.113.9';
const BALANCER_IP = '203.0.113.8';
const GATEWAY = '10.244.0.1';
/** What is not answered by then is not going to be. */
const SILENCE = { timeoutMs: 400 };
/** Where an answer is to come, however busy the machine. */
const PATIENCE = { timeoutMs: 20_000 };

type Spec = Partial<NonNullable<Service['spec']>>;

/** What `proxy-packets.test.ts` does not try. Pods 0 and 1 are on the node whose rules are tried, pod 2 on another; all answer with their name and whom they see. */
describe.skipIf(problem !== undefined).each(['iptables', 'nftables'] as const)('Services of %s', (mode) => {
  let lab: PodLab;
  let exec: Executor;
  let enter: readonly string[];

  beforeAll(async () => {
    lab = createPodLab(`sf${mode.slice(0, 1)}`, [2, 1]);
    enter = lab.nodes[0]!.host.enter;
    const plain = createExecutor();
    const [program, ...rest] = enter as [string, ...string[]];
    exec = { ...plain, run: ([command, ...args], options) => plain.run([program, ...rest, command, ...args], options) };
    await exec.run(['ip', 'address', 'add', `${OTHER_NODE_IP}/32`, 'dev', 'lo']);
    for (const address of [OTHER_NODE_IP, EXTERNAL_IP, BALANCER_IP, SERVICE_IP])
      execFileSync('ip', ['-n', lab.lab.hub.namespace, 'route', 'replace', address, 'via', NODE_IP]);
    for (const [index, pod] of lab.pods.flat().entries()) await pod.agent.serve(`pod${index}`, 8080);
  });
  afterAll(() => lab?.destroy());

  const pod = (index: number) => lab.pods.flat()[index]!;
  const node = () => lab.nodes[0]!.agent;
  const addresses = () => lab.pods.flat().map(({ address }) => address);

  interface World {
    readonly spec?: Spec;
    readonly status?: Service['status'];
    readonly endpoints?: NonNullable<EndpointSlice['endpoints']>;
    readonly zone?: string;
    readonly options?: Partial<BackendOptions>;
    readonly protocol?: string;
  }

  const endpoint = (index: number, more: object = {}) => ({
    addresses: [addresses()[index]!],
    conditions: { ready: true },
    nodeName: index < 2 ? 'me' : 'other',
    ...more,
  });

  /** From whatever stood there to one Service with these endpoints. */
  async function program({ spec, status, endpoints, zone, options, protocol = 'TCP' }: World): Promise<void> {
    const backend = await chooseBackend(mode, {
      ...{ exec, log: silentLogger, clusterCidrs: { IPv4: '10.244.0.0/16' } },
      ...{ nodePortRanges: undefined, localhostNodePorts: false },
      ...options,
    });
    const ports = [{ port: 80, targetPort: 8080, protocol, nodePort: NODE_PORT }];
    const service = {
      metadata: { ...metadata, name: 'a', uid: 'a' },
      spec: { type: 'ClusterIP', clusterIP: SERVICE_IP, ports, ...spec },
      status: status ?? {},
    } as Service;
    const slice = {
      addressType: 'IPv4',
      metadata: { ...metadata, name: 'a-x', uid: 'a-x', labels: { 'kubernetes.io/service-name': 'a' } },
      ports: [{ port: 8080, protocol }],
      endpoints: endpoints ?? [endpoint(0), endpoint(1), endpoint(2)],
    } as unknown as EndpointSlice;
    const tracker = new ChangeTracker({ nodeName: 'me', zone }, () => {});
    tracker.onService(service);
    tracker.onSlice(slice);
    await backend.fullSync(tracker.beginSync().plans);
  }

  type Caller = ReturnType<typeof node>;
  async function whoAnswers(from: Caller, host: string, port = 80): Promise<string[]> {
    const seen = new Set<string>();
    for (let i = 0; i < 24; i++) seen.add((await from.dial(host, port, PATIENCE)).split(' ')[0]!);
    return [...seen].sort();
  }

  it('node ports answer on addresses of their ranges alone, and on 127.0.0.1 only where that is configured', async () => {
    const here: World = { spec: { type: 'NodePort' }, endpoints: [endpoint(1)] };
    await program(here);
    for (const from of [lab.outside, node(), pod(0).agent])
      for (const address of [NODE_IP, OTHER_NODE_IP])
        expect(await from.dial(address, NODE_PORT, PATIENCE), address).toMatch(/^pod1 /);
    expect(await node().dial('127.0.0.1', NODE_PORT, PATIENCE)).toBe('refused');
    await program({ ...here, options: { nodePortRanges: ['198.51.100.0/24'] } });
    for (const from of [lab.outside, node(), pod(0).agent]) {
      expect(await from.dial(NODE_IP, NODE_PORT, PATIENCE)).toMatch(/^pod1 /);
      expect(await from.dial(OTHER_NODE_IP, NODE_PORT, PATIENCE)).toBe('refused');
    }
    expect(await node().dial('127.0.0.1', NODE_PORT, PATIENCE)).toBe('refused');
  });

  it('external addresses answer pods, the node and outside', async () => {
    await program({ spec: { externalIPs: [EXTERNAL_IP] }, endpoints: [endpoint(1)] });
    for (const from of [pod(0).agent, node(), lab.outside])
      expect(await from.dial(EXTERNAL_IP, 80, PATIENCE)).toMatch(/^pod1 /);
    await program({ spec: { externalIPs: [EXTERNAL_IP] }, endpoints: [] });
    // The kernel limits how often it tells one host of refusals.
    for (const from of [pod(0).agent, node(), lab.outside])
      await expect.poll(() => from.dial(EXTERNAL_IP, 80, SILENCE)).toBe('refused');
  });

  it('load-balancer addresses answer within their source ranges, and not at all where the balancer is a proxy', async () => {
    const status = (ipMode?: string) => ({ loadBalancer: { ingress: [{ ip: BALANCER_IP, ipMode }] } });
    const spec: Spec = { type: 'LoadBalancer', loadBalancerSourceRanges: ['198.51.100.0/24'] };
    const endpoints = [endpoint(1)];
    await program({ spec, status: status('VIP'), endpoints });
    for (const from of [lab.outside, node()]) expect(await from.dial(BALANCER_IP, 80, PATIENCE)).toMatch(/^pod1 /);
    expect(await pod(0).agent.dial(BALANCER_IP, 80, SILENCE)).toBe('timeout');
    await program({
      ...{ status: status(), endpoints },
      spec: { ...spec, loadBalancerSourceRanges: [`${pod(0).address}/32`] },
    });
    expect(await pod(0).agent.dial(BALANCER_IP, 80, PATIENCE)).toMatch(/^pod1 /);
    for (const from of [lab.outside, node()]) expect(await from.dial(BALANCER_IP, 80, SILENCE)).toBe('timeout');
    // The node port of the same Service knows no ranges.
    expect(await lab.outside.dial(NODE_IP, NODE_PORT, PATIENCE)).toMatch(/^pod1 /);
    await program({ spec, status: status('Proxy'), endpoints });
    for (const from of [pod(0).agent, node(), lab.outside])
      expect(await from.dial(BALANCER_IP, 80, SILENCE)).not.toMatch(/^pod/);
  });

  it('internalTrafficPolicy Local keeps pods and the node to endpoints of the node, and drops without one', async () => {
    const spec: Spec = { internalTrafficPolicy: 'Local' };
    await program({ spec });
    for (const from of [pod(0).agent, node()]) expect(await whoAnswers(from, SERVICE_IP)).toEqual(['pod0', 'pod1']);
    await program({ spec, endpoints: [endpoint(2)] });
    for (const from of [pod(0).agent, node()]) expect(await from.dial(SERVICE_IP, 80, SILENCE)).toBe('timeout');
    // The cluster has none at all.
    await program({ spec, endpoints: [] });
    for (const from of [pod(0).agent, node()]) expect(await from.dial(SERVICE_IP, 80, SILENCE)).toBe('refused');
  });

  it('endpoints that serve while they terminate stand in when none is ready, for the policy Local too', async () => {
    const leaving = { conditions: { ready: false, serving: true, terminating: true } };
    const gone = { conditions: { ready: false, serving: false, terminating: true } };
    const endpoints = [endpoint(0, leaving), endpoint(1, gone), endpoint(2)];
    const spec: Spec = { type: 'NodePort', externalTrafficPolicy: 'Local' };
    await program({ endpoints });
    expect(await whoAnswers(pod(0).agent, SERVICE_IP)).toEqual(['pod2']);
    await program({ spec, endpoints });
    // On this node the one that leaves is all there is.
    expect(await lab.outside.dial(NODE_IP, NODE_PORT, PATIENCE)).toBe(`pod0 ${OUTSIDE}`);
    await program({ endpoints: endpoints.slice(0, 2) });
    expect(await whoAnswers(pod(1).agent, SERVICE_IP)).toEqual(['pod0']);
    await program({ endpoints: [endpoint(1, gone)] });
    expect(await pod(0).agent.dial(SERVICE_IP, 80, PATIENCE)).toBe('refused');
  });

  it('hints keep traffic on the node, then in the zone, and count only when every endpoint has them', async () => {
    const hinted = (index: number, zone: string, name?: string) =>
      endpoint(index, { hints: { forZones: [{ name: zone }], ...(name && { forNodes: [{ name }] }) } });
    const callers = () => [pod(0).agent, node()];
    const sameZone = [hinted(0, 'a'), hinted(1, 'b'), hinted(2, 'b')];
    await program({ endpoints: sameZone, zone: 'b' });
    for (const from of callers()) expect(await whoAnswers(from, SERVICE_IP)).toEqual(['pod1', 'pod2']);
    await program({ endpoints: [...sameZone.slice(0, 2), endpoint(2)], zone: 'b' });
    for (const from of callers()) expect(await whoAnswers(from, SERVICE_IP)).toEqual(['pod0', 'pod1', 'pod2']);
    await program({ endpoints: [hinted(0, 'a', 'me'), hinted(1, 'a', 'them'), hinted(2, 'a', 'other')], zone: 'a' });
    for (const from of callers()) expect(await whoAnswers(from, SERVICE_IP)).toEqual(['pod0']);
    await program({ endpoints: sameZone, zone: 'c' });
    for (const from of callers()) expect(await whoAnswers(from, SERVICE_IP)).toEqual(['pod0', 'pod1', 'pod2']);
  });

  it('affinity lasts as long as it is asked to, from pods, the node and outside', async () => {
    const affinity = (timeoutSeconds: number): Spec => ({
      ...{ type: 'NodePort', sessionAffinity: 'ClientIP' },
      sessionAffinityConfig: { clientIP: { timeoutSeconds } },
    });
    const calls = [
      [pod(0).agent, SERVICE_IP, 80],
      [node(), SERVICE_IP, 80],
      [lab.outside, NODE_IP, NODE_PORT],
    ] as const;
    await program({ spec: affinity(600) });
    for (const [from, host, port] of calls) expect(await whoAnswers(from, host, port)).toHaveLength(1);
    await program({ spec: affinity(1) });
    await Promise.all(
      calls.map(async ([from, host, port]) => {
        const first = await from.dial(host, port, PATIENCE);
        // Each asks again only when it was forgotten, so that one of three times it is the same by chance.
        await expect.poll(() => from.dial(host, port, PATIENCE), { interval: 1_500 }).not.toBe(first);
      }),
    );
  });

  it('hides the client only where answers would not find their way back', async () => {
    const spec: Spec = { type: 'NodePort', externalIPs: [EXTERNAL_IP] };
    const seen = async (from: Caller, host: string, port = 80) => (await from.dial(host, port, PATIENCE)).split(' ')[1];
    const see = async () => ({
      'pod, cluster IP': await seen(pod(0).agent, SERVICE_IP),
      'node, cluster IP': await seen(node(), SERVICE_IP),
      'outside, cluster IP': await seen(lab.outside, SERVICE_IP),
      'outside, node port': await seen(lab.outside, NODE_IP, NODE_PORT),
      'outside, external IP': await seen(lab.outside, EXTERNAL_IP),
      'pod, external IP': await seen(pod(0).agent, EXTERNAL_IP),
    });
    await program({ spec, endpoints: [endpoint(1)] });
    expect(await see()).toEqual({
      'pod, cluster IP': pod(0).address,
      'node, cluster IP': expect.stringMatching(/^(198\.51\.100\.10|10\.244\.0\.1)$/),
      'outside, cluster IP': GATEWAY,
      'outside, node port': GATEWAY,
      'outside, external IP': GATEWAY,
      'pod, external IP': GATEWAY,
    });
    await program({ spec: { ...spec, externalTrafficPolicy: 'Local' }, endpoints: [endpoint(1)] });
    expect(await see()).toMatchObject({
      'pod, cluster IP': pod(0).address,
      'outside, node port': OUTSIDE,
      'outside, external IP': OUTSIDE,
      'pod, external IP': pod(0).address,
    });
    // Itself.
    await program({ spec, endpoints: [endpoint(0)] });
    expect(await seen(pod(0).agent, SERVICE_IP)).toBe(GATEWAY);
  });

  it('SCTP reaches endpoints from pods, the node and outside', async ({ skip }) => {
    skip(spawnSync('python3', ['-V']).status !== 0, 'SCTP as raw packets needs python3');
    await program({ protocol: 'SCTP', spec: { type: 'NodePort' }, endpoints: [endpoint(1)] });
    const raw = (namespace: string, ...args: readonly string[]): [string, string[]] => [
      'nsenter',
      [
        `--net=/run/netns/${namespace}`,
        '--',
        'python3',
        join(import.meta.dirname, '..', 'kit', 'raw-sctp.py'),
        ...args,
      ],
    ];
    let server: ChildProcess | undefined;
    try {
      server = spawn(...raw(pod(1).namespace, 'serve', 'pod1', '8080'), { stdio: ['ignore', 'pipe', 'inherit'] });
      await new Promise((resolve) => server?.stdout?.once('data', resolve));
      const dial = (namespace: string, host: string, port: number) =>
        execFileSync(...raw(namespace, 'dial', host, String(port), '30'), { encoding: 'utf8' }).trim();
      expect(dial(pod(0).namespace, SERVICE_IP, 80)).toBe(`pod1 ${pod(0).address}`);
      expect(dial(lab.nodes[0]!.host.namespace, SERVICE_IP, 80)).toMatch(/^pod1 /);
      expect(dial(lab.lab.hub.namespace, NODE_IP, NODE_PORT)).toBe(`pod1 ${GATEWAY}`);
    } finally {
      server?.kill('SIGKILL');
    }
  });
});

const metadata = { namespace: 'ns', resourceVersion: '1', creationTimestamp: '' };
