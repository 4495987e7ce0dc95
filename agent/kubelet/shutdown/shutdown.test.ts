import { dirname } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { KubeletRig } from '../testing/kubelet-rig.ts';
import { container, podWith } from '../testing/pod-fixtures.ts';
import { LOGIND_DROP_IN, parseShutdownSignal, takeBackDelay, watchLogind } from './logind.ts';
import { CRITICAL_PRIORITY, planShutdown, tiersOf } from './shutdown-plan.ts';

const pod = (name: string, spec: Parameters<typeof podWith>[0] = {}) => podWith(spec, { name, uid: name });

test('pods end by priority, each within its own grace and that of its tier', () => {
  const steps = planShutdown(
    [
      pod('critical', { priority: CRITICAL_PRIORITY }),
      pod('slow', { terminationGracePeriodSeconds: 600 }),
      pod('quick', { terminationGracePeriodSeconds: 5, restartPolicy: 'Never' }),
    ],
    tiersOf(30, 10),
  );
  expect(
    steps.map(({ limitSeconds, pods }) => [
      limitSeconds,
      pods.map(({ pod: { metadata }, graceSeconds, returns }) => [metadata.name, graceSeconds, returns]),
    ]),
  ).toEqual([
    [
      20,
      [
        ['slow', 20, true],
        ['quick', 5, false],
      ],
    ],
    [10, [['critical', 10, true]]],
  ]);
});

test.each([
  ['{"type":"signal","member":"PrepareForShutdown","payload":{"type":"b","data":[true]}}', true],
  ['{"type":"signal","member":"PrepareForShutdown","payload":{"type":"b","data":[false]}}', false],
  ['{"type":"signal","member":"PrepareForSleep","payload":{"type":"b","data":[true]}}', undefined],
  ['PrepareForShutdown, but no JSON', undefined],
])('a line of the bus: %s', (line, expected) => {
  expect(parseShutdownSignal(line)).toBe(expected);
});

const BUS = '/run/dbus/system_bus_socket';

function seedSystemd(host: FakeHost): void {
  host.fs.seed('/run/systemd/system/x', '');
  host.fs.seed(BUS, '');
}

function systemdHost(): FakeHost {
  const host = new FakeHost();
  seedSystemd(host);
  return host;
}

describe('watchLogind', () => {
  test('holds a lock, tells logind how long, and lets go once pods have ended', async () => {
    const host = systemdHost();
    const stop = new AbortController();
    const seen: boolean[] = [];
    const onShutdown = async (isComing: boolean) => void seen.push(isComing);
    const options = { host, clock: new FakeClock(), log: silentLogger, delaySeconds: 35, onShutdown };
    void watchLogind(options, stop.signal);
    const programs = () => host.exec.streams.map(({ argv }) => argv[0]);
    await expect.poll(programs).toEqual(['systemd-inhibit', 'busctl']);
    expect(await host.fs.readText(LOGIND_DROP_IN)).toContain('InhibitDelayMaxSec=35');
    expect(host.exec.streams[0]!.argv).toContain('--mode=delay');
    const emit = (isComing: boolean) =>
      host.exec.streams[1]!.emit(`{"member":"PrepareForShutdown","payload":{"data":[${isComing}]}}`);
    emit(true);
    await expect.poll(() => seen).toEqual([true]);
    // Called off: held up again the next time.
    emit(false);
    await expect.poll(programs).toEqual(['systemd-inhibit', 'busctl', 'systemd-inhibit']);
    stop.abort();
  });

  test('tries nothing where there is no D-Bus, says so once, and begins when it is there', async () => {
    const host = systemdHost();
    await host.fs.remove(BUS);
    const clock = new FakeClock();
    const warnings: string[] = [];
    const log = { ...silentLogger, warn: (message: string) => void warnings.push(message) };
    const stop = new AbortController();
    const onShutdown = async () => undefined;
    void watchLogind({ host, clock, log, delaySeconds: 35, onShutdown }, stop.signal);
    await expect.poll(() => clock.pendingTimers).toBe(1);
    await clock.advance(600_000);
    expect(host.exec.streams).toEqual([]);
    expect(warnings).toEqual([expect.stringContaining('install the package dbus')]);
    host.fs.seed(BUS, '');
    await clock.advance(60_000);
    await expect.poll(() => host.exec.streams.map(({ argv }) => argv[0])).toEqual(['systemd-inhibit', 'busctl']);
    stop.abort();
  });

  test.each([
    ['5000000', true],
    ['600000000', false],
  ])('a delay of %s us that is there already is made longer: %s', async (delayUs, isWritten) => {
    const host = systemdHost();
    host.exec.respond((argv) => (argv.includes('InhibitDelayMaxUSec') ? `t ${delayUs}\n` : undefined));
    const stop = new AbortController();
    const onShutdown = async () => undefined;
    void watchLogind({ host, clock: new FakeClock(), log: silentLogger, delaySeconds: 35, onShutdown }, stop.signal);
    await expect.poll(() => host.exec.streams.length).toBe(2);
    expect((await host.fs.info(LOGIND_DROP_IN)) !== undefined).toBe(isWritten);
    stop.abort();
  });

  test('keeps its lock when the shutdown is called off while pods are still ending', async () => {
    const host = systemdHost();
    const stop = new AbortController();
    const ended = Promise.withResolvers<void>();
    const onShutdown = (isComing: boolean) => (isComing ? ended.promise : Promise.resolve());
    const options = { host, clock: new FakeClock(), log: silentLogger, delaySeconds: 35, onShutdown };
    void watchLogind(options, stop.signal);
    await expect.poll(() => host.exec.streams.length).toBe(2);
    const [lock, bus] = host.exec.streams;
    for (const isComing of [true, false]) bus!.emit(`{"member":"PrepareForShutdown","payload":{"data":[${isComing}]}}`);
    ended.resolve();
    await new Promise(setImmediate);
    expect(lock!.isEnded()).toBe(false);
    stop.abort();
    expect(lock!.isEnded()).toBe(true);
  });

  test('takes back how long a shutdown may wait', async () => {
    const host = systemdHost();
    await takeBackDelay(host);
    expect(host.exec.calls).toEqual([]);
    host.fs.seed(LOGIND_DROP_IN, 'x');
    await takeBackDelay(host);
    expect(await host.fs.info(dirname(LOGIND_DROP_IN))).toBeUndefined();
    expect(host.exec.calls.map(({ argv }) => argv)).toEqual([
      ['systemctl', 'kill', '--signal=HUP', 'systemd-logind.service'],
    ]);
  });

  test('leaves a host without systemd alone', async () => {
    const host = new FakeHost();
    const options = {
      host,
      clock: new FakeClock(),
      log: silentLogger,
      delaySeconds: 1,
      onShutdown: async () => undefined,
    };
    await watchLogind(options, new AbortController().signal);
    expect(host.exec.streams).toEqual([]);
  });
});

