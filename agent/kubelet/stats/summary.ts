import { toTime } from '#base/clock.ts';
import type { DiskUse } from '../eviction/usage-reader.ts';
import type { VolumeUse } from '../volumes/volume-stats.ts';
import {
  type ContainerSample,
  type InterfaceReading,
  type NodeSample,
  nanoCores,
  type PodSample,
} from './node-sample.ts';
import { type CpuReadings, NODE_CPU } from './sampler.ts';

export interface DiskState {
  readonly totalBytes: number;
  readonly freeBytes: number;
  readonly totalInodes: number;
  readonly freeInodes: number;
}

export interface SummaryInput {
  readonly sample: NodeSample;
  readonly before: CpuReadings;
  /** Absent with `only_cpu_and_memory=true`. */
  readonly disks?: {
    readonly node: DiskState;
    readonly images: DiskState | undefined;
    /** By pod uid: logs by container. */
    readonly pods: ReadonlyMap<string, PodDisk>;
  };
  readonly processes?: { readonly max: number; readonly current: number };
}

export interface PodDisk {
  readonly logs: ReadonlyMap<string, DiskUse>;
  readonly volumes: readonly VolumeUse[];
}

/** `/stats/summary` in the kubelet's form (stats/v1alpha1). Pure. */
export function computeSummary(input: SummaryInput): object {
  const { sample, before, disks, processes } = input;
  const { memory, cpu } = sample;
  const time = toTime(sample.atMs);
  return {
    node: {
      nodeName: sample.nodeName,
      startTime: toTime(sample.bootedAtMs),
      cpu: cpuOf(time, cpu.usageNanos, nanoCores(before.get(NODE_CPU), cpu)),
      memory: {
        time,
        availableBytes: memory.availableBytes,
        usageBytes: memory.totalBytes - memory.freeBytes,
        workingSetBytes: memory.totalBytes - memory.availableBytes,
        rssBytes: memory.rssBytes,
      },
      ...(memory.swapTotalBytes === 0
        ? {}
        : {
            swap: {
              time,
              swapAvailableBytes: memory.swapFreeBytes,
              swapUsageBytes: memory.swapTotalBytes - memory.swapFreeBytes,
            },
          }),
      ...networkOf(time, sample.interfaces),
      ...(disks === undefined ? {} : { fs: fsOf(time, disks.node) }),
      ...(disks?.images === undefined ? {} : { runtime: { imageFs: fsOf(time, disks.images) } }),
      ...(processes === undefined ? {} : { rlimit: { time, maxpid: processes.max, curproc: processes.current } }),
    },
    pods: sample.pods.filter(({ containers }) => containers.length > 0).map((pod) => podOf(pod, input)),
  };
}

function cpuOf(time: string, usageNanos: number, rate: number | undefined) {
  return {
    time,
    ...(rate === undefined ? {} : { usageNanoCores: rate }),
    usageCoreNanoSeconds: usageNanos,
  };
}

function fsOf(time: string, disk: DiskState, use?: DiskUse) {
  return {
    time,
    availableBytes: disk.freeBytes,
    capacityBytes: disk.totalBytes,
    usedBytes: use?.bytes ?? disk.totalBytes - disk.freeBytes,
    inodesFree: disk.freeInodes,
    inodes: disk.totalInodes,
    inodesUsed: use?.inodes ?? disk.totalInodes - disk.freeInodes,
  };
}

function volumeOf(time: string, { name, claim, bytes, inodes }: VolumeUse) {
  return {
    time,
    availableBytes: bytes.free,
    capacityBytes: bytes.total,
    usedBytes: bytes.used,
    ...(inodes.total === undefined ? {} : { inodesFree: inodes.free, inodes: inodes.total, inodesUsed: inodes.used }),
    name,
    ...(claim === undefined ? {} : { pvcRef: { name: claim.name, namespace: claim.namespace } }),
  };
}

