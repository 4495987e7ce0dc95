import type { Pod } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { type ContainerRuntime, CriError, type IdMapping, type ImageInfo, type SandboxConfig } from '../cri/runtime.ts';
import type { Host } from '../host/host.ts';
import type { CgroupSettings } from './cgroups/cgroup-names.ts';
import type { PodCgroups } from './cgroups/pod-cgroups.ts';
import { type ClaimManager, ClaimsNotReady } from './claims/claim-manager.ts';
import type { PreparedVolume } from './config/container-config.ts';
import { computeHostname, renderHostsFile } from './config/hostname.ts';
import type { PodPaths } from './config/pod-paths.ts';
import { computeSandboxConfig } from './config/sandbox-config.ts';
import type { ContainerStarter } from './container-starter.ts';
import { type ContainerStopperDeps, stopContainer } from './container-stopper.ts';
import type { ImageManager } from './images/image-manager.ts';
import type { Ledger } from './ledger.ts';
import { liveSandbox, type ObservedSandbox } from './observed-pod.ts';
import type { PodAction, PodActionArgs, PodActionKind, PodActions } from './pod-action.ts';
import type { PodEvents } from './pod-events.ts';
import { findContainer, identityOf, isHostNetwork, uidOf } from './pod-spec.ts';
import type { ContainerResizer } from './resize/container-resizer.ts';
import { isCriNotFound, type RuntimeCache } from './runtime-cache.ts';
import type { RuntimeClasses } from './runtime-classes.ts';
import { StartError } from './start-error.ts';
import { type StartGate, StartSlot } from './start-gate.ts';
import { type Hold, resizeHold, SANDBOX_HOLD, VOLUMES_HOLD } from './step-hold.ts';
import { untilAborted } from './until-aborted.ts';
import type { UserRanges } from './user-ranges.ts';
import { VolumeError } from './volumes/volume-kind.ts';
import type { VolumeManager } from './volumes/volume-manager.ts';

export interface PodExecutorDeps extends ContainerStopperDeps {
  readonly runtime: ContainerRuntime;
  readonly cache: RuntimeCache;
  readonly ledger: Ledger;
  readonly images: ImageManager;
  readonly volumes: VolumeManager;
  readonly starter: ContainerStarter;
  readonly claims: Pick<ClaimManager, 'prepare'>;
  readonly resizer: ContainerResizer;
  readonly runtimeClasses: Pick<RuntimeClasses, 'handlerOf'>;
  readonly userRanges: UserRanges;
  readonly gate: StartGate;
  readonly host: Host;
  readonly paths: PodPaths;
  readonly events: PodEvents;
  readonly clock: Clock;
  readonly log: Logger;
  readonly hostIps: readonly string[];
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  readonly cgroups: CgroupSettings;
  readonly podCgroups: PodCgroups;
}

export interface PassControl {
  readonly signal: AbortSignal;
  /** The pass waits for something slow (a registry, the API server): time to show how far it came. */
  readonly onWait: () => void;
}

/** One pass: what is shared by its steps. */
interface Pass extends PassControl {
  readonly pod: Pod;
  /** Begins with the first call. */
  readonly volumes: () => Promise<ReadonlyMap<string, PreparedVolume>>;
  readonly images: ReadonlyMap<string, Promise<ImageInfo>>;
  readonly holds: Map<string, Hold>;
  /** Of the sandbox that this pass has made. */
  sandboxConfig: SandboxConfig | undefined;
  slot: StartSlot;
  /** Steps that no longer make sense: what they build on has failed. */
  isBlocked: boolean;
}

type Executors = { readonly [K in PodActionKind]: (args: PodActionArgs[K], pass: Pass) => Promise<void> };

/** Pause before a failed step is tried again. */
const RETRY_MS = 10_000;
const ALREADY_EXISTS = 6;

/** Does what computePodActions decided. Failures of single steps become holds (with the reason that the status shows), not exceptions. */
export class PodExecutor {
  readonly #deps: PodExecutorDeps;
  readonly #executors: Executors;

