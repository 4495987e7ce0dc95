import type { Pod } from '#api/object/kinds.ts';
import { specOf } from '../pod-spec.ts';
import { containerRequest, diskOf, formatBytes, inodesOf, memoryOf, type PodUsage, requestOf } from './pod-usage.ts';
import type { Signal, Threshold } from './thresholds.ts';
import { absolute } from './thresholds.ts';

export interface Candidate {
  readonly pod: Pod;
  readonly usage: PodUsage;
}

/** Priorities of system-cluster-critical and above, static and mirror pods: the node would only start them again. */
const CRITICAL_PRIORITY = 2_000_000_000;
const CONFIG_SOURCE = 'kubernetes.io/config.source';

export function isCritical({ metadata, spec }: Pod): boolean {
  const source = metadata.annotations?.[CONFIG_SOURCE];
  return (source !== undefined && source !== 'api') || (spec?.priority ?? 0) >= CRITICAL_PRIORITY;
}

/** Who goes first: those above their request, the lower priority, and the more above it. Pure; critical pods never. */
export function rankForEviction(signal: Signal, candidates: readonly Candidate[]): Candidate[] {
  const measure = MEASURES[signal];
  const keyed = candidates
    .filter(({ pod }) => !isCritical(pod))
    .map((candidate) => {
      const used = measure.of(candidate.usage);
      const requested = measure.resource === undefined ? 0 : requestOf(candidate.pod, measure.resource);
      return { candidate, excess: used - requested, priority: specOf(candidate.pod).priority ?? 0 };
    });
  // Processes and inodes cannot be requested: there only priority and number count.
  const hasRequests = measure.resource !== undefined;
  return keyed
    .sort((a, b) => {
      const above = hasRequests ? Number(b.excess > 0) - Number(a.excess > 0) : 0;
      return above || a.priority - b.priority || b.excess - a.excess;
    })
    .map(({ candidate }) => candidate);
}

interface Measure {
  readonly of: (usage: PodUsage) => number;
  /** The resource that a pod may request of it. */
  readonly resource?: string;
  /** How messages call what runs short. */
  readonly name: string;
}

const DISK: Measure = { of: diskOf, resource: 'ephemeral-storage', name: 'ephemeral-storage' };
const INODES: Measure = { of: inodesOf, name: 'inodes' };
const MEMORY: Measure = { of: memoryOf, resource: 'memory', name: 'memory' };
const MEASURES: Readonly<Record<Signal, Measure>> = {
  'memory.available': MEMORY,
  'allocatableMemory.available': MEMORY,
  'nodefs.available': DISK,
  'imagefs.available': DISK,
  'nodefs.inodesFree': INODES,
  'imagefs.inodesFree': INODES,
  'pid.available': { of: ({ processes }) => processes, name: 'pids' },
};

export const resourceName = (signal: Signal): string => MEASURES[signal].name;

/** As `kubectl describe` shows why a pod had to go. */
export function evictionMessage(
  { signal, value }: Threshold,
  observed: { readonly available: number; readonly capacity: number },
  { pod, usage }: Candidate,
): string {
  const { name, resource } = MEASURES[signal];
  const isBytes = resource !== undefined;
  const shown = (amount: number) => (isBytes ? formatBytes(amount) : String(amount));
  const threshold = shown(absolute(value, observed.capacity));
  const head = `The node was low on resource: ${name}. Threshold quantity: ${threshold}, available: ${shown(floorToKi(observed.available, isBytes))}. `;
  if (resource === undefined) return head;
  const greedy = specOf(pod).containers.flatMap((container) => {
    const own = usage.containers.find((one) => one.name === container.name);
    const used = resource === 'memory' ? own?.memoryBytes : own?.diskBytes;
    const requested = containerRequest(container, resource);
    if (used === undefined || used <= requested) return [];
    const [is, was] = [formatBytes(floorToKi(used, true)), requested === 0 ? '0' : formatBytes(requested)];
    return [`Container ${container.name} was using ${is}, request is ${was}, has larger consumption of ${name}. `];
  });
  return `${head}${greedy.join('')}`;
}

const floorToKi = (amount: number, isBytes: boolean) => (isBytes ? Math.floor(amount / 1024) * 1024 : amount);
