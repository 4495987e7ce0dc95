import type { Pod } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import type { ContainerRuntime, ContainerStats } from '../../cri/runtime.ts';
import type { Host } from '../../host/host.ts';
import { type CgroupSettings, podCgroupPath } from '../cgroups/cgroup-names.ts';
import type { PodPaths } from '../config/pod-paths.ts';
import { newestInstance } from '../observed-pod.ts';
import { allContainers, ephemeralContainers, specOf, uidOf } from '../pod-spec.ts';
import type { RuntimeCache } from '../runtime-cache.ts';
import type { ContainerUsage, PodUsage } from './pod-usage.ts';

export interface UsageReaderOptions {
  readonly host: Host;
  readonly runtime: ContainerRuntime;
  readonly cache: RuntimeCache;
  readonly paths: PodPaths;
  readonly cgroups: CgroupSettings;
  readonly clock: Clock;
}

export interface DiskUse {
  readonly bytes: number;
  readonly inodes: number;
}

/** Walking a large volume costs: what was measured this lately still holds, as in Kubernetes. */
const DISK_AGE_MS = 60_000;
const NONE: DiskUse = { bytes: 0, inodes: 0 };

/** Measures what pods use: memory and writable layers as the runtime tells, logs and volumes by walking them. */
export class UsageReader {
  readonly #options: UsageReaderOptions;
  readonly #disk = new Map<string, { readonly use: DiskUse; readonly atMs: number }>();

  constructor(options: UsageReaderOptions) {
    this.#options = options;
  }

  async read(pods: readonly Pod[]): Promise<ReadonlyMap<string, PodUsage>> {
    const { runtime, clock } = this.#options;
    for (const [path, { atMs }] of this.#disk) if (clock.monotonic() - atMs > DISK_AGE_MS) this.#disk.delete(path);
    const stats = new Map((await runtime.listContainerStats()).map((entry) => [entry.containerId, entry]));
    const usages = new Map<string, PodUsage>();
    for (const pod of pods) usages.set(pod.metadata.uid, await this.#readPod(pod, stats));
    return usages;
  }

  async #readPod(pod: Pod, stats: ReadonlyMap<string, ContainerStats>): Promise<PodUsage> {
    const { cache, paths, host, cgroups } = this.#options;
    const observed = cache.observe(uidOf(pod));
    const containers: ContainerUsage[] = [];
    for (const { name } of [...allContainers(pod), ...ephemeralContainers(pod)]) {
      const instance = newestInstance(observed, name);
      if (instance === undefined) continue;
      const logs = await this.disk(`${paths.logDirectory(pod)}/${name}`);
      const own = stats.get(instance.id);
      containers.push({
        name,
        memoryBytes: own?.memoryWorkingSetBytes ?? 0,
        diskBytes: logs.bytes + (own?.writableLayerBytes ?? 0),
        inodes: logs.inodes + (own?.writableLayerInodes ?? 0),
      });
    }
    const volumes = new Map<string, DiskUse>();
    for (const { name, emptyDir } of specOf(pod).volumes ?? [])
      if (emptyDir !== undefined && emptyDir.medium !== 'Memory')
        volumes.set(name, await this.disk(paths.volume(pod.metadata.uid, 'kubernetes.io~empty-dir', name)));
    return { containers, volumes, processes: await readPodProcesses(host, podCgroupPath(pod, cgroups)) };
  }

  /** Nothing for a path that is not there. */
  async disk(path: string): Promise<DiskUse> {
    const known = this.#disk.get(path);
    if (known !== undefined) return known.use;
    const { host, clock } = this.#options;
    const use = await host.fs.usage(path).catch(() => NONE);
    this.#disk.set(path, { use, atMs: clock.monotonic() });
    return use;
  }
}

export async function readPodProcesses(host: Pick<Host, 'fs' | 'cgroups'>, cgroupPath: string): Promise<number> {
  const { version, root } = await host.cgroups();
  const path = `${root}${version === 2 ? '' : '/pids'}${cgroupPath}/pids.current`;
  return Number((await host.fs.readText(path).catch(() => '0')).trim()) || 0;
}
