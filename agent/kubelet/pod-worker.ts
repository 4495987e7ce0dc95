import type { Pod } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { PodCgroups } from './cgroups/pod-cgroups.ts';
import type { ClaimManager } from './claims/claim-manager.ts';
import { stopContainer } from './container-stopper.ts';
import { CrashLoopEvents } from './crash-loop-events.ts';
import type { ResourceStatuses } from './devices/device-health.ts';
import { type LedgerRecord, newRecord, type PodOutcome, type Termination } from './ledger-record.ts';
import { newestInstance } from './observed-pod.ts';
import type { PodActions, WaitingReason } from './pod-action.ts';
import { computePodActions } from './pod-actions.ts';
import { isSameDemand } from './pod-demand.ts';
import type { PodExecutor } from './pod-executor.ts';
import { type PodRemainsDeps, removePodRemains } from './pod-remains.ts';
import { gracePeriodSeconds, type PodUid, uidOf } from './pod-spec.ts';
import { beginTermination, stopPod, type TerminationDeps } from './pod-termination.ts';
import type { PodVerdicts, ProbeManager } from './probes/probe-manager.ts';
import { allocatedPod } from './resize/allocation.ts';
import { ResizeJudge, type ResizeJudgeDeps } from './resize/resize-judge.ts';
import { beginRestartOfAll } from './restart-all.ts';
import { computePodStatus } from './status/pod-status.ts';
import { type Hold, holdsStill } from './step-hold.ts';
import type { VolumeManager } from './volumes/volume-manager.ts';
import { VolumeUpkeep } from './volumes/volume-upkeep.ts';
import { NEXT_PHASES, type PodPhase, phaseOf } from './worker-phase.ts';

export interface PodWorkerDeps extends TerminationDeps, ResizeJudgeDeps, PodRemainsDeps {
  readonly executor: PodExecutor;
  readonly probes: ProbeManager;
  readonly volumes: VolumeManager;
  readonly claims: Pick<ClaimManager, 'unprepare'>;
  readonly devices: ResourceStatuses;
  readonly cgroups: PodCgroups;
  readonly clock: Clock;
  readonly log: Logger;
  readonly hostIps: readonly string[];
  readonly bootId: string;
  /** The agent ends: no new pass begins. What runs goes on without us. */
  readonly stop: AbortSignal;
  /** Nothing of the pod is left: the worker may be dropped. */
  readonly onGone: (uid: PodUid) => void;
}

const RETRY_MS = 10_000;
/** What a small host takes to start several pods at once. */
const FIRST_STATUS_PATIENCE_MS = 5_000;
/** A resize that waits for room is judged again when another pod leaves, and this often in any case. */
const RESIZE_RETRY_MS = 60_000;
const NO_WAITING: ReadonlyMap<string, WaitingReason> = new Map();

/**
 * The life of one pod on this node. All work of a pod happens in its worker, one pass at a time: `sync` brings it up and keeps it
 * running, `terminating` ends its processes, `terminated` gives back what it used and waits for the API object to go. The phase never
 * goes back; what decided it is in the ledger, so that a restarted agent goes on in the same phase.
 */
export class PodWorker {
  readonly uid: PodUid;
  readonly #deps: PodWorkerDeps;
  readonly #log: Logger;
  readonly #resize: ResizeJudge;
  readonly #volumes: VolumeUpkeep;
  readonly #crashLoops: CrashLoopEvents;
  #pod: Pod;
  #allocated: { readonly pod: Pod; readonly record: LedgerRecord; readonly result: Pod } | undefined;
  #phase: PodPhase;
  #holds: ReadonlyMap<string, Hold> = new Map();
  #isHalted = false;
  readonly #onEnded: (() => void)[] = [];
  #isRunning = false;
  #isDirty = false;
  #cancelWake: (() => void) | undefined;
  /** The API object is gone: nobody is left to be told. */
  #isObjectGone = false;
  /** Ends what the present pass waits for (pulls, the gate) once the pod is to end. */
  readonly #syncAbort = new AbortController();

  /** `pod` is what the API says now, or what the ledger remembers while the API cannot be asked. */
  constructor(deps: PodWorkerDeps, pod: Pod) {
    this.#deps = deps;
    this.#pod = pod;
    this.uid = uidOf(pod);
    this.#log = deps.log.child({ pod: pod.metadata.name, namespace: pod.metadata.namespace, podUid: this.uid });
    this.#resize = new ResizeJudge(deps);
    this.#volumes = new VolumeUpkeep({ ...deps, log: this.#log });
    this.#crashLoops = new CrashLoopEvents(deps.events);
    this.#phase = phaseOf(deps.ledger.record(this.uid));
  }

