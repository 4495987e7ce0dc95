import { describe, expect, it } from 'vitest';
import { NODE_POLICY_KEY, NODE_POLICY_NAMESPACE, type NodePolicy, nodePolicyName } from '#api/network/node-policy.ts';
import { type ConfigMap, resources } from '#api/object/kinds.ts';
import { systemClock } from '#base/clock.ts';
import { parseConfig } from '#base/config.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { MemoryCluster } from '#test/kit/memory-client.ts';
import { AGENT_CONFIG, type AgentConfig } from './config.ts';
import { ExecError } from './host/host.ts';
import { createNodeNetwork } from './node-network.ts';
import { cniConfigDirectory } from './own-runtime.ts';

const configOf = (...argv: string[]): AgentConfig => parseConfig(AGENT_CONFIG, { argv, env: {} });

/** The network of a node as its configuration makes it, on a host in memory. */
async function networkOf(config: AgentConfig) {
  const host = new FakeHost();
  // There are no rules of ours: deleting one ends, sooner or later.
  host.exec.respond((argv) =>
    argv.includes('-D') || argv.includes('-C') ? new ExecError(argv, 1, 'no such rule') : undefined,
  );
  await host.fs.makeDirectory(config.dataDir);
  await host.fs.makeDirectory('/etc/cni/net.d');
  await host.fs.write('/etc/cni/net.d/10-calico.conflist', '{}');
  const network = await createNodeNetwork({ config, nodeName: 'me', host, clock: systemClock, log: silentLogger });
  return { host, network };
}

describe('the pod network of somebody else (networkMode: cni)', () => {
  it('is left alone: its configuration, the host, the conditions of the node', async () => {
    const { host, network } = await networkOf(configOf('--network-mode', 'cni'));
    const before = host.exec.calls.length;
    await network.onPodCidrs(['10.244.3.0/24']);
    expect(host.exec.calls.slice(before)).toEqual([]);
    expect(host.sysctls.size).toBe(0);
    expect(await host.fs.list('/etc/cni/net.d')).toEqual(['10-calico.conflist']);
    expect(network.problems()).toBeUndefined();
  });

  it('keeps its configuration when our part is cleaned up', async () => {
    const { host, network } = await networkOf(configOf('--network-mode', 'cni'));
    await network.cleanUp();
    expect(await host.fs.list('/etc/cni/net.d')).toEqual(['10-calico.conflist']);
  });

  it('is looked for where network add-ons write it', () => {
    expect(cniConfigDirectory(configOf('--network-mode', 'cni'))).toBe('/etc/cni/net.d');
    expect(cniConfigDirectory(configOf())).toBe('/var/lib/coracle/agent/cni');
    expect(cniConfigDirectory(configOf('--network-mode', 'cni', '--cni-conf-dir', '/srv/cni'))).toBe('/srv/cni');
  });
});

it('ours writes its configuration, and takes it back', async () => {
  const config = configOf('--mtu', '1400');
  const { host, network } = await networkOf(config);
  await network.onPodCidrs(['fd00:1::/64', '10.244.3.0/24']);
  const path = '/var/lib/coracle/agent/cni/10-coracle.conflist';
  expect(JSON.parse(await host.fs.readText(path)).plugins[0]).toMatchObject({
    mtu: 1400,
    ipam: { ranges: [[{ subnet: '10.244.3.0/24' }]] },
  });
  expect(network.problems()).toEqual([]);
  await network.cleanUp();
  expect(await host.fs.info(path)).toBeUndefined();
});

it('a kernel that refuses the rules of Services is in the way, until it takes them', async () => {
  const config = configOf(
    '--proxy-mode',
    'iptables',
    '--cluster-dns',
    '',
    '--proxy-healthz-port',
    '0',
    '--proxy-metrics-port',
    '0',
  );
  const { host, network } = await networkOf(config);
  let refuses = true;
  host.exec.respond((argv, stdin) =>
    refuses && (argv[0] ?? '').endsWith('-restore') && /statistic|KUBE-/.test(stdin ?? '')
      ? new ExecError(argv, 4, 'line 3: RULE_APPEND failed (No such file or directory)')
      : undefined,
  );
  const stop = new AbortController();
  network.start(new MemoryCluster().client(), stop.signal);
  await expect.poll(() => network.problems()?.map(({ reason }) => reason)).toEqual(['ServicesNotProgrammed']);
  expect(network.problems()?.[0]?.cause).toContain('it lacks statistic (CONFIG_NETFILTER_XT_MATCH_STATISTIC)');
  refuses = false;
  await expect.poll(() => network.problems()).toEqual([]);
  stop.abort();
});

