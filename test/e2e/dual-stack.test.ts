import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from '#test/kit/cluster.ts';
import { type LabHost, labProblem } from '#test/kit/network-lab.ts';
import { waitUntil } from '#test/kit/wait-until.ts';
import { service, TO_WEB, whoPod } from './web-pods.ts';

const ipv6Problem = (): string | undefined => {
  const probe = spawnSync('unshare', ['-n', 'sh', '-c', 'ip link set lo up && ip6tables -t nat -L -n'], {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  });
  return probe.status === 0 ? undefined : `no rules of IPv6 can be set: ${probe.stderr}`;
};
const problem = labProblem() ?? ipv6Problem();
if (problem !== undefined) console.warn(`e2e dual stack skipped: ${problem}`);

const run = ({ enter }: LabHost, command: string): string =>
  spawnSync(enter[0]!, [...enter.slice(1), 'sh', '-c', command], { encoding: 'utf8' }).stdout.trim();

const WEB = { selector: { app: 'web' }, ports: [{ name: 'http', ...TO_WEB }] };

/** Helpers over a running cluster. */
function toolsOf(cluster: TestCluster) {
  const ok = (...args: string[]) => cluster.kubectlOk(args);
  const inPod = async (name: string, command: string) =>
    (await cluster.kubectl(['exec', name, '--', 'sh', '-c', command])).stdout.trim();
  /** httpd listens by IPv6 and shows addresses of IPv4 inside of it. */
  const plain = (answer: string) => answer.replace(/\[(?:::ffff:)?(.*)\]/, '$1');
  return {
    ok,
    inPod,
    apply: (...items: object[]) =>
      cluster.kubectlOk(['apply', '-f', '-'], {
        stdin: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }),
      }),
    field: (kind: string, name: string, path: string) => ok('get', kind, name, '-o', `jsonpath={${path}}`),
    /** `<pod> <address of who asked>` */
    askFromPod: async (from: string, host: string, port: number) =>
      plain(await inPod(from, `printf 'GET /cgi-bin/who HTTP/1.0\\r\\n\\r\\n' | nc -w 3 ${host} ${port} | tail -n 1`)),
    askFrom: (host: LabHost, address: string, port: number) =>
      run(host, `curl -s -m 2 'http://${address.includes(':') ? `[${address}]` : address}:${port}/cgi-bin/who'`),
  };
}

