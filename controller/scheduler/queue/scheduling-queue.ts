import type { ObjectKey } from '#api/object/kube-object.ts';
import { backoffDelayMs } from '#base/backoff.ts';
import type { Clock } from '#base/clock.ts';
import type { PodInfo } from '../cache/pod-info.ts';
import type { ClusterEvent } from '../framework/cluster-event.ts';
import { Heap } from './heap.ts';

/** A pod on its way through the queue. */
export interface QueuedPod {
  readonly info: PodInfo;
  /** Cycles it has been through. */
  readonly attempts: number;
  /** Since when it waits for its next cycle (monotonic ms). */
  readonly sinceMs: number;
  /** No cycle before this (monotonic ms). */
  readonly notBeforeMs: number;
  /** Plugins that turned it down in the last cycle; empty: anything may help. */
  readonly rejectedBy: ReadonlySet<string>;
}

export interface SchedulingQueueOptions {
  readonly clock: Clock;
  /** Whether the event may have changed one of these plugins' mind about the pod. */
  readonly isHelpedBy: (event: ClusterEvent, pod: QueuedPod) => boolean;
  /** There may be something to pop. */
  readonly onReady: () => void;
}

/** 1, 2, 4, 8, 10, 10 ... seconds. */
const BACKOFF = { initialMs: 1_000, maxMs: 10_000 };

/** Whatever the hints say, a pod is tried again after this. */
const MAX_UNSCHEDULABLE_MS = 5 * 60_000;

/** The most important first, then the one that waits longest. */
function isBefore(a: QueuedPod, b: QueuedPod): boolean {
  if (a.info.priority !== b.info.priority) return a.info.priority > b.info.priority;
  return a.sinceMs < b.sinceMs;
}

/**
 * Pods without a node. A pod is *active* (to be scheduled now), *backing off* (once its time has come), or *unschedulable* (once
 * something happens that could help it, as the plugins that turned it down judge). One timer serves all waiting.
 */
export class SchedulingQueue {
  readonly #options: SchedulingQueueOptions;
  readonly #active = new Heap<ObjectKey, QueuedPod>((pod) => pod.info.key, isBefore);
  readonly #backingOff = new Heap<ObjectKey, QueuedPod>(
    (pod) => pod.info.key,
    (a, b) => a.notBeforeMs < b.notBeforeMs,
  );
  readonly #unschedulable = new Map<ObjectKey, QueuedPod>();
  #timer: { readonly atMs: number; readonly cancel: () => void } | undefined;

  constructor(options: SchedulingQueueOptions) {
    this.#options = options;
  }

  get lengths(): { readonly active: number; readonly backingOff: number; readonly unschedulable: number } {
    return { active: this.#active.size, backingOff: this.#backingOff.size, unschedulable: this.#unschedulable.size };
  }

  add(info: PodInfo): void {
    const nowMs = this.#nowMs();
    this.remove(info.key);
    this.#activate({ info, attempts: 0, sinceMs: nowMs, notBeforeMs: nowMs, rejectedBy: new Set() });
  }

  /** A new version of a pod. `mayHelp`: something changed that its placement depends on. */
  update(info: PodInfo, mayHelp: boolean): void {
    const { key } = info;
    const heap = [this.#active, this.#backingOff].find((candidate) => candidate.get(key) !== undefined);
    const waiting = this.#unschedulable.get(key);
    if (heap !== undefined) heap.add({ ...heap.get(key)!, info });
    else if (waiting === undefined) this.add(info);
    else if (mayHelp) this.#wake({ ...waiting, info });
    else this.#unschedulable.set(key, { ...waiting, info });
  }

  remove(key: ObjectKey): void {
    this.#active.remove(key);
    this.#backingOff.remove(key);
    this.#unschedulable.delete(key);
  }

  pop(): QueuedPod | undefined {
    return this.#active.pop();
  }

  /** The pod fitted nowhere; `plugins` turned it down. */
  addUnschedulable(pod: QueuedPod, plugins: ReadonlySet<string>): void {
    const next = this.#afterAttempt(pod, plugins);
    this.#unschedulable.set(next.info.key, next);
    this.#armFor(next.sinceMs + MAX_UNSCHEDULABLE_MS);
  }

  /** The cycle went wrong for reasons that time may cure. */
  addBackoff(pod: QueuedPod): void {
    this.#wait(this.#afterAttempt(pod, new Set()));
  }

  /** Wakes the pods that the event may help. */
  onEvent(event: ClusterEvent): void {
    for (const pod of [...this.#unschedulable.values()]) {
      if (pod.rejectedBy.size === 0 || this.#options.isHelpedBy(event, pod)) this.#wake(pod);
    }
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #afterAttempt(pod: QueuedPod, rejectedBy: ReadonlySet<string>): QueuedPod {
    const nowMs = this.#nowMs();
    const attempts = pod.attempts + 1;
    return { ...pod, attempts, sinceMs: nowMs, notBeforeMs: nowMs + backoffDelayMs(attempts, BACKOFF), rejectedBy };
  }

  #wake(pod: QueuedPod): void {
    this.#unschedulable.delete(pod.info.key);
    if (pod.notBeforeMs <= this.#nowMs()) this.#activate(pod);
    else this.#wait(pod);
  }

  #activate(pod: QueuedPod): void {
    this.#active.add(pod);
    this.#options.onReady();
  }

  #wait(pod: QueuedPod): void {
    this.#backingOff.add(pod);
    this.#armFor(pod.notBeforeMs);
  }

  #armFor(atMs: number): void {
    if (this.#timer !== undefined && this.#timer.atMs <= atMs) return;
    this.#timer?.cancel();
    const cancel = this.#options.clock.after(Math.max(0, atMs - this.#nowMs()), () => {
      this.#timer = undefined;
      this.#onTimer();
    });
    this.#timer = { atMs, cancel };
  }

  #onTimer(): void {
    const nowMs = this.#nowMs();
    for (let first = this.#backingOff.peek(); first !== undefined; first = this.#backingOff.peek()) {
      if (first.notBeforeMs > nowMs) break;
      this.#backingOff.pop();
      this.#activate(first);
    }
    for (const pod of [...this.#unschedulable.values()]) {
      if (pod.sinceMs + MAX_UNSCHEDULABLE_MS <= nowMs) this.#wake(pod);
    }
    const nextMs = Math.min(this.#backingOff.peek()?.notBeforeMs ?? Number.POSITIVE_INFINITY, this.#firstForcedMs());
    if (Number.isFinite(nextMs)) this.#armFor(nextMs);
  }

  /** Insertion order is order of time. */
  #firstForcedMs(): number {
    for (const pod of this.#unschedulable.values()) return pod.sinceMs + MAX_UNSCHEDULABLE_MS;
    return Number.POSITIVE_INFINITY;
  }

  #nowMs(): number {
    return this.#options.clock.monotonic();
  }
}
