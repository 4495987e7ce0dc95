import { MANAGED_FIELDS, OMIT_HEADER } from '#api/client/omit-header.ts';
import { type ApiError, resourceExpired } from '#api/object/api-error.ts';
import type { Snapshot, StoredObject, StoreEvent, Watcher } from '../../store/store.ts';
import { toApiError } from '../chain/status-answer.ts';
import type { WatchSeries } from '../metrics/watch-metrics.ts';
import { storagePrefixOf } from '../registry/resource-catalog.ts';
import type { ResponseStream } from '../server/api-request.ts';
import { tableOptions } from '../table/table.ts';
import type { ApiServices, ResourceTarget } from './api-services.ts';
import { freshSnapshot } from './fresh-snapshot.ts';
import { negotiate } from './negotiation.ts';
import { type ObjectSelector, parseSelector } from './object-selector.ts';
import { type ListOptions, parseListOptions, parseResourceVersion, watchListsUnavailable } from './request-options.ts';
import { TimeSlice } from './time-slice.ts';
import { createFrameEncoder, departed, type FrameEncoder } from './watch-frames.ts';

/** Told apart by clients: everything before this bookmark was there when the watch began. */
const INITIAL_EVENTS_END = { 'k8s.io/initial-events-end': 'true' };

const BOOKMARK_INTERVAL_MS = 60_000;
/** A bookmark so long before the time-out lets the client resume from as near as can be. */
const LAST_BOOKMARK_MS = 2_000;
/** Without a wish of the client a watch ends after this, up to twice as long, so that a fleet's watches spread over new servers. */
const MIN_TIMEOUT_MS = 1_800_000;
/** What a watch that has run out of time has told already may still be taken for so long. */
const LAST_FRAMES_MS = 30_000;
/** A watcher this far behind is cut off: it resumes from its last revision, and the memory goes to those who keep up. */
const MAX_PENDING_BYTES = 4 * 1024 * 1024;
/** Initial events are joined to writes of about this size. */
const INITIAL_BATCH_BYTES = 64 * 1024;

/** GET of a collection with `watch=true`: ends when the client leaves, at its time-out, or when it fell too far behind. */
export async function handleWatch(services: ApiServices, target: ResourceTarget): Promise<void> {
  const { context, definition } = target;
  const options = parseListOptions(context.info.query, true);
  const selector = parseSelector(definition, withName(target, options));
  const representation = negotiate(context.request.header('accept'), definition.format !== undefined);
  const start = await planStart(services, options);
  const encoder = createFrameEncoder({
    definition,
    representation,
    ...tableOptions(context.info.query),
    isLean: context.request.header(OMIT_HEADER) === MANAGED_FIELDS,
    nowMs: () => services.clock.now(),
    format: services.format,
  });
  const stream = context.response.stream(200, { 'content-type': encoder.contentType });
  await new WatchSession({ services, target, options, selector, encoder, stream, start }).run();
}

/** The deprecated `/watch/.../<name>` paths watch one object. */
function withName(target: ResourceTarget, options: ListOptions): ListOptions {
  if (!target.context.info.path.includes('/watch/') || target.name === '') return options;
  const term = `metadata.name=${target.name}`;
  return { ...options, fieldSelector: options.fieldSelector === '' ? term : `${options.fieldSelector},${term}` };
}

interface WatchStart {
  /** State to be told as ADDED first; undefined when the client has one. */
  readonly initial: Snapshot | undefined;
  /** Events after this revision follow. */
  readonly fromRevision: number;
  /** The client wants to know where the initial events end. */
  readonly marksEnd: boolean;
}

async function planStart(services: ApiServices, options: ListOptions): Promise<WatchStart> {
  const { resourceVersion, sendInitialEvents } = options;
  const wanted = parseResourceVersion(resourceVersion) ?? 0;
  if (sendInitialEvents === true) {
    // Clients fall back on a list and a watch.
    if (services.store.shared?.servesWatchLists === false) throw watchListsUnavailable();
    const initial = await freshSnapshot(services.store, resourceVersion);
    return { initial, fromRevision: initial.revision, marksEnd: options.allowWatchBookmarks };
  }
  if (wanted > 0) {
    // A watch from the future would miss what happens until then, so it waits like a read.
    if (wanted > services.store.revision) await freshSnapshot(services.store, resourceVersion);
    return { initial: undefined, fromRevision: wanted, marksEnd: false };
  }
  const now = await freshSnapshot(services.store, resourceVersion);
  return { initial: sendInitialEvents === false ? undefined : now, fromRevision: now.revision, marksEnd: false };
}

