import type { IContainer } from 'kubernetes-models/v1/Container';
import type { Pod } from '#api/object/kinds.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { ContainerRuntime } from '../../cri/runtime.ts';
import type { FileSystem } from '../../host/host.ts';
import { ConfigError } from '../config/config-error.ts';
import { containerResources, type ResourceRules } from '../config/linux-resources.ts';
import type { Ledger } from '../ledger.ts';
import { newestInstance, type ObservedPod } from '../observed-pod.ts';
import { allContainers, type PodUid, uidOf } from '../pod-spec.ts';
import { type CpuTopology, exclusiveCpus, takeCpus } from './cpu-policy.ts';
import { type CpuSet, formatCpuSet, parseCpuSet, without } from './cpu-set.ts';

export interface CpuManagerOptions {
  readonly runtime: Pick<ContainerRuntime, 'updateResources'>;
  readonly ledger: Ledger;
  readonly topology: CpuTopology;
  /** CPUs that no container has alone. */
  readonly reservedCpus: number;
  readonly pods: () => readonly Pod[];
  readonly observe: (uid: PodUid) => ObservedPod;
  readonly rules: ResourceRules;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The CPUs on which a container runs. */
export interface GrantedCpus {
  readonly cpus: string;
  readonly isExclusive: boolean;
}

/** The kubelet's cpuManagerReconcilePeriod. */
const RECONCILE_MS = 10_000;

/**
 * The static CPU manager policy: containers that are entitled to it have CPUs of their own, all others share the rest. Who has which is
 * in the ledger before the container is made.
 */
export class CpuManager {
  readonly #options: CpuManagerOptions;
  readonly #all: CpuSet;
  readonly #reserved: CpuSet;
  /** What sharing containers were last given, by container id. */
  readonly #shown = new Map<string, string>();
  #wake = new AbortController();

  constructor(options: CpuManagerOptions) {
    this.#options = options;
    this.#all = options.topology.map(({ cpu }) => cpu).sort((a, b) => a - b);
    this.#reserved = takeCpus(options.topology, this.#all, options.reservedCpus) ?? this.#all;
  }

  /** CPUs that containers can have alone. */
  allocatable(): CpuSet {
    return without(this.#all, this.#reserved);
  }

  /** Throws ConfigError where there are too few. The same CPUs as before a restart. */
  async grant(pod: Pod, container: IContainer): Promise<GrantedCpus> {
    const { ledger, topology } = this.#options;
    const count = exclusiveCpus(pod, container);
    const record = ledger.record(uidOf(pod));
    if (count === 0 || record === undefined) return { cpus: this.#shared(), isExclusive: false };
    const held = record.cpus?.[container.name];
    if (held !== undefined) return { cpus: held, isExclusive: true };
    const free = without(this.allocatable(), this.#exclusive());
    const taken = takeCpus(topology, free, count);
    if (taken === undefined)
      throw new ConfigError(
        `not enough cpus available to satisfy request: requested=${count}, available=${free.length}`,
      );
    const cpus = formatCpuSet(taken);
    await ledger.save({ ...record, cpus: { ...record.cpus, [container.name]: cpus } });
    this.#wake.abort();
    return { cpus, isExclusive: true };
  }

  /** Keeps all others off CPUs that somebody has alone, and gives back what became free; until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#wake = new AbortController();
      await this.#reconcile();
      await delay(this.#options.clock, RECONCILE_MS, AbortSignal.any([signal, this.#wake.signal])).catch(
        () => undefined,
      );
    }
  }

  async #reconcile(): Promise<void> {
    const { runtime, pods, observe, rules, log } = this.#options;
    const cpusetCpus = this.#shared();
    const seen = new Set<string>();
    for (const pod of pods())
      for (const container of allContainers(pod)) {
        const instance = newestInstance(observe(uidOf(pod)), container.name);
        if (instance?.state !== 'RUNNING' || exclusiveCpus(pod, container) > 0) continue;
        seen.add(instance.id);
        if (this.#shown.get(instance.id) === cpusetCpus) continue;
        try {
          const resources = containerResources(pod, container, rules);
          // 0 would mean "as before" to the runtime; -1 is no limit.
          const cpuQuota = resources.cpuQuota === 0 ? -1 : resources.cpuQuota;
          await runtime.updateResources(instance.id, { ...resources, cpuQuota, cpusetCpus });
          this.#shown.set(instance.id, cpusetCpus);
        } catch (err) {
          log.warn('the CPUs of a container could not be set', { container: instance.id, err: describeError(err) });
        }
      }
    for (const id of this.#shown.keys()) if (!seen.has(id)) this.#shown.delete(id);
  }

  #shared(): string {
    return formatCpuSet(without(this.#all, this.#exclusive()));
  }

  #exclusive(): CpuSet {
    return this.#options.ledger
      .list()
      .filter(({ terminatedAtMs }) => terminatedAtMs === undefined)
      .flatMap(({ cpus = {} }) => Object.values(cpus).flatMap(parseCpuSet));
  }
}

const FOLDER = '/sys/devices/system/cpu';

/** Of the CPUs that are online; where the kernel does not tell, each is a core of its own. */
export async function readCpuTopology(fs: Pick<FileSystem, 'readText'>): Promise<CpuTopology> {
  const online = parseCpuSet(await fs.readText(`${FOLDER}/online`));
  const read = async (cpu: number, name: string, otherwise: number) => {
    const value = Number.parseInt(await fs.readText(`${FOLDER}/cpu${cpu}/topology/${name}`).catch(() => ''), 10);
    return Number.isNaN(value) || value < 0 ? otherwise : value;
  };
  return Promise.all(
    online.map(async (cpu) => ({
      cpu,
      core: await read(cpu, 'core_id', cpu),
      socket: await read(cpu, 'physical_package_id', 0),
    })),
  );
}
