import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startCluster, type TestCluster } from '#test/kit/cluster.ts';
import { findEtcd } from '#test/kit/etcd-releases.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';
import type { LabHost } from '#test/kit/network-lab.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const etcd = findEtcd('host');
if (typeof etcd === 'string') process.stderr.write(`skipped: several controllers: ${etcd}\n`);

const program = join(import.meta.dirname, '..', '..', 'bin', 'coracle');
const STORE = ['--store', 'etcd', '--etcd-servers', 'http://127.0.0.1:2379'];
const ADDRESS = '198.51.100.1';
const SECOND = ['--server', `https://${ADDRESS}:6444`];

function launch(host: LabHost, logPath: string, command: readonly string[]): ChildProcess {
  const log = openSync(logPath, 'a');
  const [first = '', ...rest] = [...host.enter, ...command];
  const child = spawn(first, rest, { stdio: ['ignore', log, log] });
  closeSync(log);
  return child;
}

async function endOf(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await gone;
}

/** One member in the controllers' network. */
async function startMember(hub: LabHost, folder: string): Promise<() => Promise<void>> {
  const child = launch(hub, join(folder, 'etcd.log'), ['etcd', '--data-dir', join(folder, 'etcd')]);
  return () => endOf(child, 'SIGKILL');
}

describe.skipIf(typeof etcd === 'string')('two controllers over etcd, and a node that was told of one', () => {
  let cluster: TestCluster;
  let second: ChildProcess;

  beforeAll(async () => {
    cluster = await startCluster({ name: 'ha', nodes: 1, beforeController: startMember, controllerFlags: STORE });
    second = launch(cluster.lab.hub, join(cluster.folder, 'second.log'), [program, 'controller', ...joinFlags()]);
    await waitUntil(`the second API server; see ${cluster.folder}/second.log`, 60_000, async () => {
      const { code } = await cluster.kubectl([...SECOND, 'get', '--raw', '/readyz']);
      return code === 0;
    });
  });
  afterAll(async () => {
    if (second !== undefined) await endOf(second, 'SIGTERM');
    await cluster?.destroy();
  });

  function joinFlags(): string[] {
    const { folder, lab, kubeconfig } = cluster;
    const [enter = '', ...args] = [...lab.hub.enter, program, 'token', 'create', '--controller'];
    const line = execFileSync(enter, args, {
      encoding: 'utf8',
      env: {
        ...process.env,
        KUBECONFIG: kubeconfig,
        CORACLE_DATA_DIR: join(folder, 'controller'),
        CORACLE_STORE: 'etcd',
      },
    });
    const token = /--join (\S+)/.exec(line)?.[1] ?? '';
    return [
      ...['--data-dir', join(folder, 'second'), '--kubeconfig', join(folder, 'second.kubeconfig'), '--port', '6444'],
      ...['--advertise-address', ADDRESS, ...STORE, '--servers', `https://${ADDRESS}:6443`, '--join', token],
    ];
  }

  const run = (name: string, overrides?: object) =>
    cluster.kubectlOk([
      ...[...SECOND, 'run', name, '--image', BUSYBOX_IMAGE],
      ...(overrides === undefined ? [] : ['--overrides', JSON.stringify(overrides)]),
    ]);
  /** Of scheduler and controller manager. */
  const leaders = async (): Promise<string[]> => {
    const leases = ['lease', '-n', 'kube-system', 'kube-scheduler', 'kube-controller-manager'];
    const holders = '{range .items[*]}{.spec.holderIdentity}{"\\n"}{end}';
    return (await cluster.kubectlOk([...SECOND, 'get', ...leases, '-o', `jsonpath=${holders}`])).trimEnd().split('\n');
  };
  const waitFor = (name: string, seconds: number) =>
    cluster.kubectlOk([...SECOND, 'wait', '--for=condition=Ready', `pod/${name}`, `--timeout=${seconds}s`], {
      timeoutMs: (seconds + 5) * 1000,
    });

  test('the node goes on with the one that is left', async () => {
    await run('before');
    await waitFor('before', 60);
    await waitUntil('a tunnel to the second server', 20_000, () =>
      readFileSync(join(cluster.folder, 'second.log'), 'utf8').includes('tunnel is up'),
    );
    const learned = readFileSync(join(cluster.folder, 'n0', 'data', 'servers.json'), 'utf8');
    expect(JSON.parse(learned)).toEqual([`https://${ADDRESS}:6443`, `https://${ADDRESS}:6444`]);
    for (const server of [[], SECOND])
      expect(await cluster.kubectlOk([...server, 'exec', 'before', '--', 'echo', 'hello'])).toBe('hello\n');

    const before = await leaders();
    expect(new Set(before).size).toBe(1);
    const killedMs = performance.now();
    await cluster.controller.kill();
    const moving = waitUntil('another leader', 30_000, async () =>
      (await leaders()).every((leader) => leader !== '' && leader !== before[0]),
    ).then(() => performance.now() - killedMs);
    expect(await cluster.kubectlOk([...SECOND, 'exec', 'before', '--', 'echo', 'hello'])).toBe('hello\n');
    // Bound by hand: it waits for the node alone, not for the scheduler.
    await run('bound', { spec: { nodeName: 'node-0' } });
    await waitFor('bound', 30);
    const boundMs = performance.now() - killedMs;
    await run('scheduled');
    await waitFor('scheduled', 60);
    const scheduledMs = performance.now() - killedMs;
    const movedMs = await moving;
    expect(movedMs).toBeLessThan(60_000);
    console.info(
      `after a kill: a bound pod ran after ${Math.round(boundMs)} ms, others led after ${Math.round(movedMs)}, a scheduled pod ran after ${Math.round(scheduledMs)}`,
    );
    const ready = '{.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Ready")].reason}';
    expect(await cluster.kubectlOk([...SECOND, 'get', 'node', 'node-0', '-o', `jsonpath=${ready}`])).toBe(
      'True KubeletReady',
    );
    const slices = ['get', 'endpointslices', '-n', 'default', '-l', 'kubernetes.io/service-name=kubernetes'];
    await waitUntil('the dead server to leave the endpoints', 30_000, async () => {
      const ports = await cluster.kubectlOk([...SECOND, ...slices, '-o', 'jsonpath={.items[*].ports[*].port}']);
      return ports === '6444';
    });
  });
});
