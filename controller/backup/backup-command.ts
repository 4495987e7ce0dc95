import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '#base/clock.ts';
import { ConfigError } from '#base/config.ts';
import { createLogger, type LogLevel } from '#base/logger.ts';
import type { ControllerConfig } from '../config.ts';
import { openStoreAtRest } from '../open-store.ts';
import { backupContent, CLUSTER_KEYS } from './backup-content.ts';
import { readBackupFile, writeBackupFile } from './backup-file.ts';
import type { Manifest } from './backup-records.ts';
import { askController } from './control-socket.ts';
import { lockDataFolder } from './data-folder.ts';
import { openSinkOf } from './open-sink.ts';
import { findPassphrase } from './passphrase.ts';
import { restoreBackup } from './restore-backup.ts';

/** Flags of both commands beside those of the controller. */
export const BACKUP_FLAGS = {
  passphraseFile: {
    type: 'string',
    default: '',
    description: 'file with the passphrase of the backup; empty means CORACLE_BACKUP_PASSPHRASE, or the terminal',
  },
} as const;

export const RESTORE_FLAGS = {
  ...BACKUP_FLAGS,
  verify: {
    type: 'boolean',
    default: false,
    description: 'only read the whole file, tell what it holds, and change nothing',
  },
  force: {
    type: 'boolean',
    default: false,
    description: 'set aside what is in the data directory, instead of refusing',
  },
} as const;

type Flags = ControllerConfig & { readonly passphraseFile: string };

/** The first argument, which both commands need; the rest are flags. */
export function takeFileArgument(argv: readonly string[]): { readonly path: string; readonly rest: readonly string[] } {
  const [path, ...rest] = argv;
  if (path === undefined || path.startsWith('-')) throw new ConfigError('name the file first; see --help');
  return { path, rest };
}

/** `coracle backup <file>`: through the controller where it runs, else from its data directory. */
export async function runBackupCommand(path: string, flags: Flags): Promise<void> {
  const passphrase = await findPassphrase({ file: flags.passphraseFile, isNew: true });
  const nowMs = systemClock.now();
  const running = await askController(flags.dataDir, { method: 'GET', path: '/backup' });
  const bytes =
    running === undefined
      ? await backupAtRest(path, { flags, passphrase, nowMs })
      : await writeBackupFile(running, { path, passphrase, nowMs });
  console.log(`wrote ${path} (${bytes} bytes). Keep the passphrase elsewhere: without it nobody can restore this.`);
}

async function backupAtRest(
  path: string,
  { flags, passphrase, nowMs }: { readonly flags: Flags; readonly passphrase: string; readonly nowMs: number },
): Promise<number> {
  refuseEmptyFolder(flags);
  const lock = await lockDataFolder(flags.dataDir);
  try {
    const log = createLogger('backup', flags.logLevel as LogLevel);
    const store = await openStoreAtRest({ config: flags, clock: systemClock, log });
    try {
      return await writeBackupFile(backupContent({ store, config: flags, backend: flags.store, nowMs }), {
        path,
        passphrase,
        nowMs,
      });
    } finally {
      await store.close();
    }
  } finally {
    lock.close();
  }
}

/** Opening a store makes one where there is none, and nobody wants a backup of that. */
function refuseEmptyFolder({ dataDir, store }: Flags): void {
  const needed = ['pki/ca.key', ...(store === 'sqlite' ? ['store/state.db'] : [])];
  const missing = needed.find((name) => !existsSync(join(dataDir, name)));
  if (missing !== undefined)
    throw new ConfigError(`${dataDir} holds no cluster: is it the right --data-dir? There is no ${missing}`);
}

/** `coracle restore <file>`. */
export async function runRestoreCommand(
  path: string,
  flags: Flags & { readonly force: boolean; readonly verify: boolean },
): Promise<void> {
  const passphrase = await findPassphrase({ file: flags.passphraseFile, isNew: false });
  if (flags.verify) {
    await verify(path, passphrase);
    return;
  }
  const { dataDir, force } = flags;
  const summary = await restoreBackup({
    path,
    passphrase,
    dataDir,
    openSink: await openSinkOf(flags, { clock: systemClock, log: createLogger('restore', flags.logLevel as LogLevel) }),
    backend: flags.store === 'etcd' ? 'etcd' : 'sqlite',
    force,
    nowMs: systemClock.now(),
  });
  const { manifest, objects, raisedTo, aside, files } = summary;
  const lines = [
    `restored ${objects} objects of ${manifest.created} (revision ${manifest.revision}) into ${dataDir}; revisions go on at ${raisedTo}`,
    ...(aside === undefined ? [] : [`what was there before is in ${aside}: delete it when it is not needed any more`]),
    ...(files.includes('config/encryption-configuration.yaml')
      ? [`the EncryptionConfiguration of that cluster is in ${dataDir}/config: name it in encryptionProviderConfig`]
      : []),
    ...differences(manifest, flags),
    'start the controller now. Agents find it again where its address is the same; else give them the new one (servers in agent.yaml)',
  ];
  for (const line of lines) console.log(line);
}

async function verify(path: string, passphrase: string): Promise<void> {
  let manifest: Manifest | undefined;
  const files: string[] = [];
  let objects = 0;
  for await (const record of readBackupFile({ path, passphrase })) {
    if (record.kind === 'manifest') manifest = record.manifest;
    else if (record.kind === 'file') files.push(record.name);
    else if (record.kind === 'object') objects += 1;
  }
  console.log(
    `${path} is whole: ${objects} objects of ${manifest?.created} (revision ${manifest?.revision}, ${manifest?.backend})`,
  );
  console.log(`and ${files.join(', ')}`);
}

/** Settings that the objects and nodes of the cluster were made under. */
function differences({ cluster }: Manifest, flags: Flags): string[] {
  const differing = CLUSTER_KEYS.filter((key) => cluster[key] !== undefined && cluster[key] !== flags[key]);
  return differing.map(
    (key) =>
      `set ${key}: ${cluster[key]} in controller.yaml before you start it: here it is ${flags[key]}, and the cluster was made with that`,
  );
}
