import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Host, MountPoint, SmallFiles } from '../../host/host.ts';
import type { PodUid } from '../pod-spec.ts';
import { VolumeError, type VolumeFile } from './volume-kind.ts';

export interface VolatileMemoryOptions {
  readonly host: Pick<Host, 'fs' | 'memory' | 'mounts'>;
  /** `/run/coracle/pods` */
  readonly directory: string;
  readonly memoryBytes: number;
  readonly swapBytes: number;
  readonly maxPods: number;
  readonly log: Logger;
}

/** No page is larger where Linux runs containers as a rule: Raspberry Pi 5 has these. */
const PAGE_BYTES = 16 * 1024;
const MIB = 2 ** 20;

/**
 * Memory for what pods are told in confidence: one tmpfs for all of them, mounted once in a boot, which the kernel keeps out of swap where
 * it can. One for each pod would cost a program at every start of one; as the agent alone writes here, it counts what each pod has instead.
 */
export class VolatileMemory {
  /** Swap is on, and the kernel may write these files there. */
  readonly maySwap: boolean;
  readonly #isMemory: boolean;
  readonly #options: VolatileMemoryOptions;
  /** Pods of an agent that kept such files beside our tmpfs: their containers see that folder, and no other. */
  readonly #earlier: Set<string>;
  /** Bytes by pod and volume. */
  readonly #taken = new Map<PodUid, Map<string, number>>();
  /** What every pod has for certain, and what those that want more share among them. */
  readonly #shareBytes: number;
  readonly #commonBytes: number;

  private constructor(
    options: VolatileMemoryOptions,
    found: { earlier: Iterable<string>; maySwap: boolean; isMemory: boolean },
  ) {
    this.#options = options;
    this.#earlier = new Set(found.earlier);
    this.maySwap = found.maySwap;
    this.#isMemory = found.isMemory;
    this.#commonBytes = sizeBytes(options) / 2;
    this.#shareBytes = this.#commonBytes / options.maxPods;
  }

  /** Finds the memory of an agent before this one, or mounts it. Never fails for want of it: then files are where the folder is. */
  static async open(options: VolatileMemoryOptions): Promise<VolatileMemory> {
    const { host, directory, swapBytes, log } = options;
    const path = pathIn(directory);
    await host.fs.makeDirectory(directory, 0o750);
    const earlier = (await host.fs.list(directory)).filter((name) => `${directory}/${name}` !== path);
    await host.fs.makeDirectory(path, 0o750);
    const mounted = (await findMount(host, path)) ?? (await mount(options, path));
    const maySwap = swapBytes > 0 && mounted?.options.includes('noswap') !== true;
    if (maySwap)
      log.warn('Secrets, tokens and memory volumes of pods may be written to swap: the kernel cannot prevent it');
    return new VolatileMemory(options, { earlier, maySwap, isMemory: mounted !== undefined });
  }

  folder(uid: PodUid): string {
    const { directory } = this.#options;
    return this.#earlier.has(uid) ? `${directory}/${uid}` : `${pathIn(directory)}/${uid}`;
  }

  /** By which door what lies in the folder is written. */
  filesOf(uid: PodUid): SmallFiles {
    const { host } = this.#options;
    return this.#isMemory && !this.#earlier.has(uid) ? host.memory : host.fs;
  }

  /** Before the files of a volume are written, for the first time or again. Throws VolumeError where other pods would not have their room. */
  take(uid: PodUid, volume: string, files: ReadonlyMap<string, VolumeFile>): void {
    let bytes = 0;
    // The files before are there until the new ones stand.
    for (const { content } of files.values())
      bytes += 2 * PAGE_BYTES * Math.max(1, Math.ceil(content.length / PAGE_BYTES));
    const ofPod = new Map(this.#taken.get(uid)).set(volume, bytes);
    const wanted = this.#beyondShare(ofPod);
    let others = 0;
    if (wanted > 0) for (const [other, volumes] of this.#taken) if (other !== uid) others += this.#beyondShare(volumes);
    if (wanted > 0 && others + wanted > this.#commonBytes) {
      const left = this.#shareBytes + Math.max(0, this.#commonBytes - others);
      const said = (amount: number) => `${(amount / MIB).toFixed(1)} MiB`;
      throw new VolumeError(
        `the files of this pod would take ${said(total(ofPod))} of memory, and ${said(left)} are left to it on this node`,
      );
    }
    this.#taken.set(uid, ofPod);
  }

  async remove(uid: PodUid): Promise<void> {
    await this.#options.host.fs.remove(this.folder(uid));
    this.#taken.delete(uid);
    this.#earlier.delete(uid);
  }

  #beyondShare(volumes: ReadonlyMap<string, number>): number {
    return Math.max(0, total(volumes) - this.#shareBytes);
  }
}

// No pod has this UID.
const pathIn = (directory: string) => `${directory}/memory`;
const sizeBytes = ({ memoryBytes }: VolatileMemoryOptions) => Math.floor(memoryBytes / 2);

function total(volumes: ReadonlyMap<string, number>): number {
  let bytes = 0;
  for (const one of volumes.values()) bytes += one;
  return bytes;
}

async function findMount(host: Pick<Host, 'mounts'>, path: string): Promise<MountPoint | undefined> {
  return (await host.mounts.list()).findLast((point) => point.path === path);
}

async function mount(options: VolatileMemoryOptions, path: string): Promise<MountPoint | undefined> {
  const { host, log } = options;
  // Files of running pods would be hidden by it.
  if ((await host.fs.list(path)).length > 0) return undefined;
  try {
    await host.mounts.mountTmpfs(path, { mode: 0o750, sizeBytes: sizeBytes(options) });
  } catch (err) {
    log.warn('Secrets and tokens of pods have no memory of their own', { path, err: describeError(err) });
    return undefined;
  }
  return findMount(host, path);
}
