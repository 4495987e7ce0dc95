import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DebianCluster, debianClusterProblem, startDebianCluster } from '#test/kit/debian-cluster.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const problem = debianClusterProblem();
if (problem !== undefined) console.warn(`trouble of hosts with Debian 13 skipped: ${problem}`);

const MODES = ['iptables', 'nftables'] as const;
const OUTSIDE = '198.51.100.1';
const NODE_PORT = 30080;
/** The agent looks at its host from time to time. */
const LOOK_MS = 90_000;

interface Trouble {
  readonly name: string;
  readonly begin: string;
  readonly end: string;
  /** What of `NetworkUnavailable` and of `coracle doctor network` names it; undefined: pods work all the same. */
  readonly reason?: string;
}

const firewalld = (backend: string) => `
  sed -i 's/^FirewallBackend=.*/FirewallBackend=${backend}/' /etc/firewalld/firewalld.conf
  systemctl start firewalld`;
/** Of the cure, too. */
const NO_FIREWALLD = 'systemctl stop firewalld; rm -rf /etc/firewalld/zones/*';

/** The real programs, as users start them. */
const TROUBLES: readonly Trouble[] = [
  { name: 'ufw', begin: 'ufw --force enable', end: 'ufw --force disable' },
  { name: 'firewalld', begin: firewalld('nftables'), end: NO_FIREWALLD, reason: 'FirewalldRefusesPods' },
  { name: 'firewalld over iptables', begin: firewalld('iptables'), end: NO_FIREWALLD },
  {
    name: 'Docker',
    // Docker drops what is forwarded where it is the one that switches forwarding on.
    begin: `mkdir -p /etc/docker && echo '{"storage-driver":"vfs"}' >/etc/docker/daemon.json
      sysctl -qw net.ipv4.ip_forward=0; systemctl start docker; sysctl -qw net.ipv4.ip_forward=1`,
    end: 'systemctl stop docker.socket docker',
  },
  { name: 'nft flush ruleset', begin: 'nft flush ruleset', end: 'true' },
  {
    name: 'leftovers of iptables-legacy',
    begin: 'iptables-legacy -P FORWARD DROP; iptables-legacy -A FORWARD -i eth0 -j DROP',
    end: 'iptables-legacy -P FORWARD ACCEPT; iptables-legacy -F FORWARD',
    reason: 'IptablesLeftovers',
  },
];

describe.skipIf(problem !== undefined)('hosts with Debian 13 in trouble', () => {
  let it13: DebianCluster;
  let serviceIp: string;

  beforeAll(async () => {
    it13 = await startDebianCluster('dtr', MODES);
    for (const [index, { pod }] of it13.nodes.entries()) await pod.serve(`p${index}`, 8080, { host: '0.0.0.0' });
    await it13.outside.serve('outside', 8080);
    const web = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web' },
      spec: {
        type: 'NodePort',
        selector: { app: 'web' },
        ports: [{ port: 80, targetPort: 8080, nodePort: NODE_PORT }],
      },
    };
    await it13.cluster.kubectlOk(['apply', '-f', '-'], { stdin: JSON.stringify(web) });
    serviceIp = await it13.cluster.kubectlOk(['get', 'service', 'web', '-o', 'jsonpath={.spec.clusterIP}']);
  }, 600_000);
  afterAll(() => it13?.destroy());

  /** What pods of this node and their clients get. */
  async function traffic(index: number): Promise<Record<string, boolean>> {
    const [own, other] = [it13.nodes[index]!, it13.nodes[1 - index]!];
    const reaches = async (from: typeof own.pod, address: string, port = 8080) =>
      /^(p\d|outside)( |$)/.test(await from.dial(address, port, { timeoutMs: 700 }));
    const looksUp = await it13.cluster.kubectl([
      'exec',
      `p${index}`,
      '--',
      'timeout',
      '3',
      'nslookup',
      'web.default.svc.cluster.local',
    ]);
    return {
      'a pod of another node': await reaches(own.pod, other.podIp),
      'the world': await reaches(own.pod, OUTSIDE),
      'a Service': (await reaches(own.pod, serviceIp, 80)) && (await reaches(own.pod, serviceIp, 80)),
      'a name, and kubectl exec': looksUp.stdout.includes(serviceIp),
      'a pod from its own node': await reaches(own.agent, own.podIp),
      'a Service from its node': (await reaches(own.agent, serviceIp, 80)) && (await reaches(own.agent, serviceIp, 80)),
      'a pod from another node': await reaches(other.pod, own.podIp),
      'a node port from outside':
        (await reaches(it13.outside, own.host.address, NODE_PORT)) &&
        (await reaches(it13.outside, own.host.address, NODE_PORT)),
    };
  }
  const isWell = (got: Record<string, boolean>) => Object.values(got).every(Boolean);

  async function expectTraffic(index: number, timeoutMs = 20_000): Promise<void> {
    await expect
      .poll(async () => Object.entries(await traffic(index)).flatMap(([what, works]) => (works ? [] : [what])), {
        timeout: timeoutMs,
      })
      .toEqual([]);
  }

  const condition = (index: number) =>
    it13.cluster.kubectlOk([
      'get',
      'node',
      it13.nodes[index]!.nodeName,
      '-o',
      'jsonpath={.status.conditions[?(@.type=="NetworkUnavailable")].reason}',
    ]);
  const doctor = (index: number) => it13.nodes[index]!.host.run('/usr/lib/coracle/bin/coracle doctor network');

  describe.each([0, 1])('node %i', (index) => {
    it.each(TROUBLES)(`${MODES[index]}: $name`, { timeout: 300_000 }, async ({ begin, end, reason }) => {
      const { host } = it13.nodes[index]!;
      await expectTraffic(index);
      host.ok(begin, 100_000);
      try {
        if (reason === undefined) {
          await expectTraffic(index);
          // And stays so: nobody fights over it.
          for (let round = 0; round < 5; round++) expect(isWell(await traffic(index))).toBe(true);
          expect(doctor(index).stdout).toMatch(/^sound: /);
          return;
        }
        expect(isWell(await traffic(index)), "it is in nobody's way").toBe(false);
        await waitUntil('the condition', LOOK_MS, async () => (await condition(index)) === reason);
        const { status, stdout } = doctor(index);
        expect(status).toBe(1);
        expect(stdout).toMatch(new RegExp(`^found: ${reason}: .*\\n {2}to cure it: `));
        expect(stdout.match(/^found/gm), 'one finding').toHaveLength(1);
        host.ok(/to cure it: (.*)/.exec(stdout)![1]!);
        await expectTraffic(index);
        await waitUntil('the condition to go', LOOK_MS, async () => (await condition(index)) === 'PodNetworkReady');
      } finally {
        host.ok(end, 100_000);
      }
    });
  });
});
