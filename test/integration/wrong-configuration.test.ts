import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import http2 from 'node:http2';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { resources, type Secret } from '#api/object/kinds.ts';
import { type ControllerProcess, startControllerProcess } from '#test/kit/controller-process.ts';
import { requestOver } from '#test/kit/https-contract-target.ts';
import { programEnvironment } from '#test/kit/program.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const root = join(import.meta.dirname, '..', '..');
const isRoot = process.getuid?.() === 0;
if (!isRoot) console.warn('wrong configuration: tests that mount file systems are skipped: not root');

/** Runs a controller that must not come up; its exit code, and the lines that are not its log. */
function runController(flags: readonly string[]): { readonly code: number | null; readonly said: readonly string[] } {
  const argv = ['controller', '--bind-address', '127.0.0.1', '--advertise-address', '192.0.2.254', ...flags];
  const env = { ...process.env, ...programEnvironment };
  const { status, stderr } = spawnSync(join(root, 'bin/coracle'), argv, { encoding: 'utf8', env, timeout: 150_000 });
  return { code: status, said: stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{')) };
}

/** What is not JSON. */
async function readText({ access }: ControllerProcess, path: string): Promise<string> {
  const session = http2.connect(access.server, { ca: access.ca!, cert: access.cert!, key: access.key! });
  try {
    return await text((await requestOver(session, { method: 'GET', path })).chunks);
  } finally {
    session.destroy();
  }
}

describe('a controller that cannot work as it is configured says so in one line, and harms nothing', () => {
  let folder: string;
  let mounts: string[];

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'coracle-wrong-'));
    mounts = [];
  });
  afterAll(() => {
    for (const path of mounts) execFileSync('umount', [path]);
    rmSync(folder, { recursive: true });
  });

  const mountMemory = (name: string, options: string): string => {
    const path = join(folder, name);
    mkdirSync(path);
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'coracle-test', path]);
    mounts.push(path);
    return path;
  };
  const flagsFor = (dataDir: string) => ['--data-dir', dataDir, '--kubeconfig', join(folder, 'kubeconfig')];

  it.runIf(isRoot)('a directory on a read-only file system', () => {
    const disk = mountMemory('read-only', 'ro');
    for (const dataDir of [disk, join(disk, 'data')]) {
      const { code, said } = runController(flagsFor(dataDir));
      expect(said).toEqual([
        expect.stringMatching(/^coracle controller: dataDir: .* is read-only\): mount it writable .*--data-dir$/),
      ]);
      expect(code).toBe(2);
    }
  });

  it('a directory below a file', () => {
    const file = join(folder, 'file');
    writeFileSync(file, 'mine');
    const { code, said } = runController(flagsFor(join(file, 'data')));
    expect(said).toEqual([expect.stringMatching(/dataDir: .* cannot be written to .*set --data-dir/)]);
    expect(code).toBe(2);
    expect(readFileSync(file, 'utf8')).toBe('mine');
  });

  it.runIf(isRoot)('a disk that is full', () => {
    const disk = mountMemory('full', 'size=1m');
    const { code, said } = runController(flagsFor(disk));
    expect(said).toEqual([expect.stringMatching(/the disk of .* is full: [\d,]+ KiB are free, .*make room on it/)]);
    expect(code).toBe(2);
    expect(readdirSync(disk).filter((name) => name !== 'compile-cache')).toEqual([]);
  });

  it('a port that is taken', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const { code, said } = runController([...flagsFor(join(folder, 'port')), '--port', String(port)]);
    server.close();
    expect(said).toEqual([
      expect.stringMatching(
        new RegExp(`^coracle controller: listen EADDRINUSE: address already in use 127.0.0.1:${port}$`),
      ),
    ]);
    expect(code).not.toBe(0);
  });

  it('an etcd that nobody answers for', () => {
    const flags = [...flagsFor(join(folder, 'etcd')), '--store', 'etcd', '--etcd-servers', 'http://127.0.0.1:1'];
    const { code, said } = runController(flags);
    expect(said).toEqual([
      expect.stringMatching(/^coracle controller: no etcd server can be used: http:\/\/127.0.0.1:1 .*is etcd running/),
    ]);
    expect(code).not.toBe(0);
  });

  it('a second controller on one directory, which is told who has it', async () => {
    const controller = await startControllerProcess({ fromSource: true });
    try {
      const dataDir = join(controller.folder, 'data');
      const { code, said } = runController([...flagsFor(dataDir), '--port', '1']);
      expect(said).toEqual([
        expect.stringMatching(
          new RegExp(
            `another process uses this data directory .*it is process ${controller.pid}; stop it first, or set another --data-dir`,
          ),
        ),
      ]);
      expect(code).toBe(1);
      expect(await readText(controller, '/readyz')).toBe('ok');
    } finally {
      await controller.stop();
    }
  });

  it('a state that is gone, or in the other backend: no empty cluster is served under the keys of the old one', async () => {
    const controller = await startControllerProcess({ fromSource: true });
    try {
      const dataDir = join(controller.folder, 'data');
      await controller.end();
      const etcd = ['--store', 'etcd', '--etcd-servers', 'http://127.0.0.1:1'];
      expect(runController([...flagsFor(dataDir), ...etcd])).toEqual({
        code: 2,
        said: [expect.stringMatching(/store: the state of this cluster is in .*"coracle store migrate --to etcd"/)],
      });
      renameSync(join(dataDir, 'store'), join(dataDir, 'elsewhere'));
      expect(runController(flagsFor(dataDir))).toEqual({
        code: 2,
        said: [expect.stringMatching(/the state of this cluster is gone: .*put the folder back, or restore a backup/)],
      });
      expect(existsSync(join(dataDir, 'store'))).toBe(false);
      renameSync(join(dataDir, 'elsewhere'), join(dataDir, 'store'));
      await controller.start();
    } finally {
      await controller.stop();
    }
  });
});

