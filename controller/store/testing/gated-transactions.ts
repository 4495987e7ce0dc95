import { status } from '@grpc/grpc-js';
import { EtcdError } from '../etcd/etcd-error.ts';
import type { TxnRequest, TxnResponse } from '../etcd/wire-protocol.ts';
import type { StoreEventType } from '../store.ts';
import type { StoreGate } from './store-gate.ts';

type Txn = (request: TxnRequest) => Promise<TxnResponse>;

/** An etcd whose transactions stall and fail on command; what it lets through goes to the etcd behind it. */
export class GatedTransactions implements StoreGate {
  readonly batches: { readonly writes: readonly { readonly type: StoreEventType }[] }[] = [];
  #gate: { readonly opened: Promise<void>; readonly open: () => void } | undefined;
  #failure: Error | undefined;
  #loseAnswer = false;

  stall(): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gate = { opened: promise, open: resolve };
  }

  release(): void {
    this.#gate?.open();
    this.#gate = undefined;
  }

  failNext(message: string): void {
    this.#failure = new EtcdError('refused', status.INTERNAL, message);
  }

  /** The next transaction ends as if nobody knew what became of it: `before` it reaches etcd, or `after` etcd has carried it out. */
  loseNext(when: 'before' | 'after'): void {
    if (when === 'after') this.#loseAnswer = true;
    else this.#failure = new EtcdError('unknown', status.UNAVAILABLE, 'connection dropped');
  }

  get writeBatches(): StoreGate['batches'] {
    return this.batches;
  }

  wrap(txn: Txn): Txn {
    return async (request) => {
      const [action] = request.success;
      const type = action !== undefined && 'request_put' in action ? 'MODIFIED' : 'DELETED';
      this.batches.push({ writes: [{ type }] });
      await this.#gate?.opened;
      const failure = this.#failure;
      this.#failure = undefined;
      if (failure !== undefined) throw failure;
      const isLost = this.#loseAnswer;
      this.#loseAnswer = false;
      const answer = await txn(request);
      if (isLost) throw new EtcdError('unknown', status.UNAVAILABLE, 'connection dropped');
      return answer;
    };
  }
}
