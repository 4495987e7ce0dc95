import { randomBytes } from 'node:crypto';
import { ApiError, tooManyRequests } from '#api/object/api-error.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { EnvelopeKey } from '../seal/envelope.ts';
import { MAX_KEY_USES, newRingKey, parseRing, type RingFile, type RingKey } from '../seal/key-ring.ts';
import type { SealingKeys } from '../seal/value-sealer.ts';
import type { EtcdClient } from './etcd-client.ts';
import { faultOf, isTransient } from './etcd-error.ts';

export interface EtcdKeyRingOptions {
  readonly client: EtcdClient;
  /** etcd's key of the ring. */
  readonly key: Uint8Array;
  /** 32 bytes that all API servers of the cluster have, and etcd has not. */
  readonly rootSecret: Uint8Array;
  /** False: nothing is sealed under these keys any more, they only open; then no ring is made, and no use reserved. */
  readonly seals: boolean;
  /** Keys to begin with, of a server that worked alone before. */
  readonly initial: readonly RingKey[];
  /** Told of the keys whenever they changed: for the copy in the data directory. */
  readonly onChanged: (ring: RingFile) => void;
  readonly clock: Clock;
  readonly log: Logger;
  /** See `MAX_KEY_USES`. */
  readonly maxUses?: number;
}

/** What lies in etcd. The spare seals after the newest; it is there early, so that every server knows it before anybody uses it. */
interface SharedRing extends RingFile {
  readonly spare: RingKey;
}

/** Uses that a server reserves for itself at a time; as many writes may be on their way while half of them are left. */
const RESERVE_USES = 10_000;
const REFRESH_MS = 30_000;
/** A spare that is this old is known to all servers. */
const SPARE_SETTLED_MS = 2 * REFRESH_MS;
const PERSIST_MS = 10_000;
const CAS_ATTEMPTS = 20;
const RETRY_MS = 200;

/**
 * The keys of sealed values where several API servers share them: in etcd, sealed under a secret that all of them have. Changes are made by
 * comparing the revision; uses are reserved in blocks before the first of them, so that a crash counts too many.
 */
export class EtcdKeyRing implements SealingKeys {
  readonly #options: EtcdKeyRingOptions;
  readonly #root: EnvelopeKey;
  readonly #envelopes = new Map<string, EnvelopeKey>();
  #ring: SharedRing | undefined;
  /** The key that uses are reserved of; it stays in use until others are reserved of the newest. */
  #current: EnvelopeKey | undefined;
  #reserved = 0;
  #refilling: Promise<void> | undefined;
  #cancelTimer: (() => void) | undefined;

  private constructor(options: EtcdKeyRingOptions) {
    this.#options = options;
    this.#root = new EnvelopeKey({ cipher: 'aesgcm', name: 'coracle-root', secret: options.rootSecret });
  }

