import type { Clock } from '#base/clock.ts';
import type { ObjectKey } from '../object/kube-object.ts';

/** An expectation this old is given up: the watch event it waits for was lost or will never come. */
const EXPIRY_MS = 5 * 60_000;

interface Expected {
  creations: number;
  /** By uid, so that a deletion seen twice counts once. */
  readonly deletions: Set<string>;
  readonly sinceMs: number;
}

/**
 * What a controller has done and its cache does not show yet. A controller that counts its children must not act again before the
 * cache has caught up with its last actions, or it creates and deletes twice.
 */
export class Expectations {
  readonly #clock: Clock;
  readonly #expected = new Map<ObjectKey, Expected>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** True when the cache shows all that was done for this key, or it was waited for too long. */
  isSatisfied(key: ObjectKey): boolean {
    const expected = this.#expected.get(key);
    if (expected === undefined) return true;
    if (expected.creations <= 0 && expected.deletions.size === 0) return true;
    return this.#clock.monotonic() - expected.sinceMs > EXPIRY_MS;
  }

  /** Called before the actions. */
  expect(key: ObjectKey, creations: number, deletionUids: readonly string[] = []): void {
    this.#expected.set(key, { creations, deletions: new Set(deletionUids), sinceMs: this.#clock.monotonic() });
  }

  /** One child appeared, or its creation failed. */
  onCreated(key: ObjectKey): void {
    const expected = this.#expected.get(key);
    if (expected !== undefined) expected.creations--;
  }

  /** The child is gone or marked as going, or its deletion failed. */
  onDeleted(key: ObjectKey, uid: string): void {
    this.#expected.get(key)?.deletions.delete(uid);
  }

  forget(key: ObjectKey): void {
    this.#expected.delete(key);
  }
}
