import { spawnSync } from 'node:child_process';
import http2 from 'node:http2';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Node, resources } from '#api/object/kinds.ts';
import { type ControllerProcess, startControllerProcess } from '#test/kit/controller-process.ts';
import { requestOver } from '#test/kit/https-contract-target.ts';
import { slowDownDisk } from '#test/kit/slow-disk.ts';
import { type TokenUser, tokenUser } from '#test/kit/token-user.ts';

const canTrace = spawnSync('strace', ['-qq', '-o', '/dev/null', 'true']).status === 0;
if (!canTrace) console.warn('slow disk: skipped, strace is missing or may not trace');

async function tellOf({ access }: ControllerProcess, path: string): Promise<string> {
  const session = http2.connect(access.server, { ca: access.ca!, cert: access.cert!, key: access.key! });
  try {
    return await text((await requestOver(session, { method: 'GET', path })).chunks);
  } finally {
    session.destroy();
  }
}

async function waitingWrites(controller: ControllerProcess): Promise<number> {
  const [, count] =
    /^apiserver_current_inflight_requests\{request_kind="mutating"\} (\d+)$/m.exec(
      await tellOf(controller, '/metrics'),
    ) ?? [];
  return Number(count);
}

const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';
/** More than priority and fairness has seats for such users, fewer than may wait for a disk. */
const WAITING_WRITES = 700;
/** Fewer than queues of priority and fairness take at once. */
const WRITES_AT_ONCE = 100;
/** More than may wait. */
const TOO_MANY_WRITES = 2_500;

/** A real controller, the real calls of its disk thread held up by strace; the bench case `slow-disk` measures how fast readers are. */
describe.skipIf(!canTrace)('a disk that stalls under a running controller', () => {
  let controller: ControllerProcess;
  let reader: TokenUser;
  let writer: TokenUser;

  beforeAll(async () => {
    controller = await startControllerProcess({ fromSource: true, flags: [] });
    reader = await tokenUser(controller, 'reader');
    writer = await tokenUser(controller, 'writer', 16);
    await writer.send('POST', CONFIG_MAPS, { metadata: { name: 'shared' }, data: { n: '0' } });
    await reader.send('POST', '/apis/coordination.k8s.io/v1/namespaces/default/leases', {
      metadata: { name: 'pulse' },
      spec: { holderIdentity: 'test', leaseDurationSeconds: 40 },
    });
    await controller.client.resource<Node>(resources.nodes).create({ metadata: { name: 'node' } });
  });
  afterAll(async () => {
    reader?.close();
    writer?.close();
    await controller?.stop();
  });

  it('serves readers and heartbeats before any of the writes that wait, bounds those, and then answers them all', async () => {
    const disk = await slowDownDisk(controller.pid, 30_000);
    const answers: number[] = [];
    const refusals: (string | undefined)[] = [];
    const write = async (i: number) => {
      const { status, retryAfter } = await writer.send('POST', CONFIG_MAPS, { metadata: { name: `write-${i}` } });
      if (status === 429) refusals.push(retryAfter);
      else answers.push(status);
    };
    const writes: Promise<void>[] = [];
    try {
      while (writes.length < WAITING_WRITES) {
        for (let i = 0; i < WRITES_AT_ONCE; i++) writes.push(write(writes.length));
        await expect.poll(() => waitingWrites(controller), { timeout: 60_000 }).toBeGreaterThanOrEqual(writes.length);
      }
      for (let i = 0; i < 20; i++) {
        expect(await reader.send('GET', `${CONFIG_MAPS}/shared`)).toMatchObject({ status: 200 });
        expect(await reader.send('GET', CONFIG_MAPS)).toMatchObject({ status: 200 });
        const renewTime = new Date(Date.UTC(2026, 0) + i * 1000).toISOString().replace('Z', '000Z');
        const path = '/apis/coordination.k8s.io/v1/namespaces/default/leases/pulse';
        expect(await reader.send('PATCH', path, { spec: { renewTime } })).toMatchObject({ status: 200 });
      }
      expect(answers).toEqual([]);
      expect(refusals).toEqual([]);
      writes.push(...Array.from({ length: TOO_MANY_WRITES }, (_, i) => write(WAITING_WRITES + i)));
      await expect.poll(() => refusals.length, { timeout: 60_000 }).toBeGreaterThan(0);
      expect(await reader.send('GET', `${CONFIG_MAPS}/shared`)).toMatchObject({ status: 200 });
      expect(answers).toEqual([]);
      await expect
        .poll(() => tellOf(controller, '/readyz/coracle-disk-latency'), { timeout: 60_000 })
        .toMatch(/the disk has been busy with one commit for \d+\.\d s/);
      // It is told of, and nobody is turned away.
      expect(await tellOf(controller, '/readyz')).toBe('ok');
    } finally {
      await disk.stop();
    }
    await Promise.all(writes);
    const slow = /^coracle_store_commit_duration_seconds_bucket{le="(\d+)"} (\d+)$/gm;
    const metrics = await tellOf(controller, '/metrics');
    const counts = new Map([...metrics.matchAll(slow)].map(([, le, count]) => [Number(le), Number(count)]));
    // One commit at least took longer than a second.
    expect(counts.get(60)! - counts.get(1)!).toBeGreaterThan(0);
    expect(new Set(answers)).toEqual(new Set([201]));
    expect(answers.length).toBeGreaterThanOrEqual(WAITING_WRITES);
    expect(refusals.filter((retryAfter) => !(Number(retryAfter) >= 1))).toEqual([]);
    const { items } = await controller.client.resource(resources.configMaps).fetchList({ namespace: 'default' });
    expect(items.filter(({ metadata }) => metadata.name.startsWith('write-'))).toHaveLength(answers.length);
  });
});
