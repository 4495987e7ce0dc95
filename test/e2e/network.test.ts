import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from '#test/kit/cluster.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';
import { labProblem } from '#test/kit/network-lab.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const problem = labProblem();
if (problem !== undefined) console.warn(`e2e network skipped: ${problem}`);

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

  const pod = (name: string, node: number, extra: object = {}) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: 'web', pod: name } },
    spec: {
      nodeName: `node-${node}`,
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: 'main',
          image: BUSYBOX_IMAGE,
          command: ['sh', '-c', `echo ${name} > /tmp/index.html; exec httpd -f -p 8080 -h /tmp`],
        },
      ],
      ...extra,
    },
  });
  const service = (name: string, spec: object) => ({ apiVersion: 'v1', kind: 'Service', metadata: { name }, spec });

  beforeAll(async () => {
    cluster = await startCluster({
      name: 'net',
      nodes: 2,
      flagsOfAgent: (index) => ['--proxy-mode', index === 0 ? 'iptables' : 'nftables'],
    });
    await apply(
      pod('p0', 0),
      pod('p1', 1),
      pod('h1', 1, { hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }),
      service('web', { selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] }),
      service('each', { clusterIP: 'None', selector: { app: 'web' }, ports: [{ name: 'http', port: 8080 }] }),
    );
    await ok('wait', '--for=condition=Ready', 'pod', '--all', '--timeout=60s');
  });
  afterAll(() => cluster?.destroy());

  const lookup = (from: string, name: string) => inPod(from, `nslookup ${name} 2>&1`);

  it.each(['p0', 'p1', 'h1'])(
    '%s finds Services by every form of their names, and pods behind a headless one',
    async (from) => {
      const ip = await ok('get', 'service', 'web', '-o', 'jsonpath={.spec.clusterIP}');
      await waitUntil('the first answer', 20_000, async () =>
        (await lookup(from, 'web.default.svc.cluster.local')).includes(ip),
      );
      for (const name of ['web', 'web.default', 'web.default.svc', 'kubernetes.default.svc.cluster.local.'])
        expect(
          await inPod(from, `wget -qO- -T 3 http://${name}/ 2>&1; nslookup ${name} >/dev/null 2>&1; echo $?`),
        ).not.toContain('bad address');
      const each = await lookup(from, 'each.default.svc.cluster.local');
      for (const name of ['p0', 'p1'])
        expect(each).toContain(await ok('get', 'pod', name, '-o', 'jsonpath={.status.podIP}'));
      expect(await lookup(from, 'nobody.default.svc.cluster.local')).toMatch(/NXDOMAIN|can't find/);
    },
  );

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

  it('loses no lookup of one node while the other and the controller are gone', { timeout: 60_000 }, async () => {
    const [survivor, victim] = [cluster.agents[0]!, cluster.agents[1]!];
    const script =
      'for i in $(seq 1 200); do dig +short +time=1 +tries=1 @10.96.0.10 web.default.svc.cluster.local | grep -q . || echo lost; done';
    const ip = await ok('get', 'pod', 'p0', '-o', 'jsonpath={.status.podIP}');
    expect(ip).not.toBe('');
    await victim.kill();
    await cluster.controller.kill();
    const { enter } = survivor.host;
    const { stdout } = spawnSync(enter[0]!, [...enter.slice(1), 'sh', '-c', script], { encoding: 'utf8' });
    expect(stdout).toBe('');
    await cluster.controller.restart();
    await victim.restart();
    await waitUntil('the API', 40_000, async () => (await cluster.kubectl(['get', '--raw', '/readyz'])).code === 0);
  });

  it('rules that somebody flushed stand again within 2 seconds', { timeout: 60_000 }, async () => {
    const commands = ['iptables -t nat -F', 'nft flush ruleset'];
    for (const node of [0, 1]) {
      onNode(node, commands[node]!);
      const startedMs = performance.now();
      await waitUntil(`the rules of node ${node}`, 10_000, () =>
        onNode(node, 'dig +short +time=1 +tries=1 @10.96.0.10 kubernetes.default.svc.cluster.local').includes(
          '10.96.0.1',
        ),
      );
      expect(performance.now() - startedMs).toBeLessThan(4_000);
    }
  });

  it("users' own DNS pods take over, and the agents again when they go", async () => {
    const dnsPod = pod('own-dns', 0);
    const metadata = { name: 'own-dns', namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' } };
    await apply({ ...dnsPod, metadata });
    await ok('wait', '--for=condition=Ready', 'pod/own-dns', '-n', 'kube-system', '--timeout=60s');
    const ask = () => onNode(1, 'dig +short +time=1 +tries=1 @10.96.0.10 kubernetes.default.svc.cluster.local');
    // It is no DNS server at all, so silence shows that it is the one that is asked.
    await waitUntil('the take-over', 20_000, () => !/^10\.96\.0\.1$/m.test(ask()));
    await ok('delete', 'pod', 'own-dns', '-n', 'kube-system', '--wait');
    await waitUntil('the agents to answer again', 20_000, () => /^10\.96\.0\.1$/m.test(ask()));
  });
});
