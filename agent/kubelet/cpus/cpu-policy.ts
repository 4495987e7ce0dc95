import type { IContainer } from 'kubernetes-models/v1/Container';
import { milliCpuOf } from '#api/meta/pod-resources.ts';
import type { Pod } from '#api/object/kinds.ts';
import { qosClassOf, roleOf } from '../pod-spec.ts';
import type { CpuSet } from './cpu-set.ts';

/** Where a CPU is: those of one core share it as hardware threads. */
export interface CpuPlace {
  readonly cpu: number;
  readonly core: number;
  readonly socket: number;
}

export type CpuTopology = readonly CpuPlace[];

/**
 * How many CPUs the static policy gives to a container alone; 0 = it shares with the others. Only whole CPUs of Guaranteed pods; init
 * containers that end share, as nobody would have theirs afterwards.
 */
export function exclusiveCpus(pod: Pod, container: IContainer): number {
  if (qosClassOf(pod) !== 'Guaranteed' || roleOf(pod, container.name) === 'init') return 0;
  const { requests, limits } = container.resources ?? {};
  const milliCpu = milliCpuOf(requests?.cpu === undefined ? limits : requests);
  return milliCpu % 1000 === 0 ? milliCpu / 1000 : 0;
}

/**
 * Chooses `count` of the free CPUs, undefined where there are too few: whole sockets first, then whole cores, then threads of cores that
 * are in use already, so that cores stay whole for the next. The lowest numbers win.
 */
export function takeCpus(topology: CpuTopology, free: CpuSet, count: number): CpuSet | undefined {
  const taken: number[] = [];
  const isFree = (cpu: number) => free.includes(cpu) && !taken.includes(cpu);
  const missing = () => count - taken.length;
  if (free.length < count) return undefined;
  for (const level of ['socket', 'core'] as const)
    for (const group of groupsOf(topology, level))
      if (group.length <= missing() && group.every(isFree)) taken.push(...group);
  const threads = groupsOf(topology, 'core')
    .map((group) => ({ open: group.filter(isFree), isBegun: !group.every(isFree) }))
    .sort((a, b) => Number(b.isBegun) - Number(a.isBegun));
  for (const { open } of threads) taken.push(...open.slice(0, missing()));
  return taken.sort((a, b) => a - b);
}

/** CPUs that belong together, each group and the list of groups in order of their numbers. */
function groupsOf(topology: CpuTopology, level: 'socket' | 'core'): number[][] {
  const groups = new Map<string, number[]>();
  for (const { cpu, core, socket } of [...topology].sort((a, b) => a.cpu - b.cpu)) {
    const key = level === 'socket' ? `${socket}` : `${socket}/${core}`;
    groups.set(key, [...(groups.get(key) ?? []), cpu]);
  }
  return [...groups.values()];
}