interface SessionParts {
  readonly services: ApiServices;
  readonly target: ResourceTarget;
  readonly options: ListOptions;
  readonly selector: ObjectSelector;
  readonly encoder: FrameEncoder;
  readonly stream: ResponseStream;
  readonly start: WatchStart;
}

/** One watcher from its first frame to its last. */
class WatchSession {
  readonly #parts: SessionParts;
  readonly #done = Promise.withResolvers<void>();
  readonly #cancels: (() => void)[] = [];
  #watcher: Watcher | undefined;
  #isOver = false;
  /** By the monotonic clock. */
  #deadlineMs = Number.POSITIVE_INFINITY;
  #waiting: Uint8Array[] = [];
  /** Events that wait for those of the history to be told; undefined once that is done. */
  #backlog: StoreEvent[] | undefined = [];
  /** Of the backlog, what happened since the watch began. */
  #lateBytes = 0;
  #converted: Promise<void> = Promise.resolve();
  readonly #series: WatchSeries | undefined;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.#series = parts.services.watchMetrics?.seriesOf(parts.target.definition);
  }

  async run(): Promise<void> {
    const { stream, start, encoder, options } = this.#parts;
    stream.onClose(() => this.#finish());
    this.#endWithKind();
    this.#endWithServer();
    this.#limitTime();
    if (start.initial !== undefined) await this.#sendInitial(start.initial);
    if (this.#isOver) return;
    if (start.marksEnd) stream.write(encoder.bookmark(start.fromRevision, INITIAL_EVENTS_END));
    if (!this.#follow()) return;
    if (options.allowWatchBookmarks) this.#scheduleBookmark();
    await this.#done.promise;
  }

  /** The state of the beginning, no faster than the client takes it. */
  async #sendInitial(snapshot: Snapshot): Promise<void> {
    const { selector, encoder, stream, services } = this.#parts;
    const slice = new TimeSlice(services.clock);
    let batch: Uint8Array[] = [];
    let bytes = 0;
    if (this.#waitsForConversion) await this.#prepare([...this.#candidates(snapshot)]);
    for (const object of this.#candidates(snapshot)) {
      const pause = slice.pause();
      if (pause !== undefined) await pause;
      if (this.#isOver) return;
      if (!selector.matches(object)) continue;
      const frame = encoder.encode('ADDED', object);
      batch.push(frame);
      bytes += frame.byteLength;
      if (bytes < INITIAL_BATCH_BYTES) continue;
      const hasRoom = stream.write(join(batch));
      this.#count(batch);
      batch = [];
      bytes = 0;
      if (!hasRoom) await stream.drained();
      if (this.#isOver) return;
    }
    if (batch.length === 0) return;
    stream.write(join(batch));
    this.#count(batch);
  }

  #candidates(snapshot: Snapshot): Iterable<StoredObject> {
    const field = this.#indexedField(snapshot);
    const prefix = this.#prefix();
    const indexed = field === undefined ? undefined : snapshot.byField(prefix, field.name, field.value);
    return indexed ?? snapshot.range(prefix);
  }

  #prefix(): string {
    return storagePrefixOf(this.#parts.target.definition, this.#parts.target.namespace);
  }

  #indexedField(snapshot: Snapshot): { name: string; value: string } | undefined {
    const { selector, target } = this.#parts;
    for (const name of target.definition.indexedFields) {
      const value = selector.fields.exactMatch(name);
      if (value !== undefined && snapshot.byField(this.#prefix(), name, value) !== undefined) return { name, value };
    }
    return undefined;
  }

  /** False when the revision is gone: the client has been told to list again. */
  #follow(): boolean {
    const { services, start } = this.#parts;
    const field = this.#indexedField(services.store.snapshot());
    try {
      this.#watcher = services.store.watch({
        prefix: this.#prefix(),
        fromRevision: start.fromRevision,
        ...(field === undefined ? {} : { field }),
        onEvent: (event) => {
          if (this.#backlog === undefined) this.#onStoreEvent(event);
          else this.#keepForLater(this.#backlog, event);
        },
        onClose: (reason) => {
          if (reason === 'compacted') this.#fail(resourceExpired('too old resource version'));
          else this.#end();
        },
      });
    } catch (err) {
      this.#fail(toApiError(err));
      return false;
    }
    if (this.#isOver) this.#watcher.stop();
    else void this.#catchUp();
    return !this.#isOver;
  }

  #keepForLater(backlog: StoreEvent[], event: StoreEvent): void {
    backlog.push(event);
    // The history itself comes before there is a watcher.
    if (this.#watcher === undefined || this.#isOver) return;
    this.#lateBytes += event.object.bytes.byteLength;
    if (this.#lateBytes > MAX_PENDING_BYTES) this.#cutOff();
  }

  /**
   * The history comes all at once. It is told in slices, no faster than the client takes it: there may be far more than a watcher may be
   * behind, and who was cut off for it would never get any further. What happens meanwhile waits behind it.
   */
  async #catchUp(): Promise<void> {
    const { stream, services } = this.#parts;
    const backlog = this.#backlog ?? [];
    const slice = new TimeSlice(services.clock);
    for (let at = 0, untold = 0; at < backlog.length && !this.#isOver; at++) {
      const pause = slice.pause();
      if (pause !== undefined) await pause;
      const event = backlog[at]!;
      this.#onStoreEvent(event);
      untold += event.object.bytes.byteLength;
      if (untold < INITIAL_BATCH_BYTES) continue;
      untold = 0;
      if (this.#waitsForConversion) await this.#converted;
      this.#flush();
      await stream.drained();
    }
    this.#backlog = undefined;
  }

  get #waitsForConversion(): boolean {
    return this.#parts.target.definition.conversion?.prepare !== undefined;
  }

  /** Objects whose conversion has to be waited for are told in their order all the same. */
  #onStoreEvent(event: StoreEvent): void {
    if (!this.#waitsForConversion) {
      this.#onEvent(event);
      return;
    }
    const { type, object, previous, revision } = event;
    const left = previous === undefined || type === 'DELETED' ? [] : [previous, departed(previous, revision)];
    this.#converted = this.#converted
      .then(() => this.#prepare([object, ...left]))
      .then(() => this.#onEvent(event))
      .catch((err: unknown) => this.#fail(toApiError(err)));
  }

  async #prepare(views: readonly StoredObject[]): Promise<void> {
    const { target, selector, encoder } = this.#parts;
    if (encoder.needsMetadataOnly === true && selector.fields.isEmpty) return;
    await target.definition.conversion?.prepare?.read(views);
  }

  #onEvent(event: StoreEvent): void {
    if (this.#isOver) return;
    const frame = this.#frameFor(event);
    if (frame === undefined) return;
    this.#waiting.push(frame);
    // Events of one group commit arrive in one go; they leave in one write.
    if (this.#waiting.length === 1) queueMicrotask(() => this.#flush());
  }

  #frameFor({ type, object, previous, revision }: StoreEvent): Uint8Array | undefined {
    const { selector, encoder } = this.#parts;
    if (selector.isEverything) return encoder.encode(type, object);
    const wasSelected = previous !== undefined && selector.matches(previous);
    const isSelected = type !== 'DELETED' && selector.matches(object);
    if (isSelected) return encoder.encode(wasSelected ? 'MODIFIED' : 'ADDED', object);
    if (!wasSelected) return undefined;
    return encoder.encode('DELETED', type === 'DELETED' ? object : departed(previous, revision));
  }

  #flush(): void {
    const { stream } = this.#parts;
    if (this.#waiting.length === 0 || this.#isOver) return;
    const frames = this.#waiting;
    this.#waiting = [];
    stream.write(join(frames));
    this.#count(frames);
    if (stream.pendingBytes > MAX_PENDING_BYTES) this.#cutOff();
  }

  /** It resumes from the last revision that it saw. */
  #cutOff(): void {
    const { stream, services, target } = this.#parts;
    services.log.warn('watcher cut off: it does not keep up', {
      path: target.context.info.path,
      user: target.context.user.name,
      pendingBytes: stream.pendingBytes,
    });
    this.#finish();
    if (stream.abort === undefined) stream.end();
    else stream.abort();
  }

  #count(frames: readonly Uint8Array[]): void {
    if (this.#series === undefined) return;
    this.#series.events.value += frames.length;
    for (const { byteLength } of frames) this.#series.sizes.observe(byteLength);
  }

  #scheduleBookmark(): void {
    const { services } = this.#parts;
    const lastMs = this.#deadlineMs - LAST_BOOKMARK_MS - services.clock.monotonic();
    if (lastMs <= 0) return;
    const isLast = lastMs <= BOOKMARK_INTERVAL_MS;
    const cancel = services.clock.after(isLast ? lastMs : BOOKMARK_INTERVAL_MS, () => {
      if (this.#isOver) return;
      this.#tellRevision(services.store.revision);
      if (!isLast) this.#scheduleBookmark();
    });
    this.#cancels[0] = cancel;
  }

  /** Behind all that happened up to the revision: a client that has it resumes from there. */
  #tellRevision(revision: number): void {
    const tell = () => {
      if (this.#isOver) return;
      this.#flush();
      this.#parts.stream.write(this.#parts.encoder.bookmark(revision));
    };
    // The next one will do.
    if (this.#backlog !== undefined) return;
    if (this.#waitsForConversion) this.#converted = this.#converted.then(tell);
    else tell();
  }

  /** A custom kind whose definition changes or goes takes its watches along: clients come back to the new one, or to a 404. */
  #endWithKind(): void {
    const { retired } = this.#parts.target.definition;
    if (retired === undefined) return;
    const end = () => this.#end();
    retired.addEventListener('abort', end, { once: true });
    this.#cancels[2] = () => retired.removeEventListener('abort', end);
    if (retired.aborted) end();
  }

  /** A server that stops ends its watches while it still answers, so that clients lose nothing but a connection. */
  #endWithServer(): void {
    const { openWatches } = this.#parts.services;
    const end = () => this.#end();
    openWatches?.add(end);
    this.#cancels[3] = () => openWatches?.delete(end);
  }

  #limitTime(): void {
    const { services, options } = this.#parts;
    const askedMs = (options.timeoutSeconds ?? 0) * 1000;
    const limitMs = askedMs > 0 ? askedMs : MIN_TIMEOUT_MS * (1 + services.random());
    this.#deadlineMs = services.clock.monotonic() + limitMs;
    this.#cancels[1] = services.clock.after(limitMs, () => this.#timeOut());
  }

  /** What waits is still told, but who never takes it holds the state of its beginning no longer than this. */
  #timeOut(): void {
    const { stream, services } = this.#parts;
    this.#end();
    if (stream.pendingBytes > 0) stream.onClose(services.clock.after(LAST_FRAMES_MS, () => stream.abort?.()));
  }

  #fail(err: ApiError): void {
    if (this.#isOver) return;
    this.#parts.stream.write(this.#parts.encoder.error(err.toStatus()));
    this.#end();
  }

  #end(): void {
    if (this.#isOver) return;
    this.#flush();
    this.#finish();
    this.#parts.stream.end();
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#watcher?.stop();
    for (const cancel of this.#cancels) cancel?.();
    this.#done.resolve();
  }
}

function join(frames: readonly Uint8Array[]): Uint8Array {
  const [only] = frames;
  if (frames.length === 1 && only !== undefined) return only;
  const joined = new Uint8Array(frames.reduce((sum, frame) => sum + frame.byteLength, 0));
  let at = 0;
  for (const frame of frames) {
    joined.set(frame, at);
    at += frame.byteLength;
  }
  return joined;
}
