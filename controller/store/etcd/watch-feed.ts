import { type BackoffOptions, backoffDelayMs } from '#base/backoff.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { EtcdClient, WatchStream } from './etcd-client.ts';
import { hasSafeProgress } from './etcd-version.ts';
import type { KeySpace } from './key-space.ts';
import type { WatchEvent, WatchResponse } from './wire-protocol.ts';

export interface WatchFeedOptions {
  readonly client: EtcdClient;
  readonly keys: KeySpace;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
  /** Everything that one transaction did, in order of revision. Must not throw. */
  readonly onRevision: (revision: number, events: readonly WatchEvent[]) => void;
  /** Nothing up to this revision is missing. */
  readonly onProgress: (revision: number) => void;
  /** Events are lost: they were compacted, or etcd has gone back in time. Resolves with the revision from which to go on. */
  readonly onLost: (loss: FeedLoss) => Promise<number>;
  /** A stream is open, perhaps to another member than before. */
  readonly onOpened: () => void;
}

export type FeedLoss =
  | { readonly why: 'compacted' }
  /** etcd's newest revision is older than what it told before: somebody restored a backup. */
  | { readonly why: 'rolledBack'; readonly revision: number };

const BACKOFF: BackoffOptions = { initialMs: 50, maxMs: 2_000, jitter: 0.5 };

/** How a stream ended: for another reason than these it is opened anew at once. */
type StreamEnd = 'broken' | 'compacted';

/**
 * The one watch of everything under the prefix, kept up over failing members without loss or repetition. `#next` is the revision that is
 * read next; it moves when all fragments of a batch are there.
 */
export class WatchFeed {
  readonly #options: WatchFeedOptions;
  readonly #stop = new AbortController();
  #isOpen = false;
  #brokenSinceMs: number | undefined;
  #next: number;
  #stream: WatchStream | undefined;
  #server = '';
  #progressSafe = false;
  #fragments: WatchEvent[] = [];

  /** Events after `revision` follow. */
  constructor(options: WatchFeedOptions, revision: number) {
    this.#options = options;
    this.#next = revision + 1;
  }

  /** The member at the other end answers requests for progress in order with its events. */
  get progressSafe(): boolean {
    return this.#progressSafe;
  }

  get connected(): boolean {
    return this.#isOpen;
  }

  start(): void {
    void this.#run();
  }

  stop(): void {
    this.#stop.abort(new Error('the store is closing'));
    this.#stream?.cancel();
  }

  /** Asks to be told how far the events are; the answer is progress. */
  requestProgress(): void {
    if (this.#progressSafe) this.#stream?.write({ progress_request: {} });
  }

  /** Opens the stream anew, at another member: this one is too slow. */
  restart(): void {
    if (this.#stream === undefined) return;
    this.#options.client.leave(this.#server);
    this.#stream.cancel();
  }

  async #run(): Promise<void> {
    const { clock, random, client } = this.#options;
    for (let failures = 1; !this.#stop.signal.aborted; failures++) {
      try {
        await this.#checkRevision();
        const end = await this.#follow(() => {
          failures = 0;
          this.#tellRecovery();
          this.#options.onOpened();
        });
        if (end === 'compacted') this.#next = (await this.#options.onLost({ why: 'compacted' })) + 1;
      } catch (err) {
        if (this.#stop.signal.aborted) return;
        this.#tellFailure(describeError(err));
        client.leave(this.#server);
      }
      await delay(clock, backoffDelayMs(Math.max(failures, 1), { ...BACKOFF, random }), this.#stop.signal).catch(
        () => {},
      );
    }
  }

  /** Once an outage: nobody reads the hundredth line of the same. */
  #tellFailure(reason: string): void {
    const { clock, log } = this.#options;
    const fields = { server: this.#server, reason };
    if (this.#brokenSinceMs === undefined) log.warn('the watch of etcd failed, trying all members', fields);
    else log.debug('the watch of etcd failed', fields);
    this.#brokenSinceMs ??= clock.monotonic();
  }

  #tellRecovery(): void {
    if (this.#brokenSinceMs === undefined) return;
    const elapsedMs = Math.round(this.#options.clock.monotonic() - this.#brokenSinceMs);
    this.#options.log.info('the watch of etcd goes on', { server: this.#server, elapsedMs });
    this.#brokenSinceMs = undefined;
  }

  /** A watch from the future of a restored etcd would wait for ever, and then tell half. */
  async #checkRevision(): Promise<void> {
    const { client, keys } = this.#options;
    this.#server = client.server;
    const [{ header }, status] = await Promise.all([
      client.range({ key: keys.fence, count_only: true }),
      client.status(),
    ]);
    this.#progressSafe = hasSafeProgress(status.version);
    const revision = Number(header.revision);
    if (revision >= this.#next - 1) return;
    this.#next = (await this.#options.onLost({ why: 'rolledBack', revision })) + 1;
  }

  #follow(onOpened: () => void): Promise<StreamEnd> {
    const { client, keys } = this.#options;
    return new Promise((resolve, reject) => {
      // What one member said of itself does not hold for another: calls that failed meanwhile may have gone over to that.
      if (client.server !== this.#server) {
        resolve('broken');
        return;
      }
      const stream = client.watch();
      const finish = (settle: () => void) => {
        if (this.#stream === stream) {
          this.#stream = undefined;
          this.#isOpen = false;
        }
        settle();
      };
      this.#fragments = [];
      this.#stream = stream;
      stream.on('data', (received: WatchResponse) => {
        if (this.#stream !== stream) return;
        const message = client.revisions.watch(received);
        if (message.canceled) {
          stream.cancel();
          if (Number(message.compact_revision) > 0) finish(() => resolve('compacted'));
          else finish(() => reject(new Error(message.cancel_reason || 'etcd ended the watch')));
        } else if (message.created) {
          this.#isOpen = true;
          onOpened();
        } else this.#take(message);
      });
      stream.on('error', (err) => finish(() => (this.#stop.signal.aborted ? resolve('broken') : reject(err))));
      stream.on('end', () => finish(() => resolve('broken')));
      stream.write({
        create_request: {
          key: keys.first,
          range_end: keys.end,
          start_revision: client.revisions.toEtcd(this.#next),
          progress_notify: this.#progressSafe,
          fragment: true,
        },
      });
    });
  }

  #take({ header, fragment, events }: WatchResponse): void {
    if (events.length === 0 && !fragment) {
      if (this.#fragments.length === 0 && this.#progressSafe) this.#progressTo(Number(header.revision));
      return;
    }
    this.#fragments.push(...events);
    if (fragment) return;
    const batch = this.#fragments;
    this.#fragments = [];
    for (let at = 0; at < batch.length; ) {
      const revision = Number(batch[at]!.kv.mod_revision);
      let end = at + 1;
      while (end < batch.length && Number(batch[end]!.kv.mod_revision) === revision) end += 1;
      if (revision >= this.#next) {
        this.#next = revision + 1;
        this.#options.onRevision(revision, batch.slice(at, end));
      }
      at = end;
    }
  }

  #progressTo(revision: number): void {
    if (revision < this.#next) return;
    this.#next = revision + 1;
    this.#options.onProgress(revision);
  }
}
