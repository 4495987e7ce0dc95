import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import { Client, type ClientDuplexStream, credentials, Metadata, status } from '@grpc/grpc-js';
import { type BackoffOptions, backoffDelayMs } from '#base/backoff.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { EtcdError, faultOf, isTransient, toEtcdError } from './etcd-error.ts';
import { RevisionOffset } from './revision-offset.ts';
import { TermWatch } from './term-watch.ts';
import {
  type AlarmResponse,
  type EtcdProtocol,
  type LeaseGrantResponse,
  loadEtcdProtocol,
  type Method,
  type RangeRequest,
  type RangeResponse,
  type ResponseHeader,
  type StatusResponse,
  type TxnRequest,
  type TxnResponse,
} from './wire-protocol.ts';

/** PEM texts. */
export interface EtcdTls {
  /** Absent: the authorities that this host trusts. */
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

export interface EtcdClientOptions {
  /** `https://host:2379` or `http://host:2379`, all of one cluster. */
  readonly servers: readonly string[];
  readonly tls: EtcdTls;
  /** Reads it anew: certificates run out before processes do. May throw; absent: it never changes. */
  readonly reloadTls?: () => EtcdTls;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
}

/**
 * A member that is gone without a word is noticed within 15 s by whoever holds a stream to it; etcd answers pings more frequent than every
 * 5 s with GOAWAY. Messages may be of any size: a page of objects is what we ask for, a batch of events comes in fragments.
 */
const CHANNEL_OPTIONS = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.min_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
  'grpc.enable_retries': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.use_local_subchannel_pool': 1,
};

/**
 * A member that knows of no leader says so at once; one that is this silent has stopped, or its disk has. Another is asked then, and what
 * was asked of this one is settled by the fence.
 */
const CALL_TIMEOUT_MS = 5_000;

const BACKOFF: BackoffOptions = { initialMs: 50, maxMs: 1_000, jitter: 0.5 };

/** Files are looked at so often at most, while calls fail. */
const RELOAD_EVERY_MS = 5_000;

interface Member {
  readonly server: string;
  client: Client;
  /** What `client` was made with. */
  tls: EtcdTls;
  /** `foreign`: belongs to another cluster, and is not asked again. `own`: was seen to belong to ours. */
  standing: 'new' | 'own' | 'foreign';
}

export type WatchStream = ClientDuplexStream<object, object>;

/** The members of one etcd cluster, asked one at a time: the one that answers, until it fails. */
export class EtcdClient {
  readonly #options: EtcdClientOptions;
  readonly #protocol: EtcdProtocol = loadEtcdProtocol();
  readonly #members: readonly Member[];
  readonly #metadata = new Metadata();
  /** Of the leaders; for calls whose outcome matters when a leader is lost. */
  readonly terms: TermWatch;
  #revisions = new RevisionOffset(0);
  #current = 0;
  #clusterId: string | undefined;
  #closed = false;
  #reloadedMs = Number.NEGATIVE_INFINITY;
  #tls: EtcdTls;

