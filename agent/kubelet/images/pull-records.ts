import { createHash } from 'node:crypto';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { ContainerRuntime } from '../../cri/runtime.ts';
import type { FileSystem } from '../../host/host.ts';
import { findEntitled, type ImageAccess, type PullCredential, secretUses, withAccess } from './image-access.ts';
import { type ImageReference, repositoryOf } from './image-reference.ts';
import { needsVerification, type VerificationPolicy } from './verification-policy.ts';

export interface PullRecordsOptions {
  readonly fs: FileSystem;
  readonly clock: Clock;
  readonly log: Logger;
  readonly runtime: Pick<ContainerRuntime, 'imageStatus'>;
  /** Holds a file per image that was pulled (`sha256-<hex>.json`), and one per pull that is under way (`<hex>.pulling`). */
  readonly directory: string;
  readonly policy: VerificationPolicy;
}

interface Entry {
  readonly access: ImageAccess;
  /** Monotonic time of the last change in this life of the agent. */
  readonly changedMs: number;
}

/** One pull that came to its end. */
export interface Pull {
  readonly image: ImageReference;
  readonly imageId: string;
  /** What the registry was shown; undefined = it asked for nothing. */
  readonly used: PullCredential | undefined;
}

const VERSION = 1;
const RECORD = /^(sha\d+)-([0-9a-f]+)\.json$/;
const PULLING = '.pulling';

/**
 * Which pods may use which images of the node without asking the registry (KubeletEnsureSecretPulledImages, KEP-2535): those that have what
 * the image was pulled with. Decisions come from memory. What is lost makes a pod ask the registry again, never the opposite: an image that
 * needs a Secret is noted on disk before its pull begins.
 */
export class PullRecords {
  readonly #options: PullRecordsOptions;
  readonly #entries = new Map<string, Entry>();
  /** Images that are open to all pods cost no write while a pod waits: they are written later. */
  readonly #unwritten = new Set<string>();
  /** Names of images that are being pulled with Secrets, and how often. */
  readonly #underWay = new Map<string, number>();
  #write: Promise<unknown> = Promise.resolve();

  constructor(options: PullRecordsOptions) {
    this.#options = options;
  }

  async load(): Promise<void> {
    const { fs, directory } = this.#options;
    const files = await fs.list(directory);
    for (const file of files) {
      const [, algorithm, hex] = RECORD.exec(file) ?? [];
      if (hex === undefined) continue;
      const access = await this.#read(`${directory}/${file}`);
      this.#entries.set(`${algorithm}:${hex}`, { access, changedMs: Number.NEGATIVE_INFINITY });
    }
    for (const file of files) if (file.endsWith(PULLING)) await this.#resume(`${directory}/${file}`);
  }

