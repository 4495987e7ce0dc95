import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { takeFileLock } from '../store/file-lock.ts';
import { createMemoryStore } from '../store/memory-store.ts';
import { KeyRing } from '../store/seal/key-ring.ts';
import { planSealing } from '../store/seal/sealing-plan.ts';
import { openSqliteStore } from '../store/sqlite-store.ts';
import type { Store } from '../store/store.ts';
import { classifySample, sampleValue } from '../store/testing/sample-values.ts';
import { backupContent } from './backup-content.ts';
import { writeBackupFile } from './backup-file.ts';
import { encodeRecord } from './backup-records.ts';
import { refuseUnfinishedRestore, replaceFolders } from './data-folder.ts';
import { raisedRevision } from './raised-revision.ts';
import { type RestoreSummary, restoreBackup } from './restore-backup.ts';
import { SqliteSink } from './sqlite-sink.ts';

const PASSPHRASE = 'correct horse battery';
const NOW_MS = Date.UTC(2026, 5, 1);
const SECRET = '/registry/secrets/default/token';

describe('restoreBackup', () => {
  let root: string;
  let source: string;
  let path: string;
  let target: string;

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'coracle-restore-'));
    source = join(root, 'source');
    target = join(root, 'target');
    path = join(root, 'a.backup');
    await mkdir(join(source, 'pki'), { recursive: true });
    for (const name of ['ca.crt', 'ca.key', 'sa.key', 'apiserver.crt', 'apiserver.key'])
      await writeFile(join(source, 'pki', name), `content of ${name}`);
    new KeyRing({ path: join(source, 'seal', 'keys.json') }).rotate();
  });
  afterEach(() => rm(root, { recursive: true }));

  const content = (store: Store, nowMs = NOW_MS) =>
    backupContent({
      store,
      backend: 'sqlite',
      nowMs,
      config: {
        dataDir: source,
        encryptionProviderConfig: '',
        clusterCidr: '10.244.0.0/16',
        nodeCidrMaskSize: 24,
        nodeCidrMaskSizeIpv6: 64,
        serviceCidr: '10.96.0.0/16',
        nodePorts: '30000-32767',
        clusterDomain: 'cluster.local',
      },
    });
  const takeBackup = async (objects = 3, nowMs = NOW_MS): Promise<void> => {
    const store = createMemoryStore({ classify: classifySample });
    for (let i = 0; i < objects; i++) await put(store, `/registry/configmaps/default/c${i}`, 'ConfigMap', { at: i });
    await put(store, SECRET, 'Secret', { password: 'hunter2-in-clear' });
    await put(store, '/registry/events/default/e', 'Event', {});
    await writeBackupFile(content(store, nowMs), { path, passphrase: PASSPHRASE, nowMs, scryptCost: 16 });
  };
  const put = (store: Store, key: string, kind: string, data: object) =>
    store.write(key, () => ({ kind: 'put', value: sampleValue(kind, key.split('/').at(-1)!, { data }) }));
  const sealing = (dir = target) =>
    planSealing({ ringPath: join(dir, 'seal', 'keys.json'), encryptSecrets: true, configuration: undefined }, []);
  const restore = (options: { force?: boolean; passphrase?: string; nowMs?: number } = {}): Promise<RestoreSummary> =>
    restoreBackup({
      path,
      passphrase: PASSPHRASE,
      dataDir: target,
      openSink: async (folder, raisedTo) =>
        new SqliteSink({ folder, raisedTo, sealing: sealing(), nowMs: NOW_MS + 60_000 }),
      backend: 'sqlite',
      force: false,
      nowMs: NOW_MS + 60_000,
      ...options,
    });
  const withStore = async <T>(work: (store: Store) => T | Promise<T>): Promise<T> => {
    const store = await openSqliteStore({
      dir: join(target, 'store'),
      clock: new FakeClock(),
      log: silentLogger,
      classify: classifySample,
      sealing: sealing(),
    });
    try {
      return await work(store);
    } finally {
      await store.close();
    }
  };

  it('brings back state, CAs and keys, under revisions that nobody has seen', async () => {
    await takeBackup(1200);
    const { objects, raisedTo, aside, manifest, files } = await restore();
    expect({ objects, aside, revision: manifest.revision }).toEqual({
      objects: 1201,
      aside: undefined,
      revision: 1203,
    });
    expect(raisedTo).toBeGreaterThanOrEqual(1203 + 1e9);
    expect(files.toSorted()).toEqual(['pki/ca.crt', 'pki/ca.key', 'pki/sa.key', 'seal/keys.json']);
    expect(readFileSync(join(target, 'pki', 'ca.key'), 'utf8')).toBe('content of ca.key');
    await withStore(async (store) => {
      expect(store.revision).toBeGreaterThanOrEqual(raisedTo);
      expect(store.compactedRevision).toBe(raisedTo);
      expect(() => store.snapshotAt(manifest.revision)).toThrow(expect.objectContaining({ code: 410 }));
      expect([store.snapshot().count('/registry/'), store.snapshot().count('/registry/events/')]).toEqual([1201, 0]);
      expect(store.snapshot().get('/registry/configmaps/default/c7')?.revision).toBe(9);
      expect(store.snapshot().get(SECRET)?.object()).toMatchObject({ data: { password: 'hunter2-in-clear' } });
      const { revision } = await put(store, '/registry/configmaps/default/new', 'ConfigMap', {});
      expect(revision).toBeGreaterThan(raisedTo);
    });
  });

  it('seals under a key of its own, and leaves no secret readable', async () => {
    await takeBackup();
    await restore();
    const old = new KeyRing({ path: join(source, 'seal', 'keys.json') }).newest?.name;
    expect(new KeyRing({ path: join(target, 'seal', 'keys.json') }).newest?.name).not.toBe(old);
    const found = filesBelow(join(target, 'store')).filter((name) => readFileSync(name).includes('hunter2-in-clear'));
    expect(found).toEqual([]);
  });

  it('refuses a data directory that holds a cluster, and sets that aside when forced', async () => {
    await takeBackup();
    const first = await restore();
    await withStore((store) => put(store, '/registry/configmaps/default/young', 'ConfigMap', {}));
    const before = fingerprint(target);
    await expect(restore()).rejects.toThrow(/holds a cluster already \(store, pki, seal\): .*--force/);
    expect(fingerprint(target)).toEqual(before);
    const second = await restore({ force: true });
    expect(second.raisedTo).toBeGreaterThanOrEqual(first.raisedTo + 1e9);
    expect(readdirSync(second.aside!).toSorted()).toEqual(['pki', 'seal', 'store']);
    await withStore((store) => expect(store.snapshot().get('/registry/configmaps/default/young')).toBeUndefined());
    const third = await restore({ force: true });
    expect(third.aside).not.toBe(second.aside);
  });

  it.each<[string, () => Promise<void>, RegExp, { passphrase?: string }]>([
    ['the passphrase is wrong', async () => {}, /wrong passphrase/, { passphrase: 'wrong passphrase' }],
    [
      'the file is cut off',
      async () => writeFile(path, readFileSync(path).subarray(0, -20)),
      /garbled or cut off|ends too early/,
      {},
    ],
    [
      'the file is garbled near its end',
      async () => {
        const bytes = readFileSync(path);
        bytes[bytes.length - 30]! ^= 1;
        await writeFile(path, bytes);
      },
      /garbled or cut off/,
      {},
    ],
    ['there is no file', () => rm(path), /no such file/, {}],
    [
      'a file of it leads out of the folder',
      async () => rewrite([{ kind: 'file', name: '../evil', content: Buffer.from('x') }]),
      /a file of a strange name/,
      {},
    ],
    ['it holds no cluster', async () => rewrite([]), /holds no cluster/, {}],
  ])('harms nothing when %s', async (_, harm, message, options) => {
    await takeBackup(2000);
    await restore();
    const before = fingerprint(target);
    await harm();
    await expect(restore({ force: true, ...options })).rejects.toThrow(message);
    await expect(restore({ force: true, ...options })).rejects.toMatchObject({ name: 'BackupError' });
    expect(fingerprint(target)).toEqual(before);
  });

  async function rewrite(files: { kind: 'file'; name: string; content: Buffer }[]): Promise<void> {
    const manifest = {
      coracleVersion: '1',
      created: new Date(NOW_MS).toISOString(),
      revision: 1,
      backend: 'sqlite',
      cluster: {},
    };
    const records = async function* () {
      yield encodeRecord({ kind: 'manifest', manifest });
      for (const file of files) yield encodeRecord(file);
      yield encodeRecord({ kind: 'end', objects: 0, files: files.length });
    };
    await writeBackupFile(records(), { path, passphrase: PASSPHRASE, nowMs: NOW_MS, scryptCost: 16 });
  }

  it('stays away from a data directory that a controller uses', async () => {
    await takeBackup();
    await mkdir(target);
    const lock = takeFileLock(join(target, 'controller.lock'), 'this data directory');
    try {
      await expect(restore({ force: true })).rejects.toThrow(/a controller runs on .*: stop it first/);
    } finally {
      lock.close();
    }
  });

  it('lets no controller start on what a restore left half done, and is completed by another one', async () => {
    await takeBackup();
    await restore();
    const staged = join(target, 'restoring');
    await mkdir(join(staged, 'pki'), { recursive: true });
    // A folder in the way of the second rename: the first one has happened.
    await mkdir(join(staged, 'stores'));
    await mkdir(join(target, 'stores', 'x'), { recursive: true });
    const replaced = ['store', 'pki'];
    await expect(replaceFolders(target, { staged, nowMs: NOW_MS, replaced, backend: 'sqlite' })).rejects.toThrow(
      /ENOTEMPTY/,
    );
    expect(() => refuseUnfinishedRestore(target)).toThrow(/was cut off: run "coracle restore" again with --force/);
    await restore({ force: true });
    refuseUnfinishedRestore(target);
    await withStore((store) => expect(store.snapshot().get(SECRET)).toBeDefined());
  });
});

