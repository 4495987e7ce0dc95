import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { syncFolder } from '../integrity/snapshots.ts';
import { EnvelopeKey } from './envelope.ts';
import type { SealingKeys } from './value-sealer.ts';

/**
 * Uses after which a new key takes over: Kubernetes' figure for AES-GCM with random nonces. The mathematics allows 2^32; the rest is
 * margin for disks that were copied and for counts that were set back by restoring an older copy of the ring.
 */
export const MAX_KEY_USES = 200_000;
/** Uses are reserved on disk this many at a time, before the first of them: a crash counts too many, never too few. */
const RESERVE_USES = 1_000;

export interface RingKey {
  readonly name: string;
  /** base64 of 32 bytes. */
  readonly secret: string;
  /** ISO 8601. */
  readonly created: string;
  /** How often it may have sealed something. */
  uses: number;
}

/** The content of the file: keys, the one that seals first. Older ones stay, because snapshots and copies of the store are sealed under them. */
export interface RingFile {
  readonly version: 1;
  readonly keys: readonly RingKey[];
}

/** The keys of the ring could not be read or written; the message names cause and cure. */
export class KeyRingError extends Error {
  override readonly name = 'KeyRingError';
  /** SQLite's code of a full disk, or of a busy file: the store takes both for "nothing of this batch was written, the next may be". */
  readonly errcode: 13 | 5;

  constructor(message: string, options: ErrorOptions) {
    super(message, options);
    this.errcode = (options.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOSPC' ? 13 : 5;
  }
}

export interface KeyRingOptions {
  readonly path: string;
  /** Makes a file durable; tests put a slow disk in its place. */
  readonly sync?: (fd: number) => void;
  readonly nowMs?: () => number;
  readonly maxUses?: number;
}

/**
 * The AES-256 keys that Coracle makes itself, in one file (mode 0600). The newest seals; after `MAX_KEY_USES` the next is made. Synchronous:
 * one write in a thousand waits for the file.
 */
export class KeyRing implements SealingKeys {
  readonly #options: KeyRingOptions;
  readonly #envelopes = new Map<string, EnvelopeKey>();
  #keys: readonly RingKey[];
  /** Uses of the newest key that are reserved and not used yet. */
  #reserved = 0;
  #newest: EnvelopeKey | undefined;

  /** Reads the file; an absent one is a ring without keys, and is written when the first is needed. */
  constructor(options: KeyRingOptions) {
    this.#options = options;
    this.#keys = readRingFile(options.path);
    for (const key of this.#keys) this.#envelopes.set(key.name, envelopeOf(key));
    this.#newest = this.#envelopes.get(this.#keys[0]?.name ?? '');
  }

  get isEmpty(): boolean {
    return this.#keys.length === 0;
  }

  get newest(): EnvelopeKey | undefined {
    return this.#newest;
  }

  find(cipher: string, name: string): EnvelopeKey | undefined {
    return cipher === 'aesgcm' ? this.#envelopes.get(name) : undefined;
  }

  /** The key for one sealing. Throws KeyRingError where its use cannot be made durable. */
  use(): EnvelopeKey {
    if (this.#reserved === 0 || this.#newest === undefined) this.#reserve();
    this.#reserved -= 1;
    return this.#newest!;
  }

  /** Makes a new key that seals from now on. */
  rotate(): void {
    const { nowMs = Date.now } = this.#options;
    const fresh = newRingKey(nowMs(), randomBytes);
    this.#write([fresh, ...this.#keys]);
    this.#envelopes.set(fresh.name, envelopeOf(fresh));
    this.#newest = this.#envelopes.get(fresh.name);
    this.#reserved = 0;
  }

  /** Gives back what was reserved and not used; for a clean end. */
  close(): void {
    const [newest, ...older] = this.#keys;
    if (newest === undefined || this.#reserved === 0) return;
    const unused = this.#reserved;
    this.#reserved = 0;
    this.#write([{ ...newest, uses: newest.uses - unused }, ...older]);
  }

  #reserve(): void {
    const { maxUses = MAX_KEY_USES } = this.#options;
    if ((this.#keys[0]?.uses ?? maxUses) + RESERVE_USES > maxUses) this.rotate();
    const [newest, ...older] = this.#keys;
    const uses = newest!.uses + RESERVE_USES;
    this.#write([{ ...newest!, uses }, ...older]);
    this.#reserved = RESERVE_USES;
  }

  /** Durably, old or new, never in between. */
  #write(keys: readonly RingKey[]): void {
    const { path } = this.#options;
    try {
      writeSynced(path, `${JSON.stringify({ version: 1, keys } satisfies RingFile, null, 2)}\n`, this.#options.sync);
    } catch (err) {
      throw new KeyRingError(`the keys of sealed values cannot be written to ${path}`, { cause: err });
    }
    this.#keys = keys;
  }
}

export function newRingKey(nowMs: number, random: (size: number) => Buffer): RingKey {
  return {
    name: `coracle-${random(4).toString('hex')}`,
    secret: random(32).toString('base64'),
    created: new Date(nowMs).toISOString(),
    uses: 0,
  };
}

function envelopeOf({ name, secret }: RingKey): EnvelopeKey {
  return new EnvelopeKey({ cipher: 'aesgcm', name, secret: Buffer.from(secret, 'base64') });
}

function writeSynced(path: string, text: string, sync: (fd: number) => void = fsyncSync): void {
  const folder = dirname(path);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const temporary = `${path}.tmp`;
  const fd = openSync(temporary, 'w', 0o600);
  try {
    writeFileSync(fd, text);
    sync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
  syncFolder(folder);
}

/** The keys in a file; none where it is absent. Throws KeyRingError. */
export function readRingFile(path: string): readonly RingKey[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new KeyRingError(`${path}, the keys of sealed values, cannot be read`, { cause: err });
  }
  return parseRing(text, path).keys;
}

/** Throws KeyRingError. */
export function parseRing(text: string, path: string): RingFile {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (err) {
    throw new KeyRingError(`${path}, the keys of sealed values, is garbled: put it back from a backup`, { cause: err });
  }
  return { version: 1, keys: checkedKeys(content, path) };
}

function checkedKeys(content: unknown, path: string): readonly RingKey[] {
  const { version, keys } = (content ?? {}) as { readonly version?: unknown; readonly keys?: unknown };
  const isWhole =
    version === 1 &&
    Array.isArray(keys) &&
    keys.length > 0 &&
    keys.every(
      ({ name, secret, uses }: Partial<RingKey>) =>
        typeof name === 'string' &&
        /^[\w.-]+$/.test(name) &&
        typeof secret === 'string' &&
        Buffer.from(secret, 'base64').length === 32 &&
        Number.isSafeInteger(uses),
    );
  if (!isWhole)
    throw new KeyRingError(`${path} does not hold the keys of sealed values: put it back from a backup`, {});
  return keys as RingKey[];
}
