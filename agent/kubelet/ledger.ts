import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { FileSystem } from '../host/host.ts';
import type { LedgerRecord } from './ledger-record.ts';
import type { PodUid } from './pod-spec.ts';

export interface LedgerOptions {
  readonly fs: FileSystem;
  /** One file `<uid>.json` per pod. */
  readonly directory: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Most pods have all their containers by then, or have ended and been saved. */
const NOTE_MS = 10_000;

/**
 * The node's memory of its pods. Reads come from memory; a write is on disk before `save` resolves. Writes of one pod are put in order
 * here, and those that wait for an earlier one are merged into one, so that a pod start costs one fsync.
 */
export class Ledger {
  readonly #options: LedgerOptions;
  readonly #records = new Map<PodUid, LedgerRecord>();
  readonly #writes = new Map<PodUid, PendingWrite>();
  /** What is on disk of these is not what is known of them: a write has failed. */
  readonly #unwritten = new Set<PodUid>();
  /** Ends the wait of a note. */
  readonly #notes = new Map<PodUid, () => void>();

  constructor(options: LedgerOptions) {
    this.#options = options;
  }

  /** Reads every record. A file that cannot be read is set aside under `<name>.damaged`, never deleted: labels in the runtime rebuild it. */
  async load(): Promise<readonly LedgerRecord[]> {
    const { fs, directory, log } = this.#options;
    await fs.makeDirectory(directory, 0o700);
    for (const name of await fs.list(directory)) {
      if (!name.endsWith('.json')) continue;
      const path = `${directory}/${name}`;
      const record = parseRecord(await fs.readText(path));
      if (record === undefined) {
        log.error('ledger record is damaged and was set aside', { path });
        await fs.rename(path, `${path}.damaged`);
      } else {
        this.#records.set(record.uid, record);
      }
    }
    return [...this.#records.values()];
  }

  record(uid: PodUid): LedgerRecord | undefined {
    return this.#records.get(uid);
  }

  list(): readonly LedgerRecord[] {
    return [...this.#records.values()];
  }

  /** Remembers `record` at once; resolves when it would survive a power loss. */
  save(record: LedgerRecord): Promise<void> {
    this.#records.set(record.uid, record);
    return this.#enqueue(record.uid, true);
  }

  /**
   * Remembers `record` at once, and on disk a while later, or with what is saved of the pod before: for what the runtime tells as well, so
   * that an agent which is killed meanwhile learns it again.
   */
  note(record: LedgerRecord): void {
    const { uid } = record;
    this.#records.set(uid, record);
    if (this.#notes.has(uid)) return;
    const cancel = this.#options.clock.after(NOTE_MS, () => {
      this.#enqueue(uid, false).catch((err) => {
        this.#options.log.error('ledger could not be written', { podUid: uid, err: describeError(err) });
      });
    });
    this.#notes.set(uid, cancel);
  }

  /** Forgets a pod whose last trace is gone. */
  async forget(uid: PodUid): Promise<void> {
    this.#records.delete(uid);
    await this.#enqueue(uid, false);
  }

  /** Resolves when what was saved of this pod so far is written, if need be by trying again; rejects when it could not be. */
  async settled(uid: PodUid): Promise<void> {
    const running = this.#writes.get(uid);
    if (running === undefined && this.#unwritten.has(uid)) return this.#enqueue(uid, true);
    await (running?.next ?? running)?.done;
  }

  #enqueue(uid: PodUid, durable: boolean): Promise<void> {
    const running = this.#writes.get(uid);
    if (running?.next !== undefined) {
      running.next.durable ||= durable;
      return running.next.done;
    }
    const write: PendingWrite = { durable, done: Promise.resolve(), next: undefined };
    write.done = (running?.done ?? Promise.resolve()).catch(() => undefined).then(() => this.#write(uid, write));
    if (running === undefined) this.#writes.set(uid, write);
    else running.next = write;
    return write.done;
  }

  async #write(uid: PodUid, write: PendingWrite): Promise<void> {
    this.#writes.set(uid, write);
    this.#notes.get(uid)?.();
    this.#notes.delete(uid);
    const { fs, directory } = this.#options;
    const path = `${directory}/${uid}.json`;
    try {
      const record = this.#records.get(uid);
      if (record === undefined) await fs.remove(path);
      else await fs.writeAtomic(path, JSON.stringify(record), { mode: 0o600, durable: write.durable });
      this.#unwritten.delete(uid);
    } catch (err) {
      this.#unwritten.add(uid);
      throw err;
    } finally {
      if (write.next === undefined) this.#writes.delete(uid);
    }
  }
}

interface PendingWrite {
  durable: boolean;
  done: Promise<void>;
  /** Asked for while this one was running. */
  next: PendingWrite | undefined;
}

function parseRecord(text: string): LedgerRecord | undefined {
  try {
    const value = JSON.parse(text) as Partial<LedgerRecord>;
    const isOurs = value.version === 1 && typeof value.uid === 'string' && value.pod !== undefined;
    return isOurs ? (value as LedgerRecord) : undefined;
  } catch (err) {
    if (err instanceof SyntaxError) return undefined;
    throw err;
  }
}
