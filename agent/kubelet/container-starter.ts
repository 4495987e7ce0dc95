import type { IContainer } from 'kubernetes-models/v1/Container';
import type { Pod, Service } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { ContainerRuntime, ImageInfo, SandboxConfig } from '../cri/runtime.ts';
import type { Host } from '../host/host.ts';
import { ConfigError } from './config/config-error.ts';
import {
  type ContainerConfigInput,
  computeContainerConfig,
  type PreparedVolume,
  subPathsOf,
} from './config/container-config.ts';
import { computeEnvironment, type SourceObjects } from './config/environment.ts';
import { type NodeAllocatable, namesPodAddress } from './config/field-ref.ts';
import type { ResourceRules } from './config/linux-resources.ts';
import { PodPaths } from './config/pod-paths.ts';
import type { SeccompSettings } from './config/security.ts';
import { stopContainer } from './container-stopper.ts';
import type { CpuManager } from './cpus/cpu-manager.ts';
import type { DeviceManager } from './devices/device-manager.ts';
import type { ImageManager } from './images/image-manager.ts';
import type { Ledger } from './ledger.ts';
import { type ContainerLedger, withContainer } from './ledger-record.ts';
import { runHook } from './lifecycle-hooks.ts';
import { newestInstance } from './observed-pod.ts';
import type { PodActionArgs } from './pod-action.ts';
import type { PodEvents } from './pod-events.ts';
import {
  ephemeralContainers,
  gracePeriodSeconds,
  identityOf,
  isHostNetwork,
  restartPolicyOf,
  uidOf,
} from './pod-spec.ts';
import type { Prober } from './prober.ts';
import { isCriNotFound, isCriTaken, type RuntimeCache } from './runtime-cache.ts';
import { StartError } from './start-error.ts';
import { isStaticPod } from './static/static-manifest.ts';
import { untilAborted } from './until-aborted.ts';
import type { UserRanges } from './user-ranges.ts';

export interface ContainerStarterDeps {
  readonly runtime: ContainerRuntime;
  readonly cache: RuntimeCache;
  readonly ledger: Ledger;
  readonly images: ImageManager;
  readonly host: Host;
  readonly paths: PodPaths;
  readonly events: PodEvents;
  readonly prober: Prober;
  readonly clock: Clock;
  readonly log: Logger;
  /** All Services of the cluster, for environment variables; undefined until they have been read once. */
  readonly services: () => readonly Service[] | undefined;
  readonly hostIps: readonly string[];
  readonly allocatable: () => NodeAllocatable;
  readonly rules: ResourceRules;
  readonly canRecurseReadOnly: () => boolean;
  readonly userRanges: Pick<UserRanges, 'rangeOf'>;
  readonly devices: Pick<DeviceManager, 'grant'>;
  /** Absent where all containers share all CPUs. */
  readonly cpus: Pick<CpuManager, 'grant'> | undefined;
  readonly seccomp: SeccompSettings;
}

export interface StartRequest {
  readonly pod: Pod;
  readonly container: IContainer;
  readonly step: PodActionArgs['startContainer'];
  readonly sandboxId: string;
  readonly sandboxConfig: SandboxConfig;
  /** Known once the runtime has told them: the container may be made meanwhile. */
  readonly podIps: Promise<readonly string[]>;
  /** The pod's /etc/hosts is written; the file itself is there before. */
  readonly hosts: Promise<void>;
  readonly sources: Promise<SourceObjects>;
  readonly volumes: ReadonlyMap<string, PreparedVolume>;
  readonly image: ImageInfo;
  /** The pod is to end: nobody waits for its hooks any longer. */
  readonly signal: AbortSignal;
  /** Runs what may take as long as it likes, without the place at the gate. */
  readonly outside: (work: () => Promise<void>) => Promise<void>;
}

/** Creates and starts one container: the last and hottest part of a pod's start. */
export class ContainerStarter {
  readonly #deps: ContainerStarterDeps;
  constructor(deps: ContainerStarterDeps) {
    this.#deps = deps;
  }

