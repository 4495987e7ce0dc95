import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import {
  type ContainerRuntime,
  type ContainerStatus,
  type ContainerSummary,
  CriError,
  type RuntimeEvent,
  type SandboxSummary,
} from '../cri/runtime.ts';
import {
  NOTHING_OBSERVED,
  newestFirst,
  type ObservedContainer,
  type ObservedPod,
  type ObservedSandbox,
} from './observed-pod.ts';
import type { PodUid } from './pod-spec.ts';
import { ANNOTATION, LABEL } from './runtime-labels.ts';

export interface PodIdentity {
  readonly uid: PodUid;
  readonly namespace: string;
  readonly name: string;
}

export interface RuntimeCacheOptions {
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of the node: the family of the first is that of the first address of pods which have two. */
  readonly hostIps: readonly string[];
  /** Something of this pod changed without the worker having done it. */
  readonly onChange: (uid: PodUid) => void;
  /** What an ended container left behind as its last words. */
  readonly exitMessage: (identity: PodIdentity, status: ContainerStatus) => Promise<string>;
}

interface Entry {
  identity: PodIdentity;
  sandboxes: Map<string, ObservedSandbox>;
  containers: Map<string, ObservedContainer>;
  /** `#clockTick` of the last change that did not come from a relist. */
  touchedAt: number;
}

/** CRI reports EXITED 10-120 ms after the exit event; these waits cover it without spinning. */
const EXIT_POLL_MS = [5, 10, 20, 40, 80, 160, 320];
const NOT_FOUND = 5;
const RELIST_INTERVAL_MS = 10_000;

/**
 * What the runtime holds, by pod: the only source of observed state. Three things feed it: results of our own calls (`record...`), exit
 * events, and the relist every 10 s, which is the truth and replaces everything; events only shorten the wait. Wrong if someone else
 * creates and removes a container between two relists - such a container was never ours.
 */
export class RuntimeCache {
  readonly #options: RuntimeCacheOptions;
  readonly #pods = new Map<PodUid, Entry>();
  readonly #uidByContainer = new Map<string, PodUid>();
  #tick = 0;
  #relisting: Promise<void> | undefined;
  #lastRelistMs: number | undefined;

  constructor(options: RuntimeCacheOptions) {
    this.#options = options;
  }

