import { resourceExpired } from '#api/object/api-error.ts';
import { type Clock, delay } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import { DEFAULT_HISTORY_LIMITS } from '../history.ts';
import type {
  SharedBackend,
  Snapshot,
  Store,
  StoredObject,
  StoreEvent,
  Watcher,
  WatchOptions,
  WriteDecision,
  WriteOptions,
  WriteResult,
} from '../store.ts';
import type { StoreOptions } from '../store-core.ts';
import { StoredValue } from '../stored-value.ts';
import { type InitialState, VisibleState } from '../visible-state.ts';
import { DEFAULT_PIPELINE_LIMITS } from '../write-pipeline.ts';
import { Compactor } from './compactor.ts';
import type { EtcdClient } from './etcd-client.ts';
import type { EtcdValues } from './etcd-values.ts';
import { EtcdWriter } from './etcd-writer.ts';
import { Fence } from './fence.ts';
import { Freshness } from './freshness.ts';
import type { KeySpace } from './key-space.ts';
import { LeaseBuckets } from './lease-buckets.ts';
import { type Listing, listAll } from './list-all.ts';
import { type FeedLoss, WatchFeed } from './watch-feed.ts';
import type { TxnRequest, TxnResponse, WatchEvent } from './wire-protocol.ts';

/** Writes under way may finish so long after the store was told to close. */
const DRAIN_MS = 5_000;

export interface EtcdStoreParts {
  readonly client: EtcdClient;
  readonly keys: KeySpace;
  readonly values: EtcdValues;
  readonly random: () => number;
  readonly listing: Listing;
  /** When nothing is asked of etcd any more. */
  readonly onClose: () => void;
  /** For what a real network takes its time over; `StoreOptions.clock` is that of the history. */
  readonly ioClock: Clock;
  /** Stands between the store and its transactions: for fault tests. */
  readonly wrapTxn?: (txn: (request: TxnRequest) => Promise<TxnResponse>) => typeof txn;
}

/**
 * The store over an etcd cluster: everything under the prefix is kept in memory, fed by one watch; a revision is etcd's own. Others may
 * write to the same keys.
 */
export class EtcdStore implements Store {
  readonly shared: SharedBackend;
  readonly #log: Logger;
  readonly #parts: EtcdStoreParts;
  readonly #view: VisibleState;
  readonly #feed: WatchFeed;
  readonly #fence: Fence;
  readonly #freshness: Freshness;
  readonly #writer: EtcdWriter;
  readonly #compactor: Compactor;
  /** The watch has been open once. */
  readonly #opened = Promise.withResolvers<void>();
  /** By key: why it is not shown. */
  readonly #unreadable: Map<string, string>;
  /** Revisions up to this one were told by an etcd that has since gone back; 0: it never did. */
  #forgottenUpTo = 0;
  #isFull = false;
  #closing: Promise<void> | undefined;

