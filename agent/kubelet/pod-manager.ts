import type { Informer } from '#api/client/informer.ts';
import type { Pod } from '#api/object/kinds.ts';
import { type ObjectKey, objectKey } from '#api/object/kube-object.ts';
import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import type { Ledger } from './ledger.ts';
import { mayRunOffline } from './offline-boot.ts';
import { podFromRuntime } from './orphan-pod.ts';
import { namespaceOf, type PodUid, uidOf } from './pod-spec.ts';
import { PodWorker, type PodWorkerDeps } from './pod-worker.ts';
import type { RuntimeCache } from './runtime-cache.ts';
import type { MirrorPods } from './static/mirror-pods.ts';
import { isMirrorPod, isStaticPod } from './static/static-manifest.ts';
import { withinOrGoOn } from './within-or-go-on.ts';

/** Without an answer of the API for this long, the node goes on with what it remembers. */
const OFFLINE_AFTER_MS = 10_000;

export interface Admission {
  readonly reason: string;
  readonly message: string;
}

export interface PodManagerOptions {
  /** Pods of this node. */
  readonly pods: Informer<Pod>;
  readonly cache: RuntimeCache;
  readonly ledger: Ledger;
  readonly workerDeps: Omit<PodWorkerDeps, 'onGone' | 'others'>;
  /** undefined = the node takes the pod; otherwise why not. */
  readonly admit: (pod: Pod, others: readonly Pod[]) => Admission | undefined;
  /** What shows static pods in the API. */
  readonly mirrors: Pick<MirrorPods, 'onPresent' | 'onGone' | 'setWanted' | 'start'>;
  readonly clock: Clock;
  readonly log: Logger;
}

const keyOf = (pod: Pod): ObjectKey => objectKey(namespaceOf(pod), pod.metadata.name);

/**
 * Keeps one worker per pod UID: for pods of the API, for pods that only the ledger or only the runtime knows (orphans). Nothing is
 * taken for an orphan before the API has been asked once and the runtime has been listed once.
 */
export class PodManager {
  readonly #options: PodManagerOptions;
  readonly #workers = new Map<PodUid, PodWorker>();
  readonly #uids = new Map<ObjectKey, PodUid>();
  /** Static pods by name: each waits until the one before it under its name has ended. */
  #static: ReadonlyMap<ObjectKey, Pod> = new Map();
  #isApiSynced = false;

  constructor(options: PodManagerOptions) {
    this.#options = options;
  }

