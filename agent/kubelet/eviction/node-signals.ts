import type { FileSystem } from '../../host/host.ts';
import type { Observation, Observations } from './eviction-state.ts';
import { ALLOCATABLE_MEMORY, type Signal } from './thresholds.ts';

export interface NodeSignalsOptions {
  readonly fs: FileSystem;
  /** A path on the disk of volumes and logs. */
  readonly nodeFsPath: string;
  /** A path on the disk of images and writable layers; undefined until the runtime has told. */
  readonly imageFsPath: () => string | undefined;
  /** What all pods together have left; undefined where they have no limit of their own. */
  readonly podsMemory?: () => Promise<Observation | undefined>;
}

/** Reads what of the node is left. What cannot be read is left out. */
export async function readNodeSignals(options: NodeSignalsOptions): Promise<Observations> {
  const { fs, nodeFsPath, imageFsPath, podsMemory } = options;
  const signals = new Map<Signal, Observation>();
  const imagePath = imageFsPath();
  const [memory, processes, ofPods] = await Promise.all([readMemory(fs), readProcesses(fs), podsMemory?.()]);
  if (memory !== undefined) signals.set('memory.available', memory);
  if (ofPods !== undefined) signals.set(ALLOCATABLE_MEMORY, ofPods);
  if (processes !== undefined) signals.set('pid.available', processes);
  await readDisk(fs, nodeFsPath, 'nodefs', signals);
  if (imagePath !== undefined) await readDisk(fs, imagePath, 'imagefs', signals);
  return signals;
}

async function readDisk(
  fs: FileSystem,
  path: string,
  name: 'nodefs' | 'imagefs',
  signals: Map<Signal, Observation>,
): Promise<void> {
  const usage = await fs.diskUsage(path).catch(() => undefined);
  if (usage === undefined || usage.totalBytes === 0) return;
  signals.set(`${name}.available`, { available: usage.freeBytes, capacity: usage.totalBytes });
  // Some file systems (btrfs) have no fixed number of inodes.
  if (usage.totalInodes > 0)
    signals.set(`${name}.inodesFree`, { available: usage.freeInodes, capacity: usage.totalInodes });
}

/** The kernel's own estimate of what can be had without swapping; it also holds where the memory cgroup is off. */
async function readMemory(fs: FileSystem): Promise<Observation | undefined> {
  const text = await fs.readText('/proc/meminfo').catch(() => '');
  const bytesOf = (key: string) => {
    const kib = new RegExp(`^${key}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1];
    return kib === undefined ? undefined : Number(kib) * 1024;
  };
  const [available, capacity] = [bytesOf('MemAvailable'), bytesOf('MemTotal')];
  return available === undefined || capacity === undefined ? undefined : { available, capacity };
}

/** The fourth field of loadavg is `running/all`. */
async function readProcesses(fs: FileSystem): Promise<Observation | undefined> {
  const [load, maxText] = await Promise.all([
    fs.readText('/proc/loadavg').catch(() => ''),
    fs.readText('/proc/sys/kernel/pid_max').catch(() => ''),
  ]);
  const count = / \d+\/(\d+) /.exec(load)?.[1];
  const capacity = Number(maxText.trim() || Number.NaN);
  return count === undefined || Number.isNaN(capacity) ? undefined : { available: capacity - Number(count), capacity };
}