  constructor(deps: PodExecutorDeps) {
    this.#deps = deps;
    this.#executors = {
      killContainer: (args, pass) => this.#kill(args, pass),
      stopSandbox: (args, pass) => this.#stopSandbox(args, pass),
      createSandbox: (args, pass) => this.#createSandbox(args, pass),
      resizeContainer: (args, pass) => this.#resize(args, pass),
      startContainer: (args, pass) => this.#start(args, pass),
      removeContainer: (args, pass) => this.#removeContainer(args, pass),
      removeSandbox: (args, pass) => this.#removeSandbox(args, pass),
    };
  }

  /** Runs the plan; returns what must wait before it is tried again. Aborting ends waits and pulls, not calls that are under way. */
  async execute(pod: Pod, plan: PodActions, control: PassControl): Promise<ReadonlyMap<string, Hold>> {
    const { signal } = control;
    const steps = [...plan.actions];
    const kills = steps.filter((step) => step.kind === 'killContainer');
    const pass = this.#begin(pod, steps, control);
    await Promise.all(kills.map((step) => this.#run(step, pass)));
    const rest = steps.filter((step) => step.kind !== 'killContainer');
    const brings = rest.some((step) => step.kind === 'createSandbox' || step.kind === 'startContainer');
    if (brings) pass.slot = await this.#deps.gate.acquire('fresh');
    try {
      for (const step of rest) {
        if (signal.aborted) break;
        if (pass.isBlocked && (step.kind === 'startContainer' || step.kind === 'createSandbox')) continue;
        await this.#run(step, pass);
      }
    } finally {
      pass.slot.release();
    }
    return pass.holds;
  }

  /**
   * Volumes and images need nothing from the sandbox: they are fetched while it is being made. Images at once, because a registry is slow;
   * volumes once the runtime has its work: of many pods at once, those that wait at the gate take nothing from those that are let in.
   */
  #begin(pod: Pod, steps: readonly PodAction[], { signal, onWait }: PassControl): Pass {
    const images = new Map<string, Promise<ImageInfo>>();
    const starts = steps.filter((step) => step.kind === 'startContainer');
    for (const { name } of starts) {
      const container = findContainer(pod, name);
      if (container !== undefined) images.set(name, quiet(this.#deps.images.ensure(pod, container, signal)));
    }
    let prepared: ReturnType<Pass['volumes']> | undefined;
    const volumes = () => {
      prepared ??= quiet(this.#deps.volumes.prepare(pod).then((all) => all.volumes));
      return prepared;
    };
    const holds: Pass['holds'] = new Map();
    return { pod, signal, onWait, volumes, images, holds, sandboxConfig: undefined, slot: NO_SLOT, isBlocked: false };
  }

  #run<K extends PodActionKind>(step: PodAction<K>, pass: Pass): Promise<void> {
    const execute: (args: PodActionArgs[K], pass: Pass) => Promise<void> = this.#executors[step.kind];
    return execute(step, pass);
  }

  async #kill(args: PodActionArgs['killContainer'], { pod, signal }: Pass): Promise<void> {
    const podIp = this.#sandbox(pod)?.ips[0];
    try {
      await untilAborted(stopContainer(this.#deps, { pod, podIp, ...args }), signal);
    } catch (err) {
      // The whole pod is to end, in a time of its own.
      if (!signal.aborted) throw err;
    }
  }

  async #stopSandbox({ sandboxId }: PodActionArgs['stopSandbox'], { pod }: Pass): Promise<void> {
    const { runtime, cache, events } = this.#deps;
    const sandbox = cache.observe(uidOf(pod)).sandboxes.find(({ id }) => id === sandboxId);
    events.pod(pod, 'Normal', 'SandboxChanged', 'Pod sandbox changed, it will be killed and re-created.');
    try {
      await runtime.stopSandbox(sandboxId);
    } catch (err) {
      if (!isCriNotFound(err)) throw err;
    }
    if (sandbox !== undefined) cache.recordSandbox(identityOf(pod), { ...sandbox, ready: false });
  }

  async #createSandbox({ attempt }: PodActionArgs['createSandbox'], pass: Pass): Promise<void> {
    const { pod } = pass;
    const { runtime, cache, ledger, host, paths, events } = this.#deps;
    const record = ledger.record(uidOf(pod));
    if (record !== undefined && attempt > record.sandboxAttempt)
      await ledger.save({ ...record, sandboxAttempt: attempt }, { durable: true });
    try {
      await this.#deps.claims.prepare(pod);
      const handler = await this.#deps.runtimeClasses.handlerOf(pod);
      const userMappings = await this.#deps.userRanges.allocate(pod, handler);
      const [config] = await Promise.all([
        this.#sandboxConfig(pod, attempt, userMappings),
        host.fs.makeDirectory(paths.logDirectory(pod), 0o755),
      ]);
      // Written while the files above were made; the runtime must not know of a pod that the ledger does not.
      await ledger.settled(uidOf(pod));
      const running = runtime.runSandbox(config, handler);
      void pass.volumes();
      const id = await running;
      pass.sandboxConfig = config;
      // The runtime has just made the pod's cgroup; its limits need not be there before the first container is.
      void this.#deps.podCgroups.apply(pod);
      await cache.refreshSandbox(identityOf(pod), id);
    } catch (err) {
      pass.isBlocked = true;
      const message = describeError(err);
      this.#deps.log.warn('pod sandbox could not be created', { pod: pod.metadata.name, err: message });
      if (err instanceof ClaimsNotReady)
        events.pod(pod, 'Warning', 'FailedPrepareDynamicResources', `Failed to prepare dynamic resources: ${message}`);
      else events.pod(pod, 'Warning', 'FailedCreatePodSandBox', `Failed to create pod sandbox: ${message}`);
      pass.holds.set(SANDBOX_HOLD, { untilMs: this.#deps.clock.now() + RETRY_MS, waiting: undefined });
      if (isTaken(err) && record !== undefined) {
        // The name belongs to a try whose end we never saw; the relist will show it if it still lives.
        await ledger.save({ ...record, sandboxAttempt: attempt + 1 }, { durable: true });
        await cache.relist();
      }
    }
  }

  async #resize({ containerId, name }: PodActionArgs['resizeContainer'], pass: Pass): Promise<void> {
    const { clock, events } = this.#deps;
    const { pod, holds } = pass;
    try {
      await this.#deps.resizer.resize(pod, containerId, name);
    } catch (err) {
      const message = describeError(err);
      events.container(pod, name, 'Warning', 'ResizeError', `Error resizing container: ${message}`);
      holds.set(resizeHold(name), { untilMs: clock.now() + RETRY_MS, waiting: { reason: 'Error', message } });
    }
  }

  async #start(args: PodActionArgs['startContainer'], pass: Pass): Promise<void> {
    const { pod, signal } = pass;
    const container = findContainer(pod, args.name);
    const sandbox = this.#sandbox(pod);
    if (container === undefined || sandbox === undefined) return;
    try {
      const [volumes, image] = await this.#awaitWithoutSlot(pass, args.name);
      if (signal.aborted) return;
      const sandboxConfig =
        pass.sandboxConfig ??
        (await this.#sandboxConfig(pod, sandbox.attempt, await this.#deps.userRanges.rangeOf(pod)));
      await this.#writeHostsFile(pod, sandbox);
      const request = { pod, container, step: args, sandboxId: sandbox.id, sandboxConfig, podIps: sandbox.ips };
      // What it was granted since its sandbox was made must find room above it.
      if (this.#deps.ledger.record(uidOf(pod))?.allocated !== undefined) await this.#deps.podCgroups.apply(pod);
      const outside = (work: () => Promise<void>) => this.#withoutSlot(pass, work);
      await this.#deps.starter.start({ ...request, volumes, image, signal, outside });
    } catch (err) {
      if (signal.aborted) return;
      if (args.role === 'init' || args.role === 'sidecar') pass.isBlocked = true;
      this.#hold(pass, args.name, err);
    }
  }

  /** The place at the gate is for work of the runtime; whoever waits for a registry, the API server or a hook gives it back meanwhile. */
  async #awaitWithoutSlot(pass: Pass, name: string): Promise<[ReadonlyMap<string, PreparedVolume>, ImageInfo]> {
    const ready = Promise.all([pass.volumes().catch(asVolumesError), imageOf(pass, name)]);
    const isSettled = await Promise.race([
      ready.then(
        () => true,
        () => true,
      ),
      nextTurn().then(() => false),
    ]);
    if (isSettled) return ready;
    return this.#withoutSlot(pass, () => {
      pass.onWait();
      return ready;
    });
  }

  async #withoutSlot<T>(pass: Pass, work: () => Promise<T>): Promise<T> {
    pass.slot.release();
    try {
      return await work();
    } finally {
      pass.slot = await this.#deps.gate.acquire('begun');
    }
  }

  #hold(pass: Pass, name: string, err: unknown): void {
    const { clock, events, log } = this.#deps;
    const { pod } = pass;
    if (err instanceof VolumesNotReady) {
      log.warn('volumes are not ready', { pod: pod.metadata.name, err: err.message });
      events.pod(pod, 'Warning', err.reason, err.message);
      pass.holds.set(VOLUMES_HOLD, { untilMs: clock.now() + RETRY_MS, waiting: undefined });
      pass.isBlocked = true;
      return;
    }
    if (!(err instanceof StartError)) log.warn('container could not be started', { pod: pod.metadata.name, err });
    const reason = err instanceof StartError ? err.reason : 'CreateContainerError';
    const message = describeError(err instanceof StartError ? new Error(err.message) : err);
    if (reason.startsWith('ErrImage') || /^(ImagePullBackOff|InvalidImageName|ImageInspectError)$/.test(reason))
      events.container(pod, name, 'Warning', 'Failed', `Error: ${reason}`);
    const untilMs = (err instanceof StartError ? err.retryAtMs : undefined) ?? clock.now() + RETRY_MS;
    pass.holds.set(name, { untilMs, waiting: { reason, message } });
  }

  async #removeContainer(args: PodActionArgs['removeContainer'], { pod }: Pass): Promise<void> {
    const { runtime, cache, host, paths } = this.#deps;
    await runtime.removeContainer(args.containerId);
    cache.forgetContainer(uidOf(pod), args.containerId);
    // With what was rotated of it: `0.log`, `0.log.20260131-235959.gz`.
    const logs = `${paths.logDirectory(pod)}/${args.name}`;
    for (const file of await host.fs.list(logs))
      if (file.startsWith(`${args.attempt}.log`)) await host.fs.remove(`${logs}/${file}`);
    await host.fs.remove(paths.containerLogLink(pod, args.name, args.containerId));
    await host.fs.remove(paths.terminationLog(pod.metadata.uid, args.name, args.attempt));
  }

  async #removeSandbox({ sandboxId }: PodActionArgs['removeSandbox'], { pod }: Pass): Promise<void> {
    await this.#deps.runtime.removeSandbox(sandboxId);
    this.#deps.cache.forgetSandbox(uidOf(pod), sandboxId);
  }

  #sandbox(pod: Pod): ObservedSandbox | undefined {
    return liveSandbox(this.#deps.cache.observe(uidOf(pod)));
  }

  async #sandboxConfig(
    pod: Pod,
    attempt: number,
    userMappings: readonly IdMapping[] | undefined,
  ): Promise<SandboxConfig> {
    const { host, paths, clusterDns, clusterDomain, cgroups } = this.#deps;
    const hostResolvConf = await host.resolvConf();
    const logDirectory = paths.logDirectory(pod);
    const about = { pod, attempt, logDirectory, hostResolvConf, clusterDns, clusterDomain, cgroups, userMappings };
    return computeSandboxConfig(about);
  }

  async #writeHostsFile(pod: Pod, sandbox: ObservedSandbox): Promise<void> {
    const { host, paths, clusterDomain } = this.#deps;
    const hostFile = isHostNetwork(pod) ? await host.fs.readText('/etc/hosts') : undefined;
    const name = computeHostname(pod, clusterDomain);
    const path = paths.hostsFile(pod.metadata.uid);
    await host.fs.makeDirectory(paths.pod(pod.metadata.uid), 0o750);
    // Written in place: running containers have this very file mounted.
    await host.fs.write(path, renderHostsFile({ pod, podIps: sandbox.ips, name, hostFile }), 0o644);
  }
}

const NO_SLOT = new StartSlot(() => undefined);

class VolumesNotReady extends Error {
  override readonly name = 'VolumesNotReady';
  readonly reason: VolumeError['reason'];
  constructor(cause: unknown) {
    super(describeError(cause), { cause });
    this.reason = cause instanceof VolumeError ? cause.reason : 'FailedMount';
  }
}

function asVolumesError(err: unknown): never {
  throw new VolumesNotReady(err);
}

function imageOf({ images }: Pass, name: string): Promise<ImageInfo> {
  return images.get(name) ?? Promise.reject(new Error(`no image was asked for container ${name}`));
}

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** The name of a sandbox or container is in use: containerd says so with a plain error, others by code. */
const isTaken = (err: unknown) =>
  err instanceof CriError && (err.code === ALREADY_EXISTS || / is reserved for /.test(err.message));

/** Awaited later, perhaps never: its failure must not count as unhandled meanwhile. */
function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
