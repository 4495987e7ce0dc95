import { execFileSync, spawnSync } from 'node:child_process';
import { Duplex } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createExecutor } from '#agent/host/executor.ts';
import type { Executor } from '#agent/host/host.ts';
import { HostChanges } from '#agent/network/host-changes.ts';
import type { NetworkProblem } from '#agent/network/network-problem.ts';
import { createPodNetwork, type PodNetwork } from '#agent/network/pod-network.ts';
import type { Informer, InformerHandler } from '#api/client/informer.ts';
import type { Node } from '#api/object/kinds.ts';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { type LabHost, labProblem } from '#test/kit/network-lab.ts';
import { nodeObject } from '#test/kit/node-object.ts';
import { createPodLab, type PodLab } from '#test/kit/pod-lab.ts';
import { UNENCRYPTED } from '#test/kit/unencrypted.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const problem = labProblem();
if (problem !== undefined) console.warn(`pod traffic between nodes skipped: ${problem}`);
const hasPing = spawnSync('sh', ['-c', 'ping -V']).status === 0;
if (!hasPing) console.warn('MTU probes with ping skipped: needs ping of iputils');

const hasEthtool = spawnSync('sh', ['-c', 'PATH=$PATH:/usr/sbin ethtool --version']).status === 0;
if (!hasEthtool) console.warn('checksum probes skipped: needs ethtool');

const PROBE_PORT = 10256;

/** What a node's agent does for pod traffic, in the network of one node of the lab. */
interface LabNetwork {
  readonly host: FakeHost;
  readonly network: PodNetwork;
  readonly problems: () => readonly NetworkProblem[];
  readonly run: (command: string) => string;
}