function networkOf(time: string, interfaces: readonly InterfaceReading[]): object {
  const [first] = interfaces;
  return first === undefined ? {} : { network: { time, ...first, interfaces } };
}

function podOf(pod: PodSample, input: SummaryInput): object {
  const { before, disks, sample } = input;
  const { metadata } = pod.pod;
  const time = toTime(sample.atMs);
  const sum = (of: (container: ContainerSample) => number) =>
    pod.containers.reduce((total, container) => total + of(container), 0);
  const rates = pod.containers.map((container) => rateOf(container, before, sample.atMs));
  const rate = rates.includes(undefined) ? undefined : rates.reduce<number>((total, one) => total + (one ?? 0), 0);
  const disk = disks?.pods.get(metadata.uid);
  return {
    podRef: { name: metadata.name, namespace: metadata.namespace, uid: metadata.uid },
    startTime: toTime(pod.startedAtMs),
    containers: pod.containers.map((container) => containerOf(container, input, disk)),
    cpu: cpuOf(
      time,
      sum(({ stats }) => stats.cpuUsageNanoCoreSeconds),
      rate,
    ),
    memory: {
      time,
      usageBytes: sum(({ stats }) => stats.memoryUsageBytes),
      workingSetBytes: sum(({ stats }) => stats.memoryWorkingSetBytes),
      rssBytes: sum(({ stats }) => stats.memoryRssBytes),
      pageFaults: sum(({ stats }) => stats.pageFaults),
      majorPageFaults: sum(({ stats }) => stats.majorPageFaults),
    },
    ...networkOf(time, pod.interfaces),
    ...(disks === undefined
      ? {}
      : {
          volume: (disk?.volumes ?? []).map((volume) => volumeOf(time, volume)),
          'ephemeral-storage': fsOf(time, disks.node, totalUse(pod, disk)),
        }),
    process_stats: { process_count: pod.processes },
  };
}

function totalUse({ containers }: PodSample, disk: PodDisk | undefined): DiskUse {
  const parts: DiskUse[] = [
    ...(disk?.logs.values() ?? []),
    ...(disk?.volumes ?? [])
      .filter(({ isEphemeral }) => isEphemeral)
      .map(({ bytes, inodes }) => ({ bytes: bytes.used, inodes: inodes.used ?? 0 })),
    ...containers.map(({ stats }) => ({ bytes: stats.writableLayerBytes, inodes: stats.writableLayerInodes })),
  ];
  return {
    bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
    inodes: parts.reduce((sum, { inodes }) => sum + inodes, 0),
  };
}

function rateOf({ containerId, stats }: ContainerSample, before: CpuReadings, nowMs: number): number | undefined {
  const now = { atMs: stats.readAtMs || nowMs, usageNanos: stats.cpuUsageNanoCoreSeconds };
  return nanoCores(before.get(containerId), now);
}

function containerOf(container: ContainerSample, { before, disks, sample }: SummaryInput, disk: PodDisk | undefined) {
  const { name, startedAtMs, stats } = container;
  const time = toTime(stats.readAtMs || sample.atMs);
  const logs = disk?.logs.get(name);
  const rootfs = { bytes: stats.writableLayerBytes, inodes: stats.writableLayerInodes };
  return {
    name,
    startTime: toTime(startedAtMs),
    cpu: cpuOf(time, stats.cpuUsageNanoCoreSeconds, rateOf(container, before, sample.atMs)),
    memory: {
      time,
      usageBytes: stats.memoryUsageBytes,
      workingSetBytes: stats.memoryWorkingSetBytes,
      rssBytes: stats.memoryRssBytes,
      pageFaults: stats.pageFaults,
      majorPageFaults: stats.majorPageFaults,
    },
    swap: { time, swapUsageBytes: stats.swapUsageBytes },
    ...(disks === undefined
      ? {}
      : {
          rootfs: fsOf(time, disks.images ?? disks.node, rootfs),
          logs: fsOf(time, disks.node, logs ?? { bytes: 0, inodes: 0 }),
        }),
  };
}