  /** Whether every pod of the node may use an image that is present. */
  isOpen(image: ImageReference, name: string, imageId: string): boolean {
    const { policy } = this.#options;
    const entry = this.#entries.get(imageId);
    if (!needsVerification(policy, image, entry !== undefined || this.#underWay.has(name))) return true;
    return entry?.access[repositoryOf(image)]?.everybody ?? false;
  }

  /** Whether a pod may that has these credentials. */
  isEntitled(image: ImageReference, imageId: string, credentials: readonly PullCredential[]): boolean {
    const access = this.#entries.get(imageId)?.access ?? {};
    const repository = repositoryOf(image);
    const use = findEntitled(access[repository], secretUses(credentials));
    // Known from now on by what it is today, too.
    if (use !== undefined) this.#set(imageId, withAccess(access, repository, use));
    return use !== undefined;
  }

  /** Before a pull; resolves once it is sure that an image that comes by a Secret will not be taken for one that was always here. */
  async begin(name: string, credentials: readonly PullCredential[]): Promise<void> {
    if (!isByPods(credentials)) return;
    this.#underWay.set(name, (this.#underWay.get(name) ?? 0) + 1);
    const { fs, directory } = this.#options;
    // Also where another pull has begun: its mark may not be there yet, or never come.
    await this.#inTurn(async () => {
      await fs.makeDirectory(directory, 0o700);
      await fs.writeAtomic(this.#pullingFile(name), name, { mode: 0o600, durable: true });
    });
  }

  /** Who pulled an image may use it. Resolves once that is on disk, where it is worth waiting for. Call before `end`. */
  async note({ image, imageId, used }: Pull): Promise<void> {
    const [use] = used === undefined ? [] : secretUses([used]);
    this.#set(imageId, withAccess(this.#entries.get(imageId)?.access ?? {}, repositoryOf(image), use));
    if (use !== undefined) await this.#store(imageId);
  }

  /** After a pull that was begun, and noted if it came to something. `credentials` as at its begin. */
  async end(name: string, credentials: readonly PullCredential[]): Promise<void> {
    if (!isByPods(credentials)) return;
    const count = (this.#underWay.get(name) ?? 1) - 1;
    if (count > 0) {
      this.#underWay.set(name, count);
      return;
    }
    this.#underWay.delete(name);
    await this.#inTurn(async () => {
      if (!this.#underWay.has(name)) await this.#options.fs.remove(this.#pullingFile(name));
    });
  }

  /** Every now and then: forgets images that the node did not have at `listedMs` (monotonic), and writes what was put off. */
  async tidy(present: ReadonlySet<string>, listedMs: number): Promise<void> {
    for (const [id, { changedMs }] of this.#entries)
      if (!present.has(id) && changedMs < listedMs) await this.#forget(id);
    for (const id of [...this.#unwritten]) await this.#store(id);
  }

  #set(imageId: string, access: ImageAccess): void {
    if (this.#entries.get(imageId)?.access === access) return;
    this.#entries.set(imageId, { access, changedMs: this.#options.clock.monotonic() });
    this.#unwritten.add(imageId);
  }

  async #forget(imageId: string): Promise<void> {
    this.#entries.delete(imageId);
    this.#unwritten.delete(imageId);
    await this.#inTurn(() => this.#options.fs.remove(this.#file(imageId)));
  }

  async #store(imageId: string): Promise<void> {
    const { fs, directory } = this.#options;
    await this.#inTurn(async () => {
      const entry = this.#entries.get(imageId);
      if (entry === undefined || !this.#unwritten.has(imageId)) return;
      await fs.makeDirectory(directory, 0o700);
      const text = JSON.stringify({ version: VERSION, repositories: entry.access });
      await fs.writeAtomic(this.#file(imageId), text, { mode: 0o600, durable: true });
      if (this.#entries.get(imageId) === entry) this.#unwritten.delete(imageId);
    });
  }

  async #read(path: string): Promise<ImageAccess> {
    const { fs, log } = this.#options;
    try {
      const { version, repositories } = JSON.parse(await fs.readText(path)) as {
        version: number;
        repositories: ImageAccess;
      };
      if (version !== VERSION) throw new SyntaxError(`version ${version} is not known`);
      return repositories;
    } catch (err) {
      if (!(err instanceof SyntaxError)) throw err;
      log.warn('who pulled an image is not known any more: registries are asked again', { path, err: err.message });
      return {};
    }
  }

  /** The agent ended in the middle of a pull. Where the image came all the same, nobody knows by whom it may be used. */
  async #resume(path: string): Promise<void> {
    const { fs, log, runtime } = this.#options;
    const name = await fs.readText(path);
    try {
      const image = await runtime.imageStatus(name);
      if (image !== undefined && !this.#entries.has(image.id)) {
        this.#set(image.id, {});
        await this.#store(image.id);
      }
      await fs.remove(path);
    } catch (err) {
      this.#underWay.set(name, 1);
      log.warn('what became of a pull is not known', { image: name, err: describeError(err) });
    }
  }

  #inTurn<T>(write: () => Promise<T>): Promise<T> {
    const turn = this.#write.then(write);
    this.#write = turn.catch(() => undefined);
    return turn;
  }

  #file(imageId: string): string {
    return `${this.#options.directory}/${imageId.replace(':', '-')}.json`;
  }

  #pullingFile(name: string): string {
    return `${this.#options.directory}/${createHash('sha256').update(name).digest('hex')}${PULLING}`;
  }
}

const isByPods = (credentials: readonly PullCredential[]) => credentials.some(({ secret }) => secret !== undefined);
