import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ControllerProcess, startControllerProcess } from '#test/kit/controller-process.ts';
import { waitUntil } from '#test/kit/wait-until.ts';
import { connectTo, request } from './http-load.ts';
import type { Result } from './result.ts';
import { countReady, startSimulatedNodes } from './simulated-nodes.ts';

const FLEETS = (process.env.BENCH_IDLE_NODES ?? '3,100').split(',').map(Number);
const IDLE_MS = Number(process.env.BENCH_IDLE_SECONDS ?? 600) * 1000;
/** As Prometheus does where nothing else is said. */
const SCRAPE_MS = 15_000;
/** So long nothing may be written before the cluster counts as idle. */
const QUIET_MS = 60_000;
const QUIET_TIMEOUT_MS = 20 * 60_000;
const DEVICE_BYTES = 512 * 2 ** 20;
const SECTOR_BYTES = 512;

/** What an idle cluster writes: nodes that heartbeat, audit on, metrics scraped, default intervals, on a file system of its own. */
export async function measureIdleIo(): Promise<Result[]> {
  const results: Result[] = [];
  for (const nodes of FLEETS) {
    const device = makeDevice();
    try {
      results.push(...(await measureFleet(device, nodes)));
    } finally {
      device.remove();
    }
  }
  return results;
}

interface Device {
  readonly folder: string;
  /** Since the device was made. */
  counters(): { readonly bytes: number; readonly flushes: number };
  remove(): void;
}

/** An ext4 file system on a loop device: its counters know of nobody else's writes. Needs root. */
function makeDevice(): Device {
  const root = mkdtempSync(join(tmpdir(), 'coracle-idle-'));
  const image = join(root, 'image');
  const folder = join(root, 'disk');
  const run = (program: string, ...args: string[]) => execFileSync(program, args, { encoding: 'utf8' }).trim();
  writeFileSync(image, '');
  truncateSync(image, DEVICE_BYTES);
  // The tables at once, or the kernel goes on writing them in the background.
  run('mkfs.ext4', '-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0', image);
  mkdirSync(folder);
  const loop = run('losetup', '--find', '--show', image);
  run('mount', '-o', 'noatime', loop, folder);
  return {
    folder,
    counters() {
      const fields = readFileSync(`/sys/block/${loop.slice('/dev/'.length)}/stat`, 'utf8')
        .trim()
        .split(/\s+/)
        .map(Number);
      return { bytes: fields[6]! * SECTOR_BYTES, flushes: fields[15] ?? 0 };
    },
    remove() {
      run('umount', folder);
      run('losetup', '--detach', loop);
      rmSync(root, { recursive: true });
    },
  };
}

async function measureFleet(device: Device, nodes: number): Promise<Result[]> {
  const controller = await startControllerProcess({ parent: device.folder });
  const fleet = await startSimulatedNodes(controller, nodes);
  try {
    const scraping = scrape(controller);
    await waitForQuiet(controller, device);
    const calls = countDiskCalls(controller.pid);
    await sleep(2_000);
    const before = { process: writtenBy(controller.pid), ...device.counters() };
    await sleep(IDLE_MS);
    execFileSync('sync', ['--file-system', device.folder]);
    const after = { process: writtenBy(controller.pid), ...device.counters() };
    const syncs = await calls.stop();
    scraping.stop();
    const ready = await countReady(controller);
    if (ready !== nodes) throw new Error(`${ready} of ${nodes} nodes are ready: nothing was measured`);
    const name = `idle for ${IDLE_MS / 1000} s with ${nodes} nodes`;
    const zero = { value: 0, better: 'lower' } as const;
    const note = `${scraping.count()} scrapes`;
    return [
      {
        name: `${name}: fsyncs and file changes`,
        value: syncs.length,
        unit: 'calls',
        goal: zero,
        note: filesOf(syncs) || note,
      },
      { name: `${name}: written by the controller`, value: after.process - before.process, unit: 'bytes', goal: zero },
      // The `sync` of the measurement itself is a flush where there is anything to flush.
      { name: `${name}: written to the device`, value: after.bytes - before.bytes, unit: 'bytes', goal: zero },
    ];
  } finally {
    fleet.stop();
    await controller.stop();
  }
}

/** Which files the calls were about. */
function filesOf(calls: readonly string[]): string {
  return [...new Set(calls.flatMap((call) => /[<"](\/[^>"]+)[>"]/.exec(call)?.[1] ?? []))].slice(0, 8).join(', ');
}

/** Bytes that the process and its children have sent towards a disk so far. */
function writtenBy(pid: number): number {
  return [pid, ...descendantsOf(pid)].reduce((sum, one) => {
    const io = readFileSync(`/proc/${one}/io`, 'utf8');
    return sum + Number(/^write_bytes: (\d+)/m.exec(io)?.[1]);
  }, 0);
}

function descendantsOf(pid: number): number[] {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number),
  );
  return [...children, ...children.flatMap(descendantsOf)];
}

/** Starts and joins are over, and what they wrote is in a snapshot: none is due before something changes. */
async function waitForQuiet(controller: ControllerProcess, device: Device): Promise<void> {
  const store = join(controller.folder, 'data', 'store');
  const written = () => writtenBy(controller.pid) + device.counters().bytes;
  const isCopied = () => statSync(join(store, 'snapshots')).mtimeMs >= statSync(join(store, 'state.db-wal')).mtimeMs;
  let last = { bytes: written(), atMs: performance.now() };
  await waitUntil('the cluster is idle', QUIET_TIMEOUT_MS, () => {
    const bytes = written();
    if (bytes !== last.bytes) last = { bytes, atMs: performance.now() };
    return performance.now() - last.atMs > QUIET_MS && isCopied();
  });
}

function scrape(controller: ControllerProcess): { stop(): void; count(): number } {
  const session = connectTo(controller);
  let scrapes = 0;
  const timer = setInterval(() => {
    request(session, { method: 'GET', path: '/metrics' }).then(
      () => {
        scrapes += 1;
      },
      () => {},
    );
  }, SCRAPE_MS);
  return {
    count: () => scrapes,
    stop() {
      clearInterval(timer);
      session.destroy();
    },
  };
}

/** Every system call that changes a file or makes one durable, from now on, of all threads. `write` is left to the byte counters. */
function countDiskCalls(pid: number): { stop(): Promise<string[]> } {
  const calls = ['fsync', 'fdatasync', 'sync', 'syncfs', 'sync_file_range', 'msync', 'pwrite64', 'pwritev'];
  const changes = [
    'ftruncate',
    'fallocate',
    'rename',
    'renameat',
    'renameat2',
    'unlink',
    'unlinkat',
    'mkdir',
    'mkdirat',
  ];
  const file = join(mkdtempSync(join(tmpdir(), 'coracle-calls-')), 'trace');
  const tracer: ChildProcess = spawn(
    'strace',
    ['-f', '-y', '-qq', '-e', `trace=${[...calls, ...changes].join(',')}`, '-o', file, '-p', String(pid)],
    { stdio: 'inherit' },
  );
  const ended = new Promise((resolve) => tracer.once('exit', resolve));
  return {
    async stop() {
      tracer.kill('SIGINT');
      await ended;
      const text = readFileSync(file, 'utf8');
      rmSync(join(file, '..'), { recursive: true });
      return text.split('\n').filter((line) => line.includes('('));
    },
  };
}
