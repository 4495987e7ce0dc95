import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseMemoryInfo, parseOsRelease, parseResolvConf } from './facts.ts';
import type { Executor } from './host.ts';
import { createLinuxHost } from './linux-host.ts';
import { createMounter, parseMountInfo } from './mounter.ts';

const host = createLinuxHost();
const folder = mkdtempSync(join(tmpdir(), 'coracle-host-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('executor', () => {
  it('runs a program with its input and no shell', async () => {
    const { stdout } = await host.exec.run(['cat'], { stdin: 'a $HOME `id`\n' });
    expect(stdout).toBe('a $HOME `id`\n');
    expect((await host.exec.run(['echo', '$HOME'])).stdout).toBe('$HOME\n');
  });

  it('keeps the lines that are wanted, however large the rest is', async () => {
    const script =
      'echo first; yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx | head -c 70000000; echo; printf "last ü"';
    const { stdout } = await host.exec.run(['sh', '-c', script], { keepLine: (line) => !line.startsWith('x') });
    expect(stdout).toBe('first\nlast ü\n');
  });

  it('tells exit code and standard error', async () => {
    const failing = host.exec.run(['sh', '-c', 'echo broken >&2; exit 3']);
    await expect(failing).rejects.toMatchObject({ name: 'ExecError', exitCode: 3, stderr: 'broken\n' });
  });

  it('tells a missing program from a failing one', async () => {
    await expect(host.exec.run(['no-such-program'])).rejects.toMatchObject({ name: 'ExecError', exitCode: null });
    expect(await host.exec.find('no-such-program')).toBeUndefined();
    expect(await host.exec.find('sh')).toMatch(/\/sh$/);
  });

  it('does not fail because a program reads no input', async () => {
    await host.exec.run(['true'], { stdin: 'x'.repeat(1_000_000) });
  });

  it('kills what takes too long or is no longer wanted', async () => {
    await expect(host.exec.run(['sleep', '60'], { timeoutMs: 50 })).rejects.toThrow('still running after 50 ms');
    const stop = new AbortController();
    const running = host.exec.run(['sleep', '60'], { signal: stop.signal });
    stop.abort();
    await expect(running).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('streams lines until stopped', async () => {
    const stop = new AbortController();
    const lines: string[] = [];
    const done = host.exec.stream(
      ['sh', '-c', 'echo one; echo two; exec sleep 60'],
      (line) => lines.push(line),
      stop.signal,
    );
    await expect.poll(() => lines).toEqual(['one', 'two']);
    stop.abort();
    expect(await done).toBeNull();
    await expect(host.exec.stream(['no-such-program'], () => {}, new AbortController().signal)).rejects.toMatchObject({
      name: 'ExecError',
      exitCode: null,
    });
  });

  it('a program that streams ends with whoever is killed', async ({ skip }) => {
    skip((await host.exec.find('setpriv')) === undefined, 'needs setpriv');
    const script = `
      import { createExecutor } from ${JSON.stringify(join(import.meta.dirname, 'executor.ts'))};
      const argv = ['sh', '-c', 'echo $$; exec sleep 1000'];
      await createExecutor().stream(argv, (line) => console.log(line), new AbortController().signal);
    `;
    const agent = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const pid = Number(
      await new Promise<string>((resolve) => agent.stdout.once('data', (data) => resolve(String(data)))),
    );
    expect(readFileSync(`/proc/${pid}/comm`, 'utf8')).toMatch(/^(sh|sleep)$/m);
    agent.kill('SIGKILL');
    await expect.poll(() => existsSync(`/proc/${pid}`)).toBe(false);
  });
});

describe('file system', () => {
  it('makes directories with the mode that was asked for, whether they or their parents are there or not', async () => {
    const made = join(folder, 'modes', 'deep', 'er');
    await host.fs.makeDirectory(made, 0o777);
    expect(statSync(made).mode & 0o777).toBe(0o777);
    await host.fs.makeDirectory(join(made, 'leaf'), 0o755);
    expect(statSync(join(made, 'leaf')).mode & 0o777).toBe(0o755);
    await host.fs.makeDirectory(made, 0o700);
    expect(statSync(made).mode & 0o777).toBe(0o700);
    await host.fs.makeDirectory(made, 0o755);
    expect(statSync(made).mode & 0o777).toBe(0o755);
    await host.fs.makeDirectory(join(folder, 'modes', 'more', 'usual'), 0o755);
    expect(statSync(join(folder, 'modes', 'more', 'usual')).mode & 0o777).toBe(0o755);
  });

  it('makes files with the mode that was asked for, and leaves that of one that is there', async () => {
    const path = join(folder, 'open-to-all');
    await host.fs.write(path, 'one', 0o666);
    expect(statSync(path).mode & 0o777).toBe(0o666);
    await host.fs.write(path, 'two', 0o600);
    expect([statSync(path).mode & 0o777, readFileSync(path, 'utf8')]).toEqual([0o666, 'two']);
  });

  it('replaces a file at once, with its mode, leaving nothing else behind', async () => {
    const path = join(folder, 'state', 'a.json');
    await host.fs.makeDirectory(join(folder, 'state'), 0o700);
    await host.fs.writeAtomic(path, 'one', { mode: 0o600, durable: true });
    await host.fs.writeAtomic(path, 'two', { mode: 0o640 });
    expect(readFileSync(path, 'utf8')).toBe('two');
    expect(statSync(path).mode & 0o777).toBe(0o640);
    expect(await host.fs.list(join(folder, 'state'))).toEqual(['a.json']);
  });

  it('answers for what is absent', async () => {
    const absent = join(folder, 'absent');
    expect(await host.fs.list(absent)).toEqual([]);
    expect(await host.fs.info(absent)).toBeUndefined();
    expect(await host.fs.readLink(absent)).toBeUndefined();
    await host.fs.remove(absent);
    await expect(host.fs.readText(absent)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('does not follow a symbolic link when asked about it', async () => {
    const link = join(folder, 'link');
    await host.fs.symlink('/etc', link);
    expect(await host.fs.info(link)).toMatchObject({ type: 'symlink' });
    expect(await host.fs.readLink(link)).toBe('/etc');
    await host.fs.remove(link);
    expect(await host.fs.info('/etc')).toMatchObject({ type: 'directory' });
  });

  it('removes empty directories from the leaves up and leaves the others', async () => {
    const tree = join(folder, 'tree');
    await host.fs.makeDirectory(join(tree, 'empty', 'leaf'));
    await host.fs.makeDirectory(join(tree, 'used', 'leaf'));
    writeFileSync(join(tree, 'used', 'file'), '');
    await host.fs.removeEmptyDirectories(tree);
    expect([await host.fs.list(tree), await host.fs.list(join(tree, 'used'))]).toEqual([['used'], ['file']]);
    await host.fs.removeEmptyDirectories(join(tree, 'absent'));
  });

  it('reads at positions and knows the file from the one that takes its name', async () => {
    const path = join(folder, 'log');
    writeFileSync(path, 'hello');
    const file = await host.fs.open(path);
    await host.fs.rename(path, `${path}.1`);
    writeFileSync(path, 'other');
    expect(Buffer.from(await file.read(1, 3)).toString()).toBe('ell');
    expect((await file.read(5, 10)).length).toBe(0);
    expect((await host.fs.info(path))?.inode).not.toBe(file.inode);
    await file.close();
  });

  it('tells of changes until stopped', async () => {
    const stop = new AbortController();
    let changes = 0;
    host.fs.watch(folder, () => changes++, stop.signal);
    writeFileSync(join(folder, 'watched'), 'x');
    await expect.poll(() => changes).toBeGreaterThan(0);
    stop.abort();
    host.fs.watch(join(folder, 'nowhere'), () => {}, new AbortController().signal);
  });
});

/** A link on the way, or what was there a moment ago is gone; `mount` itself is told nothing that could lead out. */
const REFUSED = /^(ELOOP|ENOTDIR|ENOENT|EEXIST|ExecError)$/;

describe('mounts', () => {
  it('are read with blanks in their paths', () => {
    const line = '36 35 98:0 / /mnt/my\\040disk rw,noatime shared:1 master:2 - ext4 /dev/sd\\134a rw,errors=continue';
    const options = ['rw', 'errors=continue'];
    const point = { path: '/mnt/my disk', fsType: 'ext4', source: '/dev/sd\\a', options };
    expect(parseMountInfo(`${line}\n`)).toEqual([point]);
  });

  if (process.getuid?.() !== 0) console.warn('mounts skipped: needs root');
  it.skipIf(process.getuid?.() !== 0)('come and go, and keep a folder from being deleted under them', async () => {
    const path = join(folder, 'volume');
    await host.fs.makeDirectory(path);
    await host.mounts.mountTmpfs(path, { sizeBytes: 1 << 20, mode: 0o750 });
    expect(await host.fs.info(path)).toMatchObject({ mode: 0o750 });
    expect((await host.mounts.list()).find((mount) => mount.path === path)?.fsType).toBe('tmpfs');
    await expect(host.fs.remove(path)).rejects.toMatchObject({ code: 'EBUSY' });
    await host.mounts.unmount(path);
    await host.mounts.unmount(path);
    await host.fs.remove(path);
  });

  // Of all that is asked of `mount` there, this alone leads to no mount that is left behind.
  const ask = (options: string) => {
    const argv = ['--mount', '--', 'mount', '-t', 'tmpfs', '-o', options, 'tmpfs', folder];
    return spawnSync('unshare', argv, { encoding: 'utf8' });
  };
  const isOld = process.getuid?.() === 0 && ask('noswap').status !== 0;
  if (isOld)
    console.warn(
      'memory that does not go to swap: skipped, this kernel cannot keep a tmpfs out of it (Linux before 6.4)',
    );
  it.skipIf(process.getuid?.() !== 0 || isOld)('in memory do not go to swap', async () => {
    const path = join(folder, 'memory');
    await host.fs.makeDirectory(path);
    await host.mounts.mountTmpfs(path, { sizeBytes: 1 << 20 });
    const found = (await host.mounts.list()).find((mount) => mount.path === path);
    await host.mounts.unmount(path);
    expect(found?.options).toEqual(expect.arrayContaining(['noswap', 'size=1024k']));
  });

  // The kernel refuses the option there as an older one does everywhere.
  const noUsers = spawnSync('unshare', ['--user', '--map-root-user', '--mount', 'true'], { encoding: 'utf8' });
  if (noUsers.status !== 0) console.warn(`memory in a user namespace skipped: ${noUsers.stderr.trim()}`);
  it.skipIf(noUsers.status !== 0)('in memory are there also where the kernel would swap them', async () => {
    const within: Executor['run'] = ([program, ...args], options) =>
      host.exec.run(['unshare', '--user', '--map-root-user', '--mount', program, ...args], options);
    const tried: string[] = [];
    const run: Executor['run'] = async (argv, options) => {
      const done = await within(argv, options);
      tried.push(argv.join(' '));
      return done;
    };
    await createMounter({ ...host.exec, run }).mountTmpfs(folder, { mode: 0o750 });
    expect(tried).toEqual([`mount -t tmpfs -o mode=750 tmpfs ${folder}`]);
  });

  it.skipIf(process.getuid?.() !== 0)(
    'of a sub-path never show what is outside, however its volume changes',
    async () => {
      const [volume, secret, target] = ['sub', 'outside', 'target'].map((name) => join(folder, name)) as [
        string,
        string,
        string,
      ];
      for (const path of [`${volume}/a/b`, `${secret}/b`]) await host.fs.makeDirectory(path);
      await host.fs.write(`${secret}/b/host`, 'x');
      // As a container that keeps putting a link in the place of a folder.
      const script = `const fs = require('node:fs');
      const attempt = (act) => { try { act(); } catch {} };
      process.stdout.write('ready');
      for (;;) {
        attempt(() => fs.rmSync('a', { recursive: true, force: true }));
        attempt(() => fs.symlinkSync(${JSON.stringify(secret)}, 'a'));
        attempt(() => fs.unlinkSync('a'));
        attempt(() => fs.mkdirSync('a/b', { recursive: true }));
      }`;
      const attacker = spawn(process.execPath, ['-e', script], { cwd: volume, stdio: ['ignore', 'pipe', 'inherit'] });
      const gone = once(attacker, 'exit');
      try {
        await once(attacker.stdout, 'data');
        for (let look = 0; look < 30; look++) {
          const refusal = await host.mounts.bindBeneath(volume, 'a/b', target).catch((err: unknown) => err as Error);
          if (refusal === undefined) expect(await host.fs.list(target)).toEqual([]);
          else expect((refusal as NodeJS.ErrnoException).code ?? refusal.name).toMatch(REFUSED);
        }
      } finally {
        attacker.kill('SIGKILL');
        await gone;
        await host.mounts.unmount(target);
      }
    },
    60_000,
  );
});

describe('facts', () => {
  it('of this host are there', async () => {
    const facts = await host.facts();
    expect(facts.memoryBytes).toBeGreaterThan(1 << 28);
    expect(facts.cpuCount).toBeGreaterThan(0);
    expect(facts.bootId).toMatch(/^[0-9a-f-]{36}$/);
    expect(await host.sourceAddressTo('127.0.0.1')).toBe('127.0.0.1');
    expect(await host.sourceAddressTo('localhost')).toMatch(/^(127\.0\.0\.1|::1)$/);
    // Refused, as where there is no route: there is no source, and none that stands for all.
    expect(await host.sourceAddressTo('255.255.255.255')).toBeUndefined();
    expect(await host.bootTimeMs()).toBeGreaterThan(0);
    expect((await host.addresses()).map(({ address }) => address)).toContain('127.0.0.1');
  });

  it('are read from the usual files', () => {
    expect(parseOsRelease('NAME=x\nPRETTY_NAME="Raspberry Pi OS 12"\n').PRETTY_NAME).toBe('Raspberry Pi OS 12');
    expect(parseMemoryInfo('MemTotal:        1000 kB\nSwapTotal: 2 kB\n')).toEqual({
      MemTotal: 1024000,
      SwapTotal: 2048,
    });
  });

  it.each([
    [
      'nameserver 1.1.1.1\nnameserver ::1\nsearch a b\n',
      { servers: ['1.1.1.1', '::1'], searches: ['a', 'b'], options: [] },
    ],
    [
      'search a\ndomain b\noptions ndots:2 edns0 # x\n',
      { servers: [], searches: ['b'], options: ['ndots:2', 'edns0'] },
    ],
    ['; comment\n\n', { servers: [], searches: [], options: [] }],
  ])('resolv.conf %j', (text, expected) => {
    expect(parseResolvConf(text)).toEqual(expected);
  });
});

describe('dialer', () => {
  it('connects, and names what it cannot reach', async () => {
    const server = createServer((socket) => socket.end('hi'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const stream = await host.dialer.tcp('127.0.0.1', port);
    expect(Buffer.concat(await stream.toArray()).toString()).toBe('hi');
    await new Promise((resolve) => server.close(resolve));
    await expect(host.dialer.tcp('127.0.0.1', port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('gives up when told to', async () => {
    const stop = new AbortController();
    const dialing = host.dialer.tcp('192.0.2.1', 9, { signal: stop.signal });
    stop.abort();
    await expect(dialing).rejects.toMatchObject({ name: 'AbortError' });
  });
});
