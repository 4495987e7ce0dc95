import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { patiently } from '#test/kit/patiently.ts';
import { sealedUnder } from './seal/envelope.ts';
import { KeyRing } from './seal/key-ring.ts';
import { RowSealing } from './seal/row-sealing.ts';
import { planSealing, type SealingPlan } from './seal/sealing-plan.ts';
import type { SqliteCommitLog } from './sqlite-commit-log.ts';
import { openSqliteStore, type SqliteStoreOptions } from './sqlite-store.ts';
import type { Store } from './store.ts';
import { classifySample, recordEvents, sampleValue } from './testing/sample-values.ts';

const PASSWORD = 'correct horse "battery" stäple';
const secretKey = (name: string) => `/registry/secrets/default/${name}`;

/** Hundreds of fsyncs, on machines that do other things too. */
const PATIENCE_MS = 30_000;

describe('SQLite store with sealed values', { timeout: PATIENCE_MS }, () => {
  let dir: string;
  let clock: FakeClock;
  let stores: Store[];
  let log: SqliteCommitLog | undefined;

  const ringPath = () => join(dir, 'seal', 'keys.json');
  const plan = (encryptSecrets = true): SealingPlan =>
    planSealing({ ringPath: ringPath(), encryptSecrets, configuration: undefined }, [
      { group: '', resource: 'secrets', storagePrefix: '/registry/secrets' },
    ]);
  const open = async (options: Partial<SqliteStoreOptions> = {}) => {
    const store = await openSqliteStore({
      dir: join(dir, 'store'),
      clock,
      log: silentLogger,
      classify: classifySample,
      sealing: plan(),
      wrapLog: (inner) => {
        log = inner as SqliteCommitLog;
        return inner;
      },
      ...options,
    });
    stores.push(store);
    return store;
  };
  const putSecret = (store: Store, name: string, password = PASSWORD) => {
    const data = { password: Buffer.from(password).toString('base64') };
    return store.write(secretKey(name), () => ({
      kind: 'put',
      value: sampleValue('Secret', name, { data, stringData: { password } }),
    }));
  };
  const passwordOf = (store: Store, name: string) =>
    (store.snapshot().get(secretKey(name))?.object() as { stringData?: { password?: string } } | undefined)?.stringData
      ?.password;

  /** Files below the store's folder that hold the text in any of the forms in which it may leak. */
  const leaks = (text = PASSWORD): string[] => {
    const json = JSON.stringify(text).slice(1, -1);
    const forms = [text, json, Buffer.from(text).toString('base64'), Buffer.from(json).toString('base64')];
    const found: string[] = [];
    for (const entry of readdirSync(join(dir, 'store'), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const content = readFileSync(join(entry.parentPath, entry.name));
      if (forms.some((form) => content.includes(form))) found.push(entry.name);
    }
    return found;
  };
  const rows = (): { key: string; keyName: string }[] => {
    const db = new DatabaseSync(join(dir, 'store', 'state.db'), { readOnly: true });
    try {
      const stored = db
        .prepare(
          'SELECT key, value FROM objects UNION ALL SELECT key, previous FROM history WHERE previous IS NOT NULL',
        )
        .all() as unknown as { key: string; value: Uint8Array }[];
      return stored.map(({ key, value }) => ({ key, keyName: sealedUnder(value).keyName }));
    } finally {
      db.close();
    }
  };

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'coracle-sealing-'));
    clock = new FakeClock();
    stores = [];
  });
  afterEach(async () => {
    for (const store of stores) await store.close();
    await rm(dir, { recursive: true });
  });

  it('keeps what is secret off the disk: database, log, history, snapshots', async () => {
    const store = await open();
    await putSecret(store, 'kept');
    await putSecret(store, 'changed');
    await putSecret(store, 'changed', `${PASSWORD}, again`);
    await putSecret(store, 'deleted');
    await store.write(secretKey('deleted'), () => ({ kind: 'delete' }));
    await store.write('/registry/configmaps/default/open', () => ({
      kind: 'put',
      value: sampleValue('ConfigMap', 'open', { data: { visible: 'plainly visible' } }),
    }));
    expect([leaks(), leaks('plainly visible')]).toEqual([[], ['state.db-wal']]);
    expect(passwordOf(store, 'kept')).toBe(PASSWORD);
    await store.close();
    expect(readdirSync(join(dir, 'store', 'snapshots'))).toHaveLength(2);
    expect([leaks(), leaks('plainly visible')]).toEqual([[], ['state.db', expect.stringMatching(/\.db$/)]]);

    const again = await open();
    const { revision } = await putSecret(again, 'after');
    expect([passwordOf(again, 'kept'), passwordOf(again, 'changed')]).toEqual([PASSWORD, `${PASSWORD}, again`]);
    const deletion = recordEvents(again, '/registry/secrets/', { fromRevision: 1 }).find((e) => e.type === 'DELETED');
    expect(deletion?.object.key).toBe(secretKey('deleted'));
    expect(revision).toBeGreaterThan(deletion?.revision ?? Number.POSITIVE_INFINITY);
  });

  it.each<[string, () => Promise<void> | void, RegExp]>([
    [
      'the keys are gone',
      () => rm(ringPath()),
      /is sealed under the aesgcm key "coracle-\w+", which is not in .*keys\.json/,
    ],
    [
      'the keys are those of another cluster',
      async () => {
        await rm(ringPath());
        new KeyRing({ path: ringPath() }).rotate();
      },
      /which is not in .*keys\.json: put the file with the key back/,
    ],
    [
      'the key has another secret',
      async () => {
        const name = new KeyRing({ path: ringPath() }).newest?.name;
        await rm(ringPath());
        new KeyRing({ path: ringPath() }).rotate();
        const text = await readFile(ringPath(), 'utf8');
        await writeFile(ringPath(), text.replace(/coracle-\w+/, name ?? ''));
      },
      /does not open with the one of that name in .*keys\.json: either that is another key/,
    ],
  ])('refuses to start when %s, and harms nothing', async (_, harm, message) => {
    const store = await open();
    await putSecret(store, 'a');
    await store.close();
    const keys = readFileSync(ringPath());
    await harm();
    const harmed = existsSync(ringPath()) ? readFileSync(ringPath()) : undefined;
    await expect(open()).rejects.toThrow(message);
    expect(existsSync(ringPath()) ? readFileSync(ringPath()) : undefined).toEqual(harmed);
    await writeFile(ringPath(), keys);
    expect(passwordOf(await open(), 'a')).toBe(PASSWORD);
  });

  it('takes sealed values for sound where the evidence beside the database is missing', async () => {
    const store = await open();
    await putSecret(store, 'a');
    await store.close();
    for (const name of readdirSync(join(dir, 'store')))
      if (/^state\.sums/.test(name)) await rm(join(dir, 'store', name));
    await rm(join(dir, 'store', 'snapshots'), { recursive: true });
    expect(passwordOf(await open(), 'a')).toBe(PASSWORD);
  });

  it('fails the write of a Secret whose key cannot be accounted for, and nothing else', async () => {
    const store = await open();
    await patiently(() => expect(existsSync(ringPath())).toBe(true));
    await rm(join(dir, 'seal'), { recursive: true });
    await writeFile(join(dir, 'seal'), 'a file where a folder should be');
    const putOpenly = () =>
      store.write('/registry/configmaps/default/a', () => ({ kind: 'put', value: sampleValue('ConfigMap', 'a') }));
    await expect(putSecret(store, 'a')).rejects.toThrow(/the keys of sealed values cannot be written to .*keys\.json/);
    await putOpenly();
    await rm(join(dir, 'seal'));
    await putSecret(store, 'a');
    expect(leaks()).toEqual([]);
  });

  it('seals under a new key when told to, and old values after it, without anybody noticing', async () => {
    const store = await open();
    await putSecret(store, 'a');
    const { revision } = await putSecret(store, 'a', 'second');
    const [first] = new Set(rows().map(({ keyName }) => keyName));
    const events = recordEvents(store, '/registry/');
    log?.notify({ kind: 'rotate-sealing-key' });
    await patiently(() => expect(rows().map(({ keyName }) => keyName)).not.toContain(first));
    expect(rows()).toHaveLength(2);
    expect([events, store.snapshot().get(secretKey('a'))?.revision]).toEqual([[], revision]);
    await store.close();
    expect(passwordOf(await open(), 'a')).toBe('second');
  });
});