  /** The first relist; must have succeeded before any worker acts, or running pods would be started twice. */
  async prime(signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        await this.relist();
        return;
      } catch (err) {
        this.#options.log.warn('container runtime is not reachable', { err: describeError(err) });
        await delay(this.#options.clock, 1000, signal);
      }
    }
  }

  start(signal: AbortSignal): void {
    this.#options.runtime.watchEvents((event) => this.#onEvent(event, signal), signal);
    const schedule = () => {
      const cancel = this.#options.clock.after(RELIST_INTERVAL_MS, () => {
        void this.#relistLogged().finally(() => {
          if (!signal.aborted) schedule();
        });
      });
      signal.addEventListener('abort', cancel, { once: true });
    };
    schedule();
  }

  /** Epoch ms of the last relist that succeeded: the node is healthy while this is younger than 3 minutes. */
  get lastRelistMs(): number | undefined {
    return this.#lastRelistMs;
  }

  observe(uid: PodUid): ObservedPod {
    const entry = this.#pods.get(uid);
    if (entry === undefined) return NOTHING_OBSERVED;
    return {
      sandboxes: newestFirst([...entry.sandboxes.values()]),
      containers: newestFirst([...entry.containers.values()]),
    };
  }

  isRunning(containerId: string): boolean {
    const uid = this.#uidByContainer.get(containerId);
    return uid !== undefined && this.#pods.get(uid)?.containers.get(containerId)?.state === 'RUNNING';
  }

  listPods(): PodIdentity[] {
    return [...this.#pods.values()].map((entry) => entry.identity);
  }

  recordSandbox(identity: PodIdentity, sandbox: ObservedSandbox): void {
    this.#touch(identity).sandboxes.set(sandbox.id, sandbox);
    this.#uidByContainer.set(sandbox.id, identity.uid);
  }

  recordContainer(identity: PodIdentity, container: ObservedContainer): void {
    this.#touch(identity).containers.set(container.id, container);
    this.#uidByContainer.set(container.id, identity.uid);
  }

  forgetContainer(uid: PodUid, id: string): void {
    const entry = this.#pods.get(uid);
    if (entry === undefined) return;
    this.#touch(entry.identity).containers.delete(id);
    this.#uidByContainer.delete(id);
  }

  /** With its containers, as the runtime removes them too. */
  forgetSandbox(uid: PodUid, id: string): void {
    const entry = this.#pods.get(uid);
    if (entry === undefined) return;
    this.#touch(entry.identity).sandboxes.delete(id);
    this.#uidByContainer.delete(id);
    for (const container of entry.containers.values())
      if (container.sandboxId === id) this.forgetContainer(uid, container.id);
    if (entry.sandboxes.size === 0 && entry.containers.size === 0) this.#pods.delete(uid);
  }

  /** Asks the runtime about one container and remembers the answer. */
  async refreshContainer(identity: PodIdentity, id: string): Promise<ObservedContainer | undefined> {
    const status = await this.#containerStatus(id);
    if (status === undefined) {
      this.forgetContainer(identity.uid, id);
      return undefined;
    }
    const container = await this.#toObserved(identity, status);
    this.recordContainer(identity, container);
    return container;
  }

  async refreshSandbox(identity: PodIdentity, id: string): Promise<ObservedSandbox> {
    const status = await this.#options.runtime.sandboxStatus(id);
    const sandbox = fromSandbox(status, this.#inOrder(status.ips));
    this.recordSandbox(identity, sandbox);
    return sandbox;
  }

  /** One full list; calls that come in while it runs share the next one. */
  async relist(): Promise<void> {
    if (this.#relisting !== undefined) {
      await this.#relisting.catch(() => undefined);
      return this.relist();
    }
    this.#relisting = this.#relistOnce();
    try {
      await this.#relisting;
    } finally {
      this.#relisting = undefined;
    }
  }

  async #relistLogged(): Promise<void> {
    try {
      await this.relist();
    } catch (err) {
      this.#options.log.warn('relist failed', { err: describeError(err) });
    }
  }

  async #relistOnce(): Promise<void> {
    const startedAt = ++this.#tick;
    const { runtime, clock } = this.#options;
    const [sandboxes, containers] = await Promise.all([runtime.listSandboxes(), runtime.listContainers()]);
    const fresh = new Map<PodUid, Entry>();
    const entryFor = (labels: Readonly<Record<string, string>>) => {
      const identity = identityOf(labels);
      if (identity === undefined) return undefined;
      const entry = fresh.get(identity.uid) ?? newEntry(identity);
      fresh.set(identity.uid, entry);
      return entry;
    };
    await Promise.all([
      ...sandboxes.map(async (summary) => {
        const observed = await this.#sandboxFrom(summary);
        if (observed !== undefined) entryFor(summary.labels)?.sandboxes.set(summary.id, observed);
      }),
      ...containers.map(async (summary) => {
        const observed = await this.#containerFrom(summary);
        if (observed !== undefined) entryFor(summary.labels)?.containers.set(summary.id, observed);
      }),
    ]);
    this.#lastRelistMs = clock.monotonic();
    this.#replace(fresh, startedAt);
  }

  /** Pods that were touched while the lists were under way keep what they have: it is newer. */
  #replace(fresh: ReadonlyMap<PodUid, Entry>, startedAt: number): void {
    const changed: PodUid[] = [];
    for (const uid of new Set([...this.#pods.keys(), ...fresh.keys()])) {
      const old = this.#pods.get(uid);
      if (old !== undefined && old.touchedAt > startedAt) continue;
      const next = fresh.get(uid);
      if (isSameEntry(old, next)) continue;
      changed.push(uid);
      for (const id of [...(old?.sandboxes.keys() ?? []), ...(old?.containers.keys() ?? [])])
        this.#uidByContainer.delete(id);
      if (next === undefined) {
        this.#pods.delete(uid);
        continue;
      }
      this.#pods.set(uid, { ...next, touchedAt: startedAt });
      for (const id of [...next.sandboxes.keys(), ...next.containers.keys()]) this.#uidByContainer.set(id, uid);
    }
    for (const uid of changed) this.#options.onChange(uid);
  }

  /** Details of a sandbox do not change while its readiness does not: no call for what is known. */
  async #sandboxFrom(summary: SandboxSummary): Promise<ObservedSandbox | undefined> {
    const known = this.#pods.get(summary.labels[LABEL.podUid] as PodUid)?.sandboxes.get(summary.id);
    if (known !== undefined && known.ready === summary.ready) return known;
    if (!summary.ready) return fromSandbox(summary, known?.ips ?? []);
    try {
      const status = await this.#options.runtime.sandboxStatus(summary.id);
      return fromSandbox(status, this.#inOrder(status.ips));
    } catch (err) {
      if (isCriNotFound(err)) return undefined;
      throw err;
    }
  }

  async #containerFrom(summary: ContainerSummary): Promise<ObservedContainer | undefined> {
    const known = this.#pods.get(summary.labels[LABEL.podUid] as PodUid)?.containers.get(summary.id);
    if (known !== undefined && known.state === summary.state) return known;
    const status = await this.#containerStatus(summary.id);
    const identity = identityOf(summary.labels);
    return status === undefined || identity === undefined ? undefined : this.#toObserved(identity, status);
  }

  async #toObserved(identity: PodIdentity, status: ContainerStatus): Promise<ObservedContainer> {
    if (status.state !== 'EXITED') return fromStatus(status, status.message);
    return fromStatus(status, await this.#options.exitMessage(identity, status));
  }

  async #containerStatus(id: string): Promise<ContainerStatus | undefined> {
    try {
      return await this.#options.runtime.containerStatus(id);
    } catch (err) {
      if (isCriNotFound(err)) return undefined;
      throw err;
    }
  }

  /** Runtimes put IPv4 first, whatever the cluster does. */
  #inOrder(ips: readonly string[]): readonly string[] {
    const isSecond = (ip: string) => ip.includes(':') !== (this.#options.hostIps[0] ?? ips[0])?.includes(':');
    return ips.toSorted((a, b) => Number(isSecond(a)) - Number(isSecond(b)));
  }

  #onEvent(event: RuntimeEvent, signal: AbortSignal): void {
    if (event.kind === 'lost') {
      void this.#relistLogged();
      return;
    }
    const uid = this.#uidByContainer.get(event.containerId);
    const entry = uid === undefined ? undefined : this.#pods.get(uid);
    if (entry === undefined) return;
    const followed = entry.sandboxes.has(event.containerId)
      ? this.#followSandboxExit(entry, event.containerId, signal)
      : this.#followContainerExit(entry, event.containerId, signal);
    followed.catch((err) => {
      if (!signal.aborted) this.#options.log.warn('an exit could not be read', { err: describeError(err) });
    });
  }

  async #followContainerExit(entry: Entry, id: string, signal: AbortSignal): Promise<void> {
    for (const waitMs of EXIT_POLL_MS) {
      const before = entry.containers.get(id);
      if (before?.state === 'EXITED') return;
      const container = await this.refreshContainer(entry.identity, id);
      if (container?.state !== 'RUNNING') {
        // It may have gone down with its sandbox: a restart in a dead one would only fail.
        if (container !== undefined && entry.sandboxes.has(container.sandboxId))
          await this.refreshSandbox(entry.identity, container.sandboxId);
        this.#options.onChange(entry.identity.uid);
        return;
      }
      await delay(this.#options.clock, waitMs, signal);
    }
    await this.#relistLogged();
  }

  async #followSandboxExit(entry: Entry, id: string, signal: AbortSignal): Promise<void> {
    for (const waitMs of EXIT_POLL_MS) {
      if (entry.sandboxes.get(id)?.ready !== true) return;
      if (!(await this.refreshSandbox(entry.identity, id)).ready) {
        this.#options.onChange(entry.identity.uid);
        return;
      }
      await delay(this.#options.clock, waitMs, signal);
    }
  }

  #touch(identity: PodIdentity): Entry {
    const entry = this.#pods.get(identity.uid) ?? newEntry(identity);
    entry.touchedAt = ++this.#tick;
    this.#pods.set(identity.uid, entry);
    return entry;
  }
}

