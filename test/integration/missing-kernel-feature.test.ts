import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createExecutor } from '#agent/host/executor.ts';
import type { Executor } from '#agent/host/host.ts';
import { networkVerdicts } from '#agent/kubelet/node/network-conditions.ts';
import { renderNetworkReport } from '#agent/network/trouble/doctor.ts';
import { ChangeTracker } from '#agent/proxy/change-tracker.ts';
import { type ChosenBackend, chooseBackend, type ProxyMode } from '#agent/proxy/choose-backend.ts';
import { lacksProblem, syncProblem } from '#agent/services-problem.ts';
import type { EndpointSlice, Service } from '#api/object/kinds.ts';
import { silentLogger } from '#base/logger.ts';
import { labProblem } from '#test/kit/network-lab.ts';
import { createPodLab, type PodLab } from '#test/kit/pod-lab.ts';

/** Stands where a program of the host does: what a rule asks for is replaced by what this machine's kernel really lacks, so that the kernel itself refuses. */
const STATISTIC = { asked: '-m statistic --mode random --probability [0-9.]*', instead: '-m ipvs --ipvs' };
const FIB = { asked: 'fib [sd]addr type local.*', instead: 'queue num 0' };

interface LackCase {
  readonly name: string;
  readonly mode: 'auto' | ProxyMode;
  readonly lacks: readonly (typeof FIB)[];
  /** Whose rules the kernel takes all the same. */
  readonly takes: ProxyMode | undefined;
  readonly feature: string;
  readonly option: string;
}

const runs = (...argv: string[]) => spawnSync(argv[0]!, argv.slice(1), { encoding: 'utf8' }).status === 0;
/** In a network namespace that is gone at once. */
const kernelTakes = (script: string) => runs('unshare', '--net', 'sh', '-euc', script);
const problem =
  labProblem() ??
  (kernelTakes('nft add table ip t; nft add chain ip t c; nft add rule ip t c queue num 0')
    ? 'this kernel lacks nothing that rules can ask for (it has nft_queue)'
    : kernelTakes('iptables-nft -A FORWARD -m ipvs --ipvs')
      ? 'this kernel lacks nothing that rules can ask for (it has xt_ipvs)'
      : undefined);
if (problem !== undefined) console.warn(`kernels without a feature skipped: ${problem}`);

const SERVICE_IP = '10.96.0.20';

