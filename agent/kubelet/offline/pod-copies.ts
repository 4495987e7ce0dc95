import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { FileSystem } from '../../host/host.ts';
import type { PodUid } from '../pod-spec.ts';

export interface PodCopiesOptions {
  readonly fs: FileSystem;
  /** One sealed file for each pod. */
  readonly directory: string;
  /** The key of this node; made when absent. */
  readonly keyFile: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Copies are no hurry: what a starting pod reads within this time becomes one write. */
const DELAY_MS = 5_000;
const KEY_BYTES = 32;
const IV_BYTES = 12;
const TAG_BYTES = 16;
const FORMAT = 1;

/**
 * What pods have read from the API (ConfigMaps, Secrets, their first token), so that they start again after a power cut while the API
 * cannot be asked. Sealed with a key of the node: a copy of the folder alone tells nothing; whoever has the whole disk has the key too.
 */
export class PodCopies {
  readonly #options: PodCopiesOptions;
  readonly #pods = new Map<PodUid, Map<string, unknown>>();
  readonly #due = new Map<PodUid, () => void>();
  #key: Promise<Uint8Array> | undefined;

  constructor(options: PodCopiesOptions) {
    this.#options = options;
  }

  /** Remembers `value`; on disk a little later. An object that is the same as before costs nothing. */
  note(uid: PodUid, name: string, value: unknown): void {
    const copies = this.#pods.get(uid) ?? new Map<string, unknown>();
    this.#pods.set(uid, copies);
    if (copies.get(name) === value) return;
    copies.set(name, value);
    if (this.#due.has(uid)) return;
    const { clock, log } = this.#options;
    const cancel = clock.after(DELAY_MS, () => {
      this.#due.delete(uid);
      this.#write(uid).catch((err) =>
        log.warn('a copy for offline starts was not written', { podUid: uid, err: describeError(err) }),
      );
    });
    this.#due.set(uid, cancel);
  }

  /** undefined where nothing is remembered, or it cannot be read. */
  async recall<T>(uid: PodUid, name: string): Promise<T | undefined> {
    if (this.#pods.get(uid)?.has(name) !== true) await this.#load(uid);
    return this.#pods.get(uid)?.get(name) as T | undefined;
  }

  async forget(uid: PodUid): Promise<void> {
    this.#due.get(uid)?.();
    this.#due.delete(uid);
    this.#pods.delete(uid);
    await this.#options.fs.remove(this.#path(uid));
  }

  #path(uid: PodUid): string {
    return `${this.#options.directory}/${uid}.sealed`;
  }

  async #load(uid: PodUid): Promise<void> {
    const { fs, log } = this.#options;
    if ((await fs.info(this.#path(uid))) === undefined) return;
    try {
      const text = unseal(await fs.readBytes(this.#path(uid)), await this.#nodeKey(), uid);
      const stored = new Map(Object.entries(JSON.parse(text) as Record<string, unknown>));
      this.#pods.set(uid, new Map([...stored, ...(this.#pods.get(uid) ?? [])]));
    } catch (err) {
      log.warn('a copy for offline starts cannot be read', { podUid: uid, err: describeError(err) });
    }
  }

  async #write(uid: PodUid): Promise<void> {
    const { fs, directory } = this.#options;
    // After a restart of the agent only a part may have been read again.
    await this.#load(uid);
    const copies = this.#pods.get(uid);
    if (copies === undefined) return;
    const sealed = seal(JSON.stringify(Object.fromEntries(copies)), await this.#nodeKey(), uid);
    await fs.makeDirectory(directory, 0o700);
    await fs.writeAtomic(this.#path(uid), sealed, { mode: 0o600 });
  }

  #nodeKey(): Promise<Uint8Array> {
    this.#key ??= this.#readKey();
    return this.#key;
  }

  async #readKey(): Promise<Uint8Array> {
    const { fs, keyFile } = this.#options;
    const known = (await fs.info(keyFile)) === undefined ? undefined : await fs.readBytes(keyFile);
    if (known?.length === KEY_BYTES) return known;
    const key = randomBytes(KEY_BYTES);
    await fs.writeAtomic(keyFile, key, { mode: 0o600, durable: true });
    return key;
  }
}

/** Format, iv, AES-256-GCM, tag; bound to the pod, so that files cannot be exchanged. */
export function seal(text: string, key: Uint8Array, uid: string): Uint8Array {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(uid));
  const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
  return Buffer.concat([Buffer.from([FORMAT]), iv, body, cipher.getAuthTag()]);
}

/** Throws when it was not sealed with this key for this pod. */
export function unseal(bytes: Uint8Array, key: Uint8Array, uid: string): string {
  if (bytes[0] !== FORMAT) throw new Error(`unknown format ${bytes[0]}`);
  const end = bytes.length - TAG_BYTES;
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(1, 1 + IV_BYTES)).setAAD(Buffer.from(uid));
  decipher.setAuthTag(bytes.subarray(end));
  return Buffer.concat([decipher.update(bytes.subarray(1 + IV_BYTES, end)), decipher.final()]).toString('utf8');
}
