import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Host } from '../../host/host.ts';

export interface LogindOptions {
  readonly host: Host;
  readonly clock: Clock;
  readonly log: Logger;
  /** How long a shutdown is to wait for us. */
  readonly delaySeconds: number;
  /** Resolves when the shutdown may go on. `false`: it was called off. */
  readonly onShutdown: (isComing: boolean) => Promise<void>;
}

/** In /run, so that it is gone with the boot. logind allows 5 s unless told otherwise. */
const DROP_IN_DIR = '/run/systemd/logind.conf.d';
export const LOGIND_DROP_IN = `${DROP_IN_DIR}/99-coracle.conf`;
const RETRY_MS = 10_000;
/** Minimal installations have systemd without it: there is no logind then. */
const BUS = '/run/dbus/system_bus_socket';
const BUS_LOOK_MS = 60_000;
const MANAGER = ['org.freedesktop.login1', '/org/freedesktop/login1', 'org.freedesktop.login1.Manager'] as const;
const MATCH =
  "type='signal',sender='org.freedesktop.login1',interface='org.freedesktop.login1.Manager',member='PrepareForShutdown'";

/** Holds up a shutdown of the host until pods have ended; runs until aborted. Does nothing where there is no systemd. */
export async function watchLogind(options: LogindOptions, signal: AbortSignal): Promise<void> {
  const { host, log, onShutdown } = options;
  if ((await host.fs.info('/run/systemd/system')) === undefined) return;
  for (const program of ['systemd-inhibit', 'busctl'])
    if ((await host.exec.find(program)) === undefined) {
      log.warn('a shutdown of the host will not wait for pods', { missing: program });
      return;
    }
  if ((await host.fs.info(BUS)) === undefined)
    log.warn('a shutdown of the host will not wait for pods: there is no D-Bus; install the package dbus', {
      missing: BUS,
    });
  await untilBus(options, signal);
  if (signal.aborted) return;
  await allowDelay(options).catch((err) =>
    log.warn('logind was not told how long a shutdown may wait', { err: describeError(err) }),
  );
  const lock = new ShutdownLock(options, signal);
  lock.take();
  let isGoingDown = false;
  const onLine = (line: string) => {
    const isComing = parseShutdownSignal(line);
    if (isComing === undefined) return;
    isGoingDown = isComing;
    onShutdown(isComing)
      .catch((err: unknown) => log.error('pods could not be ended', { err: describeError(err) }))
      // As of then: it may have been called off while pods were still ending.
      .finally(() => (isGoingDown ? lock.release() : lock.take()));
  };
  await keepRunning(options, ['busctl', 'monitor', '--system', '--json=short', `--match=${MATCH}`], onLine, signal);
}

async function untilBus({ host, clock }: Pick<LogindOptions, 'host' | 'clock'>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && (await host.fs.info(BUS)) === undefined)
    await delay(clock, BUS_LOOK_MS, signal).catch(() => undefined);
}

/** Runs a program that talks to logind again and again until aborted. */
async function keepRunning(
  { host, clock, log }: LogindOptions,
  argv: readonly [string, ...string[]],
  onLine: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    // Every try would fail, and say so in the journal.
    await untilBus({ host, clock }, signal);
    if (signal.aborted) return;
    try {
      await host.exec.stream(argv, onLine, signal);
    } catch (err) {
      if (!signal.aborted) log.warn('a program of systemd ended', { program: argv[0], err: describeError(err) });
    }
    await delay(clock, RETRY_MS, signal).catch(() => undefined);
  }
}

/** Held by a process of ours that ends with us, however we end. */
class ShutdownLock {
  readonly #options: LogindOptions;
  readonly #signal: AbortSignal;
  #held: AbortController | undefined;

  constructor(options: LogindOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
  }

  take(): void {
    if (this.#held !== undefined) return;
    this.#held = new AbortController();
    const purpose = ['--what=shutdown', '--mode=delay', '--who=coracle-agent', '--why=ending pods'];
    const argv: [string, ...string[]] = [
      'systemd-inhibit',
      ...purpose,
      'tail',
      `--pid=${process.pid}`,
      '-f',
      '/dev/null',
    ];
    const signal = AbortSignal.any([this.#signal, this.#held.signal]);
    void keepRunning(this.#options, argv, () => undefined, signal);
  }

  /** The shutdown goes on. */
  release(): void {
    this.#held?.abort();
    this.#held = undefined;
  }
}

/** Whoever wants to hold a shutdown up for longer has their way. */
async function allowDelay({ host, delaySeconds }: LogindOptions): Promise<void> {
  const text = `[Login]\nInhibitDelayMaxSec=${delaySeconds}\n`;
  if ((await host.fs.readText(LOGIND_DROP_IN).catch(() => '')) === text) return;
  const { stdout } = await host.exec.run(['busctl', 'get-property', ...MANAGER, 'InhibitDelayMaxUSec']);
  if (Number(/^t (\d+)/.exec(stdout)?.[1]) >= delaySeconds * 1_000_000) return;
  await host.fs.makeDirectory(DROP_IN_DIR, 0o755);
  await host.fs.write(LOGIND_DROP_IN, text, 0o644);
  await reload(host);
}

/** Undoes what `watchLogind` leaves in the host. */
export async function takeBackDelay(host: Host): Promise<void> {
  if ((await host.fs.info(LOGIND_DROP_IN)) === undefined) return;
  await host.fs.remove(LOGIND_DROP_IN);
  await host.fs.removeEmptyDirectories(DROP_IN_DIR);
  await reload(host);
}

/** Leaves sessions alone. */
async function reload(host: Host): Promise<void> {
  await host.exec.run(['systemctl', 'kill', '--signal=HUP', 'systemd-logind.service']);
}

/** A line of `busctl monitor --json=short`; undefined for anything but the signal. True: the host is about to go down. */
export function parseShutdownSignal(line: string): boolean | undefined {
  if (!line.includes('PrepareForShutdown')) return undefined;
  try {
    const { member, payload } = JSON.parse(line) as { member?: string; payload?: { data?: readonly unknown[] } };
    const value = payload?.data?.[0];
    return member === 'PrepareForShutdown' && typeof value === 'boolean' ? value : undefined;
  } catch (err) {
    if (err instanceof SyntaxError) return undefined;
    throw err;
  }
}