/** Each ends in working traffic, or in one condition of the node and one finding of `coracle doctor network` that name cause and cure. */
describe.skipIf(problem !== undefined)('a kernel', () => {
  let lab: PodLab;
  let folder: string;

  beforeAll(async () => {
    lab = createPodLab('mkf', [2, 1]);
    folder = mkdtempSync(join(tmpdir(), 'coracle-lacks-'));
    for (const [index, { agent }] of lab.pods.flat().entries()) await agent.serve(`pod${index}`, 8080);
  });
  afterAll(async () => {
    rmSync(folder, { recursive: true, force: true });
    await lab?.destroy();
  });

  /** As an agent has it whose kernel lacks these. */
  function executorWithout(...lacks: readonly (typeof FIB)[]): Executor {
    const plain = createExecutor();
    const [enter, ...rest] = lab.nodes[0]!.host.enter as [string, ...string[]];
    const without = async (program: string): Promise<string> => {
      const name = basename(program);
      const real = name.includes('/') ? name : ((await plain.find(name)) ?? program);
      if (lacks.length === 0 || !/^(nft|iptables.*-restore)$/.test(name)) return real;
      const path = join(folder, `${name}-${lacks.map(({ instead }) => instead.length).join('-')}`);
      const edits = lacks.map(({ asked, instead }) => `-e 's/${asked}/${instead}/'`).join(' ');
      const script = `#!/bin/sh\ncase " $* " in *" list "*|*" --version "*) exec ${real} "$@";; esac\nsed ${edits} | ${real} "$@"\n`;
      writeFileSync(path, script, { mode: 0o755 });
      return path;
    };
    return {
      ...plain,
      run: async ([program, ...args], options) => plain.run([enter, ...rest, await without(program), ...args], options),
    };
  }

  const choose = (mode: 'auto' | ProxyMode, exec: Executor): Promise<ChosenBackend> =>
    chooseBackend(mode, {
      ...{ exec, log: silentLogger, clusterCidrs: { IPv4: '10.244.0.0/16' } },
      ...{ nodePortRanges: undefined, localhostNodePorts: false },
    });

  async function program(backend: ChosenBackend): Promise<void> {
    const tracker = new ChangeTracker({ nodeName: 'me' }, () => {});
    tracker.onService(SERVICE);
    tracker.onSlice(SLICE);
    await backend.fullSync(tracker.beginSync().plans);
  }

  async function expectTraffic(): Promise<void> {
    const { agent } = lab.pods[0]![0]!;
    const seen = new Set<string>();
    for (let i = 0; i < 40 && seen.size < 2; i++) seen.add((await agent.dial(SERVICE_IP, 80)).split(' ')[0]!);
    expect([...seen].sort()).toEqual(['pod1', 'pod2']);
  }

  const ruleset = async () => (await executorWithout().run(['sh', '-c', 'iptables-save; nft list tables'])).stdout;

  it('that lacks nothing: every rule of both modes is taken, and asking leaves nothing behind', async () => {
    const before = (await ruleset()).replaceAll(/^#.*$/gm, '');
    for (const mode of ['iptables', 'nftables'] as const)
      expect(await (await choose(mode, executorWithout())).findLacks()).toEqual({
        ...{ mode, lacks: [], otherMode: undefined },
      });
    expect((await choose('auto', executorWithout())).mode).toBe('iptables');
    expect((await ruleset()).replaceAll(/^#.*$/gm, '')).not.toMatch(/PROBE|probe/i);
    expect(before).not.toMatch(/PROBE|probe/i);
  });

  it('without xt_statistic has Services through nftables, where nobody asked for iptables', async () => {
    const backend = await choose('auto', executorWithout(STATISTIC));
    expect(backend.mode).toBe('nftables');
    await program(backend);
    await expectTraffic();
    expect(lacksProblem(await backend.findLacks())).toEqual([]);
    await backend.cleanUp();
  });

  const CASES: readonly LackCase[] = [
    {
      ...{ name: 'without xt_statistic', mode: 'iptables', lacks: [STATISTIC], takes: 'nftables' },
      ...{ feature: 'statistic', option: 'CONFIG_NETFILTER_XT_MATCH_STATISTIC' },
    },
    {
      ...{ name: 'without nft_fib', mode: 'nftables', lacks: [FIB], takes: 'iptables' },
      ...{ feature: 'fib', option: 'CONFIG_NFT_FIB_IPV4' },
    },
    {
      ...{ name: 'without both', mode: 'auto', lacks: [STATISTIC, FIB], takes: undefined },
      ...{ feature: 'statistic', option: 'CONFIG_NETFILTER_XT_MATCH_STATISTIC' },
    },
  ];
  it.each(CASES)('$name says so under proxyMode $mode, and its cure works', async ({ mode, lacks, takes, ...lack }) => {
    const exec = executorWithout(...lacks);
    const backend = await choose(mode, exec);
    const used = mode === 'auto' ? 'iptables' : mode;
    expect(backend.mode).toBe(used);
    const refusal = await program(backend).then(
      () => undefined,
      (err: unknown) => err,
    );
    expect(refusal).toBeDefined();

    const cause = `Services do not answer on this node, because the kernel takes no rules of ${used}: it lacks ${lack.feature} (${lack.option})`;
    const kernel = `use a kernel with ${lack.option}, or load what it has as modules`;
    const cure = takes === undefined ? kernel : `set proxyMode: ${takes}, whose rules this kernel takes, or ${kernel}`;
    // What the node shows, at the first failure.
    expect(networkVerdicts(syncProblem(await backend.findLacks(), refusal, 1))).toEqual({
      NetworkUnavailable: { isTrue: true, reason: 'ServicesNotProgrammed', message: `${cause}; to cure it: ${cure}` },
    });
    // What the doctor says, with an agent or without.
    expect(renderNetworkReport(lacksProblem(await backend.findLacks()))).toEqual({
      isSound: false,
      lines: [`found: ServicesNotProgrammed: ${cause}`, `  to cure it: ${cure}`],
    });

    const cured = await choose(takes ?? mode, takes === undefined ? executorWithout() : exec);
    await program(cured);
    await cured.cleanOthers();
    await expectTraffic();
    await cured.cleanUp();
  });
});

const metadata = { namespace: 'default', resourceVersion: '1', creationTimestamp: '' };
const SERVICE = {
  metadata: { ...metadata, name: 'web', uid: 'web' },
  spec: { type: 'ClusterIP', clusterIP: SERVICE_IP, ports: [{ name: 'http', port: 80, protocol: 'TCP' }] },
} as unknown as Service;
const SLICE = {
  addressType: 'IPv4',
  metadata: { ...metadata, name: 'web-x', uid: 'web-x', labels: { 'kubernetes.io/service-name': 'web' } },
  ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  endpoints: ['10.244.0.11', '10.244.1.10'].map((address) => ({ addresses: [address], conditions: { ready: true } })),
} as unknown as EndpointSlice;