it('a pod network that cannot be set up is told of, and set up once that is possible', async () => {
  const { host, network } = await networkOf(configOf());
  let isLocked = true;
  host.exec.respond((argv) =>
    isLocked && argv.includes('CORACLE-MASQ')
      ? new ExecError(argv, 4, 'Another app is currently holding the xtables lock')
      : undefined,
  );
  await network.onPodCidrs(['10.244.3.0/24']);
  await expect.poll(() => network.problems()?.map(({ reason }) => reason)).toEqual(['PodNetworkNotSetUp']);
  expect(network.problems()?.[0]?.cause).toContain('holding the xtables lock');
  isLocked = false;
  await expect.poll(() => network.problems()).toEqual([]);
  expect(await host.fs.info('/var/lib/coracle/agent/cni/10-coracle.conflist')).toBeDefined();
});

it('a cluster DNS that cannot answer on the node is told of', async () => {
  const { host, network } = await networkOf(configOf('--proxy-healthz-port', '0', '--proxy-metrics-port', '0'));
  host.exec.respond((argv) =>
    argv.includes('replace') && argv.includes('lo')
      ? new ExecError(argv, 2, 'RTNETLINK answers: Permission denied')
      : undefined,
  );
  const stop = new AbortController();
  network.start(new MemoryCluster().client(), stop.signal);
  await expect.poll(() => network.problems()?.map(({ reason }) => reason)).toContain('NoClusterDns');
  stop.abort();
});

it('policies that a flush of nftables took stand again, where the rules of Services stand in iptables-legacy', async () => {
  const off = ['--cluster-dns', '', '--proxy-healthz-port', '0', '--proxy-metrics-port', '0'];
  const { host, network } = await networkOf(configOf('--proxy-mode', 'iptables', ...off));
  let tables = '';
  const cleaned = new Set<string | undefined>();
  const written = () => host.exec.calls.filter(({ stdin }) => stdin?.includes('add map ip coracle-policy')).length;
  host.exec.respond((argv, stdin) => {
    if (stdin?.includes('coracle-policy')) tables = 'table ip coracle-policy\n';
    // None of the proxy's own is missing.
    if ((argv[0] ?? '').endsWith('-save')) return keptRules(host);
    if (argv.includes('-D')) cleaned.add(argv[0]);
    if (argv.includes('-C') && !cleaned.has(argv[0])) return '';
    return argv.join(' ') === 'nft list tables' ? tables : undefined;
  });
  const cluster = new MemoryCluster();
  const policy: NodePolicy = { sets: {}, groups: [{ pods: ['10.244.3.7'], ingress: [] }] };
  await cluster
    .client()
    .resource<ConfigMap>(resources.configMaps)
    .create({
      metadata: { name: nodePolicyName('me'), namespace: NODE_POLICY_NAMESPACE },
      data: { [NODE_POLICY_KEY]: JSON.stringify(policy) },
    });
  const stop = new AbortController();
  network.start(cluster.client(), stop.signal);
  await expect.poll(written).toBe(1);
  await expect.poll(() => host.exec.streams.some(({ argv }) => argv.includes('--event'))).toBe(true);
  tables = '';
  for (const { emit } of host.exec.streams) emit('NEWGEN: GENID=7');
  await expect.poll(written).toBe(2);
  stop.abort();
});

/** The jumps of the table filter as the kernel would have them: what was inserted last is first. */
function keptRules({ exec }: FakeHost): string {
  const inserted = exec.calls.flatMap(({ stdin }) => (stdin ?? '').match(/^-I (INPUT|FORWARD|OUTPUT) .*/gm) ?? []);
  const filter = inserted.filter((line) => !line.includes('service portals" -j KUBE-SERVICES') || line.includes('NEW'));
  return ['*filter', ...new Set(filter.toReversed().map((line) => line.replace('-I', '-A'))), 'COMMIT'].join('\n');
}