  /** Call after the ledger was loaded and the cache primed. Rejects when aborted. */
  async start(signal: AbortSignal): Promise<void> {
    const { pods, clock } = this.#options;
    const { mirrors } = this.#options;
    const onPod = (pod: Pod) => (isMirrorPod(pod) ? mirrors.onPresent(pod) : this.#onPod(pod));
    pods.addHandler({
      onAdd: onPod,
      onUpdate: (_previous, pod) => onPod(pod),
      onDelete: (pod) => (isMirrorPod(pod) ? mirrors.onGone(pod) : this.#onDelete(pod)),
    });
    pods.start(signal);
    const synced = pods.waitForSync(signal);
    await withinOrGoOn(clock, synced, OFFLINE_AFTER_MS);
    if (!pods.hasSynced) this.#goOnOffline();
    await synced;
    this.#isApiSynced = true;
    this.#adoptOrphans();
    mirrors.start(signal);
  }

  /** All pods that are given as files; call before `start` with those that are there, so that none is taken for an orphan. */
  setStatic(pods: readonly Pod[]): void {
    this.#static = new Map(pods.map((pod) => [objectKey(namespaceOf(pod), pod.metadata.name), pod]));
    this.#options.mirrors.setWanted(pods);
    const uids = new Set(pods.map(uidOf));
    for (const worker of this.#workers.values())
      if (isStaticPod(worker.pod) && !uids.has(worker.uid)) worker.objectGone();
    for (const key of this.#static.keys()) this.#startStatic(key);
  }

  /** Without the node's admission: what is wanted by a file on this very node has to run here. */
  #startStatic(key: ObjectKey): void {
    const pod = this.#static.get(key);
    if (pod === undefined || this.#workers.has(uidOf(pod))) return;
    const holder = [...this.#workers.values()].find((worker) => isStaticPod(worker.pod) && keyOf(worker.pod) === key);
    if (holder !== undefined) return;
    this.#uids.set(key, uidOf(pod));
    this.#create(pod).poke();
  }

  worker(uid: PodUid): PodWorker | undefined {
    return this.#workers.get(uid);
  }

  /** Somebody looks after this pod, or will: the API, the ledger or the runtime has it. */
  isKnown(uid: PodUid): boolean {
    const { ledger, cache } = this.#options;
    return (
      this.#workers.has(uid) || ledger.record(uid) !== undefined || cache.listPods().some((known) => known.uid === uid)
    );
  }

  /** Pods of this node by namespace and name, as last known. */
  podByName(namespace: string, name: string): Pod | undefined {
    const uid = this.#uids.get(objectKey(namespace, name));
    return uid === undefined ? undefined : this.#workers.get(uid)?.pod;
  }

  /** Pods that are not ending, with what was granted to them. */
  listActive(): Pod[] {
    return [...this.#workers.values()].filter(({ phase }) => phase === 'sync').map(({ allocated }) => allocated);
  }

  /** A device of this container has moved. */
  restartContainer(uid: PodUid, container: string, resource: string): void {
    this.#workers.get(uid)?.restartContainer(container, `Device ${resource} of container ${container} was replugged`);
  }

  resumeAll(): void {
    for (const worker of this.#workers.values()) worker.resume();
  }

  list(): Pod[] {
    return [...this.#workers.values()].map((worker) => worker.pod);
  }

  /** Something in the runtime changed. */
  onRuntimeChange(uid: PodUid): void {
    const worker = this.#workers.get(uid);
    if (worker !== undefined) worker.poke();
    else if (this.#isApiSynced) this.#adoptOrphans();
  }

  poke(uid: PodUid): void {
    this.#workers.get(uid)?.poke();
  }

  /** The clock was set: tokens, and what waited for a time, are looked at. */
  refreshAllVolumes(): void {
    for (const worker of this.#workers.values()) worker.refreshVolumes();
  }

  refreshVolumes(uids: readonly PodUid[]): void {
    for (const uid of uids) this.#workers.get(uid)?.refreshVolumes();
  }

  #onPod(pod: Pod): void {
    const uid = uidOf(pod);
    const key = objectKey(namespaceOf(pod), pod.metadata.name);
    this.#uids.set(key, uid);
    const known = this.#workers.get(uid);
    if (known !== undefined) {
      known.update(pod);
      return;
    }
    const others = this.#running();
    const worker = this.#create(pod);
    this.#rejectIfUnfit(worker, others);
    worker.update(pod);
    worker.poke();
  }

  /** Only pods that are new to the node are judged: one that ran here before the agent's restart stays. */
  #rejectIfUnfit(worker: PodWorker, others: readonly Pod[]): void {
    const { admit, ledger, cache, log } = this.#options;
    const { pod, uid } = worker;
    const phase = pod.status?.phase;
    const isNew = ledger.record(uid) === undefined && cache.observe(uid).sandboxes.length === 0;
    if (!isNew) return;
    if (phase === 'Failed' || phase === 'Succeeded') {
      worker.reject(pod.status?.reason ?? '', pod.status?.message ?? '');
      return;
    }
    if (pod.metadata.deletionTimestamp !== undefined) return;
    const refusal = admit(pod, others);
    if (refusal === undefined) return;
    log.warn('pod was refused', { pod: pod.metadata.name, reason: refusal.reason });
    worker.refuse(refusal.reason, refusal.message);
  }

  #onDelete(pod: Pod): void {
    const key = objectKey(namespaceOf(pod), pod.metadata.name);
    if (this.#uids.get(key) === uidOf(pod)) this.#uids.delete(key);
    const worker = this.#workers.get(uidOf(pod));
    if (worker === undefined) return;
    worker.update(pod);
    worker.objectGone();
  }

  /** The API cannot be asked: what the ledger remembers goes on, by the rules of offline boot. */
  #goOnOffline(): void {
    const { ledger, workerDeps, log } = this.#options;
    for (const record of ledger.list()) {
      if (this.#workers.has(record.uid) || isStaticPod(record.pod)) continue;
      if (!mayRunOffline(record, workerDeps.bootId)) continue;
      log.info('looking after a pod without the API server', { pod: record.name, podUid: record.uid });
      this.#uids.set(objectKey(record.namespace, record.name), record.uid);
      this.#create(record.pod).poke();
    }
  }

  /** Ends what runs here although the API does not know it. */
  #adoptOrphans(): void {
    const { cache, ledger, log, pods } = this.#options;
    for (const worker of [...this.#workers.values()]) {
      const { pod } = worker;
      if (isStaticPod(pod)) continue;
      const known = pods.byKey(objectKey(namespaceOf(pod), pod.metadata.name));
      if (known?.metadata.uid !== worker.uid) worker.objectGone();
    }
    for (const identity of cache.listPods()) {
      if (this.#workers.has(identity.uid)) continue;
      log.info('ending an orphaned pod', { pod: identity.name, podUid: identity.uid });
      this.#create(ledger.record(identity.uid)?.pod ?? podFromRuntime(identity)).objectGone();
    }
    for (const record of ledger.list()) if (!this.#workers.has(record.uid)) this.#create(record.pod).objectGone();
  }

  /** Pods that hold resources of the node, with what was granted to them. */
  #running(without?: PodUid): Pod[] {
    return [...this.#workers.values()]
      .filter((worker) => worker.phase !== 'terminated' && worker.uid !== without)
      .map((worker) => worker.allocated);
  }

  #create(pod: Pod): PodWorker {
    const onGone = (uid: PodUid) => {
      this.#workers.delete(uid);
      if (isStaticPod(pod)) this.#startStatic(keyOf(pod));
      for (const other of this.#workers.values()) if (other.isResizeDeferred) other.poke();
    };
    const others = (uid: PodUid) => this.#running(uid);
    const worker = new PodWorker({ ...this.#options.workerDeps, onGone, others }, pod);
    this.#workers.set(worker.uid, worker);
    return worker;
  }
}