  constructor(options: EtcdClientOptions) {
    this.#options = options;
    this.#tls = options.tls;
    this.#members = options.servers.map((server) => ({
      server,
      client: openChannel(server, options.tls),
      tls: options.tls,
      standing: 'new',
    }));
    this.terms = new TermWatch(options.clock, () => this.range({ key: Uint8Array.of(0), count_only: true }));
    // A member that has lost its leader says so at once instead of letting us wait.
    this.#metadata.set('hasleader', 'true');
  }

  /** The server that is asked now, for messages. */
  get server(): string {
    return this.#members[this.#current]!.server;
  }

  /** The next member's turn, if `server` is still the one that is asked. */
  leave(server: string): void {
    if (this.#members.length === 1 || this.server !== server) return;
    for (let step = 1; step <= this.#members.length; step++) {
      const next = (this.#current + step) % this.#members.length;
      if (this.#members[next]!.standing === 'foreign') continue;
      this.#current = next;
      break;
    }
    this.#options.log.debug('etcd member failed, asking another', { failed: server, server: this.server });
  }

  /** Between the revisions of etcd and those that everybody else sees; all calls but `status` and `watch` go through it by themselves. */
  get revisions(): RevisionOffset {
    return this.#revisions;
  }

  /** Before anything was told of the state. */
  shiftRevisions(offset: number): void {
    this.#revisions = new RevisionOffset(offset);
  }

  async range(request: RangeRequest): Promise<RangeResponse> {
    const revisions = this.#revisions;
    return revisions.range(await this.#call(this.#protocol.range, revisions.rangeToEtcd(request)));
  }

  async txn(request: TxnRequest): Promise<TxnResponse> {
    const revisions = this.#revisions;
    return revisions.txn(await this.#call(this.#protocol.txn, revisions.txnToEtcd(request)));
  }

  async compact(revision: number): Promise<void> {
    await this.#call(this.#protocol.compact, { revision: this.#revisions.toEtcd(revision) });
  }

  /** Answers the id of a lease that lasts `ttlSeconds` at least. */
  async grantLease(ttlSeconds: number): Promise<string> {
    const { ID } = await this.#call<LeaseGrantResponse>(this.#protocol.leaseGrant, { TTL: ttlSeconds, ID: 0 });
    return ID;
  }

  alarms(): Promise<AlarmResponse> {
    return this.#call(this.#protocol.alarm, { action: 'GET', memberID: 0, alarm: 'NONE' });
  }

  /** Of the member that is asked now. */
  status(): Promise<StatusResponse> {
    return this.#call(this.#protocol.status, {});
  }

  /** Raw messages: whoever reads them shifts them. */
  watch(): WatchStream {
    const { path, requestSerialize, responseDeserialize } = this.#protocol.watch;
    const { client } = this.#members[this.#current]!;
    return client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, this.#metadata);
  }

  /** Calls again and again, at one member after the other, while the fault is one that passes; only for calls that may be repeated. */
  async persist<T>(
    call: () => Promise<T>,
    options: { readonly forMs: number; readonly signal?: AbortSignal },
  ): Promise<T> {
    const { clock, random } = this.#options;
    const endMs = clock.monotonic() + options.forMs;
    for (let failures = 1; ; failures++) {
      try {
        return await call();
      } catch (err) {
        if (this.#closed || !isTransient(err) || clock.monotonic() >= endMs) throw err;
      }
      await delay(clock, backoffDelayMs(failures, { ...BACKOFF, random }), options.signal);
    }
  }

  close(): void {
    this.#closed = true;
    for (const { client } of this.#members) client.close();
  }

  async #call<Response extends object>(method: Method, request: object): Promise<Response> {
    if (this.#closed) throw new EtcdError('refused', status.CANCELLED, 'the store is closing');
    const member = this.#members[this.#current]!;
    if (member.standing === 'new' && method !== this.#protocol.status) await this.#meet(member);
    return this.#ask<Response>(member, method, request);
  }

  /** A write must not reach a member of another cluster, so that is found out first. */
  async #meet(member: Member): Promise<void> {
    try {
      await this.#ask<StatusResponse>(member, this.#protocol.status, {});
    } catch (err) {
      if (!(err instanceof EtcdError) || err.fault !== 'unknown') throw err;
      // What the caller wanted was not even sent.
      throw new EtcdError('unavailable', err.code, err.message, { cause: err });
    }
  }

  async #ask<Response extends object>(member: Member, method: Method, request: object): Promise<Response> {
    const { path, requestSerialize, responseDeserialize } = method;
    let timedOut = false;
    let cancelTimer: (() => void) | undefined;
    try {
      const answer = await new Promise<Response>((resolve, reject) => {
        const call = member.client.makeUnaryRequest(
          path,
          requestSerialize,
          responseDeserialize,
          request,
          this.#metadata,
          (err, response) => (err === null ? resolve(response as Response) : reject(toEtcdError(err))),
        );
        // Our own timer rather than gRPC's deadline, which counts on the wall clock.
        cancelTimer = this.#options.clock.after(CALL_TIMEOUT_MS, () => {
          timedOut = true;
          call.cancel();
        });
      });
      this.#checkCluster(member, (answer as { header?: ResponseHeader | null }).header);
      return answer;
    } catch (err) {
      const fault = timedOut
        ? new EtcdError('unknown', status.DEADLINE_EXCEEDED, `${member.server}: no answer within ${CALL_TIMEOUT_MS} ms`)
        : err;
      if (isTransient(fault)) {
        this.#renewTls(member);
        this.leave(member.server);
      }
      throw fault;
    } finally {
      cancelTimer?.();
    }
  }

  /** A connection that fails may do so because its certificate, or the authority's, was replaced in the meantime. */
  #renewTls(member: Member): void {
    const { clock, log, reloadTls } = this.#options;
    if (reloadTls === undefined || this.#closed) return;
    if (clock.monotonic() - this.#reloadedMs >= RELOAD_EVERY_MS) {
      this.#reloadedMs = clock.monotonic();
      try {
        this.#tls = reloadTls();
      } catch (err) {
        log.warn('certificates for etcd cannot be read; those from before stay in use', { reason: describeError(err) });
      }
    }
    if (isSameTls(this.#tls, member.tls)) return;
    const before = member.client;
    try {
      member.client = openChannel(member.server, this.#tls);
    } catch (err) {
      log.warn('certificates for etcd are of no use', { reason: describeError(err) });
      return;
    } finally {
      member.tls = this.#tls;
    }
    log.info('certificates for etcd have changed: connecting anew', { server: member.server });
    before.close();
  }

  /** One wrong address in a list of servers would otherwise split the state in two. */
  #checkCluster(member: Member, header: ResponseHeader | null | undefined): void {
    if (header === null || header === undefined || header.cluster_id === '0') return;
    this.#clusterId ??= header.cluster_id;
    if (header.cluster_id === this.#clusterId) {
      member.standing = 'own';
      this.terms.note(header.raft_term);
      return;
    }
    const [told, known] = [toHex(header.cluster_id), toHex(this.#clusterId)];
    const reason = `${member.server} belongs to another etcd cluster (${told}) than the one this server works with (${known})`;
    if (member.standing !== 'foreign') this.#options.log.error('an etcd server is not used', { reason });
    member.standing = 'foreign';
    const isLast = this.#members.every(({ standing }) => standing === 'foreign');
    throw new EtcdError(isLast ? 'refused' : 'unavailable', status.FAILED_PRECONDITION, reason);
  }
}

export const isCompacted = (err: unknown): boolean => faultOf(err) === 'compacted';

const isSameTls = (a: EtcdTls, b: EtcdTls): boolean =>
  (['ca', 'cert', 'key'] as const).every((part) => Buffer.compare(a[part] ?? NOTHING, b[part] ?? NOTHING) === 0);

const NOTHING = Buffer.alloc(0);

const toHex = (id: string) => BigInt(id).toString(16);

/** No host is called so: see below. */
const PLACEHOLDER_NAME = 'etcd';

function openChannel(server: string, { ca, cert, key }: EtcdTls): Client {
  const { protocol, host, hostname } = new URL(server);
  if (protocol !== 'https:') return new Client(host, credentials.createInsecure(), CHANNEL_OPTIONS);
  const address = hostname.replace(/^\[|\]$/g, '');
  const parts = [ca ?? null, key ?? null, cert ?? null] as const;
  if (isIP(address) === 0) return new Client(host, credentials.createSsl(...parts), CHANNEL_OPTIONS);
  // gRPC would send the address as TLS server name, which TLS forbids and Node refuses. It gets another, and the certificate is still
  // checked for the address.
  const security = credentials.createSsl(...parts, {
    checkServerIdentity: (_name, certificate) => checkServerIdentity(address, certificate),
  });
  return new Client(host, security, { ...CHANNEL_OPTIONS, 'grpc.ssl_target_name_override': PLACEHOLDER_NAME });
}
