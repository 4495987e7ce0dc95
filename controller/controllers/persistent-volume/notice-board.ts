import type { EventRecorder } from '#api/client/event-recorder.ts';
import type { WorkQueue } from '#api/client/work-queue.ts';
import type { PersistentVolume, PersistentVolumeClaim } from '#api/object/kinds.ts';
import { keyOf, type ObjectKey } from '#api/object/kube-object.ts';
import type { Clock } from '#base/clock.ts';
import type { Notice } from './storage-view.ts';

/** Events live for an hour: what still holds is said again before that, and not with every change elsewhere. */
const REPEAT_MS = 50 * 60_000;

/** Tells what claims wait for, once each. */
export class NoticeBoard {
  readonly #events: EventRecorder;
  readonly #clock: Clock;
  readonly #queue: Pick<WorkQueue<ObjectKey>, 'addAfter'>;
  readonly #told = new Map<ObjectKey, { readonly text: string; readonly atMs: number }>();

  constructor(
    { events, clock }: { readonly events: EventRecorder; readonly clock: Clock },
    queue: Pick<WorkQueue<ObjectKey>, 'addAfter'>,
  ) {
    this.#events = events;
    this.#clock = clock;
    this.#queue = queue;
  }

  tell(about: PersistentVolumeClaim | PersistentVolume, { type, reason, message }: Notice): void {
    const key = keyOf(about);
    const [text, nowMs] = [`${about.metadata.uid} ${reason} ${message}`, this.#clock.monotonic()];
    const told = this.#told.get(key);
    if (told?.text === text && nowMs - told.atMs < REPEAT_MS) {
      // What brought us here has taken the place of the look that was due later.
      this.#queue.addAfter(key, told.atMs + REPEAT_MS - nowMs);
      return;
    }
    this.#told.set(key, { text, atMs: nowMs });
    this.#events.record(about, type, reason, message);
    this.#queue.addAfter(key, REPEAT_MS);
  }

  /** What was said holds no longer. */
  forget(key: ObjectKey): void {
    this.#told.delete(key);
  }
}
