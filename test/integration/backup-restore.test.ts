import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import tls from 'node:tls';
import { CoreV1Api, KubeConfig, makeInformer, type V1ConfigMap } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createInformerFactory } from '#api/client/informer-factory.ts';
import { createKubeClient } from '#api/client/kube-client.ts';
import type { KubeconfigAccess } from '#api/client/kubeconfig.ts';
import { createKubeconfigTransport } from '#api/client/kubeconfig-transport.ts';
import { type ConfigMap, resources, type Secret } from '#api/object/kinds.ts';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { programEnvironment } from '#test/kit/program.ts';
import { type ControllerProcess, startControllerProcess } from '../kit/controller-process.ts';
import { waitUntil } from '../kit/wait-until.ts';

const PASSWORD = 'a password that is not on any disk';

describe('coracle backup and restore', () => {
  let controller: ControllerProcess;
  let dataDir: string;
  let passphraseFile: string;
  let backups: string;

  beforeAll(async () => {
    controller = await startControllerProcess({ fromSource: true });
    dataDir = join(controller.folder, 'data');
    passphraseFile = join(controller.folder, 'passphrase');
    backups = join(controller.folder, 'backups');
    writeFileSync(passphraseFile, 'correct horse battery\n', { mode: 0o600 });
    await mkdir(backups);
  });
  afterAll(() => controller?.stop());

  const coracle = (command: string, ...args: string[]) => {
    const result = spawnSync(
      join(import.meta.dirname, '..', '..', 'bin', 'coracle'),
      [command, ...args.slice(0, 1), '--passphrase-file', passphraseFile, ...args.slice(1)],
      { encoding: 'utf8', env: { ...process.env, ...programEnvironment }, timeout: 150_000 },
    );
    return { status: result.status, out: result.stdout, err: result.stderr };
  };
  const maps = () => controller.client.resource<ConfigMap>(resources.configMaps);
  const putMap = (name: string, value: string) =>
    maps().create({ metadata: { name, namespace: 'default' }, data: { value } } as unknown as ConfigMap);
  const leaks = (folder: string) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .filter((path) => {
        const content = readFileSync(path);
        return [PASSWORD, Buffer.from(PASSWORD).toString('base64')].some((text) => content.includes(text));
      });

  it('takes a backup of a running controller, and brings live informers back to its state', async () => {
    await putMap('kept', '1');
    await putMap('changed', 'before');
    await controller.client.resource<Secret>(resources.secrets).create({
      metadata: { name: 'password', namespace: 'default' },
      data: { password: Buffer.from(PASSWORD).toString('base64') },
    } as unknown as Secret);
    const { resourceVersion } = await maps().fetchList({ namespace: 'default' });
    const path = join(backups, 'first.backup');
    expect(coracle('backup', path, '--data-dir', dataDir)).toMatchObject({ status: 0, err: '' });

    const ours = followWithOurInformer();
    const theirs = await followWithClientNode();
    await putMap('young', '1');
    await maps().delete({ namespace: 'default', name: 'kept' });
    await maps().update({ ...(await maps().fetch('changed', 'default')), data: { value: 'after' } });
    const before = 'changed=after young=1';
    await waitUntil(
      'both informers see the newest',
      10_000,
      () => ours.state() === before && theirs.state() === before,
    );

    await controller.end();
    expect(leaks(dataDir)).toEqual([]);
    const restored = coracle('restore', path, '--force', '--data-dir', dataDir);
    expect(restored).toMatchObject({ status: 0, err: '' });
    expect(restored.out).toMatch(/^restored \d+ objects of .*; revisions go on at \d{10,}/);
    await controller.start();

    const again = 'changed=before kept=1';
    await waitUntil('both informers see the state of the backup', 30_000, () => {
      return ours.state() === again && theirs.state() === again;
    });
    await putMap('later', '1');
    await waitUntil('both go on', 10_000, () => ours.state().includes('later=1') && theirs.state().includes('later=1'));
    ours.stop();
    await theirs.stop();

    const raised = Number((await maps().fetchList({ namespace: 'default' })).resourceVersion);
    expect(raised).toBeGreaterThan(Number(resourceVersion) + 1e9);
    const secret = await controller.client.resource<Secret>(resources.secrets).fetch('password', 'default');
    expect(Buffer.from(secret.data?.password ?? '', 'base64').toString()).toBe(PASSWORD);
    expect(leaks(dataDir).concat(leaks(backups))).toEqual([]);
  });

  it('restores elsewhere from the data directory of a stopped one; the CA is the same, so its credentials go on', async () => {
    const token = controller.access;
    await controller.end();
    const path = join(backups, 'offline.backup');
    expect(coracle('backup', path, '--data-dir', dataDir)).toMatchObject({ status: 0, err: '' });
    await controller.start();
    const address = '192.0.2.77';
    const other = await startControllerProcess({ fromSource: true, flags: ['--advertise-address', address] });
    try {
      const elsewhere = join(other.folder, 'data');
      const refused = coracle('restore', path, '--force', '--data-dir', elsewhere);
      expect([refused.status, refused.err]).toEqual([
        1,
        expect.stringMatching(/^coracle restore: a controller runs on/),
      ]);
      await other.end();
      const unforced = coracle('restore', path, '--data-dir', elsewhere);
      expect([unforced.status, unforced.err]).toEqual([1, expect.stringMatching(/holds a cluster already/)]);
      expect(coracle('restore', path, '--force', '--data-dir', elsewhere)).toMatchObject({ status: 0 });
      // Of the CA that was there before.
      await rm(other.kubeconfig);
      await other.start();
      const transport = createKubeconfigTransport({ ...token, server: other.access.server }, 'test');
      const map = await createKubeClient(transport).resource<ConfigMap>(resources.configMaps).fetch('kept', 'default');
      expect(map.data?.value).toBe('1');
      // It is where it is now: nothing leads to where the backup came from.
      const { subsets } = await createKubeClient(transport).raw<{ subsets: { addresses: { ip: string }[] }[] }>({
        method: 'GET',
        path: '/api/v1/namespaces/default/endpoints/kubernetes',
      });
      expect(subsets.flatMap(({ addresses }) => addresses.map(({ ip }) => ip))).toEqual([address]);
      expect(await servedNames(other.access)).toContain(`IP Address:${address}`);
      transport.close();
    } finally {
      await other.stop();
    }
  });

  it('does not start where the keys of sealed values are gone, says so in one line, and harms nothing', async () => {
    const keys = join(dataDir, 'seal', 'keys.json');
    await controller.end();
    await rename(keys, `${keys}.away`);
    await expect(controller.start()).rejects.toThrow(
      /exit code 1\): .*coracle controller: \S+ is sealed under the aesgcm key "coracle-\w+", which is not in \S+keys\.json: put the file/s,
    );
    expect(existsSync(keys)).toBe(false);
    await rename(`${keys}.away`, keys);
    await controller.start();
    const secret = await controller.client.resource<Secret>(resources.secrets).fetch('password', 'default');
    expect(Buffer.from(secret.data?.password ?? '', 'base64').toString()).toBe(PASSWORD);
  });

  it.each<[string, (path: string) => string[], RegExp]>([
    ['no passphrase', (path) => ['restore', path, '--passphrase-file', '/nonexistent'], /the passphrase: ENOENT/],
    ['no file', () => ['restore', '/nonexistent'], /\/nonexistent: no such file/],
    ['no cluster', (path) => ['backup', path], /\/unused holds no cluster: is it the right --data-dir/],
    [
      'no folder to write to',
      () => ['backup', '/nonexistent/x.backup', '--data-dir', dataDir],
      /cannot be written to \/nonexistent\/x\.backup: ENOENT/,
    ],
    ['no backup', () => ['restore', passphraseFile], /this is no backup of Coracle/],
  ])('tells in one line of %s', (_, args, message) => {
    const [command = '', ...rest] = args(join(backups, 'first.backup'));
    const unused = rest.includes('--data-dir') ? [] : ['--data-dir', join(controller.folder, 'unused')];
    const { status, out, err } = coracle(command, ...rest, ...unused);
    expect(out).toBe('');
    expect(err.trimEnd()).toMatch(message);
    expect(err.trimEnd().split('\n')).toHaveLength(1);
    expect(status).toBeGreaterThan(0);
  });

  function followWithOurInformer() {
    const stop = new AbortController();
    const transport = createKubeconfigTransport(controller.access, 'test-informer');
    const factory = createInformerFactory({
      client: createKubeClient(transport),
      clock: systemClock,
      log: silentLogger,
      random: Math.random,
    });
    const informer = factory.informer<ConfigMap>(resources.configMaps, { namespace: 'default' });
    informer.start(stop.signal);
    return {
      state: () => stateOf(informer.list()),
      stop() {
        stop.abort();
        transport.close();
      },
    };
  }

  async function followWithClientNode() {
    const config = new KubeConfig();
    const kubeconfig = readFileSync(controller.kubeconfig, 'utf8');
    config.loadFromString(kubeconfig.replace(/server: .*/, `server: ${controller.access.server}`));
    const core = config.makeApiClient(CoreV1Api);
    const list = () => core.listNamespacedConfigMap({ namespace: 'default' });
    const informer = makeInformer<V1ConfigMap>(config, '/api/v1/namespaces/default/configmaps', list);
    let stopped = false;
    // The client's own documentation has its users start an informer again when its connection broke.
    informer.on('error', () => {
      if (!stopped) setTimeout(() => void informer.start().catch(() => {}), 200);
    });
    await informer.start();
    return {
      state: () => stateOf(informer.list()),
      async stop() {
        stopped = true;
        await informer.stop();
      },
    };
  }
});

/** Names in the certificate that a server shows. */
function servedNames({ server, ca }: KubeconfigAccess): Promise<string> {
  const { hostname, port } = new URL(server);
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: hostname, port: Number(port), ca: ca! }, () => {
      resolve(socket.getPeerCertificate().subjectaltname ?? '');
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

interface MapLike {
  readonly metadata?: { readonly name?: string };
  readonly data?: Readonly<Record<string, string>>;
}

/** `name=value ...`, those of the system left out. */
function stateOf(maps: readonly object[]): string {
  return (maps as readonly MapLike[])
    .filter(({ metadata }) => metadata?.name !== 'kube-root-ca.crt')
    .map(({ metadata, data }) => `${metadata?.name}=${data?.value}`)
    .toSorted()
    .join(' ');
}
