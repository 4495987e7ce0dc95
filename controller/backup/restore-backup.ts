import { mkdir, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError } from '#base/config.ts';
import { describeError } from '#base/errors.ts';
import { writeDurableFile } from '../pki/durable-file.ts';
import type { Backend } from '../state-backend.ts';
import { BackupError } from './backup-error.ts';
import { readBackupFile } from './backup-file.ts';
import type { BackedUpFile, Manifest } from './backup-records.ts';
import { knownRevision, lockDataFolder, presentFolders, RESTORED_FOLDERS, replaceFolders } from './data-folder.ts';
import { raisedRevision } from './raised-revision.ts';
import type { StateSink } from './state-sink.ts';

export interface RestoreOptions {
  readonly path: string;
  readonly passphrase: string;
  readonly dataDir: string;
  /** Where the state goes: the folder that will be the data directory holds the keys already. */
  readonly openSink: (folder: string, raisedTo: number) => Promise<StateSink>;
  /** Into which the sink leads. One outside of the data directory is changed at once, so that the whole file is read before. */
  readonly backend: Backend;
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

/** No way out of the folder, whoever wrote the backup. */
const FILE_NAME = /^(pki|seal|config)\/[\w-][\w.-]*$/;

/**
 * Builds the data directory of a controller out of a backup: beside the one that is there, and in its place once everything has been read,
 * authenticated and verified. Throws BackupError; until then nothing of what was there has changed.
 */
export async function restoreBackup(options: RestoreOptions): Promise<RestoreSummary> {
  const { dataDir, force, nowMs, backend } = options;
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
      if (backend === 'etcd') for await (const _ of readBackupFile(options));
      const built = await build(options, staged);
      const aside = await replaceFolders(dataDir, { staged, nowMs, replaced: RESTORED_FOLDERS, backend });
      return { ...built, aside };
    } catch (err) {
      await rm(staged, { recursive: true, force: true });
      throw err instanceof BackupError || err instanceof ConfigError ? err : await explain(err, dataDir);
    }
  } finally {
    lock.close();
  }
}

async function build(options: RestoreOptions, staged: string): Promise<Omit<RestoreSummary, 'aside'>> {
  const { dataDir, nowMs, path, passphrase, openSink } = options;
  const files: string[] = [];
  let raised: { readonly manifest: Manifest; readonly raisedTo: number } | undefined;
  let sink: StateSink | undefined;
  try {
    for await (const record of readBackupFile({ path, passphrase })) {
      if (record.kind === 'manifest') {
        const { revision, created } = record.manifest;
        const times = { takenMs: Date.parse(created), nowMs };
        const raisedTo = raisedRevision({ revision, ...times, knownRevision: knownRevision(dataDir) });
        raised = { manifest: record.manifest, raisedTo };
      } else if (record.kind === 'file') files.push(await restoreFile(record, staged));
      else {
        // Files come first: the keys must be there before anything is sealed.
        if (raised === undefined || !files.includes('pki/ca.key'))
          throw new BackupError(`${path}: this backup holds no cluster`);
        sink ??= await openSink(staged, raised.raisedTo);
        if (record.kind === 'object') await sink.add(record);
      }
    }
    // The last record has opened the sink, if no object did.
    const objects = await sink!.finish();
    return { ...raised!, objects, files };
  } catch (err) {
    await sink?.abandon();
    throw err;
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

/** A database says of a full disk that it cannot read. */
const FULL_BYTES = 1024 * 1024;

async function explain(err: unknown, dataDir: string): Promise<BackupError> {
  const { bavail, bsize } = await statfs(dataDir);
  const why = bavail * bsize < FULL_BYTES ? `the disk of ${dataDir} is full` : describeError(err);
  return new BackupError(`nothing was restored: ${why}`);
}
