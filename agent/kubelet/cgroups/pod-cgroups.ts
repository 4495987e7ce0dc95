import { podRequests } from '#api/meta/pod-resources.ts';
import type { Pod } from '#api/object/kinds.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { CgroupFacts } from '../../host/cgroups.ts';
import type { Host } from '../../host/host.ts';
import { cpuShares, type ResourceRules } from '../config/linux-resources.ts';
import { type PodUid, qosClassOf, specOf, uidOf } from '../pod-spec.ts';
import { limitFiles, saysTheSame } from './cgroup-files.ts';
import { type CgroupSettings, podCgroupPath, podsCgroupPath, qosCgroupPath } from './cgroup-names.ts';
import { type PodLimits, podLimits, reservations } from './pod-limits.ts';

export interface PodCgroupsOptions {
  readonly host: Host;
  readonly settings: CgroupSettings;
  readonly rules: ResourceRules;
  /** Processes of one pod at most; 0 = no limit. */
  readonly podPidsLimit: number;
  /** What all pods together may have of the node; 0 = no limit. */
  readonly allPods: { readonly memoryBytes: number; readonly milliCpu: number };
  /** Pods that run here. */
  readonly pods: () => readonly Pod[];
  /** The pod with the limits that its containers still hold while they are resized; absent: those that it has. */
  readonly roomFor?: (pod: Pod) => Pod;
  readonly log: Logger;
}

/** As often as the kubelet brings the groups of its classes up to date. */
const SWEEP_MS = 60_000;

/**
 * The cgroups above containers: `kubepods`, one per QoS class, one per pod. The runtime makes them as parents of its containers; their
 * shares and limits, and taking them away, are ours. systemd forgets what it was not told of at its next daemon-reload, which is why all
 * is looked at again every minute; the limits of containers (their scopes are delegated) hold always.
 */
export class PodCgroups {
  readonly #options: PodCgroupsOptions;
  #above: Promise<void> | undefined;
  #isAboveDue = false;
  /** What the groups above pods were told, until the next sweep looks whether they still say so: most pods that start change none of it. */
  #told = '';
  /** Pods that have a cgroup, as far as this agent has made it. */
  readonly #applied = new Set<PodUid>();
  /** Asked for anew at each sweep: it hardly ever changes, and every pod would wait for it. */
  #facts: Promise<CgroupFacts> | undefined;

  constructor(options: PodCgroupsOptions) {
    this.#options = options;
  }

  /** After the runtime has made the pod's cgroup, or to change its limits. Never throws: a pod without its limits is better than none. */
  async apply(pod: Pod): Promise<void> {
    try {
      await this.#set(podCgroupPath(pod, this.#options.settings), this.#limitsOf(pod), true);
      this.#applied.add(uidOf(pod));
      await this.#applyAbove();
    } catch (err) {
      this.#options.log.warn('limits of a pod could not be set', { pod: pod.metadata.name, err: describeError(err) });
    }
  }

