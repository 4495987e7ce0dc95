import type { Pod } from '#api/object/kinds.ts';
import { type Clock, delay } from '#base/clock.ts';
import type { ContainerRuntime } from '../../cri/runtime.ts';
import type { Host } from '../../host/host.ts';
import { type CgroupSettings, podCgroupPath } from '../cgroups/cgroup-names.ts';
import { readPodProcesses } from '../eviction/usage-reader.ts';
import { isHostNetwork, uidOf } from '../pod-spec.ts';
import type { RuntimeCache } from '../runtime-cache.ts';
import {
  type CpuReading,
  type InterfaceReading,
  type NodeSample,
  type PodSample,
  parseMeminfo,
  parseNetDev,
  parseProcStat,
} from './node-sample.ts';

export interface SamplerOptions {
  readonly host: Host;
  readonly runtime: ContainerRuntime;
  readonly cache: RuntimeCache;
  readonly cgroups: CgroupSettings;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly pods: () => readonly Pod[];
}

/** CPU readings by container id, `#node` for the node. */
export type CpuReadings = ReadonlyMap<string, CpuReading>;
export const NODE_CPU = '#node';

/** Readings that are this old say nothing of now; that young, too little. */
const OLDEST_MS = 90_000;
const YOUNGEST_MS = 1_000;

/**
 * Looks at the node when somebody asks; nothing runs while nobody does. Rates need two looks: whoever asks regularly gets the time since
 * the last one, the first one to ask waits a second.
 */
export class Sampler {
  readonly #options: SamplerOptions;
  #before: { readonly readings: CpuReadings; readonly atMs: number } | undefined;
  #looking: Promise<{ sample: NodeSample; before: CpuReadings }> | undefined;

  constructor(options: SamplerOptions) {
    this.#options = options;
  }

  /** Shared by all who ask at the same time. */
  sampleWithRates(): Promise<{ readonly sample: NodeSample; readonly before: CpuReadings }> {
    this.#looking ??= this.#lookTwice().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #lookTwice(): Promise<{ sample: NodeSample; before: CpuReadings }> {
    const { clock } = this.#options;
    let before = this.#before;
    const ageMs = before === undefined ? Number.POSITIVE_INFINITY : clock.now() - before.atMs;
    if (before === undefined || ageMs > OLDEST_MS || ageMs < 0) {
      const first = await this.sample();
      before = { readings: readingsOf(first), atMs: first.atMs };
      await delay(clock, YOUNGEST_MS);
    } else if (ageMs < YOUNGEST_MS) {
      await delay(clock, YOUNGEST_MS - ageMs);
    }
    const sample = await this.sample();
    this.#before = { readings: readingsOf(sample), atMs: sample.atMs };
    return { sample, before: before.readings };
  }

  async sample(): Promise<NodeSample> {
    const { host, runtime, nodeName, clock, pods } = this.#options;
    const [stat, meminfo, netDev, stats, sinceBootMs] = await Promise.all([
      host.fs.readText('/proc/stat').catch(() => ''),
      host.fs.readText('/proc/meminfo').catch(() => ''),
      host.fs.readText('/proc/net/dev').catch(() => ''),
      runtime.listContainerStats(),
      host.bootTimeMs(),
    ]);
    const atMs = clock.now();
    const memory = parseMeminfo(meminfo);
    const bytes = (key: string) => memory.get(key) ?? 0;
    const byId = new Map(stats.map((entry) => [entry.containerId, entry]));
    return {
      nodeName,
      atMs,
      bootedAtMs: atMs - sinceBootMs,
      cpu: { atMs, usageNanos: parseProcStat(stat) },
      memory: {
        totalBytes: bytes('MemTotal'),
        availableBytes: bytes('MemAvailable'),
        freeBytes: bytes('MemFree'),
        rssBytes: bytes('AnonPages'),
        swapTotalBytes: bytes('SwapTotal'),
        swapFreeBytes: bytes('SwapFree'),
      },
      interfaces: parseNetDev(netDev),
      pods: await Promise.all(pods().map((pod) => this.#samplePod(pod, byId))),
    };
  }

  async #samplePod(
    pod: Pod,
    stats: ReadonlyMap<string, Awaited<ReturnType<ContainerRuntime['listContainerStats']>>[number]>,
  ): Promise<PodSample> {
    const { cache, cgroups, host } = this.#options;
    const { containers, sandboxes } = cache.observe(uidOf(pod));
    const path = podCgroupPath(pod, cgroups);
    return {
      pod,
      startedAtMs: sandboxes[0]?.createdAtMs ?? 0,
      containers: containers.flatMap(({ id, name, image, startedAtMs, state }) => {
        const own = stats.get(id);
        if (own === undefined || state !== 'RUNNING') return [];
        return [{ name, containerId: id, imageName: image, startedAtMs, stats: own }];
      }),
      interfaces: isHostNetwork(pod) ? [] : await this.#podInterfaces(path),
      processes: await readPodProcesses(host, path),
    };
  }

  /** Any process of the pod sees the pod's network. */
  async #podInterfaces(cgroupPath: string): Promise<InterfaceReading[]> {
    const { host } = this.#options;
    const { version, root } = await host.cgroups();
    const folder = `${root}${version === 2 ? '' : '/pids'}${cgroupPath}`;
    for (const child of await host.fs.list(folder).catch(() => [])) {
      const pid = (await host.fs.readText(`${folder}/${child}/cgroup.procs`).catch(() => '')).split('\n')[0];
      if (!pid) continue;
      const text = await host.fs.readText(`/proc/${pid}/net/dev`).catch(() => undefined);
      if (text !== undefined) return parseNetDev(text);
    }
    return [];
  }
}

function readingsOf(sample: NodeSample): CpuReadings {
  const readings = new Map<string, CpuReading>([[NODE_CPU, sample.cpu]]);
  for (const { containers } of sample.pods)
    for (const { containerId, stats } of containers)
      readings.set(containerId, { atMs: stats.readAtMs || sample.atMs, usageNanos: stats.cpuUsageNanoCoreSeconds });
  return readings;
}