describe('raisedRevision', () => {
  const base = { revision: 1000, takenMs: NOW_MS, nowMs: NOW_MS, knownRevision: 0 };

  it.each([
    ['leaps at least 10^9', base, 1000 + 1e9],
    ['leaps above what the replaced store has shown', { ...base, knownRevision: 5e9 }, 6e9],
    ['leaps further the older the backup is', { ...base, nowMs: NOW_MS + 10_000 }, 1000 + 1e9 + 10e6],
    ['bears a clock that went back', { ...base, nowMs: 0 }, 1000 + 1e9],
  ])('%s', (_, input, expected) => {
    expect(raisedRevision(input)).toBe(expected);
  });

  it('does not meet itself when one backup is restored twice, with a busy cluster in between', () => {
    const first = raisedRevision({ ...base, nowMs: NOW_MS + 1_000 });
    const shownMeanwhile = first + 100_000 * 3600;
    const second = raisedRevision({ ...base, nowMs: NOW_MS + 1_000 + 3_600_000 });
    expect(second).toBeGreaterThan(shownMeanwhile);
  });
});

function filesBelow(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
}

/** Names and content of everything in a folder, the lock files apart. */
function fingerprint(dir: string): Record<string, string> {
  if (!existsSync(dir)) return {};
  const files = filesBelow(dir).filter((name) => !name.includes('.lock'));
  return Object.fromEntries(
    files.map((name) => [relative(dir, name), createHash('sha256').update(readFileSync(name)).digest('hex')]),
  );
}
