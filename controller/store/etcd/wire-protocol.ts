import { fromJSON, type MethodDefinition, type ServiceDefinition } from '@grpc/proto-loader';
import descriptor from '../../../protos/etcd-v3.json' with { type: 'json' };

/**
 * Messages as they come from the decoder. 64-bit numbers are decimal text there: ids and lease numbers use all bits, which a double has
 * not. Revisions are turned into numbers at once (`toNumber`): they stay below 2^53 for ages.
 */
export interface ResponseHeader {
  readonly cluster_id: string;
  readonly member_id: string;
  readonly revision: string;
  readonly raft_term: string;
}

export interface KeyValue {
  readonly key: Uint8Array;
  readonly create_revision: string;
  readonly mod_revision: string;
  readonly version: string;
  readonly value: Uint8Array;
  readonly lease: string;
}

export interface RangeRequest {
  readonly key: Uint8Array;
  readonly range_end?: Uint8Array;
  readonly limit?: number;
  readonly revision?: number;
  /** True: the member answers from what it has; absent: it first makes sure that it has everything (a quorum read). */
  readonly serializable?: boolean;
  readonly keys_only?: boolean;
  readonly count_only?: boolean;
  /** Keys that were written before are left out of `kvs`; `count` is that of all. */
  readonly min_mod_revision?: number;
}

export interface RangeResponse {
  readonly header: ResponseHeader;
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
  readonly count: string;
}

export interface Compare {
  readonly result: 'EQUAL';
  readonly target: 'MOD' | 'VERSION';
  readonly key: Uint8Array;
  readonly mod_revision?: number;
  readonly version?: number;
}

export type RequestOp =
  | { readonly request_range: RangeRequest }
  | { readonly request_put: { readonly key: Uint8Array; readonly value: Uint8Array; readonly lease?: string } }
  | { readonly request_delete_range: { readonly key: Uint8Array; readonly range_end?: Uint8Array } };

export interface ResponseOp {
  readonly response_range?: RangeResponse | null;
}

export interface TxnRequest {
  readonly compare: readonly Compare[];
  readonly success: readonly RequestOp[];
  readonly failure: readonly RequestOp[];
}

export interface TxnResponse {
  readonly header: ResponseHeader;
  readonly succeeded: boolean;
  readonly responses: readonly ResponseOp[];
}

export interface WatchEvent {
  readonly type: 'PUT' | 'DELETE';
  readonly kv: KeyValue;
}

export interface WatchResponse {
  readonly header: ResponseHeader;
  readonly watch_id: string;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compact_revision: string;
  readonly cancel_reason: string;
  /** More of the same batch follows. */
  readonly fragment: boolean;
  readonly events: readonly WatchEvent[];
}

export interface StatusResponse {
  readonly header: ResponseHeader;
  readonly version: string;
  /** Bytes of the member's file. */
  readonly dbSize: string;
  readonly leader: string;
  readonly errors: readonly string[];
}

export interface AlarmResponse {
  readonly alarms: readonly { readonly memberID: string; readonly alarm: 'NONE' | 'NOSPACE' | 'CORRUPT' }[];
}

export interface LeaseGrantResponse {
  readonly ID: string;
  readonly TTL: string;
}

export type Method = MethodDefinition<object, object>;

export interface EtcdProtocol {
  readonly range: Method;
  readonly txn: Method;
  readonly compact: Method;
  readonly watch: Method;
  readonly leaseGrant: Method;
  readonly alarm: Method;
  readonly status: Method;
}

/** Costs a few milliseconds: once per client. */
export function loadEtcdProtocol(): EtcdProtocol {
  const services = fromJSON(descriptor as Parameters<typeof fromJSON>[0], {
    keepCase: true,
    defaults: true,
    enums: String,
    longs: String,
  });
  const method = (service: string, name: string): Method => {
    const found = (services[`etcdserverpb.${service}`] as ServiceDefinition | undefined)?.[name];
    if (found === undefined) throw new Error(`the protocol descriptor lacks ${service}.${name}`);
    return found as Method;
  };
  return {
    range: method('KV', 'Range'),
    txn: method('KV', 'Txn'),
    compact: method('KV', 'Compact'),
    watch: method('Watch', 'Watch'),
    leaseGrant: method('Lease', 'LeaseGrant'),
    alarm: method('Maintenance', 'Alarm'),
    status: method('Maintenance', 'Status'),
  };
}