  /** Reads the ring, makes it where there is none, and reserves the first uses. Rejects where it does not open. */
  static async open(options: EtcdKeyRingOptions): Promise<EtcdKeyRing> {
    const ring = new EtcdKeyRing(options);
    if (options.seals) await ring.#begin();
    else if ((await ring.#read()).ring === undefined && options.initial.length > 0) ring.#adopt(ring.#initialRing());
    ring.#refreshLater();
    return ring;
  }

  get newest(): EnvelopeKey | undefined {
    return this.#envelopes.get(this.#ring?.keys[0]?.name ?? '');
  }

  async #begin(): Promise<void> {
    try {
      await this.#refill();
    } catch (err) {
      // Reads go on over a full etcd, a restart included; whoever writes is told.
      if (faultOf(err) !== 'noSpace' || this.#ring === undefined) throw err;
      this.#options.log.error('etcd is full: no uses of the sealing key can be reserved until there is room');
    }
  }

  /** All of them as they were last read, the one that seals first. */
  get keys(): readonly RingKey[] {
    return this.#ring === undefined ? [] : [...this.#ring.keys, this.#ring.spare];
  }

  find(cipher: string, name: string): EnvelopeKey | undefined {
    return cipher === 'aesgcm' ? this.#envelopes.get(name) : undefined;
  }

  /** Throws 429 where etcd is so slow that no uses could be reserved. */
  use(): EnvelopeKey {
    if (this.#current === undefined || this.#reserved === 0) {
      this.#refillSoon();
      throw tooManyRequests('uses of the sealing key are being reserved, please try again later', 1);
    }
    this.#reserved -= 1;
    if (this.#reserved < RESERVE_USES / 2) this.#refillSoon();
    return this.#current;
  }

  /** Resolves once `use` may be called so many times; at once where nothing is sealed under these keys. */
  async reserve(uses: number): Promise<void> {
    while (this.#options.seals && this.#reserved < uses) await this.#refill();
  }

  /** Has the spare take over, on all servers within a minute. Rejects with 429 where not all of them can know it yet. */
  async rotate(): Promise<void> {
    const { clock } = this.#options;
    await this.#update((ring) => {
      const ageMs = clock.now() - Date.parse(ring.spare.created);
      if (ageMs < SPARE_SETTLED_MS) {
        const seconds = Math.ceil((SPARE_SETTLED_MS - ageMs) / 1000);
        throw tooManyRequests('the next key is not known to all API servers yet, please try again later', seconds);
      }
      return this.#advanced(ring);
    });
    await this.#refill();
  }

  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  #refreshLater(): void {
    this.#cancelTimer = this.#options.clock.after(REFRESH_MS, () => {
      void this.#refresh().finally(() => {
        if (this.#cancelTimer !== undefined) this.#refreshLater();
      });
    });
  }

  async #refresh(): Promise<void> {
    try {
      await this.#read();
      // Another server has rotated.
      if (this.#options.seals && this.#current !== this.newest) await this.#refill();
    } catch (err) {
      this.#options.log.warn('the shared keys of sealed values were not read; trying again', {
        reason: describeError(err),
      });
    }
  }

  #refillSoon(): void {
    this.#refilling ??= this.#refill()
      .catch((err: unknown) =>
        this.#options.log.warn('no uses of the sealing key were reserved; trying again', {
          reason: describeError(err),
        }),
      )
      .finally(() => {
        this.#refilling = undefined;
      });
  }

  async #refill(): Promise<void> {
    const { maxUses = MAX_KEY_USES } = this.#options;
    const { keys } = await this.#update((ring) => {
      const isWorn = ring.keys[0]!.uses + RESERVE_USES > maxUses;
      const fresh = isWorn ? this.#advanced(ring) : ring;
      const [newest, ...older] = fresh.keys;
      return { ...fresh, keys: [{ ...newest!, uses: newest!.uses + RESERVE_USES }, ...older] };
    });
    const newest = this.#envelopes.get(keys[0]!.name);
    this.#reserved = this.#current === newest ? this.#reserved + RESERVE_USES : RESERVE_USES;
    this.#current = newest;
  }

  #advanced(ring: SharedRing): SharedRing {
    return { ...ring, keys: [ring.spare, ...ring.keys], spare: this.#newKey() };
  }

  #newKey(): RingKey {
    return newRingKey(this.#options.clock.now(), randomBytes);
  }

  async #update(change: (ring: SharedRing) => SharedRing): Promise<SharedRing> {
    const { client, key, clock } = this.#options;
    /** Made by changes whose answer was lost: nobody else can have made these. */
    const ownSpares = new Set<string>();
    for (let attempt = 0; attempt < CAS_ATTEMPTS; attempt++) {
      const { ring, revision } = await this.#read();
      if (ring !== undefined && [ring.spare, ...ring.keys].some(({ name }) => ownSpares.has(name))) return ring;
      const changed = change(ring ?? this.#initialRing());
      try {
        const { succeeded } = await client.txn({
          compare: [{ result: 'EQUAL', target: 'MOD', key, mod_revision: revision }],
          success: [{ request_put: { key, value: this.#encode(changed) } }],
          failure: [],
        });
        if (!succeeded) continue;
      } catch (err) {
        if (!isTransient(err)) throw err;
        // Uses that are reserved twice do no harm; a key that took over must not be followed by another one.
        if (changed.spare.name !== ring?.spare.name) ownSpares.add(changed.spare.name);
        await delay(clock, RETRY_MS);
        continue;
      }
      this.#adopt(changed);
      return changed;
    }
    throw new ApiError(
      503,
      'ServiceUnavailable',
      'the shared keys of sealed values change faster than they can be read',
    );
  }

  /** `revision` 0: there is none. */
  async #read(): Promise<{ readonly ring: SharedRing | undefined; readonly revision: number }> {
    const { client, key } = this.#options;
    const { kvs } = await client.persist(() => client.range({ key }), { forMs: PERSIST_MS });
    const [kv] = kvs;
    if (kv === undefined) return { ring: undefined, revision: 0 };
    const ring = this.#decode(kv.value);
    this.#adopt(ring);
    return { ring, revision: Number(kv.mod_revision) };
  }

  #initialRing(): SharedRing {
    const { initial } = this.#options;
    return { version: 1, keys: initial.length > 0 ? initial : [this.#newKey()], spare: this.#newKey() };
  }

  #adopt(ring: SharedRing): void {
    const all = [...ring.keys, ring.spare];
    const isNews =
      all.some(({ name }) => !this.#envelopes.has(name)) || ring.keys[0]?.name !== this.#ring?.keys[0]?.name;
    this.#ring = ring;
    for (const { name, secret } of all) {
      if (!this.#envelopes.has(name))
        this.#envelopes.set(name, new EnvelopeKey({ cipher: 'aesgcm', name, secret: Buffer.from(secret, 'base64') }));
    }
    if (isNews) this.#options.onChanged({ version: 1, keys: all });
  }

  #encode(ring: SharedRing): Uint8Array {
    return this.#root.seal(this.#name, Buffer.from(JSON.stringify(ring)));
  }

  #decode(value: Uint8Array): SharedRing {
    let text: string;
    try {
      text = Buffer.from(this.#root.open(this.#name, value)).toString('utf8');
    } catch (err) {
      throw new Error(
        `the keys of sealed values in etcd (${this.#name}) do not open with the key of ServiceAccounts (pki/sa.key) of this data directory: ` +
          'does it belong to this cluster? Join it with a token of the cluster, or restore its backup',
        { cause: err },
      );
    }
    const { keys } = parseRing(text, this.#name);
    const { spare } = JSON.parse(text) as SharedRing;
    return { version: 1, keys, spare };
  }

  get #name(): string {
    return Buffer.from(this.#options.key).toString('utf8');
  }
}
