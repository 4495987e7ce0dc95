import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createLinuxHost } from '#agent/host/linux-host.ts';
import { createDraDrivers } from '#agent/plugins/dra-drivers.ts';
import { runPluginWatcher } from '#agent/plugins/plugin-watcher.ts';
import { type Clock, systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { startDraDriver, type TestDraDriver } from '#test/kit/dra-driver.ts';

/** The pause before a driver is listened to again is not waited for. */
const hasty: Clock = { ...systemClock, after: (delayMs, fn) => systemClock.after(delayMs / 100, fn) };
const NAME = 'card.example.com';
const PATIENCE = { timeout: 60_000 };
const CLAIM = { namespace: 'n', uid: 'u-1', name: 'c' };
const DEVICE = { request_names: ['r'], pool_name: 'p', device_name: 'd', cdi_device_ids: ['example.com/card=d'] };

let kubelet: string;
let stop: AbortController;
let drivers: ReturnType<typeof createDraDrivers>;
let running: TestDraDriver | undefined;

beforeEach(async () => {
  kubelet = await mkdtemp(join(tmpdir(), 'coracle-dra-'));
  stop = new AbortController();
  drivers = createDraDrivers({ log: silentLogger, clock: hasty });
  const options = { fs: createLinuxHost().fs, clock: systemClock, log: silentLogger, kinds: { DRAPlugin: drivers } };
  void runPluginWatcher({ ...options, folder: `${kubelet}/plugins_registry` }, stop.signal);
});
afterEach(async () => {
  await running?.stop();
  running = undefined;
  stop.abort();
  await rm(kubelet, { recursive: true, force: true });
});

test.each(['v1', 'v1beta1'] as const)('a driver that speaks %s is found, asked, and gone', async (version) => {
  running = await startDraDriver({ kubelet, name: NAME, version, prepare: () => [DEVICE] });
  await expect.poll(() => drivers.names(), PATIENCE).toEqual([NAME]);
  const driver = drivers.find(NAME)!;
  const devices = [{ requestNames: ['r'], pool: 'p', device: 'd', cdiIds: ['example.com/card=d'] }];
  expect(await driver.prepare([CLAIM])).toEqual(new Map([['u-1', { devices, error: '' }]]));
  expect((await driver.unprepare([CLAIM])).get('u-1')).toMatchObject({ error: '' });
  expect(running.asked).toEqual(['prepare c', 'unprepare c']);
  await expect.poll(() => running?.told, PATIENCE).toEqual([{ plugin_registered: true, error: '' }]);
  await running.stop();
  await expect.poll(() => drivers.names(), PATIENCE).toEqual([]);
});

test('a driver tells of the health of its devices, breaks off, and is listened to again', async () => {
  const heard: unknown[] = [];
  drivers.onHealth((driver, reports) => heard.push([driver, reports]));
  running = await startDraDriver({ kubelet, name: NAME, tellsHealth: true, prepare: () => [] });
  await expect.poll(() => heard, PATIENCE).toEqual([[NAME, []]]);
  const device = { pool_name: 'p', device_name: 'd' };
  running.tellHealth([{ device, health: 'UNHEALTHY', health_check_timeout_seconds: 7, message: 'too hot' }]);
  const report = { pool: 'p', device: 'd', health: 'Unhealthy', message: 'too hot', timeoutMs: 7000 };
  await expect.poll(() => heard.at(-1), PATIENCE).toEqual([NAME, [report]]);
  running.endHealth();
  await expect
    .poll(() => heard.slice(2), PATIENCE)
    .toEqual([
      [NAME, undefined],
      [NAME, [report]],
    ]);
  await running.stop();
  await expect.poll(() => heard.at(-1), PATIENCE).toEqual([NAME, undefined]);
});

test('the newest version that both know is spoken', async () => {
  const supported = ['v1beta1.DRAPlugin', 'v1.DRAPlugin', 'v2.DRAPlugin'];
  running = await startDraDriver({ kubelet, name: NAME, supported, prepare: () => [] });
  await expect.poll(() => drivers.names(), PATIENCE).toEqual([NAME]);
  expect((await drivers.find(NAME)!.prepare([CLAIM])).get('u-1')).toEqual({ devices: [], error: '' });
});

test('a driver of which nothing is understood is told so', async () => {
  running = await startDraDriver({ kubelet, name: NAME, supported: ['v1alpha4.Node'], prepare: () => [] });
  await expect.poll(() => running?.told[0]?.plugin_registered, PATIENCE).toBe(false);
  expect(running.told[0]?.error).toContain('invalid supported gRPC versions of DRA driver plugin card.example.com');
  expect(drivers.names()).toEqual([]);
});
