import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { Duplex } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createExecutor } from '#agent/host/executor.ts';
import type { Executor } from '#agent/host/host.ts';
import { createLinuxHost } from '#agent/host/linux-host.ts';
import { HostChanges } from '#agent/network/host-changes.ts';
import type { NetworkProblem } from '#agent/network/network-problem.ts';
import { WIREGUARD_KEY_ANNOTATION } from '#agent/network/paths/wireguard/node-key.ts';
import { createPodNetwork, type PodNetwork } from '#agent/network/pod-network.ts';
import type { Informer, InformerHandler } from '#api/client/informer.ts';
import type { Node } from '#api/object/kinds.ts';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { labProblem } from '#test/kit/network-lab.ts';
import { nodeObject } from '#test/kit/node-object.ts';
import { createPodLab, type PodLab } from '#test/kit/pod-lab.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const problem = labProblem() ?? missingProgram();
if (problem !== undefined) console.warn(`encrypted pod traffic skipped: ${problem}`);

const PROBE_PORT = 10256;
/** What no packet on a link may hold. */
const MARKER = 'PLANTED-IN-CLEAR-TEXT';

/** What a node's agent does for pod traffic, in the network of one node of the lab. */
interface LabNetwork {
  readonly network: PodNetwork;
  readonly problems: () => readonly NetworkProblem[];
  readonly folder: string;
  stop(): void;
}

