import type { Pod } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import { toTime } from '#base/clock.ts';
import { type ContainerRuntime, CriError } from '../../cri/runtime.ts';
import type { Host, HostFacts } from '../../host/host.ts';
import type { PodPaths } from '../config/pod-paths.ts';
import { readNodeSignals } from '../eviction/node-signals.ts';
import type { UsageReader } from '../eviction/usage-reader.ts';
import type { KubeletConfig } from '../kubelet-config.ts';
import { allContainers, ephemeralContainers } from '../pod-spec.ts';
import type { ProbeCount } from '../probes/probe-manager.ts';
import type { RuntimeCache } from '../runtime-cache.ts';
import type { MetricsKind, NodeReports } from '../server/node-reports.ts';
import { NodeApiError, type PodLookups, type PodReference } from '../server/pod-lookups.ts';
import type { VolumeStats, VolumeUse } from '../volumes/volume-stats.ts';
import { renderConfigz } from './configz.ts';
import { cadvisorMetrics, type Metric, renderMetrics, resourceMetrics } from './metrics-text.ts';
import type { Sampler } from './sampler.ts';
import { computeSummary, type PodDisk } from './summary.ts';
import { volumeMetrics } from './volume-metrics.ts';

export interface KubeletReportsDeps {
  readonly host: Host;
  readonly runtime: ContainerRuntime;
  readonly cache: RuntimeCache;
  readonly paths: PodPaths;
  readonly config: KubeletConfig;
  readonly facts: HostFacts;
  readonly clock: Clock;
  readonly sampler: Sampler;
  readonly usages: UsageReader;
  readonly volumeStats: Pick<VolumeStats, 'read'>;
  readonly imageFsPath: () => string | undefined;
  readonly pods: () => readonly Pod[];
  readonly lookups: Pick<PodLookups, 'findRunningContainer'>;
  readonly probeCounts: () => readonly ProbeCount[];
  /** Calls of the runtime by operation. */
  readonly runtimeOperations: () => ReadonlyMap<string, number>;
}

const UNIMPLEMENTED = 12;

/** What the node tells about itself, read when somebody asks. */
export class KubeletReports implements NodeReports {
  readonly #deps: KubeletReportsDeps;

  constructor(deps: KubeletReportsDeps) {
    this.#deps = deps;
  }

  async summary(onlyCpuAndMemory: boolean): Promise<object> {
    const { sampler } = this.#deps;
    const looked = await sampler.sampleWithRates();
    if (onlyCpuAndMemory) return computeSummary(looked);
    return computeSummary({ ...looked, ...(await this.#disks()) });
  }

  async metrics(which: MetricsKind): Promise<string> {
    const { sampler, facts } = this.#deps;
    switch (which) {
      case 'resource':
        return resourceMetrics(await sampler.sample());
      case 'cadvisor':
        return cadvisorMetrics(await sampler.sample(), facts);
      case 'probes':
        return renderMetrics([this.#probes()]);
      case 'own':
        return renderMetrics([...this.#own(), ...volumeMetrics(await this.#volumeUses())]);
    }
  }

  configz(): object {
    return renderConfigz(this.#deps.config);
  }

  async checkpoint(reference: PodReference, container: string, timeoutSeconds: number): Promise<string> {
    const { lookups, runtime, config, host, clock } = this.#deps;
    const id = await lookups.findRunningContainer(reference, container);
    const folder = `${config.rootDir}/checkpoints`;
    await host.fs.makeDirectory(folder, 0o700);
    const { name, namespace } = reference;
    const path = `${folder}/checkpoint-${name}_${namespace}-${container}-${toTime(clock.now())}.tar`;
    try {
      await runtime.checkpointContainer(id, path, timeoutSeconds);
    } catch (err) {
      if (err instanceof CriError && err.code === UNIMPLEMENTED)
        throw new NodeApiError(404, `checkpointing of ${namespace}/${name}/${container} failed (${err.message})`, {
          cause: err,
        });
      throw err;
    }
    return path;
  }

  async #disks() {
    const { host, config, imageFsPath, pods } = this.#deps;
    const imagePath = imageFsPath();
    const [node, images, signals] = await Promise.all([
      host.fs.diskUsage(config.rootDir),
      imagePath === undefined ? undefined : host.fs.diskUsage(imagePath),
      readNodeSignals({ fs: host.fs, nodeFsPath: config.rootDir, imageFsPath: () => undefined }),
    ]);
    const byPod = new Map<string, PodDisk>();
    const uses = await this.#deps.volumeStats.read(pods());
    for (const pod of pods())
      byPod.set(pod.metadata.uid, { logs: await this.#logs(pod), volumes: uses.get(pod.metadata.uid) ?? [] });
    const pids = signals.get('pid.available');
    return {
      disks: { node, images, pods: byPod },
      ...(pids === undefined ? {} : { processes: { max: pids.capacity, current: pids.capacity - pids.available } }),
    };
  }

  async #volumeUses(): Promise<VolumeUse[]> {
    const { volumeStats, pods } = this.#deps;
    return [...(await volumeStats.read(pods())).values()].flat();
  }

  async #logs(pod: Pod): Promise<PodDisk['logs']> {
    const { paths, usages } = this.#deps;
    const logs = new Map<string, Awaited<ReturnType<UsageReader['disk']>>>();
    for (const { name } of [...allContainers(pod), ...ephemeralContainers(pod)])
      logs.set(name, await usages.disk(`${paths.logDirectory(pod)}/${name}`));
    return logs;
  }

  #probes(): Metric {
    return {
      name: 'prober_probe_total',
      type: 'counter',
      help: '[BETA] Cumulative number of a liveness, readiness or startup probe for a container by result.',
      lines: this.#deps.probeCounts().map(({ labels, count }) => ({ labels, value: count })),
    };
  }

  #own(): Metric[] {
    const { cache, config } = this.#deps;
    const observed = cache.listPods().map(({ uid }) => cache.observe(uid));
    const states = observed.flatMap(({ containers }) => containers.map(({ state }) => state));
    const count = (state: string) => states.filter((one) => one === state).length;
    const { user, system } = process.cpuUsage();
    return [
      {
        name: 'kubelet_running_pods',
        type: 'gauge',
        help: '[BETA] Number of pods that have a running pod sandbox',
        lines: [{ value: observed.filter(({ sandboxes }) => sandboxes.some(({ ready }) => ready)).length }],
      },
      {
        name: 'kubelet_running_containers',
        type: 'gauge',
        help: '[BETA] Number of containers currently running',
        lines: (['created', 'running', 'exited', 'unknown'] as const).map((state) => ({
          labels: { container_state: state },
          value: count(state.toUpperCase()),
        })),
      },
      {
        name: 'kubelet_node_name',
        type: 'gauge',
        help: "[ALPHA] The node's name. The count is always 1.",
        lines: [{ labels: { node: config.nodeName }, value: 1 }],
      },
      {
        name: 'kubelet_runtime_operations_total',
        type: 'counter',
        help: '[ALPHA] Cumulative number of runtime operations by operation type.',
        lines: [...this.#deps.runtimeOperations()].map(([type, value]) => ({
          labels: { operation_type: type },
          value,
        })),
      },
      {
        name: 'process_cpu_seconds_total',
        type: 'counter',
        help: 'Total user and system CPU time spent in seconds.',
        lines: [{ value: (user + system) / 1e6 }],
      },
      {
        name: 'process_resident_memory_bytes',
        type: 'gauge',
        help: 'Resident memory size in bytes.',
        lines: [{ value: process.memoryUsage.rss() }],
      },
    ];
  }
}
