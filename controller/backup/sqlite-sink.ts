import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { KeyRing } from '../store/seal/key-ring.ts';
import type { SealingPlan } from '../store/seal/sealing-plan.ts';
import { SqliteDatabase } from '../store/sqlite-database.ts';
import { BackupError } from './backup-error.ts';
import type { BackedUpObject } from './backup-records.ts';
import type { StateSink } from './state-sink.ts';

export interface SqliteSinkOptions {
  /** Folder that gets `store/`, and where `seal/` lies. */
  readonly folder: string;
  /** Its `ringPath` is not used. */
  readonly sealing: SealingPlan;
  readonly raisedTo: number;
  readonly nowMs: number;
}

/** Objects that go into one transaction. */
const BATCH_OBJECTS = 500;
/** Of canonical JSON as this version writes it; see `SqliteStoreOptions.schemaEpoch`. */
const SCHEMA_EPOCH = 1;

/** A new SQLite store in `<folder>/store`, filled a batch at a time. */
export class SqliteSink implements StateSink {
  readonly #options: SqliteSinkOptions;
  readonly #database: SqliteDatabase;
  #batch: BackedUpObject[] = [];
  #objects = 0;
  #isClosed = false;

  constructor(options: SqliteSinkOptions) {
    const { folder, sealing, nowMs } = options;
    this.#options = options;
    const ringPath = join(folder, 'seal', 'keys.json');
    const plan = { ...sealing, ringPath };
    // A key of its own: the cluster that the state comes from may go on counting with the old one.
    if (plan.rules.some(({ providers }) => providers[0]?.kind === 'ring')) new KeyRing({ path: ringPath }).rotate();
    const dir = join(folder, 'store');
    mkdirSync(dir, { mode: 0o700 });
    this.#database = new SqliteDatabase({ dir, nowMs, sealing: plan });
  }

  async add(object: BackedUpObject): Promise<void> {
    this.#batch.push(object);
    if (this.#batch.length >= BATCH_OBJECTS) this.#flush();
  }

  async finish(): Promise<number> {
    const { raisedTo, nowMs } = this.#options;
    this.#flush();
    this.#database.raiseRevision(raisedTo);
    const found = this.#database.countObjects();
    if (found !== this.#objects)
      throw new BackupError(`the new store holds ${found} objects where ${this.#objects} were written`);
    this.#isClosed = true;
    this.#database.close(raisedTo, nowMs);
    return found;
  }

  /** The files stay: the folder is its maker's to remove. */
  async abandon(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#database.close(0, this.#options.nowMs);
  }

  #flush(): void {
    this.#database.importObjects(this.#batch.map((object) => ({ ...object, epoch: SCHEMA_EPOCH })));
    this.#objects += this.#batch.length;
    this.#batch = [];
  }
}
