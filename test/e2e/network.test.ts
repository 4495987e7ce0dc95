import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from '#test/kit/cluster.ts';
import { labProblem } from '#test/kit/network-lab.ts';
import { waitUntil } from '#test/kit/wait-until.ts';
import { namingPod, service, TO_WEB } from './web-pods.ts';

const problem = labProblem();
if (problem !== undefined) console.warn(`e2e network skipped: ${problem}`);

/** Programs that run in a network namespace. */
const programsIn = (namespace: string): string[] =>
  spawnSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' })
    .stdout.split('\n')
    .filter(Boolean)
    .map((pid) => spawnSync('ps', ['-o', 'comm=', '-p', pid], { encoding: 'utf8' }).stdout.trim());

/** Node 0 programs iptables, node 1 nftables: what works from pods of both works on both. */
describe.skipIf(problem !== undefined)('Services, DNS and policies on two nodes', () => {
  let cluster: TestCluster;
  const ok = (...args: string[]) => cluster.kubectlOk(args);
  const apply = (...manifests: object[]) =>
    cluster.kubectlOk(['apply', '-f', '-'], {
      stdin: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests }),
    });
  const inPod = async (pod: string, command: string) =>
    (await cluster.kubectl(['exec', pod, '--', 'sh', '-c', command])).stdout.trim();
  const onNode = (node: number, command: string) => {
    const { enter } = cluster.agents[node]!.host;
    return spawnSync(enter[0]!, [...enter.slice(1), 'sh', '-c', command], { encoding: 'utf8' }).stdout;
  };

  beforeAll(async () => {
    cluster = await startCluster({
      name: 'net',
      nodes: 2,
      flagsOfAgent: (index) => ['--proxy-mode', index === 0 ? 'iptables' : 'nftables'],
    });
    await apply(
      namingPod('p0', 0),
      namingPod('p1', 1),
      namingPod('h1', 1, { hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }),
      service('web', { selector: { app: 'web' }, ports: [{ name: 'http', ...TO_WEB }] }),
      service('each', { clusterIP: 'None', selector: { app: 'web' }, ports: [{ name: 'http', port: 8080 }] }),
    );
    await ok('wait', '--for=condition=Ready', 'pod', '--all', '--timeout=150s');
  });
  afterAll(() => cluster?.destroy());

  const fetchFrom = (from: string, host: string, port: number, seconds = 10) =>
    inPod(from, `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w ${seconds} ${host} ${port}`);
  const lookup = (from: string, name: string) => inPod(from, `nslookup ${name} 2>&1`);

  it.each(['p0', 'p1', 'h1'])(
    '%s finds Services by every form of their names, and pods behind a headless one',
    async (from) => {
      const ip = await ok('get', 'service', 'web', '-o', 'jsonpath={.spec.clusterIP}');
      await waitUntil('the first answer', 20_000, async () =>
        (await lookup(from, 'web.default.svc.cluster.local')).includes(ip),
      );
      // A pod that is ready is an endpoint a moment later, and rules another moment.
      await waitUntil('the first answer of a server', 20_000, async () =>
        /^[ph]\d$/m.test(await fetchFrom(from, ip, 80)),
      );
      // Through the search path of the pod, and to a server behind the Service.
      for (const name of ['web', 'web.default', 'web.default.svc', 'web.default.svc.cluster.local.'])
        expect(await fetchFrom(from, name, 80), name).toMatch(/^[ph]\d$/m);
      for (const name of ['p0', 'p1']) {
        const podIp = await ok('get', 'pod', name, '-o', 'jsonpath={.status.podIP}');
        await waitUntil(`the address of ${name}`, 20_000, async () =>
          (await lookup(from, 'each.default.svc.cluster.local')).includes(podIp),
        );
      }
      expect(await lookup(from, 'nobody.default.svc.cluster.local')).toMatch(/NXDOMAIN|can't find/);
    },
  );

  it('traffic stays where trafficDistribution prefers it: in the zone, on the node', { timeout: 300_000 }, async () => {
    await ok('label', 'node', 'node-0', 'topology.kubernetes.io/zone=a');
    const own = (from: string) => (from === 'p0' ? /^p0$/m : /^[ph]1$/m);
    // In one zone only the node itself tells which endpoint is near.
    for (const [trafficDistribution, zone] of [
      ['PreferClose', 'b'],
      ['PreferSameNode', 'a'],
    ] as const) {
      await ok('label', 'node', 'node-1', `topology.kubernetes.io/zone=${zone}`, '--overwrite');
      await apply(service('near', { trafficDistribution, selector: { app: 'web' }, ports: [TO_WEB] }));
      const ip = await ok('get', 'service', 'near', '-o', 'jsonpath={.spec.clusterIP}');
      for (const from of ['p0', 'p1'])
        await waitUntil(`${trafficDistribution} for ${from}`, 60_000, async () => {
          const answers = await inPod(
            from,
            `for i in $(seq 1 16); do printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 ${ip} 80 | tail -n 1; done`,
          );
          const names = answers.split('\n');
          return names.length === 16 && names.every((name) => own(from).test(name));
        });
      await ok('delete', 'service', 'near');
    }
  });

  it('answers on the nodes themselves, over UDP and TCP, and not outside', () => {
    for (const node of [0, 1]) {
      expect(onNode(node, 'dig +short +time=2 +tries=2 @10.96.0.10 kubernetes.default.svc.cluster.local')).toBe(
        '10.96.0.1\n',
      );
      expect(onNode(node, 'dig +tcp +short @10.96.0.10 kubernetes.default.svc.cluster.local')).toBe('10.96.0.1\n');
    }
    const { enter } = cluster.lab.hub;
    const outside = spawnSync(
      enter[0]!,
      [...enter.slice(1), 'dig', '+time=1', '+tries=1', '-p', '10053', '@198.51.100.10', 'a.b'],
      { encoding: 'utf8' },
    );
    expect(outside.status).not.toBe(0);
  });

  it('loses no lookup of one node while the other and the controller are gone', { timeout: 300_000 }, async () => {
    const [survivor, victim] = [cluster.agents[0]!, cluster.agents[1]!];
    const script =
      'for i in $(seq 1 60); do dig +short +time=5 +tries=1 @10.96.0.10 web.default.svc.cluster.local | grep -q . || echo lost; done';
    const ip = await ok('get', 'pod', 'p0', '-o', 'jsonpath={.status.podIP}');
    expect(ip).not.toBe('');
    const monitors = () =>
      programsIn(victim.host.namespace).filter((name) => /^(ip|nft|xtables-monitor|xtables-nft-mul.*)$/.test(name));
    expect(monitors().length).toBeGreaterThan(1);
    await victim.kill();
    // What listens for a killed agent would hear nothing on a quiet host, for days.
    await waitUntil('its monitors to end', 20_000, () => monitors().length === 0);
    await cluster.controller.kill();
    const { enter } = survivor.host;
    const { stdout } = spawnSync(enter[0]!, [...enter.slice(1), 'sh', '-c', script], { encoding: 'utf8' });
    expect(stdout).toBe('');
    await cluster.controller.restart();
    await waitUntil('the API', 40_000, async () => (await cluster.kubectl(['get', '--raw', '/readyz'])).code === 0);
    // Here nobody starts it again when it finds no API, as systemd would.
    await victim.restart();
    await waitUntil('the other node to answer again', 40_000, () =>
      /^10\.96\.0\.1$/m.test(onNode(1, 'dig +short +time=1 +tries=1 @10.96.0.10 kubernetes.default.svc.cluster.local')),
    );
  });

  it('rules that somebody flushed stand again within 2 seconds, 12 on a busy machine', {
    timeout: 300_000,
  }, async () => {
    const commands = ['iptables -t nat -F', 'nft flush ruleset'];
    for (const node of [0, 1]) {
      onNode(node, commands[node]!);
      const startedMs = performance.now();
      await waitUntil(`the rules of node ${node}`, 10_000, () =>
        onNode(node, 'dig +short +time=1 +tries=1 @10.96.0.10 kubernetes.default.svc.cluster.local').includes(
          '10.96.0.1',
        ),
      );
      const elapsedMs = performance.now() - startedMs;
      console.info(`rules of node ${node} stood again after ${elapsedMs.toFixed(0)} ms`);
      expect(elapsedMs).toBeLessThan(12_000);
    }
  });

  it('enforces a NetworkPolicy on both nodes, DNS included', { timeout: 300_000 }, async () => {
    const policy = (name: string, spec: object) => ({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name },
      spec,
    });
    const ip1 = await ok('get', 'pod', 'p1', '-o', 'jsonpath={.status.podIP}');
    const reaches = async (from: string, to: string, seconds?: number) =>
      /^p\d$/m.test(await fetchFrom(from, to, 8080, seconds));
    expect(await reaches('p0', ip1)).toBe(true);
    await apply(
      policy('closed', { podSelector: { matchLabels: { pod: 'p1' } }, policyTypes: ['Ingress'] }),
      policy('mute', { podSelector: { matchLabels: { pod: 'p0' } }, policyTypes: ['Egress'] }),
    );
    await waitUntil('p1 to be closed', 20_000, async () => !(await reaches('p0', ip1, 2)));
    await waitUntil(
      'p0 to be without names',
      20_000,
      async () => !/10\.96\.0\.1$/m.test(await lookup('p0', 'kubernetes.default.svc.cluster.local')),
    );
    // The kubelet of its own node still finds it ready.
    expect(await ok('get', 'pod', 'p1', '-o', 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')).toBe('True');
    await apply(
      policy('mute', {
        podSelector: { matchLabels: { pod: 'p0' } },
        policyTypes: ['Egress'],
        egress: [{ to: [{ namespaceSelector: {}, podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } } }] }],
      }),
    );
    await waitUntil('names for p0', 20_000, async () =>
      (await lookup('p0', 'kubernetes.default.svc.cluster.local')).includes('10.96.0.1'),
    );
    expect(await reaches('p0', ip1, 2)).toBe(false);
    await ok('delete', 'networkpolicy', '--all');
    await waitUntil('p1 to be open again', 20_000, () => reaches('p0', ip1));
  });

  it("users' own DNS pods take over, and the agents again when they go", async () => {
    const dnsPod = namingPod('own-dns', 0);
    const metadata = { name: 'own-dns', namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' } };
    await apply({ ...dnsPod, metadata });
    await ok('wait', '--for=condition=Ready', 'pod/own-dns', '-n', 'kube-system', '--timeout=150s');
    const ask = () => onNode(1, 'dig +short +time=1 +tries=1 @10.96.0.10 kubernetes.default.svc.cluster.local');
    // It is no DNS server at all, so silence shows that it is the one that is asked.
    await waitUntil('the take-over', 20_000, () => !/^10\.96\.0\.1$/m.test(ask()));
    await ok('delete', 'pod', 'own-dns', '-n', 'kube-system', '--wait');
    await waitUntil('the agents to answer again', 20_000, () => /^10\.96\.0\.1$/m.test(ask()));
  });
});
