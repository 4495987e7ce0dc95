import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DebianCluster, debianClusterProblem, startDebianCluster } from '#test/kit/debian-cluster.ts';
import type { DialOptions } from '#test/kit/namespace-agent.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const problem = debianClusterProblem();
if (problem !== undefined) console.warn(`Services on hosts with Debian 13 skipped: ${problem}`);

const OUTSIDE = '198.51.100.1';
const NODE_IPS = ['198.51.100.20', '198.51.100.21'] as const;
const MODES = ['iptables', 'nftables'] as const;

/** Real hosts, real containerd, real pods: node 0 programs iptables, node 1 nftables. Each pod answers with its name and whom it sees. */
describe.skipIf(problem !== undefined)('Services on hosts with Debian 13', () => {
  let it13: DebianCluster;

  beforeAll(async () => {
    it13 = await startDebianCluster('dsv', MODES);
    for (const [index, { pod }] of it13.nodes.entries()) {
      await pod.serve(`p${index}`, 8080, { host: '0.0.0.0' });
      await pod.serve(`p${index}`, 5353, { protocol: 'udp' });
    }
  }, 600_000);
  afterAll(() => it13?.destroy());

  const pod = (index: number) => it13.nodes[index]!.pod;
  const node = (index: number) => it13.nodes[index]!.agent;
  const podIp = (index: number) => it13.nodes[index]!.podIp;

  interface Wanted {
    readonly spec: object;
    readonly labels?: object;
    readonly ingressIp?: string;
  }

  /** Made anew; answers its cluster IP and node ports. */
  async function service(name: string, { spec, labels = {}, ingressIp }: Wanted) {
    const ports = [
      { name: 'http', port: 80, targetPort: 8080 },
      { name: 'dns', port: 53, targetPort: 5353, protocol: 'UDP' },
    ];
    const object = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, labels },
      spec: { selector: { app: 'web' }, ports, ...spec },
    };
    await it13.cluster.kubectlOk(['apply', '-f', '-'], { stdin: JSON.stringify(object) });
    if (ingressIp !== undefined) {
      const status = { status: { loadBalancer: { ingress: [{ ip: ingressIp }] } } };
      await it13.cluster.kubectlOk(['patch', 'service', name, '--subresource=status', '-p', JSON.stringify(status)]);
      execFileSync('ip', ['-n', it13.cluster.lab.hub.namespace, 'route', 'replace', ingressIp, 'via', NODE_IPS[0]]);
    }
    const made = JSON.parse(await it13.cluster.kubectlOk(['get', 'service', name, '-o', 'json'])) as {
      spec: { clusterIP: string; ports: { nodePort: number }[]; healthCheckNodePort?: number };
    };
    const { clusterIP, healthCheckNodePort = 0 } = made.spec;
    return {
      ip: clusterIP,
      nodePort: made.spec.ports[0]!.nodePort,
      udpNodePort: made.spec.ports[1]?.nodePort ?? 0,
      healthCheckNodePort,
    };
  }

  type Caller = ReturnType<typeof pod>;
  /** From the change of an object to the kernel some time passes. */
  async function expectAnswer(from: Caller, address: string, port: number, answer: RegExp, options: DialOptions = {}) {
    const ask = () => from.dial(address, port, { timeoutMs: 700, ...options });
    await expect.poll(ask, { timeout: 10_000, interval: 50, message: `${address}:${port}` }).toMatch(answer);
  }
  /** All that two endpoints may answer, and both do. */
  async function expectBoth(from: Caller, address: string, port: number, options: DialOptions = {}): Promise<void> {
    await expectAnswer(from, address, port, /^p\d /, options);
    const seen = new Set<string>();
    for (let i = 0; i < 40 && seen.size < 2; i++) seen.add((await from.dial(address, port, options)).split(' ')[0]!);
    expect([...seen].sort()).toEqual(['p0', 'p1']);
  }

  describe.each([0, 1])('on node %i', (index) => {
    const mode = MODES[index];
    const other = 1 - index;

    it(`${mode}: a cluster IP answers pods, with their address kept, and the node, TCP and UDP`, async () => {
      const { ip } = await service('plain', { spec: {} });
      await expectBoth(pod(index), ip, 80);
      await expectBoth(node(index), ip, 80);
      await expectBoth(pod(index), ip, 53, { protocol: 'udp' });
      await expectBoth(node(index), ip, 53, { protocol: 'udp' });
      await expectAnswer(pod(index), ip, 80, new RegExp(`^p${other} ${podIp(index)}$`));
      // Itself, and it sees its node: the bridge's address.
      await expectAnswer(pod(index), ip, 80, new RegExp(`^p${index} (?!${podIp(index)}$)`));
    });

    it(`${mode}: node ports answer outside, on the node and in pods, TCP and UDP`, async () => {
      const { nodePort, udpNodePort } = await service('ports', { spec: { type: 'NodePort' } });
      for (const from of [it13.outside, node(index), pod(index), pod(other)]) {
        await expectBoth(from, NODE_IPS[index]!, nodePort);
        await expectBoth(from, NODE_IPS[index]!, udpNodePort, { protocol: 'udp' });
      }
    });

    it(`${mode}: externalTrafficPolicy Local keeps the client's address and drops where there is no endpoint`, async () => {
      const local = { type: 'NodePort', externalTrafficPolicy: 'Local', internalTrafficPolicy: 'Cluster' };
      const { nodePort } = await service('local', { spec: { ...local, selector: { pod: `p${index}` } } });
      await expectAnswer(it13.outside, NODE_IPS[index]!, nodePort, new RegExp(`^p${index} ${OUTSIDE}$`));
      await expectAnswer(it13.outside, NODE_IPS[other]!, nodePort, /^timeout$/);
      // A pod is served by the whole cluster wherever it asks.
      await expectAnswer(pod(other), NODE_IPS[other]!, nodePort, new RegExp(`^p${index} `));
    });

    it(`${mode}: internalTrafficPolicy Local stays on the node, and drops where there is no endpoint`, async () => {
      const { ip } = await service('inner', {
        spec: { internalTrafficPolicy: 'Local', selector: { pod: `p${index}` } },
      });
      await expectAnswer(node(index), ip, 80, new RegExp(`^p${index} `));
      await expectAnswer(pod(other), ip, 80, /^timeout$/);
    });

    it(`${mode}: a client with affinity stays with one endpoint`, async () => {
      const { ip } = await service('sticky', { spec: { sessionAffinity: 'ClientIP' } });
      await expectAnswer(node(index), ip, 80, /^p\d /);
      const first = await node(index).dial(ip, 80);
      for (let i = 0; i < 12; i++) expect(await node(index).dial(ip, 80)).toBe(first);
    });

    it(`${mode}: without endpoints everybody is refused, and served once there is one`, async () => {
      const none = { type: 'NodePort', selector: { pod: 'nobody' } };
      const { ip, nodePort } = await service('none', { spec: none });
      for (const from of [pod(index), node(index)]) await expectAnswer(from, ip, 80, /^refused$/);
      await expectAnswer(it13.outside, NODE_IPS[index]!, nodePort, /^refused$/);
      await service('none', { spec: { ...none, selector: { pod: 'p0' } } });
      await expectAnswer(pod(index), ip, 80, /^p0 /);
      await service('none', { spec: none });
      await expectAnswer(pod(index), ip, 80, /^refused$/);
    });

    it(`${mode}: a UDP client that goes on sending follows the endpoints`, async () => {
      const udp = { ports: [{ name: 'dns', port: 53, targetPort: 5353, protocol: 'UDP' }] };
      const flow = { protocol: 'udp', localPort: 4100 + index } as const;
      const { ip } = await service('moving', { spec: { ...udp, selector: { pod: 'p0' } } });
      await expectAnswer(pod(index), ip, 53, /^p0 /, flow);
      await service('moving', { spec: { ...udp, selector: { pod: 'p1' } } });
      await expectAnswer(pod(index), ip, 53, /^p1 /, flow);
    });

    it(`${mode}: a Service of another proxy is left alone`, async () => {
      const labels = { 'service.kubernetes.io/service-proxy-name': 'other' };
      const { ip } = await service('foreign', { spec: {}, labels });
      expect(await pod(index).dial(ip, 80, { timeoutMs: 700 })).not.toMatch(/^p\d/);
      await it13.cluster.kubectlOk(['label', 'service', 'foreign', 'service.kubernetes.io/service-proxy-name-']);
      await expectAnswer(pod(index), ip, 80, /^p\d /);
    });
  });

  it('external and load-balancer addresses answer outside, the latter within its source ranges', async () => {
    execFileSync('ip', ['-n', it13.cluster.lab.hub.namespace, 'route', 'replace', '203.0.113.9', 'via', NODE_IPS[1]]);
    await service('external', { spec: { externalIPs: ['203.0.113.9'] } });
    await expectBoth(it13.outside, '203.0.113.9', 80);
    const balanced = { type: 'LoadBalancer', loadBalancerSourceRanges: ['198.51.100.0/24'] };
    await service('balanced', { spec: balanced, ingressIp: '203.0.113.8' });
    for (const via of NODE_IPS) {
      execFileSync('ip', ['-n', it13.cluster.lab.hub.namespace, 'route', 'replace', '203.0.113.8', 'via', via]);
      await expectBoth(it13.outside, '203.0.113.8', 80);
    }
    await service('balanced', { spec: { ...balanced, loadBalancerSourceRanges: ['192.0.2.0/24'] } });
    for (const via of NODE_IPS) {
      execFileSync('ip', ['-n', it13.cluster.lab.hub.namespace, 'route', 'replace', '203.0.113.8', 'via', via]);
      await expectAnswer(it13.outside, '203.0.113.8', 80, /^timeout$/);
    }
  });

  it('health-check node ports tell load balancers which node has an endpoint', async () => {
    const spec = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', selector: { pod: 'p1' } };
    const { healthCheckNodePort } = await service('checked', { spec });
    const [enter = '', ...rest] = it13.cluster.lab.hub.enter;
    const ask = (address: string) =>
      execFileSync(
        enter,
        [...rest, 'curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', `http://${address}:${healthCheckNodePort}`],
        { encoding: 'utf8' },
      );
    await waitUntil('the node with the endpoint', 10_000, () => ask(NODE_IPS[1]) === '200');
    expect(ask(NODE_IPS[0])).toBe('503');
  });
});