  /** Empty groups only; one that still holds a process stays and is found again at the next clean-up. */
  async remove(pod: Pod): Promise<void> {
    this.#applied.delete(uidOf(pod));
    const others = this.#options.pods().filter((other) => this.#applied.has(uidOf(other)));
    // With the last pod of a class its group may go, and come back as new.
    if (!others.some((other) => qosClassOf(other) === qosClassOf(pod))) this.#told = '';
    const { host, settings } = this.#options;
    await removeCgroup({ host, settings, facts: await this.#cgroups() }, podCgroupPath(pod, settings));
  }

  async run(clock: Clock, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await delay(clock, SWEEP_MS, signal).catch(() => undefined);
      if (!signal.aborted) await this.sweep();
    }
  }

  /** Sets right what somebody else has changed, and the weights of the classes when pods have gone. */
  async sweep(): Promise<void> {
    const { pods, settings, log } = this.#options;
    this.#facts = undefined;
    const attempt = async (what: string, work: () => Promise<unknown>): Promise<void> => {
      await work().catch((err: unknown) =>
        log.warn('limits of pods could not be set', { what, err: describeError(err) }),
      );
    };
    // What the kernel refuses one pod must not keep the others from theirs.
    for (const pod of pods())
      await attempt(pod.metadata.name, () => this.#set(podCgroupPath(pod, settings), this.#limitsOf(pod), false));
    this.#told = '';
    await attempt('all pods', () => this.#applyAbove());
  }

  #limitsOf(pod: Pod): PodLimits {
    const { podPidsLimit: pids, rules, roomFor = (same) => same } = this.#options;
    const { cpuQuota, memoryBytes } = podLimits(roomFor(pod), rules);
    return {
      ...podLimits(pod, rules),
      cpuQuota,
      ...(memoryBytes === undefined ? {} : { memoryBytes }),
      ...(pids > 0 ? { pids } : {}),
    };
  }

  /** Of many pods that start at once, the last one's turn counts for all. */
  #applyAbove(): Promise<void> {
    this.#isAboveDue = true;
    this.#above ??= this.#setAbove().finally(() => {
      this.#above = undefined;
    });
    return this.#above;
  }

  /** What is reserved for the system is out of reach of the pods: together they weigh and may use what is left. */
  async #setAbove(): Promise<void> {
    const { settings, rules, allPods, pods } = this.#options;
    while (this.#isAboveDue) {
      this.#isAboveDue = false;
      const present = pods();
      const burstable = present.filter((pod) => qosClassOf(pod) === 'Burstable');
      const milliCpu = burstable.reduce(
        (sum, pod) => sum + (podRequests(specOf(pod)).get('cpu')?.milliValue() ?? 0),
        0,
      );
      const root: PodLimits = {
        ...weight(allPods.milliCpu),
        ...(rules.hasMemoryLimits ? { memoryBytes: allPods.memoryBytes } : {}),
        ...reservations(present, rules),
      };
      const ofBurstable = { ...weight(milliCpu), ...reservations(burstable, rules) };
      const groups: Group[] = [
        { path: podsCgroupPath(settings), limits: root, isUsed: present.length > 0 },
        { path: qosCgroupPath('Burstable', settings), limits: ofBurstable, isUsed: burstable.length > 0 },
        { path: qosCgroupPath('BestEffort', settings), limits: weight(0), isUsed: present.some(isBestEffort) },
      ];
      const wanted = JSON.stringify(groups);
      if (wanted === this.#told) continue;
      let isComplete = true;
      for (const { path, limits, isUsed } of groups)
        isComplete = ((await this.#set(path, limits, false)) || !isUsed) && isComplete;
      this.#told = isComplete ? wanted : '';
    }
  }

  /**
   * `isNew`: what a new cgroup says by itself need not be written. Files of controllers that are not there are left out. False where the
   * group has none: it is not there yet.
   */
  async #set(path: string, limits: PodLimits, isNew: boolean): Promise<boolean> {
    const { host } = this.#options;
    const facts = await this.#cgroups();
    let isThere = false;
    for (const file of limitFiles(limits, facts.version)) {
      if ((isNew && file.isDefault) || !facts.controllers.includes(file.controller)) continue;
      const target = `${directoryOf(facts, file.controller, path)}/${file.name}`;
      const found = await host.fs.readText(target).catch(() => undefined);
      // A controller may be there and not be handed down to this group.
      if (found === undefined) continue;
      isThere = true;
      if (!saysTheSame(found, file)) await host.fs.write(target, file.value);
    }
    return isThere;
  }

  #cgroups(): Promise<CgroupFacts> {
    this.#facts ??= this.#options.host.cgroups().catch((err: unknown) => {
      this.#facts = undefined;
      throw err;
    });
    return this.#facts;
  }
}

/** Of all pods, or of a class of theirs. */
interface Group {
  readonly path: string;
  readonly limits: PodLimits;
  /** Without a pod there may be no such group. */
  readonly isUsed: boolean;
}

const isBestEffort = (pod: Pod) => qosClassOf(pod) === 'BestEffort';

const directoryOf = ({ version, root }: CgroupFacts, controller: string, path: string) =>
  version === 2 ? `${root}${path}` : `${root}/${controller}${path}`;

const weight = (milliCpu: number) => ({ cpuShares: cpuShares(milliCpu), cpuQuota: 0 });

/** The root of all pods' cgroups with everything below it: for an uninstall, after the last container has ended. */
export async function removeAllPodCgroups(host: Host, settings: CgroupSettings): Promise<void> {
  await removeCgroup({ host, settings, facts: await host.cgroups() }, podsCgroupPath(settings));
}

interface CgroupTree {
  readonly host: Host;
  readonly settings: CgroupSettings;
  readonly facts: CgroupFacts;
}

async function removeCgroup({ host, settings, facts }: CgroupTree, path: string): Promise<void> {
  const { version, root } = facts;
  const candidates =
    version === 2 ? [`${root}${path}`] : (await host.fs.list(root)).map((controller) => `${root}/${controller}${path}`);
  if (settings.driver !== 'systemd') {
    for (const directory of candidates) await host.fs.removeEmptyDirectories(directory);
    return;
  }
  const isPresent = await Promise.all(
    candidates.map(async (directory) => (await host.fs.info(directory)) !== undefined),
  );
  // The slice is a unit: stopping it removes the cgroup, while removing the cgroup alone would leave the unit.
  if (isPresent.includes(true)) await host.exec.run(['systemctl', 'stop', path.slice(path.lastIndexOf('/') + 1)]);
}
