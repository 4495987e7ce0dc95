import { readFileSync } from 'node:fs';
import { type Clock, delay } from '#base/clock.ts';
import { ConfigError } from '#base/config.ts';
import { describeError } from '#base/errors.ts';
import { DEFAULT_HISTORY_LIMITS } from '../history.ts';
import type { StoreOptions } from '../store-core.ts';
import { EtcdClient, type EtcdTls, isCompacted } from './etcd-client.ts';
import { describeEtcdFailure, isTransient } from './etcd-error.ts';
import { EtcdStore, type EtcdStoreParts } from './etcd-store.ts';
import { type EtcdSealer, EtcdValues, plainSealer } from './etcd-values.ts';
import { isSupported } from './etcd-version.ts';
import { KeySpace } from './key-space.ts';
import { type Listing, listAll } from './list-all.ts';
import { describeStartFailure } from './start-failure.ts';
import { drawMark } from './writer-mark.ts';

export interface EtcdStoreOptions extends StoreOptions {
  /** `https://host:2379`, or `http://…` without TLS; all members of one cluster. */
  readonly servers: readonly string[];
  /** Files in PEM form; '': none. */
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  /** Below which everything lies: `/registry`. */
  readonly prefix: string;
  /** Absent: values lie there as they are. */
  readonly sealer?: (connection: EtcdConnection) => Promise<EtcdSealer>;
  readonly random: () => number;
  /** How long a start waits for a cluster that does not answer. Default 10 s. */
  readonly patienceMs?: number;
  /** See `EtcdStoreParts.ioClock`; absent: `clock`. */
  readonly ioClock?: Clock;
  readonly wrapTxn?: EtcdStoreParts['wrapTxn'];
  /** When nothing is asked of etcd any more. */
  readonly onClose?: () => void;
}

const PATIENCE_MS = 10_000;
const RETRY_MS = 250;

/** A cluster that answers, and where our keys lie in it. */
export interface EtcdConnection {
  readonly client: EtcdClient;
  readonly keys: KeySpace;
  readonly version: string;
}

export type EtcdConnectOptions = Pick<
  EtcdStoreOptions,
  'servers' | 'caFile' | 'certFile' | 'keyFile' | 'prefix' | 'clock' | 'ioClock' | 'log' | 'random' | 'patienceMs'
>;

/** Throws ConfigError, in one line with the cure, where the cluster cannot be used as it is configured. */
export async function connectEtcd(options: EtcdConnectOptions): Promise<EtcdConnection> {
  const { log, servers, prefix, random, ioClock = options.clock } = options;
  checkServers(servers);
  const tls = readTls(options);
  let client: EtcdClient;
  try {
    client = new EtcdClient({ servers, tls, reloadTls: () => readTls(options), clock: ioClock, log, random });
  } catch (err) {
    throw new ConfigError(`etcdCa, etcdCert, etcdKey: ${describeError(err)}`);
  }
  try {
    const version = await findCluster(client, {
      clock: ioClock,
      patienceMs: options.patienceMs ?? PATIENCE_MS,
      servers,
    });
    if (!isSupported(version))
      throw new ConfigError(`etcd ${version} (${client.server}) is too old: use one of 3.4 to 3.6`);
    const keys = new KeySpace(prefix);
    client.shiftRevisions(await readRevisionOffset(client, keys));
    return { client, keys, version };
  } catch (err) {
    client.close();
    throw err instanceof ConfigError ? err : new ConfigError(`etcd: ${describeEtcdFailure(err)}`);
  }
}

/** Throws ConfigError as `connectEtcd` does. */
export async function openEtcdStore(options: EtcdStoreOptions): Promise<EtcdStore> {
  const { log, prefix, random, ioClock = options.clock } = options;
  const { client, keys, version } = await connectEtcd(options);
  try {
    await refuseMovedAway(client, keys);
    const sealer = await options.sealer?.({ client, keys, version });
    const context = { classify: options.classify, freezeObjects: options.freezeObjects ?? false };
    const values = new EtcdValues(context, sealer ?? plainSealer, drawMark(random));
    const listing = await listWithHistory({ client, keys, values }, options);
    for (const [key, reason] of listing.unreadable) log.error('a value in etcd is not shown', { key, reason });
    const { wrapTxn, onClose = () => {} } = options;
    const own = { client, keys, values, listing, random, ioClock, onClose };
    const parts: EtcdStoreParts = wrapTxn === undefined ? own : { ...own, wrapTxn };
    const store = new EtcdStore(options, parts);
    await store.start();
    log.info('etcd is the store', { server: client.server, version, objects: listing.objects.length, prefix });
    return store;
  } catch (err) {
    client.close();
    throw err instanceof ConfigError ? err : new ConfigError(`etcd: ${describeEtcdFailure(err)}`);
  }
}

