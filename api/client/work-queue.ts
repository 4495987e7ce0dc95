import { backoffDelayMs } from '#base/backoff.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { isConflict } from '../object/api-error.ts';

export interface WorkQueueOptions<K extends string> {
  /** For logs and metrics. */
  readonly name: string;
  /** One pass for one key; idempotent. Throwing repeats it with back-off, for ever: a key is never dropped. */
  readonly sync: (key: K, signal: AbortSignal) => Promise<void> | void;
  readonly clock: Clock;
  readonly log: Logger;
  /** Keys worked on at once; one key never twice at a time. Default 4. */
  readonly concurrency?: number;
  readonly backoff?: { readonly initialMs: number; readonly maxMs: number };
  /** Uniform in [0, 1). */
  readonly random?: () => number;
  readonly hooks?: WorkQueueHooks;
}

export interface WorkQueueHooks {
  onAdd?(queue: string, depth: number): void;
  /** A pass begins; the key has waited so long. */
  onStart?(queue: string, depth: number, waitedMs: number): void;
  onDone?(queue: string, elapsedMs: number, hasFailed: boolean): void;
}

/**
 * Level-triggered work: a key says "look at this object again", never what happened to it. Adding a key that already waits does
 * nothing; adding one that is being worked on makes it run once more afterwards.
 */
export interface WorkQueue<K extends string> {
  add(key: K): void;
  /** Adds the key after this time, unless it is added sooner; of several delays the shortest counts. */
  addAfter(key: K, delayMs: number): void;
  /** Works until aborted; keys added earlier have waited. */
  start(signal: AbortSignal): void;
  /** Keys that wait to run now; delayed ones are not counted. */
  readonly depth: number;
  /** Resolves when nothing runs and nothing waits to run now. */
  whenIdle(): Promise<void>;
}

/** 5 ms, 10, 20 ... 40 s, then every minute: quick after a conflict, patient through an outage of days. */
const DEFAULT_BACKOFF = { initialMs: 5, maxMs: 60_000 };

interface Delayed {
  readonly dueMs: number;
  readonly cancel: () => void;
}

class KeyedWorkQueue<K extends string> implements WorkQueue<K> {
  readonly #options: WorkQueueOptions<K>;
  /** In the order of adding. */
  readonly #waiting = new Set<K>();
  /** When waiting keys were added, by the monotonic clock; kept for hooks alone. */
  readonly #addedMs = new Map<K, number>();
  readonly #running = new Set<K>();
  /** Added again while running. */
  readonly #dirty = new Set<K>();
  readonly #delayed = new Map<K, Delayed>();
  readonly #failures = new Map<K, number>();
  readonly #idleWaiters: (() => void)[] = [];
  #signal: AbortSignal | undefined;

  constructor(options: WorkQueueOptions<K>) {
    this.#options = options;
  }

  get depth(): number {
    return this.#waiting.size;
  }

  add(key: K): void {
    this.#cancelDelayed(key);
    if (this.#running.has(key)) this.#dirty.add(key);
    else this.#waiting.add(key);
    const { hooks, name, clock } = this.#options;
    if (hooks?.onStart !== undefined && !this.#addedMs.has(key)) this.#addedMs.set(key, clock.monotonic());
    hooks?.onAdd?.(name, this.#waiting.size);
    this.#schedule();
  }

  addAfter(key: K, delayMs: number): void {
    if (delayMs <= 0) {
      this.add(key);
      return;
    }
    const dueMs = this.#options.clock.monotonic() + delayMs;
    const known = this.#delayed.get(key);
    if (known !== undefined && known.dueMs <= dueMs) return;
    known?.cancel();
    this.#delayed.set(key, { dueMs, cancel: this.#options.clock.after(delayMs, () => this.add(key)) });
  }

  start(signal: AbortSignal): void {
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#stop(), { once: true });
    this.#schedule();
  }

  whenIdle(): Promise<void> {
    if (this.#isIdle) return Promise.resolve();
    return new Promise((resolve) => this.#idleWaiters.push(resolve));
  }

  get #isIdle(): boolean {
    return this.#running.size === 0 && this.#waiting.size === 0;
  }

  #stop(): void {
    for (const key of [...this.#delayed.keys()]) this.#cancelDelayed(key);
    this.#waiting.clear();
    this.#addedMs.clear();
    this.#dirty.clear();
    this.#wakeIdleWaiters();
  }

  #cancelDelayed(key: K): void {
    this.#delayed.get(key)?.cancel();
    this.#delayed.delete(key);
  }

  #schedule(): void {
    const signal = this.#signal;
    if (signal === undefined || signal.aborted) return;
    for (const key of this.#waiting) {
      if (this.#running.size >= (this.#options.concurrency ?? 4)) return;
      this.#waiting.delete(key);
      this.#running.add(key);
      this.#tellStart(key);
      void this.#work(key, signal);
    }
  }

  #tellStart(key: K): void {
    const { hooks, name, clock } = this.#options;
    if (hooks?.onStart === undefined) return;
    const nowMs = clock.monotonic();
    hooks.onStart(name, this.#waiting.size, nowMs - (this.#addedMs.get(key) ?? nowMs));
    this.#addedMs.delete(key);
  }

  async #work(key: K, signal: AbortSignal): Promise<void> {
    const { clock, hooks, name } = this.#options;
    const startedMs = clock.monotonic();
    let hasFailed = false;
    try {
      // A microtask later, so that `add` never runs the caller's sync within the caller's own call.
      await Promise.resolve();
      await this.#options.sync(key, signal);
      this.#failures.delete(key);
    } catch (err) {
      hasFailed = true;
      if (!signal.aborted) this.#retry(key, err);
    }
    hooks?.onDone?.(name, clock.monotonic() - startedMs, hasFailed);
    this.#running.delete(key);
    if (this.#dirty.delete(key) && !signal.aborted) this.#waiting.add(key);
    this.#schedule();
    this.#wakeIdleWaiters();
  }

  #retry(key: K, err: unknown): void {
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    const { backoff = DEFAULT_BACKOFF, random, log, name } = this.#options;
    const waitMs = backoffDelayMs(failures, { ...backoff, jitter: 0.2, random });
    // Losing a race against another writer is everyday business.
    const level = isConflict(err) && failures < 5 ? 'debug' : 'warn';
    log[level]('Sync failed, trying again', { queue: name, key, failures, waitMs, err: describeError(err) });
    this.addAfter(key, waitMs);
  }

  #wakeIdleWaiters(): void {
    if (!this.#isIdle) return;
    for (const resolve of this.#idleWaiters.splice(0)) resolve();
  }
}

export function createWorkQueue<K extends string>(options: WorkQueueOptions<K>): WorkQueue<K> {
  return new KeyedWorkQueue<K>(options);
}