  get phase(): PodPhase {
    return this.#phase;
  }

  get pod(): Pod {
    return this.#pod;
  }

  /** With the resources that the node has granted it, which a resize may not have reached yet. */
  get allocated(): Pod {
    const record = this.#deps.ledger.record(this.uid);
    if (record === undefined) return this.#pod;
    // Every pod that comes asks all others.
    if (this.#allocated?.pod !== this.#pod || this.#allocated.record !== record)
      this.#allocated = { pod: this.#pod, record, result: allocatedPod(this.#pod, record) };
    return this.#allocated.result;
  }

  /** A resize waits for room. */
  get isResizeDeferred(): boolean {
    return this.#resize.isDeferred;
  }

  /** The API object changed. Status alone is no reason to act: we wrote it. */
  update(pod: Pod): void {
    const before = this.#pod;
    this.#pod = pod;
    if (pod.metadata.deletionTimestamp !== undefined) this.#terminate('deleted');
    else if (!isSameDemand(before, pod)) this.#volumes.markStale();
    else if (!this.#deps.statuses.isOverwritten(pod)) return;
    this.poke();
  }

  /** The API object is gone without having gone through us (force deletion), or never was there (orphan). */
  objectGone(): void {
    this.#isObjectGone = true;
    this.#deps.statuses.forget(this.uid);
    this.#terminate('orphaned');
    this.poke();
  }

  /** The node takes no such pod. Its status says so, and an Event without the words that begin the status. */
  refuse(reason: string, message: string): void {
    this.#deps.events.pod(this.#pod, 'Warning', reason, message.replace(/^Pod was rejected: /, ''));
    this.reject(reason, message);
  }

  /** It fails without ever having run here. */
  reject(reason: string, message: string): void {
    this.#finish({ phase: 'Failed', reason, message });
    this.poke();
  }

  /** The pod has to go, although its containers run. */
  evict({ outcome, graceSeconds }: { readonly outcome: PodOutcome; readonly graceSeconds: number }): void {
    if (this.#phase !== 'sync') return;
    this.#deps.events.pod(this.#pod, 'Warning', outcome.reason, outcome.message);
    this.#save({ ...this.#record(), outcome });
    this.#terminate('finished', graceSeconds);
    this.poke();
  }

  /**
   * The host goes down: ends the pod's processes and starts nothing until `resume`. Nothing is remembered of it: after the boot the pod
   * is as one whose host lost power. Resolves when its processes have ended.
   */
  async halt(graceSeconds: number): Promise<void> {
    if (this.#phase !== 'sync') return this.ended();
    this.#isHalted = true;
    const { clock } = this.#deps;
    const begun: Termination = { cause: 'finished', startedAtMs: clock.now(), graceSeconds };
    await stopPod(this.#deps, this.allocated, () => begun);
  }

  /** Ends a running container; what follows is its restart policy's business. */
  restartContainer(name: string, message: string): void {
    const pod = this.#pod;
    const instance = newestInstance(this.#deps.cache.observe(this.uid), name);
    if (this.#phase !== 'sync' || instance?.state !== 'RUNNING') return;
    const graceSeconds = gracePeriodSeconds(pod);
    const podIp = this.#deps.cache.observe(this.uid).sandboxes[0]?.ips[0];
    stopContainer(this.#deps, { pod, containerId: instance.id, name, message, graceSeconds, podIp }).then(
      () => this.poke(),
      (err: unknown) => this.#log.warn('container could not be ended', { container: name, err: describeError(err) }),
    );
  }

  resume(): void {
    if (!this.#isHalted) return;
    this.#isHalted = false;
    this.poke();
  }

  /** Resolves when the pod's processes have ended. */
  ended(): Promise<void> {
    if (this.#phase === 'terminated' || this.#phase === 'gone') return Promise.resolve();
    return new Promise((resolve) => this.#onEnded.push(resolve));
  }

  /** A ConfigMap, Secret or token that the pod's volumes show may have changed. */
  refreshVolumes(): void {
    this.#volumes.markStale();
    this.poke();
  }

  /** Something changed: run a pass now, or another one after the present pass. */
  poke(): void {
    this.#isDirty = true;
    if (this.#isRunning || this.#phase === 'gone' || this.#deps.stop.aborted) return;
    this.#isRunning = true;
    void this.#run();
  }

  async #run(): Promise<void> {
    while (this.#isDirty && this.#phase !== 'gone' && !this.#deps.stop.aborted) {
      this.#isDirty = false;
      this.#cancelWake?.();
      try {
        await this.#pass();
      } catch (err) {
        this.#log.warn('pod pass failed', { phase: this.#phase, err: describeError(err) });
        this.#wakeAt(this.#deps.clock.now() + RETRY_MS);
      }
    }
    this.#isRunning = false;
  }

  async #pass(): Promise<void> {
    if (this.#phase === 'sync' && !this.#isHalted) await this.#sync();
    if (this.#phase === 'terminating') await this.#passTerminating();
    if (this.#phase === 'terminated') await this.#passTerminated();
  }

  async #sync(): Promise<void> {
    const { executor, clock } = this.#deps;
    const granted = this.#resize.judge(this.#pod, this.#record());
    if (granted !== undefined) this.#save(granted);
    this.#judgeRestartOfAll();
    const pod = this.allocated;
    const verdicts = this.#probe();
    const plan = computePodActions({
      pod,
      observed: this.#deps.cache.observe(this.uid),
      ledger: this.#record(),
      probes: verdicts,
      holds: this.#holds,
      nowMs: clock.now(),
    });
    if (plan.outcome !== undefined) {
      const { reason, message } = plan.outcome;
      if (reason !== '') this.#deps.events.pod(this.#pod, 'Normal', reason, message);
      this.#finish(plan.outcome);
      return;
    }
    // Of a pod that runs within a moment, its first status is the one that says so.
    const isUntold = plan.actions.some(({ kind }) => kind === 'createSandbox') && this.#isPending();
    if (!isUntold) this.#publish(plan, verdicts);
    this.#crashLoops.tell(this.#pod, plan.waiting);
    const { containers } = this.#deps.cache.observe(this.uid);
    await this.#volumes.refreshIfDue(
      pod,
      containers.some(({ state }) => state === 'RUNNING'),
    );
    if (plan.actions.length > 0) {
      const signal = AbortSignal.any([this.#syncAbort.signal, this.#deps.stop]);
      const onWait = () => this.#publish(plan, this.#probe());
      const cancelStatus = isUntold ? clock.after(FIRST_STATUS_PATIENCE_MS, () => this.#tellLate(onWait)) : undefined;
      const done = executor.execute(pod, plan, { signal, onWait }).finally(() => cancelStatus?.());
      this.#holds = new Map([...this.#holds, ...(await done)]);
      // What was done changed what is observed: look again at once, and show it.
      this.#isDirty = true;
    }
    const holds = [...this.#holds.values()].filter((hold) => holdsStill(hold, clock.now()));
    const holdsUntil = holds.map(({ untilMs }) => untilMs);
    const resizeDueMs = this.isResizeDeferred ? clock.now() + RESIZE_RETRY_MS : undefined;
    this.#wakeAt(earliest([plan.wakeAtMs, this.#volumes.dueMs, resizeDueMs, ...holdsUntil]));
  }

  /** Nobody takes it for running: what is known of it stays true while it is being started. */
  #isPending(): boolean {
    return (this.#deps.statuses.latest(this.#pod).phase ?? 'Pending') === 'Pending';
  }

  #tellLate(tell: () => void): void {
    try {
      tell();
    } catch (err) {
      this.#log.warn('pod status could not be told', { err: describeError(err) });
    }
  }

  #judgeRestartOfAll(): void {
    const record = this.#record();
    const restartAll = beginRestartOfAll(this.#pod, this.#deps.cache.observe(this.uid), record);
    if (restartAll === undefined) return;
    this.#log.info('all containers of the pod are restarted', { upTo: restartAll });
    this.#save({ ...record, restartAll });
  }

  #probe(): PodVerdicts {
    return this.#deps.probes.sync(this.#pod, this.#deps.cache.observe(this.uid));
  }

  /** What the node remembers; made at the first pass, when the pod is admitted. */
  #record(): LedgerRecord {
    const { ledger, clock, bootId } = this.#deps;
    const known = ledger.record(this.uid);
    if (known !== undefined) return known;
    const record = newRecord(this.#pod, clock.now(), bootId);
    // Awaited before the runtime hears of a container, so that sandbox, volumes and images need not wait for the disk.
    ledger.save(record).catch((err) => {
      this.#log.error('ledger could not be written', { err: describeError(err) });
    });
    return record;
  }

  #publish({ waiting }: Pick<PodActions, 'waiting'>, verdicts: PodVerdicts): void {
    const { statuses, cache, hostIps, clock, devices } = this.#deps;
    if (this.#isObjectGone) return;
    const ledger = this.#record();
    const observed = cache.observe(this.uid);
    const { ready, started } = verdicts;
    const previous = statuses.latest(this.#pod);
    const nowMs = clock.now();
    const resize = this.#resize.state(this.#pod, ledger, observed, this.#holds);
    const known = { observed, ledger, waiting, ready, started, hostIps, previous, resize, devices, nowMs };
    statuses.set(this.#pod, computePodStatus({ pod: this.#pod, ...known }));
  }

  /** All containers ended for good (or may not run): what is left of the pod goes. */
  #finish(outcome: PodOutcome): void {
    const { ledger } = this.#deps;
    this.#save({ ...this.#record(), outcome });
    if (ledger.record(this.uid)?.termination === undefined) this.#terminate('finished');
  }

  #terminate(cause: Termination['cause'], graceSeconds?: number): void {
    const record = this.#record();
    const begun = beginTermination(this.#pod, cause, this.#deps.clock.now());
    const termination = graceSeconds === undefined ? begun : { ...begun, graceSeconds };
    if (this.#phase === 'sync') {
      this.#save({ ...record, termination });
      this.#advance('terminating');
      this.#syncAbort.abort();
      this.#deps.probes.stopRestarting(this.uid);
    } else if (this.#phase === 'terminating' && record.termination !== undefined) {
      this.#shorten(record, record.termination, termination);
    }
  }

  /** A later deletion may only bring the end nearer. Containers that are being stopped are stopped again, with the new time. */
  #shorten(record: LedgerRecord, present: Termination, asked: Termination): void {
    const isSooner = endOf(asked) < endOf(present);
    if (!isSooner && present.cause === asked.cause) return;
    const { cause } = asked;
    this.#save({ ...record, termination: isSooner ? asked : { ...present, cause } });
    if (!isSooner) return;
    const { runtime, cache } = this.#deps;
    for (const { id, state } of cache.observe(this.uid).containers)
      if (state === 'RUNNING')
        runtime.stopContainer(id, asked.graceSeconds).catch((err) => {
          this.#log.warn('container could not be stopped sooner', { err: describeError(err) });
        });
  }

  async #passTerminating(): Promise<void> {
    const { ledger, volumes, probes, clock } = this.#deps;
    // A full disk keeps no pod from ending, which may be what frees it. That it could not be written has been told.
    await ledger.settled(this.uid).catch(() => undefined);
    this.#publish({ waiting: NO_WAITING }, this.#probe());
    await stopPod(this.#deps, this.#pod, () => this.#termination());
    const verdicts = this.#probe();
    probes.forget(this.uid);
    await this.#deps.claims.unprepare(this.uid);
    await volumes.tearDown(this.uid);
    await this.#deps.cgroups.remove(this.#pod);
    await ledger.save({ ...this.#record(), terminatedAtMs: clock.now() });
    this.#advance('terminated');
    this.#publish({ waiting: NO_WAITING }, verdicts);
    this.#log.info('pod has ended', { cause: this.#termination().cause });
  }

  #termination(): Termination {
    return this.#record().termination ?? beginTermination(this.#pod, 'orphaned', this.#deps.clock.now());
  }

  /** Everything has ended. The traces go with the API object: until then logs can be read. */
  async #passTerminated(): Promise<void> {
    const { statuses } = this.#deps;
    const isDeleted = this.#pod.metadata.deletionTimestamp !== undefined;
    if (!this.#isObjectGone) {
      this.#publish({ waiting: NO_WAITING }, NO_VERDICTS);
      if (!isDeleted) return;
      await statuses.removeObject(this.#pod);
    }
    await removePodRemains(this.#deps, this.#pod);
    this.#advance('gone');
    this.#deps.onGone(this.uid);
  }

  #save(record: LedgerRecord): void {
    this.#deps.ledger.save(record).catch((err) => {
      this.#log.error('ledger could not be written', { err: describeError(err) });
    });
  }

  #advance(next: PodPhase): void {
    if (!NEXT_PHASES[this.#phase].includes(next))
      throw new Error(`pod worker may not go from ${this.#phase} to ${next}`);
    this.#phase = next;
    this.#isDirty = true;
    if (next === 'terminated') for (const resolve of this.#onEnded.splice(0)) resolve();
  }

  #wakeAt(atMs: number | undefined): void {
    this.#cancelWake?.();
    if (atMs === undefined) return;
    const { clock } = this.#deps;
    this.#cancelWake = clock.after(Math.max(0, atMs - clock.now()), () => this.poke());
  }
}

const NO_VERDICTS: PodVerdicts = {
  ready: new Set(),
  started: new Set(),
  livenessFailed: new Set(),
  startupFailed: new Set(),
};

const endOf = (termination: Termination) => termination.startedAtMs + termination.graceSeconds * 1000;

function earliest(times: readonly (number | undefined)[]): number | undefined {
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}