async function refuseMovedAway(client: EtcdClient, keys: KeySpace): Promise<void> {
  const { kvs } = await client.range({ key: keys.movedAway });
  if (kvs[0] === undefined) return;
  const [name, words] = [keys.movedAway, kvs[0].value].map((bytes) => Buffer.from(bytes).toString('utf8'));
  throw new ConfigError(
    `etcd: the state was moved away from here (${words}): to use what was left behind, delete ${name}`,
  );
}

async function readRevisionOffset(client: EtcdClient, keys: KeySpace): Promise<number> {
  const { kvs } = await client.range({ key: keys.revisionOffset });
  const text = kvs[0] === undefined ? '0' : Buffer.from(kvs[0].value).toString('utf8');
  if (!/^\d{1,15}$/.test(text))
    throw new ConfigError(`etcd: ${Buffer.from(keys.revisionOffset).toString()} holds no number but "${text}"`);
  return Number(text);
}

function checkServers(servers: readonly string[]): void {
  if (servers.length === 0)
    throw new ConfigError('etcdServers: name at least one server, such as https://10.0.0.1:2379');
  const schemes = new Set<string>();
  for (const server of servers) {
    const url = URL.canParse(server) ? new URL(server) : undefined;
    if (url === undefined || url.port === '' || !['http:', 'https:'].includes(url.protocol) || url.pathname !== '/')
      throw new ConfigError(`etcdServers: "${server}" is no address such as https://10.0.0.1:2379`);
    schemes.add(url.protocol);
  }
  if (schemes.size > 1) throw new ConfigError('etcdServers: either all servers begin with https:// or none');
}

function readTls({ caFile, certFile, keyFile }: EtcdConnectOptions): EtcdTls {
  if ((certFile === '') !== (keyFile === ''))
    throw new ConfigError('etcdCert and etcdKey belong together: name both or none');
  const read = (name: string, file: string) => {
    try {
      return file === '' ? undefined : readFileSync(file);
    } catch (err) {
      throw new ConfigError(`${name}: ${describeError(err)}`);
    }
  };
  const ca = read('etcdCa', caFile);
  const cert = read('etcdCert', certFile);
  const key = read('etcdKey', keyFile);
  return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}

interface Search {
  readonly clock: Clock;
  readonly patienceMs: number;
  readonly servers: readonly string[];
}

/** Answers the version of the first member that answers. A cluster may start at the same time as we do: it is waited for. */
async function findCluster(client: EtcdClient, { clock, patienceMs, servers }: Search): Promise<string> {
  const endMs = clock.monotonic() + patienceMs;
  const failures = new Map<string, string>();
  for (;;) {
    const { server } = client;
    try {
      const { version } = await client.status();
      await client.range({ key: Uint8Array.of(0), count_only: true });
      return version;
    } catch (err) {
      failures.set(server, (err as Error).message);
      const failure = describeStartFailure(failures);
      const triedAll = failures.size === servers.length;
      if (triedAll && (failure.isFinal || clock.monotonic() >= endMs || !isTransient(err)))
        throw new ConfigError(failure.message);
      if (!isTransient(err)) client.leave(server);
      if (triedAll) await delay(clock, RETRY_MS);
    }
  }
}

/** Begins with an older state where etcd still has one: what has happened since is then history, from which watches resume. */
async function listWithHistory(
  parts: Pick<EtcdStoreParts, 'client' | 'keys' | 'values'>,
  { historyLimits }: EtcdStoreOptions,
): Promise<Listing> {
  const { client, keys } = parts;
  const { header } = await client.range({ key: keys.fence, count_only: true });
  const { minEvents } = { ...DEFAULT_HISTORY_LIMITS, ...historyLimits };
  const newest = Number(header.revision);
  try {
    const revision = await findOldestRevision(client, keys, { wanted: newest - minEvents, newest });
    return await listAll({ ...parts, revision });
  } catch (err) {
    if (!isCompacted(err)) throw err;
    return listAll(parts);
  }
}

/** The oldest revision from `wanted` on that can still be read. etcd tells it in no other way; a dozen small questions find it. */
async function findOldestRevision(client: EtcdClient, keys: KeySpace, range: { wanted: number; newest: number }) {
  let low = Math.max(range.wanted, 1);
  let high = range.newest;
  // The wanted one is mostly there: it is asked for first, then halves of the rest.
  for (let at = low; low < high; at = Math.floor((low + high) / 2)) {
    try {
      await client.range({ key: keys.fence, revision: at, count_only: true });
      high = at;
    } catch (err) {
      if (!isCompacted(err)) throw err;
      low = at + 1;
    }
  }
  return high;
}