describe.skipIf(problem !== undefined)('two nodes with pods of both families, IPv4 first', () => {
  let cluster: TestCluster;
  let tools: ReturnType<typeof toolsOf>;

  beforeAll(async () => {
    cluster = await startCluster({
      name: 'dual',
      nodes: 2,
      families: ['IPv4', 'IPv6'],
      controllerFlags: ['--cluster-cidr', '10.244.0.0/16,fd42::/48', '--service-cidr', '10.96.0.0/16,fd43::/112'],
      agentFlags: ['--cluster-cidr', '10.244.0.0/16,fd42::/48', '--cluster-dns', '10.96.0.10,fd43::a', '--node-ip', ''],
      flagsOfAgent: (index) => ['--proxy-mode', index === 0 ? 'iptables' : 'nftables'],
    });
    tools = toolsOf(cluster);
    await tools.apply(
      whoPod('p0', 0),
      whoPod('p1', 1),
      service('both', { ...WEB, type: 'NodePort', ipFamilyPolicy: 'RequireDualStack' }),
      service('six', { ...WEB, ipFamilies: ['IPv6'] }),
      service('plain', WEB),
    );
    await tools.ok('wait', '--for=condition=Ready', 'pod', '--all', '--timeout=150s');
  });
  afterAll(() => cluster?.destroy());

  it('nodes, pods and Services have addresses of the families that they ask for', async () => {
    const { field, inPod } = tools;
    expect(await field('node', 'node-1', '.spec.podCIDRs[*]')).toMatch(/^10\.244\.\d+\.0\/24 fd42:[\w:]*::\/64$/);
    expect(await field('node', 'node-1', '.status.addresses[?(@.type=="InternalIP")].address')).toBe(
      '198.51.100.11 fd00:198::11',
    );
    const podIps = await field('pod', 'p1', '.status.podIPs[*].ip');
    expect(podIps).toMatch(/^10\.244\.\d+\.\d+ fd42:\S+$/);
    expect(await field('pod', 'p1', '.status.hostIPs[*].ip')).toBe('198.51.100.11 fd00:198::11');
    expect(await inPod('p1', 'echo $POD_IPS')).toBe(podIps.replace(' ', ','));
    const hosts = await inPod('p1', 'cat /etc/hosts');
    for (const ip of podIps.split(' ')) expect(hosts).toContain(`${ip}\tp1`);
    expect(await field('service', 'both', '.spec.clusterIPs[*]')).toMatch(/^10\.96\.\S+ fd43::\S+$/);
    expect(await field('service', 'six', '.spec.clusterIPs[*]')).toMatch(/^fd43::\S+$/);
    expect(await field('service', 'plain', '.spec.clusterIPs[*]')).toMatch(/^10\.96\.\S+$/);
    expect(await field('service', 'plain', '.spec.ipFamilyPolicy')).toBe('SingleStack');
  });

  it('pods reach each other with their own addresses, and Services from everywhere, by both families', async () => {
    const { field, askFromPod, askFrom } = tools;
    const ipsOf = async (name: string) => (await field('pod', name, '.status.podIPs[*].ip')).split(' ');
    for (const [from, to] of [
      ['p0', 'p1'],
      ['p1', 'p0'],
    ] as const) {
      const [own, other] = [await ipsOf(from), await ipsOf(to)];
      for (const [family, ip] of other.entries())
        await waitUntil(
          `${from} to ${ip}`,
          40_000,
          async () => (await askFromPod(from, ip, 8080)) === `${to} ${own[family]}`,
        );
    }
    const clusterIps = [
      ...(await field('service', 'both', '.spec.clusterIPs[*]')).split(' '),
      await field('service', 'six', '.spec.clusterIP'),
    ];
    const nodePort = Number(await field('service', 'both', '.spec.ports[0].nodePort'));
    for (const ip of clusterIps) {
      for (const from of ['p0', 'p1'])
        await waitUntil(`${from} to Service ${ip}`, 40_000, async () => /^p[01] /.test(await askFromPod(from, ip, 80)));
      for (const { host } of cluster.agents)
        await waitUntil(`a node to Service ${ip}`, 40_000, () => /^p[01] /.test(askFrom(host, ip, 80)));
    }
    for (const address of ['198.51.100.10', '198.51.100.11', 'fd00:198::10', 'fd00:198::11'])
      await waitUntil(`outside to node port of ${address}`, 40_000, () =>
        /^p[01] /.test(askFrom(cluster.lab.hub, address, nodePort)),
      );
  });

  it('the cluster DNS answers A and AAAA, at both of its addresses, and the way back', async () => {
    const { field, inPod } = tools;
    const [four = '', six = ''] = (await field('service', 'both', '.spec.clusterIPs[*]')).split(' ');
    const dig = (at: string, question: string) =>
      run(cluster.agents[0]!.host, `dig +short +time=2 +tries=2 @${at} ${question}`);
    for (const at of ['10.96.0.10', 'fd43::a']) {
      await waitUntil(`an answer of ${at}`, 40_000, () => dig(at, 'both.default.svc.cluster.local A') === four);
      expect(dig(at, 'both.default.svc.cluster.local AAAA')).toBe(six);
      expect(dig(at, 'six.default.svc.cluster.local A')).toBe('');
      expect(dig(at, `-x ${six}`)).toBe('both.default.svc.cluster.local.');
    }
    expect(await inPod('p1', 'cat /etc/resolv.conf')).toMatch(/nameserver 10\.96\.0\.10\nnameserver fd43::a/);
    expect(await inPod('p1', 'nslookup both.default.svc.cluster.local fd43::a')).toContain(six);
    expect(await inPod('p1', 'nslookup both.default.svc.cluster.local 10.96.0.10')).toContain(six);
  });

  it('a policy lets in by IPv6 whom it lets in by IPv4', async () => {
    const { apply, askFromPod, field, ok } = tools;
    const ips = (await field('pod', 'p1', '.status.podIPs[*].ip')).split(' ');
    const policy = (ipBlock: object) => ({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'guard' },
      spec: { podSelector: { matchLabels: { pod: 'p1' } }, ingress: [{ from: [{ ipBlock }] }] },
    });
    const reached = () => Promise.all(ips.map(async (ip) => (await askFromPod('p0', ip, 8080)) !== ''));
    await apply(policy({ cidr: 'fd42::/48' }));
    await waitUntil('IPv6 alone', 40_000, async () => `${await reached()}` === 'false,true');
    await apply(policy({ cidr: '10.244.0.0/16' }));
    await waitUntil('IPv4 alone', 40_000, async () => `${await reached()}` === 'true,false');
    await ok('delete', 'networkpolicy', 'guard');
    await waitUntil('both again', 40_000, async () => `${await reached()}` === 'true,true');
  });

  it('a Service gives its second family up, and takes it again', async () => {
    const { field, ok } = tools;
    const patch = (policy: string) =>
      ok('patch', 'service', 'both', '-p', JSON.stringify({ spec: { ipFamilyPolicy: policy } }));
    const slices = () =>
      ok('get', 'endpointslices', '-l', 'kubernetes.io/service-name=both', '-o', 'jsonpath={.items[*].addressType}');
    await waitUntil(
      'a slice for each family',
      40_000,
      async () => (await slices()).split(' ').sort().join() === 'IPv4,IPv6',
    );
    await patch('SingleStack');
    expect(await field('service', 'both', '.spec.clusterIPs[*]')).toMatch(/^10\.96\.\S+$/);
    await waitUntil('one slice', 40_000, async () => (await slices()) === 'IPv4');
    await patch('PreferDualStack');
    expect(await field('service', 'both', '.spec.clusterIPs[*]')).toMatch(/^10\.96\.\S+ fd43::\S+$/);
    await waitUntil('two slices again', 40_000, async () => (await slices()).split(' ').sort().join() === 'IPv4,IPv6');
  });
});