const ALREADY_EXISTS = 6;

/** The name of a sandbox or container is in use: containerd says so with a plain error, others by code. */
export const isCriTaken = (err: unknown): boolean =>
  err instanceof CriError && (err.code === ALREADY_EXISTS || / is reserved for /.test(err.message));

export const isCriNotFound = (err: unknown): boolean => err instanceof CriError && err.code === NOT_FOUND;

function newEntry(identity: PodIdentity): Entry {
  return { identity, sandboxes: new Map(), containers: new Map(), touchedAt: 0 };
}

/** undefined for what the kubelet did not make. */
function identityOf(labels: Readonly<Record<string, string>>): PodIdentity | undefined {
  const uid = labels[LABEL.podUid];
  if (!uid) return undefined;
  return {
    uid: uid as PodUid,
    namespace: labels[LABEL.podNamespace] ?? '',
    name: labels[LABEL.podName] ?? '',
  };
}

function fromSandbox(summary: SandboxSummary, ips: readonly string[]): ObservedSandbox {
  const { id, ready, createdAtMs } = summary;
  return { id, attempt: summary.identity.attempt, ready, createdAtMs, ips };
}

function fromStatus(status: ContainerStatus, message: string): ObservedContainer {
  const { id, name, sandboxId, attempt, state, createdAtMs, startedAtMs, finishedAtMs, exitCode, reason } = status;
  const { imageName, imageRef, annotations } = status;
  return {
    id,
    name,
    sandboxId,
    attempt,
    state,
    createdAtMs,
    startedAtMs,
    finishedAtMs,
    exitCode,
    reason,
    message,
    image: imageName,
    imageRef,
    hash: annotations[ANNOTATION.hash] ?? '',
    ...(status.user === undefined ? {} : { user: status.user }),
    ...(status.stopSignal === undefined ? {} : { stopSignal: status.stopSignal }),
  };
}

function isSameEntry(a: Entry | undefined, b: Entry | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  if (a.sandboxes.size !== b.sandboxes.size || a.containers.size !== b.containers.size) return false;
  for (const [id, { ready }] of a.sandboxes) if (b.sandboxes.get(id)?.ready !== ready) return false;
  for (const [id, { state }] of a.containers) if (b.containers.get(id)?.state !== state) return false;
  return true;
}
