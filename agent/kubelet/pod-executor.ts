import type { Pod } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { ContainerRuntime, ImageInfo } from '../cri/runtime.ts';
import type { Host } from '../host/host.ts';
import type { PreparedVolume } from './config/container-config.ts';
import type { SourceObjects } from './config/environment.ts';
import type { PodPaths } from './config/pod-paths.ts';
import { type GroundworkDeps, layGroundwork } from './container-groundwork.ts';
import type { ContainerStarter } from './container-starter.ts';
import { type ContainerStopperDeps, stopContainer } from './container-stopper.ts';
import { HostsFile } from './hosts-file.ts';
import type { ImageManager } from './images/image-manager.ts';
import type { Ledger } from './ledger.ts';
import { liveSandbox, type ObservedSandbox } from './observed-pod.ts';
import type { PodAction, PodActionArgs, PodActionKind, PodActions } from './pod-action.ts';
import type { PodEvents } from './pod-events.ts';
import { findContainer, identityOf, uidOf } from './pod-spec.ts';
import type { ContainerResizer } from './resize/container-resizer.ts';
import { renderResizeMessage } from './resize/resize-message.ts';
import { isCriNotFound, type RuntimeCache } from './runtime-cache.ts';
import { type Newborn, type Place, SandboxStarter, type SandboxStarterDeps } from './sandbox-starter.ts';
import { StartError } from './start-error.ts';
import { type StartGate, StartSlot } from './start-gate.ts';
import { type Hold, resizeHold, SANDBOX_HOLD, VOLUMES_HOLD } from './step-hold.ts';
import { untilAborted } from './until-aborted.ts';
import { VolumeError } from './volumes/volume-kind.ts';
import type { VolumeManager } from './volumes/volume-manager.ts';

export interface PodExecutorDeps extends ContainerStopperDeps, SandboxStarterDeps {
  readonly runtime: ContainerRuntime;
  readonly cache: RuntimeCache;
  readonly ledger: Ledger;
  readonly images: ImageManager;
  readonly volumes: VolumeManager;
  readonly starter: ContainerStarter;
  readonly groundwork: GroundworkDeps;
  readonly resizer: ContainerResizer;
  readonly gate: StartGate;
  readonly host: Host;
  readonly paths: PodPaths;
  readonly events: PodEvents;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface PassControl {
  readonly signal: AbortSignal;
  /** The pass waits for something slow (a registry, the API server): time to show how far it came. */
  readonly onWait: () => void;
}

/** One pass: what is shared by its steps. */
interface Pass extends PassControl {
  readonly pod: Pod;
  readonly steps: readonly PodAction[];
  /** Begins with the first call. */
  readonly volumes: () => Promise<ReadonlyMap<string, PreparedVolume>>;
  readonly images: ReadonlyMap<string, Promise<ImageInfo>>;
  readonly holds: Map<string, Hold>;
  /** The hosts file with the pod's addresses; undefined: nobody has needed it yet. */
  hosts: Promise<void> | undefined;
  /** The sandbox that this pass has made. */
  newborn: Newborn | undefined;
  /** By container: what was prepared of its start while the sandbox was made. */
  readonly groundwork: Map<string, Promise<SourceObjects>>;
  slot: StartSlot;
  /** Steps that no longer make sense: what they build on has failed. */
  isBlocked: boolean;
}

type Executors = { readonly [K in PodActionKind]: (args: PodActionArgs[K], pass: Pass) => Promise<void> };

/** Pause before a failed step is tried again. */
const RETRY_MS = 10_000;

/** Does what computePodActions decided. Failures of single steps become holds (with the reason that the status shows), not exceptions. */
export class PodExecutor {
  readonly #deps: PodExecutorDeps;
  readonly #hosts: HostsFile;
  readonly #sandboxes: SandboxStarter;
  readonly #executors: Executors;

  constructor(deps: PodExecutorDeps) {
    this.#deps = deps;
    this.#hosts = new HostsFile(deps);
    this.#sandboxes = new SandboxStarter(deps);
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
      await this.#settleNewborn(pass);
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
      prepared ??= quiet(this.#deps.volumes.prepare(pod, signal).then((all) => all.volumes));
      return prepared;
    };
    return {
      ...{ pod, steps, signal, onWait, volumes, images, slot: NO_SLOT, isBlocked: false },
      ...{ newborn: undefined, hosts: undefined },
      holds: new Map(),
      groundwork: new Map(),
    };
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
    try {
      pass.newborn = await this.#sandboxes.start(pass.pod, attempt, () => this.#layGroundwork(pass));
    } catch (err) {
      await this.#onSandboxFailure(pass, attempt, err);
    }
  }

