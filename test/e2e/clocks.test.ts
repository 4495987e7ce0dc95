import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Event, Node, Pod } from '#api/object/kinds.ts';
import { WRITTEN_MS } from '#base/time-floor.ts';
import { startCluster, type TestAgent, type TestCluster } from '#test/kit/cluster.ts';
import { createFakeWallClock, type FakeWallClock } from '#test/kit/faketime.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const TIMEOUT_MS = 60_000;
const DAY_MS = 86_400_000;

const folder = await mkdtemp('/tmp/coracle-clocks-');
const nodeClock = await createFakeWallClock(folder, 'node');
const serverClock = await createFakeWallClock(folder, 'server');
if (nodeClock === undefined) process.stderr.write('skipped: clocks that jump need libfaketime\n');

describe.skipIf(nodeClock === undefined)('clocks that are wrong', () => {
  const [ofNode, ofServer] = [nodeClock, serverClock] as [FakeWallClock, FakeWallClock];
  let cluster: TestCluster;
  let agent: TestAgent;
  let uids: readonly string[];
  let readySince: string;
  let pods = 0;

  beforeAll(async () => {
    cluster = await startCluster({
      name: 'clock',
      nodes: 1,
      environment: ofNode.environment,
      controllerEnvironment: ofServer.environment,
    });
    agent = cluster.agents[0]!;
    await cluster.kubectlOk([
      'create',
      'deployment',
      'web',
      '--image',
      BUSYBOX_IMAGE,
      '--replicas',
      '3',
      '--',
      'sleep',
      '99999',
    ]);
    await cluster.kubectlOk(['rollout', 'status', 'deployment/web', '--timeout=150s']);
    uids = await podUids();
    readySince = (await readiness()).lastTransitionTime ?? '';
    // A container that fails for ever waits longer and longer.
    await cluster.kubectlOk(['run', 'loop', '--image', BUSYBOX_IMAGE, '--', 'false']);
  });
  afterAll(async () => {
    await cluster?.destroy();
    await rm(folder, { recursive: true, force: true });
  });

  async function read<T>(...args: string[]): Promise<T> {
    return JSON.parse(await cluster.kubectlOk([...args, '-o', 'json'])) as T;
  }

  const podUids = async () =>
    (await read<{ items: Pod[] }>('get', 'pods', '-l', 'app=web')).items.map(({ metadata }) => metadata.uid).sort();

  async function readiness() {
    const { status } = await read<Node>('get', 'node', agent.nodeName);
    return status?.conditions?.find(({ type }) => type === 'Ready') ?? { status: 'Unknown', lastTransitionTime: '' };
  }

  /** As the pod reads it: its file on the node. */
  async function tokenOf(uid: string): Promise<string> {
    const roots = [join(agent.folder, 'run/pods/memory', uid), join(agent.folder, 'kubelet/pods', uid)];
    for (const root of roots) {
      const names = await readdir(root, { recursive: true }).catch(() => []);
      const name = names.find((one) => one.endsWith('/token') && !one.includes('/..'));
      if (name !== undefined) return readFile(join(root, name), 'utf8');
    }
    throw new Error(`pod ${uid} has no token`);
  }

  async function isTokenGood(token: string): Promise<boolean> {
    const ca = join(cluster.folder, 'controller/pki/ca.crt');
    const server = ['--server', `https://${cluster.lab.hub.address}:6443`, '--certificate-authority', ca];
    const { stdout } = await cluster.kubectl([
      'auth',
      'whoami',
      '--kubeconfig',
      '/dev/null',
      ...server,
      '--token',
      token,
    ]);
    return stdout.includes('system:serviceaccount:default:default');
  }

  /** Everything that a cluster is for, from birth to death of a pod, by way of the node's own API. */
  async function expectAllWorks(): Promise<void> {
    const name = `p${pods++}`;
    const { kubectlOk } = cluster;
    await kubectlOk(['run', name, '--image', BUSYBOX_IMAGE, '--', 'sleep', '99999']);
    await kubectlOk(['wait', '--for=condition=Ready', `pod/${name}`, '--timeout=150s']);
    const { metadata } = await read<Pod>('get', 'pod', name);
    await waitUntil(`the token of ${name}; see ${agent.logPath}`, TIMEOUT_MS, async () =>
      isTokenGood(await tokenOf(metadata.uid)),
    );
    await waitUntil('the token of a pod from before', TIMEOUT_MS, async () => isTokenGood(await tokenOf(uids[0]!)));
    // A jump ends the node's own certificates too: a moment passes before it shows others.
    await waitUntil(
      'exec',
      TIMEOUT_MS,
      async () => (await kubectlOk(['exec', name, '--', 'echo', 'here'])) === 'here\n',
    );
    await kubectlOk(['delete', 'pod', name, '--grace-period=3', '--timeout=150s']);
    expect(await podUids(), 'pods that were evicted').toEqual(uids);
    expect((await readiness()).status).toBe('True');
  }

  const serverTime = async (): Promise<number> => {
    const review = await cluster.kubectlOk(['auth', 'whoami', '-o', 'json']);
    return Date.parse((JSON.parse(review) as Pod).metadata.creationTimestamp ?? '');
  };

  test.each([
    ['a day ahead', 1],
    ['back again', 0],
    ['a year ahead', 365],
    ['back from there', 0],
    ['a year behind', -365],
    ['right at last', 0],
  ])('%s, all at once while everything runs', async (_, days) => {
    await Promise.all([ofNode.set(days), ofServer.set(days)]);
    const expected = () => Math.max(Date.now() + days * DAY_MS, WRITTEN_MS);
    await waitUntil(
      'the server to see it',
      TIMEOUT_MS,
      async () => Math.abs((await serverTime()) - expected()) < 600_000,
    );
    await expectAllWorks();
    expect((await readiness()).lastTransitionTime, 'the node was never taken for lost').toBe(readySince);
    const { items } = await read<{ items: Event[] }>('get', 'events', '-A');
    const evicted = items.filter(({ reason }) => /Evict|NodeNotReady|TaintManager/.test(reason ?? ''));
    expect(evicted.map(({ message }) => message)).toEqual([]);
  });

  test('a container that waits for its next start goes on starting', async () => {
    const restarts = async () =>
      (await read<Pod>('get', 'pod', 'loop')).status?.containerStatuses?.[0]?.restartCount ?? 0;
    const before = await restarts();
    await Promise.all([ofNode.set(365), ofServer.set(365)]);
    await waitUntil('a start', TIMEOUT_MS, async () => (await restarts()) > before);
    const ahead = await restarts();
    await Promise.all([ofNode.set(0), ofServer.set(0)]);
    await waitUntil(`another one; see ${agent.logPath}`, TIMEOUT_MS, async () => (await restarts()) > ahead);
    await cluster.kubectlOk(['delete', 'pod', 'loop', '--grace-period=1']);
  });

  test('a node that boots in 1970', async () => {
    await agent.stop();
    await ofNode.setTo1970();
    await agent.restart();
    await waitUntil(`the node; see ${agent.logPath}`, TIMEOUT_MS, async () => (await readiness()).status === 'True');
    await expectAllWorks();
    await ofNode.set(0);
    await expectAllWorks();
  });

  const floorPath = () => join(cluster.folder, 'controller', 'time-floor');
  const userKubeconfig = join(folder, 'user.kubeconfig');

  test('a controller that boots in 1970 serves, and signs nothing that is dead', async () => {
    await cluster.controller.stop();
    expect(Date.parse((await readFile(floorPath(), 'utf8')).trim())).toBeGreaterThan(Date.UTC(2026, 0, 1));
    // As one that ran for longer leaves it.
    await writeFile(floorPath(), `${new Date().toISOString()}\n`);
    await ofServer.setTo1970();
    await cluster.controller.restart();
    await waitUntil(`the API; see ${cluster.controller.logPath}`, TIMEOUT_MS, async () => {
      const { code } = await cluster.kubectl(['get', '--raw', '/readyz']);
      return code === 0 && (await readiness()).status === 'True';
    });
    expect(Math.abs((await serverTime()) - Date.now())).toBeLessThan(600_000);
    await expectAllWorks();
    const [program = '', ...enter] = cluster.lab.hub.enter;
    const { execFileSync } = await import('node:child_process');
    const coracle = (...args: string[]) =>
      execFileSync(program, [...enter, join(import.meta.dirname, '../../bin/coracle'), ...args], {
        encoding: 'utf8',
        env: { ...process.env, ...ofServer.environment, KUBECONFIG: cluster.kubeconfig },
      });
    await writeFile(userKubeconfig, coracle('kubeconfig', '--user', 'jane', '--ttl-hours', '1'));
    expect(await cluster.kubectlOk(['auth', 'whoami', '--kubeconfig', userKubeconfig])).toContain('jane');
    const join1970 = /--token (\S+?)@/.exec(coracle('token', 'create'))?.[1] ?? '';
    const secret = await read<{ data: Record<string, string> }>(
      'get',
      'secret',
      '-n',
      'kube-system',
      `bootstrap-token-${join1970.slice(0, 6)}`,
    );
    expect(Date.parse(Buffer.from(secret.data.expiration ?? '', 'base64').toString())).toBeGreaterThan(
      Date.now() + 23 * 3_600_000,
    );
  });

  test('a certificate that has expired stays so in 1970, for what was written down, and for that alone', async () => {
    const whoami = () => cluster.kubectl(['auth', 'whoami', '--kubeconfig', userKubeconfig]);
    const restartWith = async (floor: string | undefined) => {
      await cluster.controller.stop();
      if (floor === undefined) await rm(floorPath());
      else await writeFile(floorPath(), floor);
      await cluster.controller.restart();
      await waitUntil(
        'the API',
        TIMEOUT_MS,
        async () => (await cluster.kubectl(['get', '--raw', '/readyz'])).code === 0,
      );
    };
    await restartWith(`${new Date(Date.now() + DAY_MS).toISOString()}\n`);
    expect(await whoami()).toMatchObject({ code: 1, stderr: expect.stringContaining('Unauthorized') });
    await restartWith(undefined);
    expect((await whoami()).stdout).toContain('jane');
    await ofServer.set(0);
    // The controller alone is told the time: what it signed before is dead at once, wherever it is used.
    await waitUntil('the right time', TIMEOUT_MS, async () => Math.abs((await serverTime()) - Date.now()) < 60_000);
    await expectAllWorks();
  });
});
