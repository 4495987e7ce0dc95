import type { Node, Pod } from '#api/object/kinds.ts';
import type { LedgerRecord } from '../ledger-record.ts';
import { newestInstance, type ObservedPod } from '../observed-pod.ts';
import type { PodEvents } from '../pod-events.ts';
import { allContainers, type PodUid, uidOf } from '../pod-spec.ts';
import type { ResizeState } from '../status/pod-conditions.ts';
import { type Hold, resizeErrors } from '../step-hold.ts';
import { actuatedSize, allocatedPod, decideResize, isSameSize } from './allocation.ts';

export interface ResizeJudgeDeps {
  readonly events: PodEvents;
  /** Pods that hold resources of this node as granted, without this one. */
  readonly others: (uid: PodUid) => readonly Pod[];
  readonly node: () => Pick<Node, 'status'>;
}

interface PendingResize {
  readonly reason: 'Deferred' | 'Infeasible';
  readonly message: string;
}

/** What became of the sizes that one pod asks for. */
export class ResizeJudge {
  readonly #deps: ResizeJudgeDeps;
  #pending: PendingResize | undefined;

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
    const verdict = decideResize({ pod, record, others: others(uidOf(pod)), node: node() });
    const before = this.#pending;
    this.#pending = verdict.kind === 'pending' ? verdict : undefined;
    if (verdict.kind === 'granted') {
      events.pod(pod, 'Normal', 'ResizeStarted', 'Pod resize started');
      return { ...record, allocated: verdict.allocation };
    }
    if (verdict.kind === 'pending' && before?.message !== verdict.message)
      events.pod(pod, 'Warning', `Resize${verdict.reason}`, verdict.message);
    return undefined;
  }

  state(given: Pod, record: LedgerRecord, observed: ObservedPod, holds: ReadonlyMap<string, Hold>): ResizeState {
    const pod = allocatedPod(given, record);
    const isInProgress =
      record.allocated !== undefined &&
      allContainers(pod).some(
        ({ name, resources }) =>
          newestInstance(observed, name)?.state === 'RUNNING' &&
          !isSameSize(resources, actuatedSize(pod, record, name)),
      );
    return { pending: this.#pending, isInProgress, errors: resizeErrors(holds) };
  }
}
