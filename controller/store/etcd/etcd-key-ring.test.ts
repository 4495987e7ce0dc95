import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { patiently } from '#test/kit/patiently.ts';
import type { RingFile } from '../seal/key-ring.ts';
import type { EtcdClient } from './etcd-client.ts';
import { EtcdError } from './etcd-error.ts';
import { EtcdKeyRing, type EtcdKeyRingOptions } from './etcd-key-ring.ts';
import type { RangeResponse, TxnRequest, TxnResponse } from './wire-protocol.ts';

const KEY = new TextEncoder().encode('/registry.coracle.dev/sealing-keys');
const STORAGE_KEY = '/registry/secrets/default/a';
const PLAIN = new Uint8Array([1, 2, 3]);
const rootSecret = new Uint8Array(32).fill(7);

/** One key of an etcd, with compare-and-swap; `beforeTxn` lets another server in between. */
class OneKey {
  value: Uint8Array | undefined;
  revision = 1;
  beforeTxn: (() => Promise<void>) | undefined;
  isDown = false;
  isFull = false;
  /** The next transaction is carried out, and its answer lost. */
  losesAnswer = false;

  readonly client = {
    persist: (call: () => Promise<unknown>) => call(),
    range: async () => {
      if (this.isDown) throw new Error('etcd is down');
      const kvs = this.value === undefined ? [] : [{ value: this.value, mod_revision: String(this.revision) }];
      return { kvs } as unknown as RangeResponse;
    },
    txn: async ({ compare, success }: TxnRequest) => {
      const interloper = this.beforeTxn;
      this.beforeTxn = undefined;
      await interloper?.();
      if (this.isDown) throw new Error('etcd is down');
      if (this.isFull) throw new EtcdError('noSpace', status.RESOURCE_EXHAUSTED, 'mvcc: database space exceeded');
      const [put] = success;
      const succeeded = compare[0]?.mod_revision === (this.value === undefined ? 0 : this.revision);
      if (succeeded && put !== undefined && 'request_put' in put) {
        this.value = put.request_put.value;
        this.revision += 1;
      }
      if (this.losesAnswer) {
        this.losesAnswer = false;
        throw new EtcdError('unknown', status.UNAVAILABLE, 'etcdserver: leader changed');
      }
      return { succeeded } as TxnResponse;
    },
  } as unknown as EtcdClient;
}

describe('EtcdKeyRing', () => {
  const setUp = () => {
    const etcd = new OneKey();
    const clock = new FakeClock();
    const copies: RingFile[] = [];
    const open = (options: Partial<EtcdKeyRingOptions> = {}) =>
      EtcdKeyRing.open({
        client: etcd.client,
        key: KEY,
        rootSecret,
        seals: true,
        initial: [],
        onChanged: (ring) => copies.push(ring),
        clock,
        log: silentLogger,
        ...options,
      });
    return { etcd, clock, copies, open };
  };

  it('gives all servers the same keys, which etcd alone does not tell', async () => {
    const { etcd, open } = setUp();
    const [a, b] = await Promise.all([open(), open()]);
    const sealed = a.use().seal(STORAGE_KEY, PLAIN);
    expect(b.newest?.open(STORAGE_KEY, sealed)).toEqual(PLAIN);
    expect(Buffer.from(etcd.value ?? []).toString('latin1')).not.toContain('secret');
  });

  it('counts the uses of both, reserved before they happen', async () => {
    const { copies, open } = setUp();
    await open();
    await open();
    const c = await open({ onChanged: (ring) => copies.push(ring) });
    expect(copies.at(-1)?.keys[0]?.uses).toBeGreaterThanOrEqual(20_000);
    c.stop();
  });

  it('loses no reservation when another server is quicker', async () => {
    const { etcd, open } = setUp();
    const a = await open();
    etcd.beforeTxn = async () => {
      await open();
    };
    await a.reserve(15_000);
    for (let i = 0; i < 15_000; i++) a.use();
  });

  it('takes the spare before the limit; a server that has only read the ring before opens what it seals', async () => {
    const { open } = setUp();
    const reader = await open({ maxUses: 30_000 });
    const writer = await open({ maxUses: 30_000 });
    const first = writer.use();
    await writer.reserve(20_000);
    expect(writer.use()).not.toBe(first);
    const sealed = writer.use().seal(STORAGE_KEY, PLAIN);
    const { name } = writer.use();
    expect(reader.find('aesgcm', name)?.open(STORAGE_KEY, sealed)).toEqual(PLAIN);
  });

  it('rotates when told to, once all servers can know the next key, and the others follow', async () => {
    const { clock, open } = setUp();
    const a = await open();
    const b = await open();
    const before = a.use();
    await expect(a.rotate()).rejects.toMatchObject({ code: 429 });
    await clock.advance(61_000);
    await a.rotate();
    expect(a.use()).not.toBe(before);
    await clock.advance(31_000);
    await patiently(() => expect(b.use().name).toBe(a.use().name));
  });

  it('settles a change whose answer was lost: one key takes over, not two', async () => {
    const { etcd, clock, open } = setUp();
    etcd.losesAnswer = true;
    const opening = open();
    await patiently(() => expect(clock.pendingTimers).toBe(1));
    await clock.advance(1_000);
    const ring = await opening;
    expect(ring.keys).toHaveLength(2);
    await clock.advance(61_000);
    etcd.losesAnswer = true;
    const rotating = ring.rotate();
    // The other one reads the ring now and then.
    await patiently(() => expect(clock.pendingTimers).toBe(2));
    await clock.advance(1_000);
    await rotating;
    expect(ring.keys).toHaveLength(3);
    expect(ring.use().name).toBe(ring.keys[0]?.name);
    ring.stop();
  });

  it('refuses with 429 rather than to seal uncounted', async () => {
    const { etcd, open } = setUp();
    const ring = await open();
    etcd.isDown = true;
    for (let i = 0; i < 10_000; i++) ring.use();
    expect(() => ring.use()).toThrow(expect.objectContaining({ code: 429 }));
    etcd.isDown = false;
    await patiently(() => ring.use());
  });

  it('opens over a full etcd, for reads; what is to be sealed waits for room', async () => {
    const { etcd, open } = setUp();
    etcd.isFull = true;
    await expect(open()).rejects.toMatchObject({ fault: 'noSpace' });
    etcd.isFull = false;
    const sealed = (await open()).use().seal(STORAGE_KEY, PLAIN);
    etcd.isFull = true;
    const ring = await open();
    expect(ring.newest?.open(STORAGE_KEY, sealed)).toEqual(PLAIN);
    expect(() => ring.use()).toThrow(expect.objectContaining({ code: 429 }));
    etcd.isFull = false;
    await patiently(() => ring.use());
    ring.stop();
  });

  it('begins with the keys of a server that worked alone', async () => {
    const { open } = setUp();
    const alone = { name: 'coracle-alone', secret: Buffer.alloc(32, 3).toString('base64'), created: '', uses: 7 };
    const ring = await open({ initial: [alone] });
    expect(ring.newest?.name).toBe('coracle-alone');
  });

  it('makes none where nothing is to be sealed', async () => {
    const { etcd, open } = setUp();
    const ring = await open({ seals: false });
    expect([etcd.value, ring.newest]).toEqual([undefined, undefined]);
  });

  it('names the cure where the data directory is another cluster’s', async () => {
    const { open } = setUp();
    await open();
    await expect(open({ rootSecret: new Uint8Array(32) })).rejects.toThrow(
      /do not open with the key of ServiceAccounts .* of this data directory: does it belong to this cluster\?/,
    );
  });
});
