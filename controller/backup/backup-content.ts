import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { withoutResourceVersion } from '#api/codec/resource-version.ts';
import { COMPONENT_VERSION } from '#base/version.ts';
import type { ControllerConfig } from '../config.ts';
import type { Store } from '../store/store.ts';
import { encodeRecord, type Manifest } from './backup-records.ts';

/** Keys that a cluster cannot change under its objects and nodes. */
export const CLUSTER_KEYS = [
  'clusterCidr',
  'nodeCidrMaskSize',
  'nodeCidrMaskSizeIpv6',
  'serviceCidr',
  'nodePorts',
  'clusterDomain',
] as const;

/** Whose certificates the next start issues anew, for the names of the host that it is on then. */
const REISSUED = /^(apiserver|admin|apiserver-kubelet-client|front-proxy-client)\.(crt|key)$/;

/** Events are no state: they live in memory and for an hour. */
export const LEFT_OUT = '/registry/events/';

/** Written at a time; between two of them requests are served. */
const PIECE_BYTES = 128 * 1024;

export interface BackupSource {
  readonly store: Pick<Store, 'snapshot'>;
  readonly config: Pick<ControllerConfig, 'dataDir' | 'encryptionProviderConfig' | (typeof CLUSTER_KEYS)[number]>;
  readonly backend: Manifest['backend'];
  readonly nowMs: number;
}

/**
 * Everything that makes the cluster what it is, in clear text, as records: the state at one revision, CAs, keys of ServiceAccounts, keys of
 * sealed values. For nobody but `encrypt`.
 */
export async function* backupContent(source: BackupSource): AsyncGenerator<Uint8Array, void, undefined> {
  const { config, backend, nowMs } = source;
  // Taken at once, and immutable: whatever is written meanwhile is not in the backup.
  const snapshot = source.store.snapshot();
  const manifest: Manifest = {
    coracleVersion: COMPONENT_VERSION,
    created: new Date(nowMs).toISOString(),
    revision: snapshot.revision,
    backend,
    cluster: Object.fromEntries(CLUSTER_KEYS.map((key) => [key, config[key]])),
  };
  yield encodeRecord({ kind: 'manifest', manifest });
  let files = 0;
  for (const { name, path } of await filesOf(config)) {
    files += 1;
    yield encodeRecord({ kind: 'file', name, content: await readFile(path) });
  }
  let objects = 0;
  let piece: Uint8Array[] = [];
  let bytes = 0;
  for (const object of snapshot.range('/registry/')) {
    if (object.key.startsWith(LEFT_OUT)) continue;
    const { key, revision } = object;
    const record = encodeRecord({ kind: 'object', key, revision, value: withoutResourceVersion(object.bytes) });
    objects += 1;
    piece.push(record);
    bytes += record.length;
    if (bytes < PIECE_BYTES) continue;
    yield Buffer.concat(piece);
    piece = [];
    bytes = 0;
    await nextTurn();
  }
  yield Buffer.concat([...piece, encodeRecord({ kind: 'end', objects, files })]);
}

interface SourceFile {
  readonly name: string;
  readonly path: string;
}

/** CAs and keys, keys of sealed values, and the file that names further ones. */
async function filesOf({ dataDir, encryptionProviderConfig }: BackupSource['config']): Promise<readonly SourceFile[]> {
  const pki = (await filesIn(dataDir, 'pki')).filter(({ name }) => !REISSUED.test(name.slice('pki/'.length)));
  const seal = await filesIn(dataDir, 'seal');
  const further =
    encryptionProviderConfig === ''
      ? []
      : [{ name: 'config/encryption-configuration.yaml', path: encryptionProviderConfig }];
  return [...pki, ...seal, ...further];
}

async function filesIn(dataDir: string, folder: string): Promise<readonly SourceFile[]> {
  let entries: readonly { readonly name: string; isFile(): boolean }[];
  try {
    entries = await readdir(join(dataDir, folder), { withFileTypes: true });
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw err;
  }
  return entries
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.tmp'))
    .map(({ name }) => ({ name: `${folder}/${name}`, path: join(dataDir, folder, name) }));
}
