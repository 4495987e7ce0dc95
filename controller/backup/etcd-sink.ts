import { createHash } from 'node:crypto';
import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import { openSharedSealing, type SharedSealing } from '../shared-sealing.ts';
import { faultOf } from '../store/etcd/etcd-error.ts';
import { successor } from '../store/etcd/key-space.ts';
import { fittingLimit } from '../store/etcd/list-all.ts';
import { connectEtcd, type EtcdConnection, type EtcdConnectOptions } from '../store/etcd/open-etcd-store.ts';
import { REVISION_LEAP } from '../store/integrity/recover.ts';
import type { SealingPlan } from '../store/seal/sealing-plan.ts';
import { BackupError } from './backup-error.ts';
import type { BackedUpObject } from './backup-records.ts';
import type { StateSink } from './state-sink.ts';

export interface EtcdSinkOptions {
  readonly access: Pick<EtcdConnectOptions, 'servers' | 'caFile' | 'certFile' | 'keyFile' | 'prefix'>;
  /** Where `pki/sa.key` and `seal/keys.json` lie. */
  readonly folder: string;
  readonly sealing: SealingPlan;
  readonly raisedTo: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** etcd takes 128 operations and 1.5 MiB a transaction where nobody has changed that. */
const BATCH_OBJECTS = 100;
const BATCH_BYTES = 768 * 1024;
const PAGE_SIZE = 100;
const PERSIST_MS = 30_000;

/** An etcd that holds nothing below its prefix yet. */
export class EtcdSink implements StateSink {
  readonly #connection: EtcdConnection;
  readonly #sealing: SharedSealing;
  /** Of each value, by etcd's key, to compare with in the end. */
  readonly #sums = new Map<string, string>();
  /** Of the etcd before us: put back when we fail. */
  readonly #offsetBefore: number;
  #batch: BackedUpObject[] = [];
  #bytes = 0;
  #isClosed = false;

  private constructor(connection: EtcdConnection, sealing: SharedSealing, offsetBefore: number) {
    this.#connection = connection;
    this.#sealing = sealing;
    this.#offsetBefore = offsetBefore;
  }

  /** Throws ConfigError where etcd cannot be used, BackupError where it holds something; until then nothing is written. */
  static async open(options: EtcdSinkOptions): Promise<EtcdSink> {
    const { access, folder, sealing: plan, raisedTo, clock, log } = options;
    const connection = await connectEtcd({ ...access, clock, log, random: Math.random });
    const { client, keys } = connection;
    try {
      const { count, header } = await client.range({ key: keys.first, range_end: keys.end, count_only: true });
      if (Number(count) > 0) {
        throw new BackupError(
          `etcd holds ${count} keys below ${access.prefix} already: name another --etcd-prefix, or delete them with ` +
            `"etcdctl del --prefix ${access.prefix.replace(/\/+$/, '')}/"`,
        );
      }
      const before = client.revisions.offset;
      const shown = Number(header.revision);
      // What others were told by this etcd before counts too.
      const offset = Math.max(raisedTo, before === 0 ? 0 : shown + REVISION_LEAP) - (shown - before);
      await put(connection, keys.revisionOffset, Buffer.from(String(Math.max(offset, 0))));
      client.shiftRevisions(Math.max(offset, 0));
      // Of a cluster whose objects are gone: nothing lies under them any more, and our key would not open them.
      const obsolete = [keys.sealingKeys, keys.movedAway].map((key) => ({ request_delete_range: { key } }));
      await client.txn({ compare: [], success: obsolete, failure: [] });
      const sealing = await openSharedSealing(connection, { dataDir: folder, prefix: access.prefix, plan, clock, log });
      return new EtcdSink(connection, sealing, before);
    } catch (err) {
      client.close();
      throw err;
    }
  }

  async add(object: BackedUpObject): Promise<void> {
    const bytes = object.value.length + object.key.length;
    // A large object goes alone: with others before it, it would be more than etcd takes.
    if (this.#bytes + bytes > BATCH_BYTES) await this.#flush();
    this.#batch.push(object);
    this.#bytes += bytes;
    if (this.#batch.length >= BATCH_OBJECTS) await this.#flush();
  }

  async finish(): Promise<number> {
    await this.#flush();
    await this.#compare();
    await this.#sealing.copied();
    this.#close();
    return this.#sums.size;
  }

  async abandon(): Promise<void> {
    if (this.#isClosed) return;
    const { client, keys } = this.#connection;
    try {
      await client.txn({
        compare: [],
        success: [{ request_delete_range: { key: keys.first, range_end: keys.end } }],
        failure: [],
      });
      await put(this.#connection, keys.revisionOffset, Buffer.from(String(this.#offsetBefore)));
    } finally {
      this.#close();
    }
  }

  async #flush(): Promise<void> {
    const { client, keys } = this.#connection;
    const { ring, sealer } = this.#sealing;
    await ring.reserve(this.#batch.length);
    const puts = this.#batch.map(({ key, value }) => {
      const etcdKey = keys.toEtcd(key);
      const name = Buffer.from(etcdKey).toString('utf8');
      this.#sums.set(name, sumOf(value));
      return { request_put: { key: etcdKey, value: sealer.seal(name, value) } };
    });
    this.#batch = [];
    this.#bytes = 0;
    if (puts.length === 0) return;
    try {
      // The same values again would do no harm, so a lost answer is none either.
      await client.persist(() => client.txn({ compare: [], success: puts, failure: [] }), { forMs: PERSIST_MS });
    } catch (err) {
      throw faultOf(err) === 'tooLarge' ? tooLarge(puts) : err;
    }
  }

  async #compare(): Promise<void> {
    const { client, keys } = this.#connection;
    let found = 0;
    for (let from = keys.first, limit = PAGE_SIZE; ; ) {
      const request = { key: from, range_end: keys.end, limit };
      const page = await client.persist(() => client.range(request), { forMs: PERSIST_MS });
      for (const kv of page.kvs) {
        const name = Buffer.from(kv.key).toString('utf8');
        if (this.#sums.get(name) !== sumOf(this.#sealing.sealer.open(name, kv.value)))
          throw new BackupError(`${name} in etcd is not what was written: does something else write there?`);
        found += 1;
      }
      const last = page.kvs.at(-1);
      if (!page.more || last === undefined) break;
      from = successor(last.key);
      limit = fittingLimit(page);
    }
    if (found !== this.#sums.size)
      throw new BackupError(`etcd holds ${found} objects where ${this.#sums.size} were written`);
  }

  #close(): void {
    this.#isClosed = true;
    this.#sealing.ring.stop();
    this.#connection.client.close();
  }
}

function tooLarge(puts: readonly { readonly request_put: { readonly key: Uint8Array; readonly value: Uint8Array } }[]) {
  const [{ key, value }] = puts
    .map(({ request_put: one }) => one)
    .toSorted((a, b) => b.value.length - a.value.length) as [{ key: Uint8Array; value: Uint8Array }];
  return new BackupError(
    `etcd refuses ${Buffer.from(key).toString()} (${value.length} bytes) as too large: raise its --max-request-bytes`,
  );
}

async function put({ client }: EtcdConnection, key: Uint8Array, value: Uint8Array): Promise<void> {
  await client.persist(() => client.txn({ compare: [], success: [{ request_put: { key, value } }], failure: [] }), {
    forMs: PERSIST_MS,
  });
}

const sumOf = (value: Uint8Array): string => createHash('sha256').update(value).digest('base64');
