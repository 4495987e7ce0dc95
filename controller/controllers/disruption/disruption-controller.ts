import { isDeepStrictEqual } from 'node:util';
import type { Informer } from '#api/client/informer.ts';
import type { WorkQueue } from '#api/client/work-queue.ts';
import { findCondition } from '#api/meta/conditions.ts';
import { type BudgetStatus, budgetsOf, withSyncFailed } from '#api/meta/disruption-budget.ts';
import { labelSelectorFrom } from '#api/meta/label-selector.ts';
import { type Pod, type PodDisruptionBudget, resources } from '#api/object/kinds.ts';
import { keyOf, type ObjectKey } from '#api/object/kube-object.ts';
import { toTime } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import { type ControllerContext, createControllerQueue, runQueue } from '../controller-context.ts';
import { isPodReady, isPodTerminal } from '../pod-state.ts';
import { computeBudgetStatus, demandOf, dependsOnScale, pendingGrants } from './compute-status.ts';
import { type ExpectedScale, ScaleFinder } from './expected-scale.ts';

/** A budget that could not be counted is looked at again after this. */
const RECOUNT_MS = 60_000;
const NOTHING: BudgetStatus = { currentHealthy: 0, desiredHealthy: 0, disruptionsAllowed: 0, expectedPods: 0 };
const budgetKind = resources.podDisruptionBudgets;

/** A pod that was marked as going and is still there after this stays; its mark is taken back. */
const STALE_MARK_MS = 120_000;

const subjectOf = ({ metadata }: PodDisruptionBudget) => ({
  apiVersion: 'policy/v1',
  kind: 'PodDisruptionBudget',
  metadata,
});

/** Says in each PodDisruptionBudget's status how many of its pods may be evicted now, and unmarks pods whose eviction came to nothing. */
class DisruptionController {
  readonly #context: ControllerContext;
  readonly #signal: AbortSignal;
  readonly #budgets: Informer<PodDisruptionBudget>;
  readonly #pods: Informer<Pod>;
  readonly #scales: ScaleFinder;
  readonly #queue: WorkQueue<ObjectKey>;
  readonly #staleQueue: WorkQueue<ObjectKey>;

