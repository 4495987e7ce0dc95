import type { Logger } from '#base/logger.ts';
import type { FileSystem } from '../../host/host.ts';
import type { ClaimRecord } from './claim-record.ts';

export interface ClaimCheckpointOptions {
  readonly fs: FileSystem;
  readonly path: string;
  readonly log: Logger;
}

const VERSION = 1;

/** What drivers were asked for and have not taken back, on disk before they are asked. Reads come from memory. */
export class ClaimCheckpoint {
  readonly #options: ClaimCheckpointOptions;
  readonly #records = new Map<string, ClaimRecord>();
  #write: Promise<void> = Promise.resolve();

  constructor(options: ClaimCheckpointOptions) {
    this.#options = options;
  }

  /** A file that cannot be read is set aside: pods that run keep their devices, and start anew without them. */
  async load(): Promise<void> {
    const { fs, path, log } = this.#options;
    if ((await fs.info(path)) === undefined) return;
    try {
      const { version, claims } = JSON.parse(await fs.readText(path)) as { version: number; claims: ClaimRecord[] };
      if (version !== VERSION) throw new SyntaxError(`version ${version} is not known`);
      for (const record of claims) this.#records.set(record.uid, record);
    } catch (err) {
      if (!(err instanceof SyntaxError)) throw err;
      log.error('what is known of prepared claims is damaged and was set aside', { path, err: err.message });
      await fs.rename(path, `${path}.damaged`);
    }
  }

  list(): readonly ClaimRecord[] {
    return [...this.#records.values()];
  }

  record(uid: string): ClaimRecord | undefined {
    return this.#records.get(uid);
  }

  /** By pod uid: what it uses. */
  ofPod(podUid: string): readonly ClaimRecord[] {
    return this.list().filter(({ pods }) => pods[podUid] !== undefined);
  }

  /** Resolves once it survives a power cut. */
  save(record: ClaimRecord): Promise<void> {
    this.#records.set(record.uid, record);
    return this.#store();
  }

  forget(uid: string): Promise<void> {
    this.#records.delete(uid);
    return this.#store();
  }

  #store(): Promise<void> {
    const { fs, path } = this.#options;
    const write = async () => {
      const text = JSON.stringify({ version: VERSION, claims: this.list() });
      await fs.writeAtomic(path, text, { mode: 0o600, durable: true });
    };
    this.#write = this.#write.then(write, write);
    return this.#write;
  }
}
