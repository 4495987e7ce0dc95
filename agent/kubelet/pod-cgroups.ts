import { podRequests } from '#api/meta/pod-resources.ts';
import type { Pod } from '#api/object/kinds.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Host } from '../host/host.ts';
import { type CgroupSettings, podCgroupPath, podsCgroupPath } from './config/cgroup-names.ts';
import { cpuWeight, type PodLimits, podLimits } from './config/pod-limits.ts';
import { type PodUid, qosClassOf, specOf, uidOf } from './pod-spec.ts';

export interface PodCgroupsOptions {
  readonly host: Host;
  readonly settings: CgroupSettings;
  readonly cpuCount: number;
  /** Processes of one pod at most; 0 = no limit. */
  readonly podPidsLimit: number;
  /** What all pods together may have of the node; 0 = no limit. */
  readonly allPods: { readonly memoryBytes: number; readonly milliCpu: number };
  readonly log: Logger;
}

const SHARES_PER_CPU = 1024;
const MIN_SHARES = 2;
const PERIOD_US = 100_000;

/**
 * The cgroups above containers: `kubepods`, one per QoS class, one per pod. The runtime makes them as parents of its containers; their
 * shares and limits, and taking them away, are ours. BestEffort pods need no values of their own: they share alike what is left.
 * Under systemd the values hold until its next daemon-reload; those of the containers (their scopes are delegated) hold always.
 */
export class PodCgroups {
  readonly #options: PodCgroupsOptions;
  /** CPU requests of Burstable pods, in cores: together they are the weight of their class. */
  readonly #burstable = new Map<PodUid, number>();
  #areClassesSet = false;
  #isRootSet = false;

  constructor(options: PodCgroupsOptions) {
    this.#options = options;
  }

  /** After the runtime has made the pod's cgroup. Never throws: a pod without its limits is better than none. */
  async apply(pod: Pod): Promise<void> {
    const qos = qosClassOf(pod);
    try {
      const path = podCgroupPath(pod, this.#options.settings);
      const classPath = path.slice(0, path.lastIndexOf('/'));
      const { podPidsLimit } = this.#options;
      const pids = podPidsLimit > 0 ? { pids: podPidsLimit } : {};
      await this.#set(path, qos === 'BestEffort' ? { ...shares(MIN_SHARES), ...pids } : { ...podLimits(pod), ...pids });
      await this.#setAllPods(classPath, qos);
      if (qos === 'Burstable') {
        this.#burstable.set(uidOf(pod), podRequests(specOf(pod)).get('cpu')?.toNumber() ?? 0);
        await this.#setBurstable(classPath);
      }
      if (qos === 'BestEffort' && !this.#areClassesSet) {
        this.#areClassesSet = true;
        await this.#set(classPath, shares(MIN_SHARES));
      }
    } catch (err) {
      this.#options.log.warn('limits of a pod could not be set', { pod: pod.metadata.name, err: describeError(err) });
    }
  }

  /** Empty groups only; one that still holds a process stays and is found again at the next clean-up. */
  async remove(pod: Pod): Promise<void> {
    this.#burstable.delete(uidOf(pod));
    await removeCgroup(this.#options.host, this.#options.settings, podCgroupPath(pod, this.#options.settings));
  }

  /** What is reserved for the system is out of reach of the pods: together they weigh and may use what is left. */
  async #setAllPods(classPath: string, qos: string): Promise<void> {
    if (this.#isRootSet) return;
    this.#isRootSet = true;
    const { milliCpu, memoryBytes } = this.#options.allPods;
    const root = qos === 'Guaranteed' ? classPath : classPath.slice(0, classPath.lastIndexOf('/'));
    await this.#set(root, { ...shares(Math.floor((milliCpu * SHARES_PER_CPU) / 1000)), memoryBytes });
  }

  async #setBurstable(path: string): Promise<void> {
    const cores = [...this.#burstable.values()].reduce((sum, request) => sum + request, 0);
    await this.#set(path, shares(Math.max(MIN_SHARES, Math.floor(cores * SHARES_PER_CPU))));
  }

  async #set(path: string, limits: PodLimits): Promise<void> {
    const { host } = this.#options;
    const { version, root } = await host.cgroups();
    for (const [controller, file, value] of version === 2 ? filesV2(limits) : filesV1(limits)) {
      const directory = `${root}${version === 2 ? '' : `/${controller}`}${path}`;
      if ((await host.fs.info(directory)) !== undefined) await host.fs.write(`${directory}/${file}`, value);
    }
  }
}

/** The root of all pods' cgroups with everything below it: for an uninstall, after the last container has ended. */
export function removeAllPodCgroups(host: Host, settings: CgroupSettings): Promise<void> {
  return removeCgroup(host, settings, podsCgroupPath(settings));
}

async function removeCgroup(host: Host, settings: CgroupSettings, path: string): Promise<void> {
  const { version, root } = await host.cgroups();
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

const shares = (cpuShares: number): PodLimits => ({ cpuShares, cpuQuota: 0, memoryBytes: 0 });

type LimitFile = readonly [controller: string, file: string, value: string];

function filesV1({ cpuShares, cpuQuota, memoryBytes, pids }: PodLimits): LimitFile[] {
  const files: LimitFile[] = [['cpu', 'cpu.shares', String(cpuShares)]];
  if (pids !== undefined) files.push(['pids', 'pids.max', String(pids)]);
  if (cpuQuota > 0)
    files.push(['cpu', 'cpu.cfs_period_us', String(PERIOD_US)], ['cpu', 'cpu.cfs_quota_us', String(cpuQuota)]);
  if (memoryBytes > 0) files.push(['memory', 'memory.limit_in_bytes', String(memoryBytes)]);
  return files;
}

function filesV2({ cpuShares, cpuQuota, memoryBytes, pids }: PodLimits): LimitFile[] {
  const files: LimitFile[] = [['', 'cpu.weight', String(cpuWeight(cpuShares))]];
  if (pids !== undefined) files.push(['', 'pids.max', String(pids)]);
  if (cpuQuota > 0) files.push(['', 'cpu.max', `${cpuQuota} ${PERIOD_US}`]);
  if (memoryBytes > 0) files.push(['', 'memory.max', String(memoryBytes)]);
  return files;
}