/** Nodes 0 and 1 share a link; node 2 is beyond a router. No part of the lab knows the way to pods of another node. */
describe.skipIf(problem !== undefined)('pods of three nodes on two links', () => {
  let lab: PodLab;
  let nodes: Node[];
  let networks: LabNetwork[];
  const handlers: InformerHandler<Node>[] = [];
  const stop = new AbortController();
  const informer = {
    addHandler: (handler: InformerHandler<Node>) => handlers.push(handler),
    waitForSync: async () => {},
    list: () => nodes,
  } as unknown as Informer<Node>;

  beforeAll(async () => {
    lab = createPodLab('path', [1, 1, 1], { beyond: [2], hasRoutes: false });
    nodes = lab.nodes.map(({ host }, index) => nodeObject(index, host.address));
    networks = lab.nodes.map(({ host }, index) => networkOn(index, host));
    for (const [index, { host, network }] of networks.entries()) {
      await host.fs.makeDirectory('/state');
      await lab.nodes[index]!.agent.serve('node', PROBE_PORT);
      await lab.pods[index]![0]!.agent.serve(`pod${index}`, 8080);
      await network.applyPodCidrs([`10.244.${index}.0/24`]);
      network.start(informer, stop.signal);
    }
  });
  afterAll(async () => {
    stop.abort();
    await lab?.destroy();
  });

  function networkOn(index: number, labHost: LabHost): LabNetwork {
    const exec = within(labHost);
    const host = Object.assign(new FakeHost(), { exec });
    host.onDial = async (address, port, options) => {
      const answer = await lab.nodes[index]!.agent.dial(address, port, { timeoutMs: options?.timeoutMs ?? 1_000 });
      if (answer === 'timeout') throw Object.assign(new Error('timeout'), { code: 'ETIMEDOUT' });
      return new Duplex();
    };
    let problems: readonly NetworkProblem[] = [];
    const network = createPodNetwork({
      host,
      changes: new HostChanges(host, '/state/host-changes.json'),
      clock: systemClock,
      log: silentLogger,
      nodeName: `node-${index}`,
      clusterCidrs: { IPv4: '10.244.0.0/16' },
      cniConfigDirectory: '/cni',
      ipamDirectory: '/ipam',
      mtu: 0,
      transport: 'auto',
      vxlanPort: 8472,
      encryption: UNENCRYPTED,
      probePort: PROBE_PORT,
      onProblems: (found) => (problems = found),
      resolver: { addresses: { IPv4: '169.254.10.53' }, port: 10053 },
      iptables: { IPv4: 'iptables' },
    });
    const run = (command: string) => {
      const [program, ...args] = labHost.enter;
      return execFileSync(program!, [...args, 'sh', '-euc', command], { encoding: 'utf8' });
    };
    return { host, network, problems: () => problems, run };
  }

  const reach = (from: number, to: number, timeoutMs = 400) =>
    lab.pods[from]![0]!.agent.dial(lab.pods[to]![0]!.address, 8080, { timeoutMs });
  const everyPair = () => [0, 1, 2].flatMap((from) => [0, 1, 2].map((to) => [from, to] as const));
  const settle = (what: string, timeoutMs = 5_000) =>
    waitUntil(what, timeoutMs, async () => {
      for (const [from, to] of everyPair()) if (!(await reach(from, to)).startsWith('pod')) return false;
      return true;
    });
  const tell = (index: number, address: string) => {
    const before = nodes[index]!;
    nodes = nodes.with(index, nodeObject(index, address));
    for (const handler of handlers) handler.onUpdate?.(before, nodes[index]!);
  };

  const onRouter = (command: string) =>
    execFileSync('nsenter', [`--net=/run/netns/${lab.lab.hub.namespace}`, 'sh', '-euc', command]);

  it('reach each other with their own addresses, straight on a link and in a tunnel beyond the router', async () => {
    await settle('the first packets');
    for (const [from, to] of everyPair())
      expect(await reach(from, to), `${from} to ${to}`).toBe(`pod${to} 10.244.${from}.10`);
    expect(networks[0]!.run('ip route show proto 177').trim().split(/\s*\n/)).toEqual([
      '10.244.1.0/24 via 198.51.100.11 dev eth0',
      '10.244.2.0/24 via 10.244.2.0 dev coracle-vx onlink',
    ]);
    // A node's own programs reach pods everywhere too.
    for (const to of [0, 1, 2])
      expect(await lab.nodes[0]!.agent.dial(`10.244.${to}.10`, 8080, { timeoutMs: 400 })).toMatch(`pod${to} `);
    expect(networks.map(({ problems }) => problems())).toEqual([[], [], []]);
  });

  it.skipIf(!hasPing)('carry packets of their MTU unfragmented, and are told when one is larger', async () => {
    const conflist = JSON.parse(await networks[0]!.host.fs.readText('/cni/10-coracle.conflist'));
    const mtu: number = conflist.plugins[0].mtu;
    expect(mtu).toBe(1450);
    const ping = (from: number, to: number, bytes: number) =>
      spawnSync(
        'nsenter',
        [
          `--net=/run/netns/${lab.pods[from]![0]!.namespace}`,
          'ping',
          '-M',
          'do',
          '-c',
          '1',
          '-W',
          '1',
          '-s',
          `${bytes - 28}`,
          `10.244.${to}.10`,
        ],
        { encoding: 'utf8' },
      );
    for (const [from, to] of everyPair())
      if (from !== to) expect(ping(from, to, mtu).status, `${from} to ${to}`).toBe(0);
    // The lab's pods have 1500: what a pod made under another MTU would do.
    expect(ping(0, 2, mtu + 1).stdout).toMatch(/mtu ?=? ?1450/);
    expect(ping(0, 1, 1500).status).toBe(0);
  });

  it('find a node again that changed its address, on its link and beyond, within 5 seconds, 15 on a busy machine', async () => {
    const move = async (index: number, address: string) => {
      const router = address.replace(/\d+$/, '1');
      networks[index]!.run(
        `ip addr flush dev eth0; ip addr add ${address}/24 dev eth0; ip route replace default via ${router}`,
      );
      const startedMs = performance.now();
      tell(index, address);
      await settle(`traffic after node ${index} moved to ${address}`);
      const elapsedMs = performance.now() - startedMs;
      console.info(`traffic to ${address} after ${elapsedMs.toFixed(0)} ms`);
      expect(elapsedMs).toBeLessThan(15_000);
    };
    const plug = (bridge: string) =>
      execFileSync('ip', ['-n', lab.lab.hub.namespace, 'link', 'set', 'port2', 'master', bridge]);
    await move(1, '198.51.100.77');
    await move(2, '203.0.113.77');
    // From one link to the other: what was a tunnel becomes a route, on both sides.
    plug('br0');
    await move(2, '198.51.100.88');
    await waitUntil('routes instead of tunnels', 5_000, () =>
      networks.every(({ run }) => !run('ip route show proto 177').includes('coracle-vx')),
    );
    expect(networks[0]!.run('bridge fdb show dev coracle-vx')).toBe('');
    plug('br1');
    await move(2, '203.0.113.12');
  });

  it('get their routes back when the cable was out', async () => {
    networks[0]!.run('ip link set eth0 down; ip link set eth0 up; ip route replace default via 198.51.100.1');
    await settle('traffic after the link came back');
  });

  it('take no frames from a host that is no node', async () => {
    const { run } = networks[0]!;
    const dropped = () => Number(/packets (\d+)/.exec(run('nft list table ip coracle-overlay'))?.[1]);
    expect(dropped()).toBe(0);
    const { namespace } = lab.lab.hub;
    execFileSync('sh', [
      '-euc',
      `ip -n ${namespace} link add vx type vxlan id 177 dstport 8472 nolearning
       ip -n ${namespace} addr add 10.244.9.0/32 dev vx; ip -n ${namespace} link set vx up
       bridge -n ${namespace} fdb add 0e:c0:0a:f4:00:00 dev vx dst 198.51.100.10 self permanent
       ip -n ${namespace} neigh add 10.244.0.0 lladdr 0e:c0:0a:f4:00:00 dev vx nud permanent
       ip -n ${namespace} route add 10.244.0.0/24 via 10.244.0.0 dev vx onlink`,
    ]);
    expect(await lab.outside.dial('10.244.0.10', 8080, { timeoutMs: 400 })).toBe('timeout');
    expect(dropped()).toBeGreaterThan(0);
    execFileSync('ip', ['-n', namespace, 'link', 'del', 'vx']);
  });

  it.skipIf(!hasEthtool)('go on where the network card garbles checksums of what is encapsulated', async () => {
    const offload = () => /tx-checksum-ip-generic: (\w+)/.exec(networks[0]!.run('ethtool -k coracle-vx'))?.[1];
    expect(offload()).toBe('on');
    // What is left to the hardware still holds the sum of the pseudo header alone: a card that lies loses just this, on the cable of node 0.
    const unfinished = pseudoHeaderSum('10.244.0.0', '10.244.2.0', 40);
    const innerChecksum = `@th,${(8 + 8 + 14 + 20 + 16) * 8},16`;
    onRouter(
      `nft add table netdev card
       nft 'add chain netdev card in { type filter hook ingress device port0 priority 0; }'
       nft add rule netdev card in udp dport 8472 ${innerChecksum} ${unfinished} counter drop`,
    );
    expect(await lab.nodes[0]!.agent.dial('10.244.2.0', PROBE_PORT, { timeoutMs: 400 })).toBe('timeout');
    // The device is made anew, as after a reboot.
    networks[0]!.run('ip link delete coracle-vx');
    await waitUntil('the kernel to compute checksums', 10_000, () => offload() === 'off');
    expect(await lab.nodes[0]!.agent.dial('10.244.2.10', 8080, { timeoutMs: 1_000 })).toMatch('pod2 ');
    expect(networks[0]!.problems()).toEqual([]);
    onRouter('nft delete table netdev card');
  });

  it('name the port that somebody between the nodes does not let through', async () => {
    onRouter('iptables -I FORWARD -p udp --dport 8472 -j DROP');
    networks[0]!.run('ip link delete coracle-vx');
    await waitUntil('the problem to be told', 30_000, () => networks[0]!.problems().length > 0);
    expect(networks[0]!.problems()).toEqual([
      {
        reason: 'TunnelBlocked',
        cause: 'node(s) 203.0.113.12 answer, but not through the tunnel between pods',
        cure: 'let UDP port 8472 pass between the nodes, in both directions',
        isDegraded: false,
      },
    ]);
    onRouter('iptables -F FORWARD');
    await waitUntil('the problem to be gone', 15_000, () => networks[0]!.problems().length === 0);
  });

  it('leave nothing behind', async () => {
    stop.abort();
    for (const { network, run } of networks) {
      await network.cleanUp();
      expect(run('ip route show proto 177; ip -br link; nft list tables')).not.toMatch(/coracle-|10\.244\.[12]/);
      await network.cleanUp();
    }
  });
});

/** As TCP leaves it to the hardware: folded, not complemented. */
function pseudoHeaderSum(from: string, to: string, tcpBytes: number): number {
  const words = [from, to].flatMap((address) => {
    const [a, b, c, d] = address.split('.').map(Number) as [number, number, number, number];
    return [a * 256 + b, c * 256 + d];
  });
  let sum = words.reduce((total, word) => total + word, 6 + tcpBytes);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

function within({ enter }: LabHost): Executor & FakeHost['exec'] {
  const plain = createExecutor();
  const [program, ...rest] = enter as [string, ...string[]];
  return {
    ...plain,
    run: ([command, ...args], options) => plain.run([program, ...rest, command, ...args], options),
    stream: ([command, ...args], onLine, signal) => plain.stream([program, ...rest, command, ...args], onLine, signal),
  } as Executor & FakeHost['exec'];
}
