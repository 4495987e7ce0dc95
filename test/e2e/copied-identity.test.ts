import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Event, Node, Pod } from '#api/object/kinds.ts';
import { startCluster, type TestAgent, type TestCluster } from '#test/kit/cluster.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const TIMEOUT_MS = 60_000;
const root = join(import.meta.dirname, '../..');

let cluster: TestCluster;
let original: TestAgent;
let copy: TestAgent;

beforeAll(async () => {
  cluster = await startCluster({ name: 'copy', nodes: 2 });
  [original, copy] = cluster.agents as [TestAgent, TestAgent];
  const overrides = JSON.stringify({ spec: { nodeName: original.nodeName } });
  await cluster.kubectlOk(['run', 'p', '--image', BUSYBOX_IMAGE, '--overrides', overrides, '--', 'sleep', '99999']);
  await cluster.kubectlOk(['wait', '--for=condition=Ready', 'pod/p', '--timeout=150s']);
});
afterAll(() => cluster?.destroy());

async function read<T>(...args: string[]): Promise<T> {
  return JSON.parse(await cluster.kubectlOk([...args, '-o', 'json'])) as T;
}

function doctor(): Promise<{ readonly code: number; readonly stdout: string }> {
  const [program = '', ...enter] = cluster.lab.hub.enter;
  const env = { ...process.env, KUBECONFIG: cluster.kubeconfig };
  return new Promise((resolve) => {
    execFile(program, [...enter, join(root, 'bin/coracle'), 'doctor', 'nodes'], { env }, (err, stdout) =>
      resolve({ code: typeof err?.code === 'number' ? err.code : 0, stdout }),
    );
  });
}

test('the copy of an SD card is held, and everybody is told', async () => {
  expect(await doctor()).toEqual({ code: 0, stdout: '2 nodes: nothing is wrong with them\n' });
  const before = await read<Node>('get', 'node', original.nodeName);
  const pod = await read<Pod>('get', 'pod', 'p');
  await copy.stop();
  // Two nodes may not show one address.
  await cluster.kubectlOk(['delete', 'node', copy.nodeName]);
  // Without what containerd watches: the folder of the network configuration.
  for (const part of ['identity', 'ledger', 'copies', 'servers.json']) {
    await rm(join(copy.folder, 'data', part), { recursive: true, force: true });
    const from = join(original.folder, 'data', part);
    if (existsSync(from)) await cp(from, join(copy.folder, 'data', part), { recursive: true });
  }
  await copy.restart({ 'node-name': original.nodeName });

  const told = /node node-0 is at work at 198\.51\.100\.10 with the identity of this host/;
  await waitUntil(`the copy to be told; see ${copy.logPath}`, TIMEOUT_MS, () =>
    told.test(readFileSync(copy.logPath, 'utf8')),
  );
  const event = await waitUntil('an Event', TIMEOUT_MS, async () =>
    (await read<{ items: Event[] }>('get', 'events', '-A')).items.find(({ reason }) => reason === 'IdentityCopied'),
  );
  expect(event).toMatchObject({ type: 'Warning', involvedObject: { kind: 'Node', name: original.nodeName } });
  expect(await cluster.kubectlOk(['describe', 'node', original.nodeName])).toContain('IdentityCopied');
  const { code, stdout } = await doctor();
  expect([code, stdout]).toEqual([
    1,
    expect.stringMatching(/^node-0: a second host, at 198\.51\.100\.11, has the identity/m),
  ]);

  // The node and its pod go on as they were.
  const after = await read<Node>('get', 'node', original.nodeName);
  expect(after.status?.addresses).toEqual(before.status?.addresses);
  expect((await read<Pod>('get', 'pod', 'p')).status?.podIP).toBe(pod.status?.podIP);
  expect(await cluster.kubectlOk(['exec', 'p', '--', 'echo', 'here'])).toBe('here\n');
});

test('once the node itself is off, the card in the other machine is the node', async () => {
  await original.stop();
  await waitUntil(`the node at its other address; see ${copy.logPath}`, TIMEOUT_MS, async () => {
    const { status } = await read<Node>('get', 'node', original.nodeName);
    const isReady = status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True');
    return isReady && status?.addresses?.some(({ address }) => address === copy.host.address);
  });
});
