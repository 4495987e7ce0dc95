import type { Node, Pod } from '#api/object/kinds.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { LedgerRecord } from '../ledger-record.ts';
import { newestInstance, type ObservedPod } from '../observed-pod.ts';
import type { PodEvents } from '../pod-events.ts';
import { allContainers, type PodUid, uidOf } from '../pod-spec.ts';
import type { RuntimeCache } from '../runtime-cache.ts';
import type { ResizeState } from '../status/pod-conditions.ts';
import { type Hold, resizeErrors } from '../step-hold.ts';
import { actuatedSize, allocatedPod, decideResize, grantedPodLevel, isSameSize } from './allocation.ts';
import type { ContainerResizer } from './container-resizer.ts';
import { renderResizeMessage } from './resize-message.ts';

export interface ResizeJudgeDeps {
  readonly events: PodEvents;
  /** Pods that hold resources of this node as granted, without this one. */
  readonly others: (uid: PodUid) => readonly Pod[];
  readonly node: () => Pick<Node, 'status'>;
  readonly resizer: Pick<ContainerResizer, 'resizePod'>;
  readonly cache: RuntimeCache;
  readonly log: Logger;
}

interface PendingResize {
  readonly reason: 'Deferred' | 'Infeasible';
  readonly message: string;
}

/** What became of the sizes that one pod asks for. */
export class ResizeJudge {
  readonly #deps: ResizeJudgeDeps;
  #pending: PendingResize | undefined;
  /** The pod with the sizes that it is on the way to. */
  #underWay: Pod | undefined;

  constructor(deps: ResizeJudgeDeps) {
    this.#deps = deps;
  }

  /** A resize waits for room. */
  get isDeferred(): boolean {
    return this.#pending?.reason === 'Deferred';
  }

  /** Sizes that the spec asks for anew are granted as a whole, or wait: the record to be kept when they were granted. */
  judge(pod: Pod, record: LedgerRecord): LedgerRecord | undefined {
    const { others, node, events } = this.#deps;
    const verdict = decideResize({ pod, record, others: () => others(uidOf(pod)), node: node() });
    const before = this.#pending;
    this.#pending = verdict.kind === 'pending' ? verdict : undefined;
    if (verdict.kind === 'granted') {
      this.#underWay = pod;
      events.pod(pod, 'Normal', 'ResizeStarted', renderResizeMessage('Pod resize started', pod));
      const granted = { ...record, allocated: verdict.allocation };
      if (!isSameSize(grantedPodLevel(pod, granted), grantedPodLevel(pod, record))) this.#resizeWhole(pod);
      return granted;
    }
    if (verdict.kind === 'pending' && before?.message !== verdict.message) {
      const { reason, message } = verdict;
      events.pod(pod, 'Warning', `Resize${reason}`, renderResizeMessage(`Pod resize ${reason}`, pod, message));
    }
    return undefined;
  }

  /** Not waited for: containers that change as well set the limits of their pod again when they have changed. */
  #resizeWhole(pod: Pod): void {
    const { resizer, cache, log, events } = this.#deps;
    resizer.resizePod(pod, cache.observe(uidOf(pod))).catch((err: unknown) => {
      const message = describeError(err);
      log.warn('the limits of a pod could not be changed', { pod: pod.metadata.name, err: message });
      events.pod(pod, 'Warning', 'ResizeError', renderResizeMessage('Pod resize error', pod, message));
    });
  }

  /** How far the pod has come; tells in an Event when it has all that it was granted. */
  state(given: Pod, record: LedgerRecord, observed: ObservedPod, holds: ReadonlyMap<string, Hold>): ResizeState {
    const pod = allocatedPod(given, record);
    const isInProgress =
      record.allocated !== undefined &&
      allContainers(pod).some(
        ({ name, resources }) =>
          newestInstance(observed, name)?.state === 'RUNNING' &&
          !isSameSize(resources, actuatedSize(pod, record, name)),
      );
    if (isInProgress) this.#underWay ??= pod;
    else this.#tellOfEnd();
    return { pending: this.#pending, isInProgress, errors: resizeErrors(holds) };
  }

  #tellOfEnd(): void {
    const pod = this.#underWay;
    if (pod === undefined) return;
    this.#underWay = undefined;
    this.#deps.events.pod(pod, 'Normal', 'ResizeCompleted', renderResizeMessage('Pod resize completed', pod));
  }
}