describe('a node that goes down', () => {
  let rig: KubeletRig;
  beforeEach(async () => {
    rig = new KubeletRig();
    seedSystemd(rig.host);
    await rig.start();
  });
  afterEach(() => rig.stop());
  const signal = async (isComing: boolean) => {
    const bus = rig.host.exec.streams.findLast(({ argv }) => argv[0] === 'busctl')!;
    bus.emit(`{"member":"PrepareForShutdown","payload":{"data":[${isComing}]}}`);
    await rig.settle();
    await rig.advance(1_000);
  };

  test('ends pods well, refuses new ones, and is shown not ready', async () => {
    await rig.createPod({ containers: [container('app', { image: 'app:1' })] });
    await rig.createPod({ restartPolicy: 'Never' }, 'job');
    await signal(true);
    expect([...rig.runtime.containers.values()].filter(({ status }) => status.state === 'RUNNING')).toEqual([]);
    expect(rig.pod('job')?.status).toMatchObject({
      phase: 'Failed',
      reason: 'Terminated',
      message: 'Pod was terminated in response to imminent node shutdown.',
    });
    expect(rig.pod()?.status?.phase).not.toBe('Failed');
    await rig.createPod({}, 'late');
    expect(rig.pod('late')?.status).toMatchObject({ phase: 'Failed', reason: 'NodeShutdown' });
  });

  test('starts again what always restarts: when it was called off, and after the boot', async () => {
    await rig.createPod();
    await signal(true);
    await signal(false);
    expect(rig.runtime.findContainer('app')?.state).toBe('RUNNING');
    await signal(true);
    await rig.restart();
    await rig.advance(20_000);
    expect(rig.runtime.findContainer('app')?.state).toBe('RUNNING');
    expect(rig.pod()?.status?.phase).toBe('Running');
  });

  test('leaves the next ones alone once it was called off', async () => {
    await rig.createPod();
    await rig.createPod({ priority: CRITICAL_PRIORITY }, 'critical');
    const release = rig.runtime.hold('stopContainer');
    await signal(true);
    await signal(false);
    release();
    await rig.settle();
    expect(rig.runtime.callsOf('stopContainer')).toHaveLength(1);
    expect(rig.containerStatus('app', 'critical')).toMatchObject({ restartCount: 0, state: { running: {} } });
  });
});
