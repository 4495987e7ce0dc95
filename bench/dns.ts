import { execFile, spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startCluster, type TestCluster } from '#test/kit/cluster.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';
import { waitUntil } from '#test/kit/wait-until.ts';
import { quantile, type Result } from './result.ts';

const WARM = 500;
const COLD = 500;
const ROUNDS = Number(process.env.CORACLE_BENCH_DNS_ROUNDS ?? 6);
const RESOLVER_PORT = 5353;
const LOAD = join(import.meta.dirname, 'dns-load.mjs');

/**
 * 1,000 names asked one after the other by a pod through the address of the cluster DNS: half are Services, half are names elsewhere that
 * nobody has asked for yet (the resolver answers at once). With the API, and while it is away.
 */
export async function measureDns(): Promise<Result[]> {
  const results: Result[] = [];
  for (const mode of ['iptables', 'nftables']) {
    const cluster = await startCluster({
      name: 'bdns',
      nodes: 1,
      agentFlags: ['--proxy-mode', mode, '--dns-upstreams', `198.51.100.1:${RESOLVER_PORT}`],
    });
    const { enter } = cluster.lab.hub;
    const resolver = spawn(enter[0]!, [
      ...enter.slice(1),
      process.execPath,
      LOAD,
      'resolver',
      '198.51.100.1',
      `${RESOLVER_PORT}`,
    ]);
    try {
      const asker = await prepare(cluster);
      results.push(...(await measure(cluster.agents[0]!.pid, asker, `dns, ${mode}`)));
      await cluster.controller.kill();
      results.push(...(await measure(cluster.agents[0]!.pid, asker, `dns, ${mode}, API away`)));
    } finally {
      resolver.kill();
      await cluster.destroy();
    }
  }
  return results;
}

/** A pod that waits; questions are asked in its network. */
interface Asker {
  readonly namespace: string;
}

async function prepare(cluster: TestCluster): Promise<Asker> {
  const services = Array.from({ length: WARM }, (_, i) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: `s${i}` },
    spec: { selector: { app: 'none' }, ports: [{ port: 80 }] },
  }));
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'asker' },
    spec: { containers: [{ name: 'main', image: BUSYBOX_IMAGE, command: ['sleep', '36000'] }] },
  };
  await cluster.kubectlOk(['apply', '-f', '-'], {
    stdin: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [pod, ...services] }),
    timeoutMs: 120_000,
  });
  await cluster.kubectlOk(['wait', '--for=condition=Ready', 'pod/asker', '--timeout=60s']);
  const namespace = (await cluster.kubectlOk(['exec', 'asker', '--', 'readlink', '/proc/self/ns/net'])).trim();
  await waitUntil('answers', 60_000, async () => (await ask({ namespace }, 1, WARM, 1)).every((ms) => ms >= 0));
  return { namespace };
}

async function measure(pid: number, asker: Asker, name: string): Promise<Result[]> {
  const before = cpuMs(pid);
  const timings = await ask(asker, ROUNDS, WARM, COLD);
  const spentMs = cpuMs(pid) - before;
  const answered = timings.filter((ms) => ms >= 0);
  const note = `${answered.length} questions, ${timings.length - answered.length} without an answer`;
  const goal = { value: 2, better: 'lower' as const };
  return [
    { name: `${name}: p50`, value: quantile(answered, 0.5), unit: 'ms', note },
    { name: `${name}: p99`, value: quantile(answered, 0.99), unit: 'ms', goal, note },
    { name: `${name}: CPU of the agent per question`, value: spentMs / timings.length, unit: 'ms' },
  ];
}

async function ask({ namespace }: Asker, rounds: number, warm: number, cold: number): Promise<number[]> {
  const { stdout } = await promisify(execFile)(
    'nsenter',
    [
      '--target',
      `${processIn(namespace)}`,
      '--net',
      '--',
      process.execPath,
      LOAD,
      'ask',
      '10.96.0.10',
      '53',
      `${rounds}`,
      `${warm}`,
      `${cold}`,
    ],
    { maxBuffer: 1 << 24 },
  );
  return JSON.parse(stdout) as number[];
}

/** Of any process in that network namespace. */
function processIn(namespace: string): number {
  for (const pid of readdirSync('/proc').map(Number).filter(Number.isInteger)) {
    try {
      if (readlinkSync(`/proc/${pid}/ns/net`) === namespace) return pid;
    } catch {
      // Gone meanwhile, or a thread of the kernel.
    }
  }
  throw new Error(`no process is in ${namespace}`);
}

/** User and system time of a process so far. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