describe('RowSealing', () => {
  let dir: string;
  let db: DatabaseSync;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'coracle-rows-'));
    db = new DatabaseSync(join(dir, 'rows.db'));
    db.exec('CREATE TABLE objects (key TEXT PRIMARY KEY, value BLOB NOT NULL)');
    db.exec('CREATE TABLE history (revision INTEGER PRIMARY KEY, key TEXT NOT NULL, previous BLOB)');
  });
  afterEach(async () => {
    db.close();
    await rm(dir, { recursive: true });
  });

  const sealing = (encryptSecrets: boolean) =>
    new RowSealing(db, planSealing({ ringPath: join(dir, 'keys.json'), encryptSecrets, configuration: undefined }, []));
  const states = () =>
    db
      .prepare(
        "SELECT substr(value, 1, 8) = CAST('k8s:enc:' AS BLOB) AS sealed, count(*) AS count FROM objects GROUP BY 1",
      )
      .all()
      .map(({ sealed, count }) => [sealed, count]);
  /** Rows written by each step until nothing is due. */
  const run = (rowsSealing: RowSealing): number[] => {
    const written: number[] = [];
    while (rowsSealing.isDue && written.length < 1000) {
      const before = db.prepare('SELECT total_changes() AS n').get()?.n as number;
      rowsSealing.step();
      written.push((db.prepare('SELECT total_changes() AS n').get()?.n as number) - before);
    }
    return written;
  };

  it('turns on, and off again, a bounded number of rows at a time', () => {
    const value = Buffer.from('{"kind":"Secret","data":"plain to see"}');
    db.exec('BEGIN');
    for (let i = 0; i < 130; i++) db.prepare('INSERT INTO objects VALUES (?, ?)').run(secretKey(`s${i}`), value);
    for (let i = 0; i < 700; i++) db.prepare('INSERT INTO objects VALUES (?, ?)').run(`/registry/pods/d/p${i}`, value);
    for (let i = 1; i < 30; i++)
      db.prepare('INSERT INTO history VALUES (?, ?, ?)').run(i, secretKey('s1'), i % 3 === 0 ? null : value);
    db.exec('COMMIT');
    const on = sealing(true);
    on.begin();
    const written = run(on);
    expect(Math.max(...written)).toBe(50);
    expect(written.reduce((sum, n) => sum + n)).toBe(130 + 20);
    expect(states()).toEqual([
      [0, 700],
      [1, 130],
    ]);
    const off = sealing(false);
    off.begin();
    run(off);
    expect(states()).toEqual([[0, 830]]);
    expect(db.prepare('SELECT count(*) AS n FROM objects WHERE value = ?').get(value)?.n).toBe(830);
  });

  it('leaves nothing of what was open in the file', () => {
    db.prepare('INSERT INTO objects VALUES (?, ?)').run(secretKey('a'), Buffer.from('{"data":"plain to see"}'));
    db.prepare('INSERT INTO objects VALUES (?, ?)').run(
      secretKey('b'),
      Buffer.from(`{"x":"${'plain to see'.repeat(2000)}"}`),
    );
    const on = sealing(true);
    on.begin();
    run(on);
    expect(readFileSync(join(dir, 'rows.db')).includes('plain to see')).toBe(false);
  });

  it('comes to an end where nothing was ever sealed', () => {
    db.prepare('INSERT INTO objects VALUES (?, ?)').run(secretKey('a'), Buffer.from('{}'));
    const off = sealing(false);
    expect(off.isDue).toBe(false);
    off.begin();
    expect(run(off).length).toBeLessThan(5);
  });

  it('writes nothing where all is as it should be', () => {
    const first = sealing(true);
    first.begin();
    const value = first.seal(secretKey('a'), Buffer.from('{}'));
    db.prepare('INSERT INTO objects VALUES (?, ?)').run(secretKey('a'), value);
    const again = sealing(true);
    again.begin();
    expect(run(again).every((n) => n === 0)).toBe(true);
  });
});