  /** Throws StartError with the waiting reason that the status shows. */
  async start(request: StartRequest): Promise<void> {
    const { pod, container } = request;
    const identity = identityOf(pod);
    const id = await this.#create(request);
    const { runtime, cache, events } = this.#deps;
    await request.hosts;
    events.container(pod, container.name, 'Normal', 'Created', 'Container created');
    try {
      await runtime.startContainer(id);
    } catch (err) {
      const message = describeError(err);
      events.container(pod, container.name, 'Warning', 'Failed', `Error: ${message}`);
      await cache.refreshContainer(identity, id);
      throw new StartError('RunContainerError', message, undefined, { cause: err });
    }
    await cache.refreshContainer(identity, id);
    events.container(pod, container.name, 'Normal', 'Started', 'Container started');
    this.#linkLog(request, id);
    if (container.lifecycle?.postStart !== undefined) await request.outside(() => this.#postStart(request, id));
  }

  /**
   * The pod is remembered on disk before the runtime hears of its first container, a restart before it hears of that. A first start needs
   * no mark: its name is taken already if it happened; only where a second run would be wrong (restartPolicy Never) the mark must be durable
   * before the process starts.
   */
  async #create(request: StartRequest): Promise<string> {
    const { pod, container, step, sandboxId, sandboxConfig } = request;
    const { runtime, cache, images, ledger, log } = this.#deps;
    const config = await this.#configure(request);
    await ledger.settled(uidOf(pod));
    const record = ledger.record(uidOf(pod));
    // Which size it was given the runtime does not tell.
    const isResized = record?.allocated?.[container.name] !== undefined;
    const isDurable = step.attempt > 0 || restartPolicyOf(pod) === 'Never' || isResized;
    const before = record?.containers[container.name];
    const remembered = this.#remember(pod, container.name, step, isDurable);
    remembered.catch((err) => log.error('ledger could not be written', { err: describeError(err) }));
    if (step.attempt > 0) await remembered;
    const identity = identityOf(pod);
    try {
      const id = await runtime.createContainer(sandboxId, config, sandboxConfig);
      if (isDurable) await remembered;
      const { name, attempt, image } = config;
      const nowMs = this.#deps.clock.now();
      cache.recordContainer(identity, {
        id,
        name,
        sandboxId,
        attempt,
        state: 'CREATED',
        createdAtMs: nowMs,
        startedAtMs: 0,
        finishedAtMs: 0,
        exitCode: 0,
        reason: '',
        message: '',
        image,
        imageRef: request.image.id,
        hash: '',
      });
      return id;
    } catch (err) {
      if (isCriNotFound(err)) images.forget(container);
      const message = describeError(err);
      this.#deps.events.container(pod, container.name, 'Warning', 'Failed', `Error: ${message}`);
      // Whatever was made, no process of it was started: it is no restart, and a container that never restarts has not had its only run.
      // Where the name is in use, of a try whose end we never saw, what became of that one counts.
      if (isCriTaken(err)) await cache.relist();
      else await this.#forget(pod, container.name, before);
      throw new StartError('CreateContainerError', message, undefined, { cause: err });
    }
  }

