import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError } from '#base/config.ts';
import { readFileIfPresent, writeDurableFile } from './pki/durable-file.ts';
import { databasePath, inspect } from './store/integrity/inspect.ts';
import { judge } from './store/integrity/judge.ts';

/** Where the state of a cluster is kept. */
export type Backend = 'sqlite' | 'etcd';

/** In the data directory: which backend has the state of the cluster whose keys lie there. */
const NOTE = 'state-backend';

/** Undefined where nothing is noted: the cluster was not served from here yet. */
export async function readBackendNote(dataDir: string): Promise<Backend | undefined> {
  const text = (await readFileIfPresent(join(dataDir, NOTE)))?.trim();
  return text === 'sqlite' || text === 'etcd' ? text : undefined;
}

/** To be called once the state is there, durably. */
export async function writeBackendNote(dataDir: string, backend: Backend): Promise<void> {
  if ((await readBackendNote(dataDir)) !== backend) await writeDurableFile(join(dataDir, NOTE), `${backend}\n`);
}

/**
 * Throws ConfigError where the state of this cluster is in the other backend, or gone as a whole. A store that is not there looks like one
 * that is about to be made: an empty cluster would be served under the keys of the old one, and its nodes would end all pods.
 */
export async function refuseLostState(dataDir: string, backend: Backend): Promise<void> {
  const noted = await readBackendNote(dataDir);
  if (noted === undefined) return;
  const store = join(dataDir, 'store');
  if (noted !== backend) {
    const cure =
      noted === 'etcd'
        ? 'is in etcd: set "store: etcd" and etcdServers, or bring it here with "coracle store migrate --to sqlite"'
        : `is in ${store}: set "store: sqlite", or bring it into etcd with "coracle store migrate --to etcd"`;
    throw new ConfigError(`store: the state of this cluster ${cure}; ${beginAnew(dataDir)}`);
  }
  if (backend === 'sqlite' && isGone(store)) {
    throw new ConfigError(
      `the state of this cluster is gone: ${store} holds neither state.db nor a trace of it: put the folder back, or restore a backup ` +
        `("coracle restore"); ${beginAnew(dataDir)}`,
    );
  }
}

/** Of an etcd that holds nothing, throws ConfigError where it had the state before. */
export async function refuseEmptyEtcd(dataDir: string, prefix: string): Promise<void> {
  if ((await readBackendNote(dataDir)) !== 'etcd') return;
  throw new ConfigError(
    `etcd holds nothing below ${prefix}, where the state of this cluster was: are etcdServers and etcdPrefix right? If it is lost, restore ` +
      `a backup ("coracle restore"); ${beginAnew(dataDir)}`,
  );
}

/** What has a trace left is for the recovery to judge. */
function isGone(store: string): boolean {
  if (existsSync(databasePath(store))) return false;
  return !existsSync(store) || judge(inspect(store)).condition === 'empty';
}

const beginAnew = (dataDir: string): string => `to begin with an empty cluster, delete ${join(dataDir, NOTE)}`;
