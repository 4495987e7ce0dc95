import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Node } from '#api/object/kinds.ts';
import { startCluster, type TestAgent, type TestCluster } from '#test/kit/cluster.ts';
import { createFakeWallClock, type FakeWallClock } from '#test/kit/faketime.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

/** On the node that is never off. */
const PINNED = JSON.stringify({ spec: { nodeName: 'node-0' } });
const TIMEOUT_MS = 120_000;
const EIGHT_MONTHS = 250;
const THIRTEEN_MONTHS = 400;

const folder = await mkdtemp('/tmp/coracle-clock-');
const clock = await createFakeWallClock(folder);
if (clock === undefined) process.stderr.write('skipped: certificates over 13 months need libfaketime\n');

describe.skipIf(clock === undefined)('certificates over 13 months', () => {
  const { environment, set } = clock as FakeWallClock;
  let cluster: TestCluster;
  let firstKubeconfig: string;

  beforeAll(async () => {
    cluster = await startCluster({
      name: 'certs',
      nodes: 2,
      environment,
      controllerFlags: ['--node-monitor-grace-seconds', '10'],
    });
    firstKubeconfig = join(folder, 'first.kubeconfig');
    await copyFile(cluster.kubeconfig, firstKubeconfig);
    await cluster.kubectlOk(['run', 'p', '--image', BUSYBOX_IMAGE, '--overrides', PINNED]);
    await cluster.kubectlOk(['wait', '--for=condition=Ready', 'pod/p', '--timeout=150s']);
  });
  afterAll(async () => {
    await cluster?.destroy();
    await rm(folder, { recursive: true, force: true });
  });

  /** In the time of the cluster, with its own TLS. */
  async function get(path: string, kubeconfig = cluster.kubeconfig): Promise<{ status: number; body: string }> {
    const [program = '', ...args] = [...cluster.lab.hub.enter, process.execPath];
    const script = join(import.meta.dirname, '../kit/api-get.ts');
    const env = { ...process.env, ...environment };
    const { stdout } = await promisify(execFile)(program, [...args, script, kubeconfig, path], { env });
    return { status: Number(stdout.slice(0, 3)), body: stdout.slice(4) };
  }

  /** Serial number of what the API server shows in a handshake now. */
  async function presentedByServer(): Promise<string> {
    const [program = '', ...args] = cluster.lab.hub.enter;
    const shake = `const s = require('tls').connect({ host: '${cluster.lab.hub.address}', port: 6443, rejectUnauthorized: false },
      () => { console.log(s.getPeerCertificate().serialNumber); s.destroy(); })`;
    return (await promisify(execFile)(program, [...args, process.execPath, '-e', shake])).stdout.trim();
  }

  async function isReady(name: string): Promise<boolean> {
    const { status, body } = await get(`/api/v1/nodes/${name}`);
    const { conditions = [] } = (JSON.parse(body) as Node).status ?? {};
    return status === 200 && conditions.some(({ type, status: is }) => type === 'Ready' && is === 'True');
  }

  const certificateOf = async ({ folder: home }: TestAgent, part: string) =>
    new X509Certificate(await readFile(join(home, 'data', 'identity', `${part}.pem`), 'utf8'));

  test('a node that is on renews live, one that is off comes back for its old key', async () => {
    const [on, off] = cluster.agents as [TestAgent, TestAgent];
    const parts = ['node', 'netd', 'serving'] as const;
    const first = await Promise.all(parts.map((part) => certificateOf(on, part)));
    const firstPresented = await presentedByServer();
    const firstOff = await certificateOf(off, 'node');
    await off.stop();
    // While the node counts as at work, its old key is taken for that of a copy.
    await waitUntil('the cluster to miss the node', TIMEOUT_MS, async () => !(await isReady(off.nodeName)));

    await set(EIGHT_MONTHS);
    for (const [i, part] of parts.entries()) {
      await waitUntil(`another ${part} certificate; see ${on.logPath}`, TIMEOUT_MS, async () => {
        const { serialNumber, validTo } = await certificateOf(on, part);
        return serialNumber !== first[i]?.serialNumber && Date.parse(validTo) > Date.parse(first[i]?.validTo ?? '');
      });
    }
    await waitUntil('the node that is on', TIMEOUT_MS, () => isReady(on.nodeName));
    const renewed = async () => (await presentedByServer()) !== firstPresented;
    await waitUntil('the API server, which runs on, to show another certificate', TIMEOUT_MS, renewed);

    await set(THIRTEEN_MONTHS);
    await waitUntil('the API server to see what time it is', TIMEOUT_MS, async () => {
      return (await get('/api/v1/nodes', firstKubeconfig)).status === 401;
    });
    await off.restart();
    await waitUntil(`the node that was off; see ${off.logPath}`, TIMEOUT_MS, () => isReady(off.nodeName));
    expect((await certificateOf(off, 'node')).serialNumber).not.toBe(firstOff.serialNumber);
    await waitUntil('the node that is on', TIMEOUT_MS, () => isReady(on.nodeName));
    // From the API server to the node, in both certificates of our own time.
    for (const { nodeName } of [on, off]) {
      await waitUntil(`the door of ${nodeName}`, TIMEOUT_MS, async () => {
        const { status, body } = await get(`/api/v1/nodes/${nodeName}/proxy/healthz`);
        return status === 200 && body === 'ok';
      });
    }
  });

  test('a certificate that nobody renewed counts no more', async () => {
    expect(await get('/api/v1/nodes', firstKubeconfig)).toMatchObject({ status: 401 });
  });
});