/** Node 1 is beyond a router, so that what goes between pods goes in a tunnel over IPv6. */
describe.skipIf(problem !== undefined)('two nodes without IPv4', () => {
  let cluster: TestCluster;
  let tools: ReturnType<typeof toolsOf>;

  beforeAll(async () => {
    cluster = await startCluster({
      name: 'six',
      nodes: 2,
      beyond: [1],
      families: ['IPv6'],
      controllerFlags: ['--cluster-cidr', 'fd42::/48', '--service-cidr', 'fd43::/112'],
      agentFlags: ['--cluster-cidr', 'fd42::/48', '--cluster-dns', 'fd43::a', '--node-ip', ''],
      flagsOfAgent: (index) => ['--proxy-mode', index === 0 ? 'iptables' : 'nftables'],
    });
    tools = toolsOf(cluster);
    await tools.apply(
      whoPod('p0', 0),
      whoPod('p1', 1),
      whoPod('h1', 1, { hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }),
      service('web', { ...WEB, selector: { pod: 'p1' }, type: 'NodePort', ipFamilyPolicy: 'PreferDualStack' }),
    );
    await tools.ok('wait', '--for=condition=Ready', 'pod', '--all', '--timeout=150s');
  });
  afterAll(() => cluster?.destroy());

  it('everything has addresses of IPv6, and what insists on both is refused', async () => {
    const { field } = tools;
    expect(await field('node', 'node-1', '.spec.podCIDRs[*]')).toMatch(/^fd42:[\w:]*::\/64$/);
    expect(await field('pod', 'p1', '.status.podIPs[*].ip')).toMatch(/^fd42:\S+$/);
    expect(await field('pod', 'h1', '.status.podIPs[*].ip')).toBe('fd00:203::11');
    expect(await field('service', 'web', '.spec.clusterIPs[*]')).toMatch(/^fd43::\S+$/);
    expect(await field('service', 'kubernetes', '.spec.clusterIPs[*]')).toBe('fd43::1');
    const refused = await cluster.kubectl(['create', '-f', '-', '--dry-run=server'], {
      stdin: JSON.stringify(service('no', { ...WEB, ipFamilyPolicy: 'RequireDualStack' })),
    });
    expect(refused.stderr).toContain('this cluster is not configured for dual-stack services');
  });

  it('pods, nodes and others reach pods, Services, names and the API', async () => {
    const { field, askFromPod, askFrom, inPod } = tools;
    const [p0 = '', p1 = ''] = await Promise.all(['p0', 'p1'].map((name) => field('pod', name, '.status.podIP')));
    await waitUntil(
      'p0 to p1 through the tunnel',
      40_000,
      async () => (await askFromPod('p0', p1, 8080)) === `p1 ${p0}`,
    );
    await waitUntil(
      'p1 to p0 through the tunnel',
      40_000,
      async () => (await askFromPod('p1', p0, 8080)) === `p0 ${p1}`,
    );
    expect(run(cluster.agents[0]!.host, 'ip -6 route show proto 177')).toContain('dev coracle-vx');
    expect(await inPod('p0', 'cat /sys/class/net/eth0/mtu')).toBe('1430');
    for (const from of ['p0', 'p1', 'h1'])
      await waitUntil(`${from} to the Service by name`, 40_000, async () =>
        (await askFromPod(from, 'web', 80)).startsWith('p1 '),
      );
    const clusterIp = await field('service', 'web', '.spec.clusterIP');
    await waitUntil('a node to the Service', 40_000, () =>
      askFrom(cluster.agents[0]!.host, clusterIp, 80).startsWith('p1 '),
    );
    const nodePort = Number(await field('service', 'web', '.spec.ports[0].nodePort'));
    for (const address of ['fd00:198::10', 'fd00:203::11'])
      await waitUntil(`outside to the node port of ${address}`, 40_000, () =>
        askFrom(cluster.lab.hub, address, nodePort).startsWith('p1 '),
      );
    expect(
      await inPod('p1', 'nc -w 3 $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT < /dev/null && echo open'),
    ).toBe('open');
    expect(run(cluster.agents[1]!.host, 'dig +short +time=2 +tries=2 @fd43::a -x fd43::1')).toBe(
      'kubernetes.default.svc.cluster.local.',
    );
  });
});
