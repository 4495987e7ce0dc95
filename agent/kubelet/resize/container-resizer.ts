import { memoryBytesOf } from '#api/meta/pod-resources.ts';
import type { Pod } from '#api/object/kinds.ts';
import type { ContainerRuntime, LinuxResources } from '../../cri/runtime.ts';
import type { PodCgroups } from '../cgroups/pod-cgroups.ts';
import { containerResources, type ResourceRules } from '../config/linux-resources.ts';
import type { Ledger } from '../ledger.ts';
import { withContainer } from '../ledger-record.ts';
import type { ObservedPod } from '../observed-pod.ts';
import { findContainer, uidOf } from '../pod-spec.ts';
import { actuatedSize } from './allocation.ts';

export interface ContainerResizerDeps {
  readonly runtime: ContainerRuntime;
  readonly ledger: Ledger;
  readonly podCgroups: PodCgroups;
  readonly rules: ResourceRules;
}

/** Gives running containers, and the pod around them, the CPU and memory that the pod was granted. */
export class ContainerResizer {
  readonly #deps: ContainerResizerDeps;

  constructor(deps: ContainerResizerDeps) {
    this.#deps = deps;
  }

  /**
   * `pod` carries the granted sizes. The pod's own cgroup is set before and after: what grows must find room above it, what shrinks must
   * have shrunk first. Throws when the runtime refuses, or when the container uses more memory than it would be left.
   */
  async resize(pod: Pod, containerId: string, name: string): Promise<void> {
    const { runtime, ledger, podCgroups, rules } = this.#deps;
    const record = ledger.record(uidOf(pod));
    const container = findContainer(pod, name);
    if (record === undefined || container === undefined) return;
    const before = memoryBytesOf(actuatedSize(pod, record, name)?.limits);
    const resources = containerResources(pod, container, rules);
    const { memoryLimitBytes } = resources;
    if (memoryLimitBytes > 0 && (before === 0 || memoryLimitBytes < before))
      await this.#refuseBelowUsage(containerId, memoryLimitBytes);
    await podCgroups.apply(pod);
    await runtime.updateResources(containerId, withoutBlanks(resources));
    const known = ledger.record(uidOf(pod)) ?? record;
    const entry = known.containers[name] ?? { attempt: 0, ran: true };
    await ledger.save(withContainer(known, name, { ...entry, actuated: container.resources ?? {} }));
    await podCgroups.apply(pod);
  }

  /**
   * Gives the pod as a whole what it was granted, and those of its running containers that have no limit of their own the pod's. Throws
   * when the runtime refuses.
   */
  async resizePod(pod: Pod, { containers }: ObservedPod): Promise<void> {
    const { runtime, podCgroups, rules } = this.#deps;
    await podCgroups.apply(pod);
    for (const { id, name, state } of containers) {
      const container = findContainer(pod, name);
      if (container === undefined || state !== 'RUNNING') continue;
      const { limits } = container.resources ?? {};
      if (limits?.cpu !== undefined && limits.memory !== undefined) continue;
      await runtime.updateResources(id, withoutBlanks(containerResources(pod, container, rules)));
    }
  }

  /** The kernel would end the container at once. */
  async #refuseBelowUsage(containerId: string, limitBytes: number): Promise<void> {
    const stats = await this.#deps.runtime.listContainerStats();
    const used = stats.find((entry) => entry.containerId === containerId)?.memoryUsageBytes ?? 0;
    if (used > limitBytes)
      throw new Error(`attempting to set memory limit (${limitBytes}) below current usage (${used})`);
  }
}

/** 0 would mean "as before" to the runtime; -1 takes the limit away. */
const withoutBlanks = (resources: LinuxResources): LinuxResources => ({
  ...resources,
  cpuQuota: resources.cpuQuota === 0 ? -1 : resources.cpuQuota,
});
