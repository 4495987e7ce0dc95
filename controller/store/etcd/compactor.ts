import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { EtcdClient } from './etcd-client.ts';
import { isCompacted } from './etcd-client.ts';
import type { TxnResponse } from './wire-protocol.ts';

const INTERVAL_MS = 5 * 60_000;

/** Kubernetes' own key: API servers of both kinds share the work over it. Its version counts the rounds. */
const KEY = new TextEncoder().encode('compact_rev_key');

/** Rounds after which a revision may go: what is younger than ten minutes stays, so that watches resume over a restart. */
const ROUNDS_KEPT = 2;

export interface CompactorOptions {
  readonly client: EtcdClient;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Keeps etcd's history short. Once per interval each API server tries to count the round up; the one that succeeds compacts, the others
 * take the count over. Nothing is compacted in the first rounds, because nobody knows then how old a revision is.
 */
export class Compactor {
  readonly #options: CompactorOptions;
  /** Newest revision at each of the last rounds, oldest first. */
  readonly #revisions: number[] = [];
  #round = 0;
  #cancelTimer: (() => void) | undefined;

  constructor(options: CompactorOptions) {
    this.#options = options;
  }

  start(): void {
    this.#cancelTimer = this.#options.clock.after(INTERVAL_MS, () => {
      this.start();
      this.runRound().catch((err: unknown) =>
        this.#options.log.warn('etcd was not compacted; the next round tries again', { reason: describeError(err) }),
      );
    });
  }

  stop(): void {
    this.#cancelTimer?.();
  }

  async runRound(): Promise<void> {
    const { client, log } = this.#options;
    const oldest = this.#revisions.length >= ROUNDS_KEPT ? this.#revisions.shift()! : 0;
    const answer = await client.txn({
      compare: [{ result: 'EQUAL', target: 'VERSION', key: KEY, version: this.#round }],
      success: [
        { request_put: { key: KEY, value: new TextEncoder().encode(String(client.revisions.toEtcd(oldest))) } },
      ],
      failure: [{ request_range: { key: KEY } }],
    });
    this.#revisions.push(Number(answer.header.revision));
    if (!answer.succeeded) {
      this.#round = Number(versionOf(answer));
      return;
    }
    this.#round += 1;
    if (oldest === 0) return;
    try {
      await client.compact(oldest);
      log.debug('etcd compacted', { revision: oldest });
    } catch (err) {
      // Somebody else, an administrator for one, went further.
      if (!isCompacted(err)) throw err;
    }
  }
}

const versionOf = ({ responses }: TxnResponse): string => responses[0]?.response_range?.kvs[0]?.version ?? '0';
