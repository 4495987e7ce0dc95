import type { Pod } from '#api/object/kinds.ts';
import type { ContainerStats } from '../../cri/runtime.ts';

/** Counters of one look at the node; times are epoch ms, CPU in nanoseconds of one core since the start. */
export interface CpuReading {
  readonly atMs: number;
  readonly usageNanos: number;
}

export interface InterfaceReading {
  readonly name: string;
  readonly rxBytes: number;
  readonly rxErrors: number;
  readonly txBytes: number;
  readonly txErrors: number;
}

export interface ContainerSample {
  readonly name: string;
  readonly containerId: string;
  readonly imageName: string;
  readonly startedAtMs: number;
  readonly stats: ContainerStats;
}

export interface PodSample {
  readonly pod: Pod;
  readonly startedAtMs: number;
  readonly containers: readonly ContainerSample[];
  /** Of the pod's own network; empty on the host's. */
  readonly interfaces: readonly InterfaceReading[];
  readonly processes: number;
}

export interface NodeSample {
  readonly nodeName: string;
  readonly atMs: number;
  readonly bootedAtMs: number;
  readonly cpu: CpuReading;
  readonly memory: {
    readonly totalBytes: number;
    readonly availableBytes: number;
    readonly freeBytes: number;
    readonly rssBytes: number;
    readonly swapTotalBytes: number;
    readonly swapFreeBytes: number;
  };
  readonly interfaces: readonly InterfaceReading[];
  readonly pods: readonly PodSample[];
}

/** `/proc/stat`: all time that is neither idle nor waiting, in hundredths of a second. Guests are in user and nice already. */
export function parseProcStat(text: string): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] =
    /^cpu +(.*)$/m.exec(text)?.[1]?.split(/\s+/).map(Number) ?? [];
  return (user + nice + system + irq + softirq + steal) * 1e7;
}

/** Bytes by key of `/proc/meminfo`. */
export function parseMeminfo(text: string): ReadonlyMap<string, number> {
  return new Map([...text.matchAll(/^(\S+):\s+(\d+) kB$/gm)].map(([, key = '', kib]) => [key, Number(kib) * 1024]));
}

/** `/proc/net/dev` without the loopback. */
export function parseNetDev(text: string): InterfaceReading[] {
  return [...text.matchAll(/^\s*(\S+):\s*(.*)$/gm)].flatMap(([, name = '', rest = '']) => {
    const numbers = rest.trim().split(/\s+/).map(Number);
    if (name === 'lo' || numbers.length < 11) return [];
    const [rxBytes = 0, , rxErrors = 0] = numbers;
    return [{ name, rxBytes, rxErrors, txBytes: numbers[8] ?? 0, txErrors: numbers[10] ?? 0 }];
  });
}

/** Nano-cores used between two readings of one counter; undefined while there are not two, or the counter began anew. */
export function nanoCores(before: CpuReading | undefined, now: CpuReading): number | undefined {
  if (before === undefined || now.atMs <= before.atMs || now.usageNanos < before.usageNanos) return undefined;
  return Math.round((now.usageNanos - before.usageNanos) / ((now.atMs - before.atMs) / 1000));
}
