import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createExecutor } from '#agent/host/executor.ts';
import type { Executor } from '#agent/host/host.ts';
import { HostChanges } from '#agent/network/host-changes.ts';
import { createPodNetwork, type PodNetwork } from '#agent/network/pod-network.ts';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { labProblem } from '#test/kit/network-lab.ts';
import { createPodLab, type PodLab } from '#test/kit/pod-lab.ts';
import { UNENCRYPTED } from '#test/kit/unencrypted.ts';

const problem = labProblem();
if (problem !== undefined) console.warn(`firewalls of hosts skipped: ${problem}`);

/** A host that takes nothing in and forwards nothing unless somebody says so, as ufw and Docker leave it. */
describe.skipIf(problem !== undefined)('on a host with a firewall that denies by default', () => {
  let lab: PodLab;
  let network: PodNetwork;
  let exec: Executor;

  beforeAll(async () => {
    lab = createPodLab('fw', [2, 1]);
    const plain = createExecutor();
    const [program, ...rest] = lab.nodes[0]!.host.enter as [string, ...string[]];
    exec = { ...plain, run: ([command, ...args], options) => plain.run([program, ...rest, command, ...args], options) };
    await exec.run([
      'sh',
      '-c',
      'iptables -P INPUT DROP; iptables -P FORWARD DROP; ip address add 169.254.10.53/32 dev lo',
    ]);
    await exec.run(['iptables', '-A', 'INPUT', '-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED', '-j', 'ACCEPT']);
    const host = Object.assign(new FakeHost(), { exec });
    await host.fs.makeDirectory('/state');
    network = createPodNetwork({
      host,
      changes: new HostChanges(host, '/state/host-changes.json'),
      clock: systemClock,
      log: silentLogger,
      nodeName: 'me',
      clusterCidrs: { IPv4: '10.244.0.0/16' },
      cniConfigDirectory: '/cni',
      ipamDirectory: '/ipam',
      mtu: 1500,
      transport: 'auto',
      vxlanPort: 8472,
      encryption: UNENCRYPTED,
      probePort: 10256,
      onProblems: () => {},
      resolver: { addresses: { IPv4: '169.254.10.53' }, port: 10053 },
      iptables: { IPv4: 'iptables' },
    });
    await lab.pods[0]![1]!.agent.serve('near', 8080);
    await lab.pods[1]![0]!.agent.serve('far', 8080);
    await lab.outside.serve('outside', 8080);
    await lab.nodes[0]!.agent.serve('dns', 10053, { protocol: 'udp', host: '169.254.10.53' });
    await lab.nodes[0]!.agent.serve('other', 8080);
  });
  afterAll(() => lab?.destroy());

  const reach = (host: string, port = 8080, protocol: 'tcp' | 'udp' = 'tcp') =>
    lab.pods[0]![0]!.agent.dial(host, port, { protocol, timeoutMs: 400 });
  const tables = async () => (await exec.run(['iptables-save'])).stdout.replaceAll(/^#.*$|\[\d+:\d+\]/gm, '');

  it('pods reach each other, the world and their resolver, and nothing else of the host', async () => {
    const before = await tables();
    expect(await reach('10.244.0.11')).toBe('timeout');
    await network.applyPodCidrs(['10.244.0.0/24']);
    expect(await reach('10.244.0.11')).toMatch(/^near 10\.244\.0\.10/);
    expect(await reach('10.244.1.10')).toMatch(/^far 10\.244\.0\.10/);
    expect(await reach('198.51.100.1')).toMatch(/^outside 198\.51\.100\.10/);
    expect(await reach('169.254.10.53', 10053, 'udp')).toMatch(/^dns /);
    expect(await reach('198.51.100.10')).toBe('timeout');

    // Again and again: the same rules.
    const once = await tables();
    for (let i = 0; i < 3; i++) await network.applyPodCidrs(['10.244.0.0/24']);
    expect(await tables()).toBe(once);

    // As firewalld does when it starts over iptables.
    expect(await network.isIntact()).toBe(true);
    await exec.run(['iptables', '-t', 'nat', '-F']);
    expect(await network.isIntact()).toBe(false);
    await network.reassert();
    expect(await network.isIntact()).toBe(true);
    expect(await tables()).toBe(once);

    // A proxy that comes later, or whose jumps were behind for whatever reason, refuses all the same.
    await exec.run(['sh', '-c', 'iptables -N KUBE-SERVICES; iptables -A FORWARD -j KUBE-SERVICES']);
    for (let i = 0; i < 3; i++) await network.applyPodCidrs(['10.244.0.0/24']);
    const jumps = (await exec.run(['iptables', '-S', 'FORWARD'])).stdout.match(/(?<=-j ).*/g);
    expect(jumps).toEqual(['KUBE-SERVICES', 'CORACLE-FORWARD']);

    await network.cleanUp();
    expect(await tables()).not.toContain('CORACLE');
    expect(before).not.toContain('CORACLE');
  });
});