  /** While the runtime makes the sandbox: what the containers need apart from it, and a hosts file that lacks the addresses alone. */
  #layGroundwork(pass: Pass): void {
    const { pod, steps, volumes, signal } = pass;
    // First of all: it makes the pod's folder, which what is made in it would make open to all.
    const hosts = quiet(this.#hosts.write(pod, []));
    // What is set up for a pod after it was taken down would stay.
    const inTime = hosts.then(() => signal.throwIfAborted());
    void quiet(inTime.then(volumes));
    for (const step of steps)
      if (step.kind === 'startContainer')
        pass.groundwork.set(step.name, quiet(inTime.then(() => this.#sourcesOf(pass, step))));
  }

  /** The next pass decides by what the cache knows of the sandbox. */
  async #settleNewborn(pass: Pass): Promise<void> {
    const { newborn } = pass;
    try {
      await newborn?.podIps;
    } catch (err) {
      if (newborn !== undefined) await this.#onSandboxFailure(pass, newborn.attempt, err);
    }
  }

  #onSandboxFailure(pass: Pass, attempt: number, err: unknown): Promise<void> {
    pass.isBlocked = true;
    pass.holds.set(SANDBOX_HOLD, { untilMs: this.#deps.clock.now() + RETRY_MS, waiting: undefined });
    return this.#sandboxes.onFailure(pass.pod, attempt, err);
  }

  async #resize({ containerId, name }: PodActionArgs['resizeContainer'], pass: Pass): Promise<void> {
    const { clock, events } = this.#deps;
    const { pod, holds } = pass;
    try {
      await this.#deps.resizer.resize(pod, containerId, name);
    } catch (err) {
      const message = describeError(err);
      events.pod(pod, 'Warning', 'ResizeError', renderResizeMessage('Pod resize error', pod, message));
      holds.set(resizeHold(name), { untilMs: clock.now() + RETRY_MS, waiting: { reason: 'Error', message } });
    }
  }

  async #start(args: PodActionArgs['startContainer'], pass: Pass): Promise<void> {
    const { pod, signal } = pass;
    const container = findContainer(pod, args.name);
    const place = this.#place(pass);
    if (container === undefined || place === undefined) return;
    try {
      const [volumes, image] = await this.#awaitWithoutSlot(pass, args.name);
      if (signal.aborted) return;
      const { sandboxId, podIps } = place;
      const sandboxConfig = pass.newborn?.config ?? (await this.#sandboxes.configOf(pod, place.attempt));
      pass.hosts ??= quiet(podIps.then((ips) => this.#hosts.write(pod, ips)));
      const prepared = pass.groundwork.get(args.name);
      // Where no file is yet, the runtime would make a folder of that name.
      if (prepared === undefined) await pass.hosts;
      const sources = prepared ?? this.#sourcesOf(pass, args);
      // What it was granted since its sandbox was made must find room above it.
      if (this.#deps.ledger.record(uidOf(pod))?.allocated !== undefined) await this.#deps.podCgroups.apply(pod);
      const outside = (work: () => Promise<void>) => this.#withoutSlot(pass, work);
      const inSandbox = { sandboxId, sandboxConfig, podIps, hosts: pass.hosts };
      const request = { pod, container, step: args, ...inSandbox, sources, volumes, image, signal, outside };
      await this.#deps.starter.start(request);
    } catch (err) {
      if (signal.aborted) return;
      const isSandboxLost = await place.podIps.then(
        () => false,
        () => true,
      );
      if (isSandboxLost || args.role === 'init' || args.role === 'sidecar') pass.isBlocked = true;
      if (!isSandboxLost) this.#hold(pass, args.name, err);
    }
  }

  #sourcesOf({ pod, volumes }: Pass, { name, attempt }: PodActionArgs['startContainer']): Promise<SourceObjects> {
    const container = findContainer(pod, name);
    if (container === undefined) return Promise.reject(new Error(`there is no container ${name}`));
    return quiet(layGroundwork(this.#deps.groundwork, { pod, container, attempt, volumes }));
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
    // It may take long: what is to be read for variables is read after that.
    pass.groundwork.clear();
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
    // First what nobody would look for once the container is gone. With what was rotated of it: `0.log`, `0.log.20260131-235959.gz`.
    const logs = `${paths.logDirectory(pod)}/${args.name}`;
    for (const file of await host.fs.list(logs))
      if (file.startsWith(`${args.attempt}.log`)) await host.fs.remove(`${logs}/${file}`);
    await host.fs.remove(paths.containerLogLink(pod, args.name, args.containerId));
    await host.fs.remove(paths.terminationLog(pod.metadata.uid, args.name, args.attempt));
    await runtime.removeContainer(args.containerId);
    cache.forgetContainer(uidOf(pod), args.containerId);
  }

  async #removeSandbox({ sandboxId }: PodActionArgs['removeSandbox'], { pod }: Pass): Promise<void> {
    await this.#deps.runtime.removeSandbox(sandboxId);
    this.#deps.cache.forgetSandbox(uidOf(pod), sandboxId);
  }

  #sandbox(pod: Pod): ObservedSandbox | undefined {
    return liveSandbox(this.#deps.cache.observe(uidOf(pod)));
  }

  /** The live sandbox, or the one that this pass has made and of which nothing else is known yet. */
  #place({ pod, newborn }: Pass): Place | undefined {
    const live = this.#sandbox(pod);
    if (live !== undefined) return { sandboxId: live.id, attempt: live.attempt, podIps: Promise.resolve(live.ips) };
    const { sandboxes } = this.#deps.cache.observe(uidOf(pod));
    return sandboxes.some(({ id }) => id === newborn?.sandboxId) ? undefined : newborn;
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

/** Awaited later, perhaps never: its failure must not count as unhandled meanwhile. */
function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
