import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { withoutResourceVersion } from '#api/codec/resource-version.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { ControllerConfig } from '../config.ts';
import { openStoreAtRest } from '../open-store.ts';
import { writeBackendNote } from '../state-backend.ts';
import { syncFolder } from '../store/integrity/snapshots.ts';
import type { Store } from '../store/store.ts';
import { LEFT_OUT } from './backup-content.ts';
import { BackupError } from './backup-error.ts';
import { knownRevision, lockDataFolder, refuseUnfinishedRestore, replaceFolders } from './data-folder.ts';
import { refuseLiveApiServers } from './live-api-servers.ts';
import { openSinkOf } from './open-sink.ts';
import { raisedRevision } from './raised-revision.ts';
import type { StateSink } from './state-sink.ts';

export interface MigrateOptions {
  /** `store` says where the state is now. */
  readonly config: ControllerConfig;
  readonly to: 'sqlite' | 'etcd';
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Migration {
  readonly objects: number;
  readonly raisedTo: number;
  /** Where an old SQLite store was put; undefined: there was none. */
  readonly aside: string | undefined;
}

/**
 * Brings the state from one backend into the other, whose revisions go on far above. What it came from is left as it was: a SQLite store
 * under another name, so that it is not started by mistake. Throws BackupError or ConfigError; nothing is harmed then.
 */
export async function migrateStore(options: MigrateOptions): Promise<Migration> {
  const { dataDir } = options.config;
  const lock = await lockDataFolder(dataDir);
  try {
    refuseUnfinishedRestore(dataDir);
    return await (options.to === 'etcd' ? toEtcd(options) : toSqlite(options));
  } finally {
    lock.close();
  }
}

async function toEtcd(options: MigrateOptions): Promise<Migration> {
  const { config, clock, log } = options;
  const { dataDir } = config;
  const folder = join(dataDir, 'store');
  if (!existsSync(join(folder, 'state.db')))
    throw new BackupError(`there is no SQLite store in ${dataDir}: has it been moved to etcd before?`);
  const store = await openStoreAtRest({ config: { ...config, store: 'sqlite' }, clock, log });
  try {
    const raisedTo = raiseFor(store, options);
    const open = await openSinkOf({ ...config, store: 'etcd' }, { clock, log });
    const objects = await pour(store, await open(dataDir, raisedTo));
    await store.close();
    const aside = join(dataDir, `store-moved-${stampOf(clock)}`);
    // All of it is there: from here on a start on SQLite would go two ways.
    await writeBackendNote(dataDir, 'etcd');
    await rename(folder, aside);
    syncFolder(dataDir);
    return { objects, raisedTo, aside };
  } finally {
    await store.close();
  }
}

async function toSqlite(options: MigrateOptions): Promise<Migration> {
  const { config, clock, log } = options;
  const { dataDir } = config;
  if (existsSync(join(dataDir, 'store', 'state.db')))
    throw new BackupError(`there is a SQLite store in ${dataDir} already: move ${join(dataDir, 'store')} away first`);
  const store = await openStoreAtRest({ config: { ...config, store: 'etcd' }, clock, log });
  const staged = join(dataDir, 'restoring');
  try {
    if (store.snapshot().count('/registry/') === 0)
      throw new BackupError(`etcd holds nothing below ${config.etcdPrefix}: are etcdServers and etcdPrefix right?`);
    refuseLiveApiServers(store, clock.now());
    await rm(staged, { recursive: true, force: true });
    await mkdir(staged, { mode: 0o700 });
    if (existsSync(join(dataDir, 'seal'))) await cp(join(dataDir, 'seal'), join(staged, 'seal'), { recursive: true });
    const raisedTo = raiseFor(store, options);
    const open = await openSinkOf({ ...config, store: 'sqlite' }, { clock, log });
    const objects = await pour(store, await open(staged, raisedTo));
    const aside = await replaceFolders(dataDir, {
      staged,
      nowMs: clock.now(),
      replaced: ['store', 'seal'],
      backend: 'sqlite',
    });
    await leaveBehind(options);
    // Keys alone are no loss: all of them are in the new file too.
    const isKeysAlone = aside !== undefined && (await readdir(aside)).every((name) => name === 'seal');
    if (isKeysAlone) await rm(aside, { recursive: true });
    return { objects, raisedTo, aside: isKeysAlone ? undefined : aside };
  } finally {
    await store.close();
    await rm(staged, { recursive: true, force: true });
  }
}

/** The state is here already: that others are not told is a pity, and no failure. */
async function leaveBehind({ config, clock, log }: MigrateOptions): Promise<void> {
  try {
    const { markMovedAway } = await import('../open-etcd.ts');
    await markMovedAway(config, { clock, log });
  } catch (err) {
    log.warn('etcd could not be told that its state has moved: see to it that no other controller starts on it', {
      reason: describeError(err),
    });
  }
}

function raiseFor(store: Store, { config, clock }: MigrateOptions): number {
  const nowMs = clock.now();
  return raisedRevision({
    revision: store.revision,
    takenMs: nowMs,
    nowMs,
    knownRevision: knownRevision(config.dataDir),
  });
}

async function pour(store: Store, sink: StateSink): Promise<number> {
  try {
    for (const { key, revision, bytes } of store.snapshot().range('/registry/')) {
      if (!key.startsWith(LEFT_OUT)) await sink.add({ key, revision, value: withoutResourceVersion(bytes) });
    }
    return await sink.finish();
  } catch (err) {
    await sink.abandon();
    throw err;
  }
}

const stampOf = (clock: Clock): string => new Date(clock.now()).toISOString().replaceAll(/[-:]|\.\d+/g, '');