/** Nodes 0 and 1 share a link; node 2 is beyond a router. */
describe.skipIf(problem !== undefined)('pods of three nodes that encrypt', () => {
  let lab: PodLab;
  let folder: string;
  let nodes: Node[];
  const mounts: ChildProcess[] = [];
  const networks: LabNetwork[] = [];
  const handlers: (readonly [owner: number, handler: InformerHandler<Node>])[] = [];
  const missing = new Set<string>();

  beforeAll(async () => {
    lab = createPodLab('wg', [1, 1, 1], { beyond: [2], hasRoutes: false });
    folder = await mkdtemp('/tmp/coracle-wg-');
    nodes = lab.nodes.map(({ host }, index) => nodeObject(index, host.address));
    for (const index of [0, 1, 2]) {
      mounts.push(await ownSockets(lab.nodes[index]!.host.namespace));
      await lab.nodes[index]!.agent.serve('node', PROBE_PORT);
      await lab.pods[index]![0]!.agent.serve(`${MARKER} pod${index}`, 8080);
    }
    for (const index of [0, 1, 2]) networks[index] = await startNetwork(index, true);
  }, 60_000);
  afterAll(async () => {
    for (const { stop, network } of networks) {
      stop();
      await network.cleanUp().catch(() => {});
    }
    for (const child of mounts) child.kill();
    await lab?.destroy();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  const enter = (index: number) => [
    'nsenter',
    `--net=/run/netns/${lab.nodes[index]!.host.namespace}`,
    `--mount=/proc/${mounts[index]!.pid}/ns/mnt`,
    '--',
  ];
  const run = (index: number, command: string) => {
    const [program, ...args] = enter(index);
    // What ip says of namespaces that others have taken away meanwhile is no news.
    return execFileSync(program!, [...args, 'sh', '-euc', command], { encoding: 'utf8', stdio: 'pipe' });
  };

  function change(index: number, next: Node): void {
    const before = nodes[index]!;
    nodes = nodes.with(index, next);
    for (const [, handler] of handlers) handler.onUpdate?.(before, next);
  }

  async function startNetwork(index: number, isAsked: boolean): Promise<LabNetwork> {
    const stop = new AbortController();
    const exec = within(enter(index), missing);
    const own = `${folder}/${index}`;
    const host = Object.assign(new FakeHost(), { exec, fs: createLinuxHost().fs as FakeHost['fs'] });
    host.onDial = async (address, port, options) => {
      const answer = await lab.nodes[index]!.agent.dial(address, port, { timeoutMs: options?.timeoutMs ?? 1_000 });
      if (answer === 'timeout') throw Object.assign(new Error('timeout'), { code: 'ETIMEDOUT' });
      return new Duplex();
    };
    let problems: readonly NetworkProblem[] = [];
    const informer = {
      addHandler: (handler: InformerHandler<Node>) => handlers.push([index, handler]),
      waitForSync: async () => {},
      list: () => nodes,
    } as unknown as Informer<Node>;
    const network = createPodNetwork({
      host,
      changes: new HostChanges(host, `${own}/host-changes.json`),
      clock: systemClock,
      log: silentLogger,
      nodeName: `node-${index}`,
      clusterCidrs: { IPv4: '10.244.0.0/16' },
      cniConfigDirectory: `${own}/cni`,
      ipamDirectory: `${own}/ipam`,
      mtu: 0,
      transport: 'auto',
      vxlanPort: 8472,
      encryption: {
        isAsked,
        port: 51_820,
        keyPath: `${own}/network/wireguard.key`,
        publishKey: async (key) => {
          const annotations: Record<string, string> = key === undefined ? {} : { [WIREGUARD_KEY_ANNOTATION]: key };
          change(index, { ...nodes[index]!, metadata: { ...nodes[index]!.metadata, annotations } });
        },
      },
      probePort: PROBE_PORT,
      onProblems: (found) => (problems = found),
      resolver: { addresses: { IPv4: '169.254.10.53' }, port: 10053 },
      iptables: { IPv4: 'iptables', IPv6: 'ip6tables' },
    });
    await network.applyPodCidrs([`10.244.${index}.0/24`]);
    network.start(informer, stop.signal);
    const forget = () => {
      stop.abort();
      for (let at = handlers.length - 1; at >= 0; at--) if (handlers[at]![0] === index) handlers.splice(at, 1);
    };
    return { network, problems: () => problems, folder: own, stop: forget };
  }

  const restart = async (index: number, isAsked: boolean) => {
    networks[index]!.stop();
    networks[index] = await startNetwork(index, isAsked);
  };
  const reach = (from: number, to: number, timeoutMs = 400) =>
    lab.pods[from]![0]!.agent.dial(lab.pods[to]![0]!.address, 8080, { timeoutMs });
  const everyPair = [0, 1, 2].flatMap((from) => [0, 1, 2].map((to) => [from, to] as const));
  const settle = (what: string, timeoutMs = 30_000) =>
    waitUntil(what, timeoutMs, async () => {
      for (const [from, to] of everyPair) if (!(await reach(from, to)).startsWith(MARKER)) return false;
      return true;
    });
  const peers = (index: number) =>
    run(index, 'wg show coracle-wg allowed-ips')
      .trim()
      .split('\n')
      .map((line) => line.split('\t'));
  const keyOf = (index: number) => nodes[index]!.metadata.annotations?.[WIREGUARD_KEY_ANNOTATION];

  /** Everything that passes the links while `during` runs, as one text. */
  async function onTheLinks(during: () => Promise<unknown>): Promise<string> {
    const file = `${folder}/packets`;
    const { namespace } = lab.lab.hub;
    const dump = spawn(
      'nsenter',
      [`--net=/run/netns/${namespace}`, 'tcpdump', '--immediate-mode', '-U', '-i', 'any', '-s0', '-w', file],
      {
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    await once(dump.stderr!, 'data');
    await during();
    // What came before it has been written by then.
    const end = 'END-OF-CAPTURE';
    run(0, `ping -c 1 -W 5 -s 48 -p ${Buffer.from(end).toString('hex')} 198.51.100.1`);
    await waitUntil('the end of the capture', 20_000, async () => (await readFile(file, 'latin1')).includes(end));
    dump.kill('SIGINT');
    await once(dump, 'exit');
    return readFile(file, 'latin1');
  }

  it('reach each other, and nothing of it can be read on the links', async () => {
    await settle('the first packets');
    const seen = await onTheLinks(async () => {
      for (const [from, to] of everyPair)
        expect(await reach(from, to), `${from} to ${to}`).toBe(`${MARKER} pod${to} 10.244.${from}.10`);
      // A node's own programs too.
      for (const to of [0, 1, 2])
        expect(await lab.nodes[0]!.agent.dial(`10.244.${to}.10`, 8080, { timeoutMs: 1_000 })).toMatch(`pod${to} `);
    });
    expect(seen.length).toBeGreaterThan(1_000);
    expect(seen).not.toContain(MARKER);
    expect(run(0, 'ip route show proto 177').trim().split(/\s*\n/).sort()).toEqual([
      '10.244.1.0/24 dev coracle-wg scope link',
      '10.244.2.0/24 dev coracle-wg scope link',
      'unreachable 10.244.0.0/16',
    ]);
    expect((await stat(`${networks[0]!.folder}/network/wireguard.key`)).mode & 0o777).toBe(0o600);
    expect(networks.map(({ problems }) => problems())).toEqual([[], [], []]);
  });

  it('carry packets of their MTU unfragmented, and are told when one is larger', async () => {
    const conflist = JSON.parse(await readFile(`${networks[0]!.folder}/cni/10-coracle.conflist`, 'utf8'));
    const mtu: number = conflist.plugins[0].mtu;
    expect(mtu).toBe(1420);
    const ping = (from: number, to: number, bytes: number) => {
      const command = `ping -M do -c 1 -W 2 -s ${bytes - 28} 10.244.${to}.10`;
      return spawnSync('nsenter', [`--net=/run/netns/${lab.pods[from]![0]!.namespace}`, ...command.split(' ')], {
        encoding: 'utf8',
      });
    };
    for (const [from, to] of everyPair) if (from !== to) expect(ping(from, to, mtu).status, `${from} to ${to}`).toBe(0);
    // The lab's pods have 1500: what a pod made under another MTU would do.
    expect(ping(0, 2, mtu + 1).stdout).toMatch(/mtu ?=? ?1420/);
  });

  it('find a node again that changed its address, on its link and beyond, within 5 seconds', async () => {
    const move = async (index: number, address: string) => {
      const router = address.replace(/\d+$/, '1');
      run(index, `ip addr flush dev eth0; ip addr add ${address}/24 dev eth0; ip route replace default via ${router}`);
      const startedMs = performance.now();
      const { annotations = {} } = nodes[index]!.metadata;
      const moved = nodeObject(index, address);
      change(index, { ...moved, metadata: { ...moved.metadata, annotations } });
      await settle(`traffic after node ${index} moved to ${address}`);
      const elapsedMs = performance.now() - startedMs;
      console.info(`encrypted traffic to node ${index} resumed ${Math.round(elapsedMs)} ms after it moved`);
      // And what a busy machine takes. WireGuard by itself would notice when it next keeps the peer alive, after 25 seconds.
      expect(elapsedMs).toBeLessThan(20_000);
    };
    await move(1, '198.51.100.77');
    await move(2, '203.0.113.77');
  });

  it('take up another key', async () => {
    const before = keyOf(2);
    await rm(`${networks[2]!.folder}/network/wireguard.key`);
    const startedMs = performance.now();
    await restart(2, true);
    await waitUntil('another key', 20_000, () => keyOf(2) !== before);
    await settle('traffic with the new key');
    console.info(`encrypted traffic resumed ${Math.round(performance.now() - startedMs)} ms after a key was replaced`);
    for (const index of [0, 1]) expect(peers(index).map(([key]) => key)).not.toContain(before);
    expect(
      peers(0)
        .map(([key]) => key)
        .sort(),
    ).toEqual([keyOf(1), keyOf(2)].sort());
  });

  it('send nothing in clear text while the process that encrypts is gone, and start it again', async () => {
    const pid = () => run(0, "ss -xlpH | sed -n 's/.*coracle-wg.sock.*pid=\\([0-9]*\\).*/\\1/p'").trim();
    const before = pid();
    networks[0]!.stop();
    const seen = await onTheLinks(async () => {
      process.kill(Number(before), 'SIGKILL');
      await waitUntil('the device to go', 10_000, () => !run(0, 'ip -br link').includes('coracle-wg'));
      for (const to of [1, 2]) expect(await reach(0, to)).not.toMatch(MARKER);
      for (const from of [1, 2]) expect(await reach(from, 0)).not.toMatch(MARKER);
    });
    expect(seen).not.toMatch(MARKER);
    await restart(0, true);
    await settle('traffic after the process was started again');
    expect(pid()).not.toBe(before);
  });

  it('send nothing to a node that does not encrypt, and take nothing from it', async () => {
    await restart(1, false);
    await waitUntil('the key to be taken away', 10_000, () => keyOf(1) === undefined);
    await waitUntil('the peer to go', 10_000, () => peers(0).length === 1);
    expect(run(1, 'ip -br link')).not.toContain('coracle-wg');
    const seen = await onTheLinks(async () => {
      for (const [from, to] of [
        [0, 1],
        [1, 0],
        [1, 2],
        [2, 1],
      ] as const)
        expect(await reach(from, to), `${from} to ${to}`).not.toMatch(MARKER);
      // Whatever routes somebody makes.
      run(1, 'ip route add 10.244.0.10/32 via 198.51.100.10');
      run(0, 'ip route add 10.244.1.10/32 via 198.51.100.77');
      expect(await reach(1, 0)).toBe('timeout');
      expect(await reach(0, 1)).toBe('timeout');
      run(1, 'ip route delete 10.244.0.10/32 via 198.51.100.10');
      run(0, 'ip route delete 10.244.1.10/32 via 198.51.100.77');
    });
    expect(seen).not.toMatch(MARKER);
    expect(await reach(0, 2)).toMatch('pod2');
  });

  it('go in clear text again once nobody asks for more', async () => {
    for (const index of [0, 2]) await restart(index, false);
    await settle('traffic without encryption');
    // So the marker would have been found above.
    expect(await onTheLinks(() => reach(0, 1))).toMatch(MARKER);
    for (const index of [0, 1, 2]) {
      expect(run(index, 'ip -br link; ip route; nft list tables')).not.toMatch(
        /coracle-wg|unreachable|coracle-encryption/,
      );
      await expect(stat(`${networks[index]!.folder}/network/wireguard.key`)).rejects.toThrow('ENOENT');
    }
  });

  it('do not go at all where the host cannot encrypt, which is told', async () => {
    missing.add('wireguard-go');
    await restart(0, true);
    await waitUntil('the problem to be told', 10_000, () => networks[0]!.problems().length > 0);
    const [told] = networks[0]!.problems();
    expect(told?.reason).toBe('EncryptionUnavailable');
    expect(told?.cause).toMatch(/do not go at all: the kernel has no WireGuard .*, and wireguard-go is not installed/);
    expect(told?.isDegraded).toBe(false);
    expect(await onTheLinks(() => reach(0, 1))).not.toMatch(MARKER);
    missing.clear();
    await restart(0, true);
    await restart(1, true);
    await waitUntil('traffic between the two that encrypt', 30_000, async () => (await reach(0, 1)).startsWith(MARKER));
  });

  it('leave nothing behind', async () => {
    for (const [index, { network, stop, folder: own }] of networks.entries()) {
      stop();
      await network.cleanUp();
      expect(run(index, 'ip route; ip -br link; nft list tables; ls /run/wireguard')).not.toMatch(
        /coracle-(wg|vx|encryption)|unreachable/,
      );
      await expect(stat(`${own}/network/wireguard.key`)).rejects.toThrow('ENOENT');
      await network.cleanUp();
    }
  });
});

function missingProgram(): string | undefined {
  for (const program of ['wg', 'wireguard-go', 'tcpdump', 'ping', 'ss', 'nft'])
    if (spawnSync('sh', ['-c', `PATH=$PATH:/usr/sbin command -v ${program}`]).status !== 0) return `needs ${program}`;
  return undefined;
}

/** Every node of the lab has a device of the same name, and the processes behind them their sockets by that name in one folder of the machine. */
async function ownSockets(namespace: string): Promise<ChildProcess> {
  const script = 'mkdir -p /run/wireguard; mount -t tmpfs none /run/wireguard; echo ready; exec sleep infinity';
  const child = spawn('nsenter', [`--net=/run/netns/${namespace}`, 'unshare', '--mount', 'sh', '-euc', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout!, 'data');
  return child;
}

function within([program, ...rest]: readonly string[], missing: ReadonlySet<string>): Executor & FakeHost['exec'] {
  const plain = createExecutor();
  return {
    ...plain,
    find: async (name) => (missing.has(name) ? undefined : plain.find(name)),
    run: ([command, ...args], options) => plain.run([program!, ...rest, command, ...args], options),
    stream: ([command, ...args], onLine, signal) => plain.stream([program!, ...rest, command, ...args], onLine, signal),
  } as Executor & FakeHost['exec'];
}