  #remember(pod: Pod, name: string, step: PodActionArgs['startContainer'], durable: boolean): Promise<void> {
    const { ledger } = this.#deps;
    const record = ledger.record(uidOf(pod));
    if (record === undefined) return Promise.resolve();
    const entry = {
      attempt: step.attempt,
      ran: true,
      ...(step.backoff === undefined ? {} : { backoff: step.backoff }),
      // Before the first resize the container has what the pod was admitted with.
      ...(record.allocated?.[name] === undefined ? {} : { actuated: record.allocated[name] }),
    };
    const next = withContainer(record, name, entry);
    if (durable) return ledger.save(next);
    ledger.note(next);
    return Promise.resolve();
  }

  /** What was remembered of a try is taken back; `before` is what was known until then. */
  async #forget(pod: Pod, name: string, before: ContainerLedger | undefined): Promise<void> {
    const { ledger } = this.#deps;
    const record = ledger.record(uidOf(pod));
    if (record === undefined) return;
    const { [name]: _tried, ...others } = record.containers;
    const containers = before === undefined ? others : { ...others, [name]: before };
    await ledger.save({ ...record, containers });
  }

  async #configure(request: StartRequest) {
    const { pod, container, step, volumes, image } = request;
    const { paths, hostIps, services, allocatable, rules, seccomp, events } = this.#deps;
    const { uid } = pod.metadata;
    try {
      // A static pod may be what the API runs in: it does not wait for what only the API can tell.
      const known = services() ?? (isStaticPod(pod) ? [] : undefined);
      if (known === undefined)
        throw new ConfigError('services have not yet been read at least once, cannot construct envvars');
      const podIps = !isHostNetwork(pod) && namesPodAddress(container) ? await request.podIps : [];
      const input = {
        pod,
        container,
        sources: await request.sources,
        services: known,
        addresses: { podIps: isHostNetwork(pod) ? hostIps : podIps, hostIps },
        allocatable: allocatable(),
        attempt: step.attempt,
        image,
        volumes,
        hostsFile: paths.hostsFile(uid),
        terminationLog: paths.terminationLog(uid, container.name, step.attempt),
        rules,
        seccomp,
        userMappings: await this.#deps.userRanges.rangeOf(pod),
        targetContainerId: this.#targetOf(pod, container.name),
        canRecurseReadOnly: this.#deps.canRecurseReadOnly(),
        devices: await this.#deps.devices.grant(pod, container),
        cpus: await this.#deps.cpus?.grant(pod, container),
      };
      return computeContainerConfig({ ...input, subPathMounts: await this.#mountSubPaths(input) });
    } catch (err) {
      const message = describeError(err);
      events.container(pod, container.name, 'Warning', 'Failed', `Error: ${message}`);
      const reason = err instanceof ConfigError ? 'CreateContainerConfigError' : 'CreateContainerError';
      throw new StartError(reason, message, undefined, { cause: err });
    }
  }

  #targetOf(pod: Pod, name: string): string | undefined {
    const target = ephemeralContainers(pod).find((container) => container.name === name)?.targetContainerName;
    if (!target) return undefined;
    const id = newestInstance(this.#deps.cache.observe(uidOf(pod)), target)?.id;
    if (id === undefined) throw new ConfigError(`unable to find target container ${target}`);
    return id;
  }

  /**
   * Each sub-path gets a mount of its own, made through handles: whoever can write into the volume cannot turn it into a way out of it.
   * Sub-paths that do not exist become directories, as in Kubernetes. Rendered volumes are ours: their visible names are links through
   * `..data`.
   */
  async #mountSubPaths(input: ContainerConfigInput): Promise<ReadonlyMap<number, string>> {
    const { pod, container, volumes } = input;
    const mounted = new Map<number, string>();
    if (!container.volumeMounts?.some(({ subPath, subPathExpr }) => subPath || subPathExpr)) return mounted;
    const { host, paths } = this.#deps;
    for (const { index, volume, subPath } of subPathsOf(container, computeEnvironment(input))) {
      const prepared = volumes.get(volume);
      if (prepared === undefined || prepared.isRendered === true || prepared.imageId !== undefined) continue;
      const target = `${paths.pod(pod.metadata.uid)}/volume-subpaths/${volume}/${container.name}/${index}`;
      try {
        await host.mounts.bindBeneath(prepared.hostPath, subPath, target);
      } catch (err) {
        const what = `failed to prepare subPath for volumeMount "${volume}" of container "${container.name}"`;
        throw new ConfigError(what, { cause: err });
      }
      mounted.set(index, target);
    }
    return mounted;
  }

  /** Not awaited: log shippers can wait, the pod cannot. */
  #linkLog({ pod, container, step }: StartRequest, id: string): void {
    const { host, paths, log } = this.#deps;
    const target = `${paths.logDirectory(pod)}/${PodPaths.logFile(container.name, step.attempt)}`;
    const link = paths.containerLogLink(pod, container.name, id);
    host.fs
      .symlink(target, link)
      .catch((err) => log.warn('log link could not be made', { link, err: describeError(err) }));
  }

  /** May take as long as it likes, as in Kubernetes. What it said is in log and status; no Event tells it, since it may hold secrets. */
  async #postStart({ pod, container, podIps, signal }: StartRequest, containerId: string): Promise<void> {
    const handler = container.lifecycle?.postStart;
    if (handler === undefined) return;
    const { events, log } = this.#deps;
    const [podIp] = await podIps;
    // Its end came while the container was started: nobody would tell that again.
    signal.throwIfAborted();
    try {
      await untilAborted(runHook(this.#deps, handler, { container, containerId, podIp, timeoutSeconds: 0 }), signal);
    } catch (err) {
      signal.throwIfAborted();
      const { name } = container;
      log.warn('postStart failed', { pod: pod.metadata.name, container: name, err: describeError(err) });
      events.container(pod, name, 'Warning', 'FailedPostStartHook', 'PostStartHook failed');
      const stopping = { pod, containerId, name, message: 'FailedPostStartHook', podIp };
      await untilAborted(stopContainer(this.#deps, { ...stopping, graceSeconds: gracePeriodSeconds(pod) }), signal);
      throw new StartError('PostStartHookError', describeError(err), undefined, { cause: err });
    }
  }
}
