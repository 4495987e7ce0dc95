import { mkdirSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError } from '#base/errors.ts';
import { writeDurableFile } from '../pki/durable-file.ts';
import { KeyRing } from '../store/seal/key-ring.ts';
import type { SealingPlan } from '../store/seal/sealing-plan.ts';
import { SqliteDatabase } from '../store/sqlite-database.ts';
import { BackupError } from './backup-error.ts';
import { readBackupFile } from './backup-file.ts';
import type { BackedUpFile, BackedUpObject, Manifest } from './backup-records.ts';
import { knownRevision, lockDataFolder, presentFolders, replaceFolders } from './data-folder.ts';
import { raisedRevision } from './raised-revision.ts';

export interface RestoreOptions {
  readonly path: string;
  readonly passphrase: string;
  readonly dataDir: string;
  /** What is sealed on this host; its `ringPath` is not used. */
  readonly sealing: SealingPlan;
  /** What stands in the data directory is set aside; without it, it is an error. */
  readonly force: boolean;
  readonly nowMs: number;
}

export interface RestoreSummary {
  readonly manifest: Manifest;
  readonly objects: number;
  readonly raisedTo: number;
  /** Folder of what was there before; undefined: nothing was. */
  readonly aside: string | undefined;
  /** Names of the files that came out of the backup. */
  readonly files: readonly string[];
}

/** Objects that go into one transaction. */
const BATCH_OBJECTS = 500;
const SCHEMA_EPOCH = 1;
/** No way out of the folder, whoever wrote the backup. */
const FILE_NAME = /^(pki|seal|config)\/[\w-][\w.-]*$/;

/**
 * Builds the data directory of a controller out of a backup: beside the one that is there, and in its place once everything has been read,
 * authenticated and verified. Throws BackupError; until then nothing of what was there has changed.
 */
export async function restoreBackup(options: RestoreOptions): Promise<RestoreSummary> {
  const { dataDir, force, nowMs } = options;
  const lock = await lockDataFolder(dataDir);
  const staged = join(dataDir, 'restoring');
  try {
    const present = await presentFolders(dataDir);
    if (present.length > 0 && !force) {
      throw new BackupError(
        `${dataDir} holds a cluster already (${present.join(', ')}): name another --data-dir, or set this one aside with --force`,
      );
    }
    await rm(staged, { recursive: true, force: true });
    await mkdir(staged, { mode: 0o700 });
    try {
      const built = await build(options, staged);
      const aside = await replaceFolders(dataDir, { staged, nowMs });
      return { ...built, aside };
    } catch (err) {
      await rm(staged, { recursive: true, force: true });
      throw err instanceof BackupError
        ? err
        : new BackupError(`nothing was restored: ${describeError(err)}`, { cause: (err as Error).cause });
    }
  } finally {
    lock.close();
  }
}

async function build(options: RestoreOptions, staged: string): Promise<Omit<RestoreSummary, 'aside'>> {
  const { dataDir, nowMs, path, passphrase } = options;
  const files: string[] = [];
  let manifest: Manifest | undefined;
  let filler: StoreFiller | undefined;
  try {
    for await (const record of readBackupFile({ path, passphrase })) {
      if (record.kind === 'manifest') manifest = record.manifest;
      else if (record.kind === 'file') files.push(await restoreFile(record, staged));
      else if (record.kind === 'object') {
        // Files come first: the keys must be there before anything is sealed.
        filler ??= new StoreFiller(staged, options);
        filler.add(record);
      }
    }
    if (manifest === undefined || !files.includes('pki/ca.key'))
      throw new BackupError(`${path}: this backup holds no cluster`);
    const raisedTo = raisedRevision({
      revision: manifest.revision,
      takenMs: Date.parse(manifest.created),
      nowMs,
      knownRevision: knownRevision(dataDir),
    });
    filler ??= new StoreFiller(staged, options);
    const objects = filler.finish(raisedTo);
    return { manifest, objects, raisedTo, files };
  } finally {
    filler?.close();
  }
}

async function restoreFile({ name, content }: BackedUpFile, staged: string): Promise<string> {
  if (!FILE_NAME.test(name))
    throw new BackupError(`the backup holds a file of a strange name: ${JSON.stringify(name)}`);
  const target = join(staged, name);
  await mkdir(join(target, '..'), { recursive: true, mode: 0o700 });
  await writeDurableFile(target, content);
  return name;
}

/** A new SQLite store, filled a batch at a time. */
class StoreFiller {
  readonly #database: SqliteDatabase;
  readonly #nowMs: number;
  #batch: BackedUpObject[] = [];
  #objects = 0;
  #isClosed = false;

  constructor(staged: string, { sealing, nowMs }: RestoreOptions) {
    const ringPath = join(staged, 'seal', 'keys.json');
    const plan = { ...sealing, ringPath };
    // A key of its own: the cluster that the backup was taken from may go on counting with the old one.
    if (plan.rules.some(({ providers }) => providers[0]?.kind === 'ring')) new KeyRing({ path: ringPath }).rotate();
    this.#nowMs = nowMs;
    const dir = join(staged, 'store');
    mkdirSync(dir, { mode: 0o700 });
    this.#database = new SqliteDatabase({ dir, nowMs, sealing: plan });
  }

  add({ key, revision, value }: BackedUpObject): void {
    this.#batch.push({ key, revision, value });
    if (this.#batch.length >= BATCH_OBJECTS) this.#flush();
  }

  /** Answers how many objects the store holds now, as it says itself. */
  finish(raisedTo: number): number {
    this.#flush();
    this.#database.raiseRevision(raisedTo);
    const found = this.#database.countObjects();
    if (found !== this.#objects)
      throw new BackupError(`the new store holds ${found} objects where ${this.#objects} were written`);
    this.#isClosed = true;
    this.#database.close(raisedTo, this.#nowMs);
    return found;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#database.close(0, this.#nowMs);
  }

  #flush(): void {
    this.#database.importObjects(this.#batch.map((object) => ({ ...object, epoch: SCHEMA_EPOCH })));
    this.#objects += this.#batch.length;
    this.#batch = [];
  }
}
