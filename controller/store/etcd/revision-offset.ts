import { status } from '@grpc/grpc-js';
import { EtcdError } from './etcd-error.ts';
import type {
  Compare,
  KeyValue,
  RangeRequest,
  RangeResponse,
  ResponseHeader,
  TxnRequest,
  TxnResponse,
  WatchResponse,
} from './wire-protocol.ts';

/**
 * What is added to etcd's revisions before anybody sees them. A state that was brought into an etcd must go on above all revisions that were
 * told before (contract sentence 1), and no client can raise etcd's own. 0 in all other cases: then nothing is touched.
 *
 * Messages of etcd are changed in place as they come from the decoder.
 */
export class RevisionOffset {
  readonly offset: number;

  constructor(offset: number) {
    this.offset = offset;
  }

  /** Of etcd, for a revision that we have told. Throws the fault `compacted` for one from before this etcd. */
  toEtcd(revision: number): number {
    if (this.offset === 0 || revision === 0) return revision;
    if (revision <= this.offset) {
      const message = `revision ${revision} is older than this etcd, which begins at ${this.offset}`;
      throw new EtcdError('compacted', status.OUT_OF_RANGE, message);
    }
    return revision - this.offset;
  }

  rangeToEtcd(request: RangeRequest): RangeRequest {
    const { revision = 0, min_mod_revision: since = 0 } = request;
    if (this.offset === 0 || (revision === 0 && since === 0)) return request;
    return { ...request, revision: this.toEtcd(revision), min_mod_revision: Math.max(since - this.offset, 0) };
  }

  txnToEtcd(request: TxnRequest): TxnRequest {
    if (this.offset === 0) return request;
    return { ...request, compare: request.compare.map((compare) => this.#compareToEtcd(compare)) };
  }

  range(response: RangeResponse): RangeResponse {
    if (this.offset === 0) return response;
    this.#shiftHeader(response.header);
    for (const kv of response.kvs) this.#shiftKey(kv);
    return response;
  }

  txn(response: TxnResponse): TxnResponse {
    if (this.offset === 0) return response;
    this.#shiftHeader(response.header);
    for (const { response_range: range } of response.responses) for (const kv of range?.kvs ?? []) this.#shiftKey(kv);
    return response;
  }

  watch(response: WatchResponse): WatchResponse {
    if (this.offset === 0) return response;
    this.#shiftHeader(response.header);
    for (const { kv } of response.events) this.#shiftKey(kv);
    return response;
  }

  /** A condition on a revision from before this etcd never holds; 1 is the revision of an empty etcd, which no key has. */
  #compareToEtcd(compare: Compare): Compare {
    const { mod_revision: revision } = compare;
    if (revision === undefined || revision === 0) return compare;
    return { ...compare, mod_revision: Math.max(revision - this.offset, 1) };
  }

  #shiftHeader(header: ResponseHeader | null): void {
    if (header !== null) (header as { revision: string }).revision = this.#shift(header.revision);
  }

  #shiftKey(kv: KeyValue): void {
    (kv as { mod_revision: string }).mod_revision = this.#shift(kv.mod_revision);
  }

  #shift(revision: string): string {
    return String(Number(revision) + this.offset);
  }
}