describe.runIf(isRoot)('a disk that becomes full under a running controller', () => {
  let disk: string;
  let controller: ControllerProcess;

  beforeAll(async () => {
    disk = mkdtempSync(join(tmpdir(), 'coracle-full-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'coracle-test', disk]);
    controller = await startControllerProcess({ fromSource: true, parent: disk, flags: [] });
  });
  afterAll(async () => {
    await controller?.stop();
    execFileSync('umount', [disk]);
    rmSync(disk, { recursive: true });
  });

  const create = (name: string) =>
    controller.client
      .resource<Secret>(resources.secrets)
      .create({ metadata: { name, namespace: 'default' }, data: { filler: Buffer.alloc(3_000).toString('base64') } });
  const readyz = () => readText(controller, '/readyz?verbose');
  const nameOf = (i: number) => `filler-${i}`;

  it('refuses writes with 507, goes on reading, and writes again when there is room; nothing is lost', async () => {
    const stored: string[] = [];
    const store = async (name: string) => {
      await create(name);
      stored.push(name);
    };
    await store('before');
    const ballast = join(disk, 'ballast');
    const fill = () => spawnSync('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=4096']);
    fill();
    expect(statSync(ballast).size).toBeGreaterThan(30 * 2 ** 20);
    // What was allotted before still takes some.
    const refused = await waitUntil('a write is refused', 30_000, async () => {
      try {
        await store(nameOf(stored.length));
        return undefined;
      } catch (err) {
        return err;
      }
    });
    expect(refused).toMatchObject({
      code: 507,
      reason: 'InsufficientStorage',
      message: expect.stringContaining('is full'),
    });
    for (const name of stored) await controller.client.resource<Secret>(resources.secrets).fetch(name, 'default');
    expect(await readyz()).toMatch(/^\[!\]coracle-disk-latency/m);
    expect(readFileSync(controller.logPath, 'utf8')).toMatch(/the disk is full: writes are refused/);
    await expect(create('again')).rejects.toMatchObject({ code: 507 });
    const { pid } = controller;

    rmSync(ballast);
    await waitUntil('a write is stored', 30_000, () => store('after').then(() => true));
    expect(await readyz()).toMatch(/^\[\+\]coracle-disk-latency ok/m);
    expect(controller.pid).toBe(pid);
    // Enough to fold the log.
    for (let i = 0; i < 400; i++) await store(`later-${i}`);
    expect(await readyz()).toMatch(/^\[\+\]coracle-store-damage ok/m);

    fill();
    await controller.restart('SIGKILL').catch(() => {});
    rmSync(ballast);
    await controller.end('SIGKILL');
    await controller.start();
    const { items } = await controller.client.resource<Secret>(resources.secrets).fetchList({ namespace: 'default' });
    const names = new Set(items.map(({ metadata }) => metadata.name));
    expect(stored.filter((name) => !names.has(name))).toEqual([]);
    expect(readdirSync(join(controller.folder, 'data', 'store')).filter((name) => name.startsWith('damaged'))).toEqual(
      [],
    );
    expect(existsSync(controller.kubeconfig)).toBe(true);
  });
});