  constructor(context: ControllerContext, signal: AbortSignal) {
    this.#context = context;
    this.#signal = signal;
    this.#budgets = context.informers.informer<PodDisruptionBudget>(budgetKind);
    this.#pods = context.informers.informer<Pod>(resources.pods);
    this.#scales = new ScaleFinder(context);
    this.#queue = createControllerQueue<ObjectKey>(context, { name: 'disruption', sync: (key) => this.#sync(key) });
    this.#staleQueue = createControllerQueue<ObjectKey>(context, {
      name: 'stale-pod-disruption',
      sync: (key) => this.#syncMark(key),
    });
  }

  async run(): Promise<void> {
    this.#budgets.addHandler({
      onAdd: (budget) => this.#queue.add(keyOf(budget)),
      onUpdate: (_, budget) => this.#queue.add(keyOf(budget)),
    });
    this.#pods.addHandler({
      onAdd: (pod) => {
        this.#onPod(pod);
        if (markOf(pod) !== undefined) this.#staleQueue.add(keyOf(pod));
      },
      onUpdate: (before, pod) => {
        if (!countsTheSame(before, pod)) {
          this.#onPod(before);
          this.#onPod(pod);
        }
        if (markOf(pod) !== undefined && markOf(before) === undefined) this.#staleQueue.add(keyOf(pod));
      },
      onDelete: (pod) => this.#onPod(pod),
    });
    const caches = [this.#budgets, this.#pods, ...this.#scales.caches];
    await Promise.all([
      runQueue(this.#queue, caches, this.#signal),
      runQueue(this.#staleQueue, [this.#pods], this.#signal),
    ]);
  }

  #onPod(pod: Pod): void {
    for (const budget of budgetsOf(pod, this.#budgets.list(pod.metadata.namespace))) this.#queue.add(keyOf(budget));
  }

  async #sync(key: ObjectKey): Promise<void> {
    const budget = this.#budgets.byKey(key);
    if (budget === undefined || budget.metadata.deletionTimestamp !== undefined) return;
    const selector = labelSelectorFrom(budget.spec?.selector);
    const pods = this.#pods.list(budget.metadata.namespace).filter(({ metadata }) => selector.matches(metadata.labels));
    if (pods.length === 0) this.#record(budget, 'Normal', 'NoPods', 'No matching pods found');
    const nowMs = this.#context.clock.now();
    const counted = await this.#count(budget, pods, nowMs);
    const status = typeof counted === 'string' ? this.#failed(budget, counted, nowMs) : counted;
    // With the version it was decided on: an eviction that was granted meanwhile must not be forgotten.
    if (status !== undefined)
      await this.#context.client.resource<PodDisruptionBudget>(budgetKind).update({ ...budget, status }, 'status');
  }

  /** The new status, undefined where it stays, or why nobody can say. */
  async #count(
    budget: PodDisruptionBudget,
    pods: readonly Pod[],
    nowMs: number,
  ): Promise<BudgetStatus | undefined | string> {
    let scale: ExpectedScale = { replicas: 0, unmanaged: [] };
    try {
      if (dependsOnScale(budget)) scale = await this.#scales.sum(pods, this.#signal);
    } catch (err) {
      return describeError(err);
    }
    if (scale.unmanaged.length > 0) this.#recordUnmanaged(budget);
    const demand = demandOf(budget, pods.length, scale.replicas);
    const grants = pendingGrants(budget, pods, nowMs);
    const { namespace = '', name } = budget.metadata;
    for (const { metadata } of grants.lapsed) {
      const message = `Pod was expected by PDB ${namespace}/${name} to be deleted but it wasn't`;
      this.#context.events.record({ apiVersion: 'v1', kind: 'Pod', metadata }, 'Warning', 'NotDeleted', message);
    }
    if (grants.nextLapseMs !== undefined) this.#queue.addAfter(keyOf(budget), grants.nextLapseMs - nowMs + 1);
    return computeBudgetStatus(budget, pods, { demand, grants, nowMs });
  }

  #recordUnmanaged(budget: PodDisruptionBudget): void {
    const message =
      'Pods selected by this PodDisruptionBudget were found to be unmanaged. As a result, the status of the PDB cannot be calculated ' +
      'correctly, which may result in undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB ' +
      'to an integer value.';
    this.#record(budget, 'Warning', 'UnmanagedPods', message);
  }

  /** What cannot be counted allows nothing. Asked again after a while: the controllers of its pods may get a scale. */
  #failed(budget: PodDisruptionBudget, message: string, nowMs: number): BudgetStatus | undefined {
    const text = `Failed to calculate the number of expected pods: ${message}`;
    this.#record(budget, 'Warning', 'CalculateExpectedPodCountFailed', text);
    this.#queue.addAfter(keyOf(budget), RECOUNT_MS);
    const status = withSyncFailed(budget.status ?? NOTHING, nowMs, message);
    return isDeepStrictEqual(status, budget.status) ? undefined : status;
  }

  #record(budget: PodDisruptionBudget, type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.#context.events.record(subjectOf(budget), type, reason, message);
  }

  async #syncMark(key: ObjectKey): Promise<void> {
    const pod = this.#pods.byKey(key);
    const mark = pod === undefined ? undefined : markOf(pod);
    if (pod === undefined || mark === undefined) return;
    const leftMs = Date.parse(mark.lastTransitionTime ?? '') + STALE_MARK_MS - this.#context.clock.now();
    if (leftMs > 0) return this.#staleQueue.addAfter(key, leftMs);
    const { name, namespace, uid, resourceVersion } = pod.metadata;
    const lastTransitionTime = toTime(this.#context.clock.now());
    const conditions = pod.status?.conditions?.map((condition) =>
      condition === mark ? { ...condition, status: 'False', lastTransitionTime } : condition,
    );
    // A merge patch replaces the whole list, so it must not be applied to a newer one.
    const patch = { metadata: { uid, resourceVersion }, status: { conditions } };
    const pods = this.#context.client.resource<Pod>(resources.pods);
    await pods.patch({ name, namespace, type: 'merge', subresource: 'status', patch });
  }
}

/** The mark of a pod that is said to be on its way out and has not been told to end. A node may take its time with what it marked itself. */
function markOf(pod: Pod) {
  const mark = findCondition(pod.status?.conditions, 'DisruptionTarget');
  const isGoing = pod.metadata.deletionTimestamp !== undefined || isPodTerminal(pod);
  return mark?.status === 'True' && mark.reason !== 'TerminationByKubelet' && !isGoing ? mark : undefined;
}

/** Heartbeats and statuses of containers change nothing for a budget. */
const countsTheSame = (before: Pod, after: Pod): boolean =>
  isPodReady(before) === isPodReady(after) &&
  before.metadata.deletionTimestamp === after.metadata.deletionTimestamp &&
  isDeepStrictEqual(before.metadata.labels, after.metadata.labels);

export function startDisruptionController(context: ControllerContext, signal: AbortSignal): Promise<void> {
  return new DisruptionController(context, signal).run();
}