  constructor(options: StoreOptions, parts: EtcdStoreParts) {
    const { log } = options;
    const { client, keys, listing, random, ioClock: clock } = parts;
    this.#log = log;
    this.#parts = parts;
    this.#unreadable = new Map(listing.unreadable);
    this.#view = new VisibleState(
      {
        clock: options.clock,
        indexes: options.indexes ?? [],
        historyLimits: { ...DEFAULT_HISTORY_LIMITS, ...options.historyLimits },
        volatilePrefixes: [],
      },
      stateOf(listing),
    );
    this.#fence = new Fence(client, keys.fence);
    this.#fence.seen(listing.fenceRevision, listing.revision);
    this.#feed = new WatchFeed(
      {
        client,
        keys,
        clock,
        log,
        random,
        onRevision: (revision, events) => this.#take(revision, events),
        onProgress: (revision) => {
          this.#view.advance(revision);
          this.#freshness.moved();
        },
        onLost: (loss) => this.#readAnew(loss),
        onOpened: () => {
          this.#opened.resolve();
          this.#freshness.ask();
        },
      },
      listing.revision,
    );
    this.#freshness = new Freshness({
      client,
      keys,
      clock,
      view: this.#view,
      fence: this.#fence,
      feed: this.#feed,
      countKeys: () => this.#view.snapshot().count('/registry/') + this.#unreadable.size,
    });
    this.#writer = this.#createWriter(options);
    this.#compactor = new Compactor({ client, clock, log });
    const feed = this.#feed;
    this.shared = {
      catchUp: () => this.#freshness.catchUp(),
      get servesWatchLists() {
        return feed.progressSafe;
      },
    };
  }

  /** Resolves once the watch is open, and everything that etcd had at the time of the call is visible. */
  async start(): Promise<void> {
    this.#feed.start();
    await this.#opened.promise;
    await this.#freshness.catchUp();
    this.#compactor.start();
  }

  get revision(): number {
    return this.#view.revision;
  }

  get compactedRevision(): number {
    return this.#view.compactedRevision;
  }

  /** For the health checks; undefined: all is well. */
  connectionProblem(): string | undefined {
    return this.#feed.connected ? undefined : 'no etcd member answers: reads are from memory, writes wait';
  }

  /** For the health checks; undefined: all is well. */
  contentProblem(): string | undefined {
    if (this.#isFull) return 'etcd is full (NOSPACE alarm): writes are refused';
    const [first] = this.#unreadable;
    if (first === undefined) return undefined;
    return `${this.#unreadable.size} values in etcd cannot be read, the first is that of ${first[0]}: ${first[1]}`;
  }

  /** Bytes that the cluster's state takes on the disk of a member; 0 while none answers: whoever asks must not have to wait. */
  async size(): Promise<number> {
    if (!this.#feed.connected) return 0;
    const { dbSize } = await this.#parts.client.status();
    return Number(dbSize);
  }

  snapshot(): Snapshot {
    return this.#view.snapshot();
  }

  snapshotAt(revision: number): Snapshot {
    this.#refuseForgotten(revision);
    return this.#view.snapshotAt(revision);
  }

  async waitFor(revision: number, timeoutMs: number): Promise<void> {
    if (revision <= this.#view.revision) return;
    this.#refuseForgotten(revision);
    // Another server may know a revision that no event of ours carries. One that nobody has made yet is not worth asking for again and again.
    this.#freshness.catchUp().catch(() => {});
    await this.#view.waitFor(revision, timeoutMs);
  }

  write(
    key: string,
    decide: (current: StoredObject | undefined) => WriteDecision,
    options?: WriteOptions,
  ): Promise<WriteResult> {
    return this.#writer.write(key, decide, options?.signal);
  }

  watch(options: WatchOptions): Watcher {
    this.#refuseForgotten(options.fromRevision);
    return this.#view.watch(options);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Ends without a word, as kill -9 would: for tests. */
  abandon(): void {
    this.#parts.onClose();
    this.#compactor.stop();
    this.#freshness.stop();
    this.#feed.stop();
    this.#parts.client.close();
  }

  async #close(): Promise<void> {
    this.#compactor.stop();
    // While no member answers, nothing comes of waiting longer.
    await Promise.race([this.#writer.drain(), delay(this.#parts.ioClock, DRAIN_MS)]);
    this.abandon();
    this.#view.closeWatches();
  }

  #createWriter({ volatilePrefixes = [], pipelineLimits }: StoreOptions): EtcdWriter {
    const { client, keys, values, random, ioClock: clock, wrapTxn } = this.#parts;
    const txn = (request: TxnRequest) => client.txn(request);
    return new EtcdWriter({
      client,
      txn: wrapTxn?.(txn) ?? txn,
      keys,
      clock,
      random,
      view: this.#view,
      values,
      fence: this.#fence,
      freshness: this.#freshness,
      leases: new LeaseBuckets(clock, (ttlSeconds) => client.grantLease(ttlSeconds)),
      limits: { ...DEFAULT_PIPELINE_LIMITS, ...pipelineLimits },
      ttlOf: (key) => volatilePrefixes.find(({ prefix }) => key.startsWith(prefix))?.ttlMs,
      unreadable: (key) => this.#unreadable.get(key),
      onTransaction: (outcome) => {
        this.#isFull = outcome === 'noSpace';
      },
    });
  }

  #refuseForgotten(revision: number): void {
    if (revision > this.#view.revision && revision <= this.#forgottenUpTo)
      throw resourceExpired(`too old resource version: ${revision} (etcd was restored to ${this.#view.revision})`);
  }

  /** One revision of etcd: mostly one write, more for a foreign transaction and for objects whose lease ended. */
  #take(revision: number, changes: readonly WatchEvent[]): void {
    const events: StoreEvent[] = [];
    for (const change of changes) {
      const event = this.#eventOf(revision, change);
      if (event === undefined) continue;
      this.#writer.saw(event);
      events.push(event);
    }
    if (events.length === 0) this.#view.advance(revision);
    else this.#view.publishTogether(events);
    this.#freshness.moved();
  }

  /** undefined for what no reader sees. */
  #eventOf(revision: number, { type, kv }: WatchEvent): StoreEvent | undefined {
    const { keys, values } = this.#parts;
    const key = keys.fromEtcd(kv.key);
    if (key === undefined) {
      this.#fence.seen(type === 'PUT' ? revision : 0, revision);
      return undefined;
    }
    const previous = this.#view.get(key);
    this.#unreadable.delete(key);
    if (type === 'PUT') {
      try {
        const object = this.#writer.ownValue(key, kv) ?? values.read(key, kv);
        return { type: previous === undefined ? 'ADDED' : 'MODIFIED', revision, object, previous };
      } catch (err) {
        this.#log.error('a value in etcd is not shown', { key, err });
        this.#unreadable.set(key, (err as Error).message);
      }
    }
    if (previous === undefined) return undefined;
    const object = StoredValue.rebased(previous, revision, values.context);
    return { type: 'DELETED', revision, object, previous };
  }

  async #readAnew(loss: FeedLoss): Promise<number> {
    const { client, keys, values } = this.#parts;
    if (loss.why === 'rolledBack') {
      this.#forgottenUpTo = Math.max(this.#forgottenUpTo, this.#view.revision);
      this.#log.error(
        'etcd has gone back in time: somebody restored a backup. What was written since is lost, and clients that saw it read anew. ' +
          'Restore with "etcdutl snapshot restore --bump-revision 1000000000 --mark-compacted" so that no revision is used twice',
        { revision: loss.revision, before: this.#view.revision },
      );
    } else this.#log.warn('etcd compacted events that were not read yet: reading everything anew', {});
    const listing = await listAll({ client, keys, values });
    for (const [key, reason] of listing.unreadable) this.#log.error('a value in etcd is not shown', { key, reason });
    this.#unreadable.clear();
    for (const [key, reason] of listing.unreadable) this.#unreadable.set(key, reason);
    this.#fence.reset(listing.fenceRevision, listing.revision);
    this.#writer.lostEvents();
    this.#view.reset(stateOf(listing));
    this.#freshness.moved();
    return listing.revision;
  }
}

const stateOf = ({ revision, objects }: Listing): InitialState => ({
  revision,
  objects,
  history: [],
  compactedRevision: revision,
});
