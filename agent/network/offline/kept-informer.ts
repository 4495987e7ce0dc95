import { hash } from 'node:crypto';
import type { IndexFunction, Informer, InformerHandler } from '#api/client/informer.ts';
import { keyOf, type ObjectKey, type Stored } from '#api/object/kube-object.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { FileSystem } from '../../host/host.ts';

export interface KeptInformerOptions<T extends Stored<object>> {
  readonly inner: Informer<T>;
  readonly fs: FileSystem;
  readonly path: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** What is worth keeping; what changes with every heartbeat is not. */
  readonly trim?: (object: T) => T;
}

/** So long the API may take to answer before what it said last is used. */
const PATIENCE_MS = 3_000;
/** A change is kept soon; those of a busy cluster are gathered, for the sake of SD cards: each write doubles the pause, a quiet time ends it. */
const CHECK = { firstMs: 5_000, maxMs: 60_000 };
/** Of a cluster that is larger than this nothing is kept: writing it again and again would cost more than it is worth. */
const MAX_BYTES = 8 * 2 ** 20;

/**
 * An informer that has an answer when this node starts while no API can be asked: what the API said last, read from a disk. Once the API
 * answers, handlers are told of the difference, and never see an object twice as new. Indexes know the API's answer alone.
 */
export class KeptInformer<T extends Stored<object>> implements Informer<T> {
  readonly #options: KeptInformerOptions<T>;
  readonly #handlers: InformerHandler<T>[] = [];
  /** What was read from the disk and the API has not spoken of yet. */
  readonly #kept = new Map<ObjectKey, T>();
  #isShown = false;
  #showing: (() => void)[] = [];
  /** Of what was written last: the text itself would be another copy of all objects. */
  #digest = '';
  #isDirty = true;

  constructor(options: KeptInformerOptions<T>) {
    this.#options = options;
    options.inner.addHandler({
      onAdd: (object, isInitial) => this.#onAdd(object, isInitial),
      onUpdate: (previous, current) => {
        this.#isDirty = true;
        for (const handler of this.#handlers) handler.onUpdate?.(previous, current);
      },
      onDelete: (object) => {
        this.#isDirty = true;
        for (const handler of this.#handlers) handler.onDelete?.(object);
      },
    });
  }

  get hasSynced(): boolean {
    return this.#isShown || this.#options.inner.hasSynced;
  }

  list(namespace?: string): T[] {
    const kept = [...this.#kept.values()].filter(
      ({ metadata }) => namespace === undefined || metadata.namespace === namespace,
    );
    return [...this.#options.inner.list(namespace), ...kept];
  }

  byKey(key: ObjectKey): T | undefined {
    return this.#options.inner.byKey(key) ?? this.#kept.get(key);
  }

  byIndex(index: string, value: string): T[] {
    return this.#options.inner.byIndex(index, value);
  }

  addIndex(name: string, index: IndexFunction<T>): void {
    this.#options.inner.addIndex(name, index);
  }

  addHandler(handler: InformerHandler<T>): void {
    this.#handlers.push(handler);
    for (const object of this.list()) handler.onAdd?.(object, true);
  }

  waitForSync(signal?: AbortSignal): Promise<void> {
    if (this.hasSynced) return Promise.resolve();
    const shown = new Promise<void>((resolve) => this.#showing.push(resolve));
    return Promise.race([this.#options.inner.waitForSync(signal), shown]);
  }

  start(signal: AbortSignal): void {
    this.#options.inner.start(signal);
    this.keep(signal);
  }

  /** As `start`, for an inner informer that somebody else starts. Returns at once. */
  keep(signal: AbortSignal): void {
    this.#run(signal).catch((err: unknown) => {
      if (!signal.aborted)
        this.#options.log.warn('what the API says is not kept', { path: this.#options.path, err: describeError(err) });
    });
  }

  #onAdd(object: T, isInitial: boolean): void {
    this.#isDirty = true;
    const before = this.#kept.get(keyOf(object));
    this.#kept.delete(keyOf(object));
    for (const handler of this.#handlers)
      if (before === undefined) handler.onAdd?.(object, isInitial);
      else handler.onUpdate?.(before, object);
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { inner, clock } = this.#options;
    const synced = inner.waitForSync(signal);
    await Promise.race([synced, delay(clock, PATIENCE_MS, signal)]);
    if (!inner.hasSynced) await this.#show();
    await synced;
    // What the API no longer has went while nobody here could see it.
    const gone = [...this.#kept.values()];
    this.#kept.clear();
    for (const object of gone) for (const handler of this.#handlers) handler.onDelete?.(object);
    for (let pauseMs = CHECK.firstMs; !signal.aborted; ) {
      const isWritten = this.#isDirty && (await this.#write());
      pauseMs = isWritten ? Math.min(2 * pauseMs, CHECK.maxMs) : CHECK.firstMs;
      await delay(clock, pauseMs, signal);
    }
  }

  async #show(): Promise<void> {
    const { inner, fs, path, log } = this.#options;
    let objects: T[];
    try {
      objects = JSON.parse(await fs.readText(path)) as T[];
    } catch (err) {
      // Never kept yet, or garbled by a power cut: then there is nothing to say before the API is back.
      if ((err as NodeJS.ErrnoException).code !== 'ENOENT')
        log.warn('what the API said last cannot be read', { path, err: describeError(err) });
      return;
    }
    if (inner.hasSynced) return;
    for (const object of objects) if (inner.byKey(keyOf(object)) === undefined) this.#kept.set(keyOf(object), object);
    this.#isShown = true;
    log.warn('the API cannot be asked; what it said last is used', { path, objects: objects.length });
    for (const object of this.#kept.values()) for (const handler of this.#handlers) handler.onAdd?.(object, true);
    for (const resolve of this.#showing.splice(0)) resolve();
  }

  /** False: what is on the disk says the same already. */
  async #write(): Promise<boolean> {
    this.#isDirty = false;
    const { inner, fs, path, log, trim = (object: T) => object } = this.#options;
    const text = JSON.stringify(inner.list().map(trim).sort(byKey));
    const digest = hash('sha256', text);
    if (digest === this.#digest) return false;
    this.#digest = digest;
    if (text.length > MAX_BYTES) {
      log.info('the cluster is too large to be kept for a start without the API', { path, bytes: text.length });
      await fs.remove(path);
      return true;
    }
    await fs.makeDirectory(path.slice(0, path.lastIndexOf('/')), 0o700);
    await fs.writeAtomic(path, text, { mode: 0o600, durable: true });
    return true;
  }
}

const byKey = <T extends Stored<object>>(a: T, b: T): number => (keyOf(a) < keyOf(b) ? -1 : 1);
