import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { createInformerFactory } from '#api/client/informer-factory.ts';
import { createKubeClient } from '#api/client/kube-client.ts';
import { createKubeconfigTransport } from '#api/client/kubeconfig-transport.ts';
import { type ConfigMap, resources, type Secret } from '#api/object/kinds.ts';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { EnvelopeKey, sealedUnder } from '#controller/store/seal/envelope.ts';
import { programEnvironment } from '#test/kit/program.ts';
import { type ControllerProcess, startControllerProcess } from '../kit/controller-process.ts';
import { type EtcdCluster, startEtcd } from '../kit/etcd.ts';
import { findEtcd } from '../kit/etcd-releases.ts';
import { openTestStore } from '../kit/etcd-store.ts';
import { waitUntil } from '../kit/wait-until.ts';

const missing = findEtcd('host');
if (typeof missing === 'string') console.warn(`skipped: store migration: ${missing}`);

/** A dozen starts, on machines that do other things too. */
const PATIENCE_MS = 180_000;

const PASSWORD = Buffer.from('a password that is not in etcd').toString('base64');
const SECRET_KEY = '/registry/secrets/default/password';

describe.skipIf(typeof missing === 'string')('coracle store', () => {
  let etcd: EtcdCluster;
  let controller: ControllerProcess;
  let dataDir: string;
  let passphraseFile: string;
  /** Of the controller's next start. */
  const flags: string[] = [];

  beforeAll(async () => {
    etcd = await startEtcd();
    controller = await startControllerProcess({ fromSource: true, flags });
    dataDir = join(controller.folder, 'data');
    passphraseFile = join(controller.folder, 'passphrase');
    writeFileSync(passphraseFile, 'correct horse battery\n', { mode: 0o600 });
  });
  afterAll(async () => {
    await controller?.stop();
    await etcd?.stop();
  });

  const coracle = (...args: string[]) => {
    const result = spawnSync(join(import.meta.dirname, '..', '..', 'bin', 'coracle'), args, {
      encoding: 'utf8',
      env: { ...process.env, ...programEnvironment, CORACLE_LOG_LEVEL: 'error' },
      timeout: 150_000,
    });
    return { status: result.status, out: result.stdout, err: result.stderr };
  };
  const maps = () => controller.client.resource<ConfigMap>(resources.configMaps);
  const putMap = (name: string, text = '') =>
    maps().create({ metadata: { name, namespace: 'default' }, data: { text } } as unknown as ConfigMap);
  const passwordNow = async () =>
    (await controller.client.resource<Secret>(resources.secrets).fetch('password', 'default')).data?.password;
  const listRevision = async () => Number((await maps().fetchList({ namespace: 'default' })).resourceVersion);

  it(
    'moves the state to etcd and back, above all revisions that were told; live informers converge',
    async () => {
      const stop = new AbortController();
      const transport = createKubeconfigTransport(controller.access, 'test-informer');
      const informer = createInformerFactory({
        client: createKubeClient(transport),
        clock: systemClock,
        log: silentLogger,
      }).informer<ConfigMap>(resources.configMaps, { namespace: 'default' });
      informer.start(stop.signal);
      const seen = () => informer.list().map(({ metadata }) => metadata.name);
      await putMap('of-sqlite');
      // Together more than etcd takes in one transaction, as Kubernetes lets them be.
      for (const [name, size] of [
        ['large-1', 700_000],
        ['large-2', 1_000_000],
      ] as const)
        await putMap(name, 'x'.repeat(size));
      await controller.client.resource<Secret>(resources.secrets).create({
        metadata: { name: 'password', namespace: 'default' },
        data: { password: PASSWORD },
      } as unknown as Secret);
      const before = await listRevision();

      const running = coracle('store', 'migrate', '--to', 'etcd', '--data-dir', dataDir, ...etcd.flags);
      expect([running.status, running.err]).toEqual([
        1,
        expect.stringMatching(/a controller runs on .*: stop it first/),
      ]);
      await controller.end();
      expect(coracle('store', 'migrate', '--to', 'etcd', '--data-dir', dataDir, ...etcd.flags)).toMatchObject({
        status: 0,
        out: expect.stringMatching(/^moved \d+ objects to etcd; revisions go on at \d{10}/),
      });
      expect(existsSync(join(dataDir, 'store'))).toBe(false);
      // Forgotten in the configuration: an empty cluster would begin.
      await expect(controller.start()).rejects.toThrow(/the state of this cluster is in etcd: set "store: etcd"/);
      flags.push(...etcd.flags, '--etcd-prefix', '/registri');
      await expect(controller.start()).rejects.toThrow(/etcd holds nothing below \/registri/);
      flags.length = 0;
      flags.push(...etcd.flags, ...(etcd.flags.includes('--store') ? [] : ['--store', 'etcd']));
      await controller.start();
      await putMap('of-etcd');
      await waitUntil('the informer sees what is in etcd', 30_000, () => seen().includes('of-etcd'));
      expect(seen()).toContain('of-sqlite');
      const between = await listRevision();
      expect(between).toBeGreaterThan(before + 1e9);
      expect(await passwordNow()).toBe(PASSWORD);
      expect(await etcd.etcdctl('get', '--prefix', '/registry/')).not.toContain(PASSWORD);

      const backup = join(controller.folder, 'of-etcd.backup');
      const passphrase = ['--passphrase-file', passphraseFile];
      expect(coracle('backup', backup, '--data-dir', dataDir, ...passphrase)).toMatchObject({ status: 0 });
      await controller.end();
      const full = coracle('restore', backup, '--force', '--data-dir', dataDir, ...passphrase, ...flags);
      expect([full.status, full.err]).toEqual([
        1,
        expect.stringMatching(/etcd holds \d+ keys below \/registry already/),
      ]);
      expect(existsSync(join(dataDir, 'pki', 'ca.key'))).toBe(true);

      expect(coracle('store', 'migrate', '--to', 'sqlite', '--data-dir', dataDir, ...etcd.flags)).toMatchObject({
        status: 0,
        out: expect.stringMatching(/^moved \d+ objects to sqlite/),
      });
      // Another controller that was not told.
      await expect(openTestStore(etcd)).rejects.toThrow(/moved away from here \(to SQLite on .*delete \/registry\./);
      flags.length = 0;
      await controller.start();
      await putMap('of-sqlite-again');
      await waitUntil('the informer sees what is in SQLite', 30_000, () => seen().includes('of-sqlite-again'));
      expect(seen()).toEqual(expect.arrayContaining(['of-sqlite', 'of-etcd', 'large-1', 'large-2']));
      expect(await listRevision()).toBeGreaterThan(between + 1e9);
      expect(await passwordNow()).toBe(PASSWORD);
      stop.abort();
      transport.close();

      await controller.end();
      const elsewhere = [...etcd.flags, '--store', 'etcd', '--etcd-prefix', '/restored'];
      const restored = coracle('restore', backup, '--force', '--data-dir', dataDir, ...passphrase, ...elsewhere);
      expect(restored).toMatchObject({ status: 0, err: '' });
      flags.push(...elsewhere);
      await controller.start();
      expect(await passwordNow()).toBe(PASSWORD);
      expect(await listRevision()).toBeGreaterThan(between + 1e9);
    },
    PATIENCE_MS,
  );

  it('hands over keys with which the values in etcd open', async () => {
    const folder = join(controller.folder, 'handover');
    // The copy of the keys may be of long ago: what counts is in etcd.
    rmSync(join(dataDir, 'seal', 'keys.json'));
    expect(coracle('store', 'handover', folder, '--data-dir', dataDir, ...flags)).toMatchObject({ status: 0, err: '' });
    const configuration = parse(readFileSync(join(folder, 'encryption-configuration.yaml'), 'utf8')) as {
      resources: { resources: string[]; providers: { aesgcm?: { keys: { name: string; secret: string }[] } }[] }[];
    };
    const [entry] = configuration.resources;
    expect(entry?.resources).toEqual(['secrets']);
    const key = SECRET_KEY.replace('/registry', '/restored');
    const { kvs } = await etcd.client.range({ key: Buffer.from(key) });
    const stored = kvs[0]!.value;
    const { keyName } = sealedUnder(stored);
    const named = entry?.providers[0]?.aesgcm?.keys.find(({ name }) => name === keyName);
    const opener = new EnvelopeKey({
      cipher: 'aesgcm',
      name: keyName,
      secret: Buffer.from(named?.secret ?? '', 'base64'),
    });
    expect(Buffer.from(opener.open(key, stored)).toString()).toContain(PASSWORD);
    expect(readdirSync(join(folder, 'pki'))).toEqual(
      expect.arrayContaining(['ca.crt', 'ca.key', 'front-proxy-ca.crt', 'sa.key', 'sa.pub']),
    );
    const apiServer = readFileSync(join(folder, 'kube-apiserver.flags'), 'utf8');
    expect(apiServer).toContain('--etcd-prefix=/restored\n');
    expect(apiServer).toContain(`--etcd-servers=${etcd.servers.join(',')}\n`);
    const again = coracle('store', 'handover', folder, '--data-dir', dataDir);
    expect([again.status, again.err]).toEqual([1, expect.stringMatching(/is there already/)]);
  });
});
