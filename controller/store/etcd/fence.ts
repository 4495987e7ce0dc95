import type { EtcdClient } from './etcd-client.ts';
import { SharedRound } from './shared-round.ts';
import type { Compare, RequestOp } from './wire-protocol.ts';

/** How long a fence is tried for while members fail. */
const PERSIST_MS = 10_000;

const EMPTY = new Uint8Array();

/**
 * One key that every transaction of ours is conditional on. To write it fences off whatever was sent before: a transaction whose answer was
 * lost, and which may still lie in some member's queue, has either been carried out at an older revision or never will be. Its event also
 * tells, on servers that have no safe way of telling progress, that all events before it have arrived.
 */
export class Fence {
  readonly #client: EtcdClient;
  readonly #key: Uint8Array;
  readonly #round: SharedRound<number>;
  /** Of the key; 0: it is not there. */
  #revision = 0;
  /** Revision of etcd at which that was so. */
  #asOf = 0;

  constructor(client: EtcdClient, key: Uint8Array) {
    this.#client = client;
    this.#key = key;
    this.#round = new SharedRound(() => this.#write());
  }

  /** For each transaction: fails where a fence was written that we have not seen. */
  compare(): Compare {
    return { result: 'EQUAL', target: 'MOD', key: this.#key, mod_revision: this.#revision };
  }

  /** For the failure branch of each transaction: tells why it failed. */
  read(): RequestOp {
    return { request_range: { key: this.#key, keys_only: true } };
  }

  /** At etcd's revision `asOf` the fence's was `revision`, 0 if it was not there. Reports may come in any order. */
  seen(revision: number, asOf: number): void {
    if (asOf < this.#asOf) return;
    this.#revision = revision;
    this.#asOf = asOf;
  }

  /** After a restore of etcd revisions begin again. */
  reset(revision: number, asOf: number): void {
    this.#revision = revision;
    this.#asOf = asOf;
  }

  /** Writes the fence after this call began; answers its revision. */
  raise(): Promise<number> {
    return this.#round.join();
  }

  async #write(): Promise<number> {
    const put: RequestOp = { request_put: { key: this.#key, value: EMPTY } };
    const { header } = await this.#client.persist(
      () => this.#client.terms.guard(this.#client.txn({ compare: [], success: [put], failure: [] })),
      { forMs: PERSIST_MS },
    );
    const revision = Number(header.revision);
    this.seen(revision, revision);
    return revision;
  }
}
