import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, fsyncSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createLinuxHost } from '#agent/host/linux-host.ts';
import { formatAndMount } from '#agent/kubelet/volumes/format-and-mount.ts';
import { describeError } from '#base/errors.ts';

const MIB = 2 ** 20;
const has = (program: string) =>
  spawnSync('sh', ['-c', `PATH=$PATH:/sbin:/usr/sbin command -v ${program}`]).status === 0;

/** A device backed by a file of the folder; throws where the kernel has none. */
function attach(file: string): string {
  execFileSync('truncate', ['-s', String(16 * MIB), file]);
  return execFileSync('losetup', ['--find', '--show', file], { encoding: 'utf8', stdio: 'pipe' }).trim();
}

const folder = mkdtempSync('/tmp/coracle-devices-');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** As the first sector of a disk that was partitioned: one entry, for Linux, from 1 MiB on. */
function writePartition(device: string): void {
  const sector = Buffer.alloc(512);
  sector[446 + 4] = 0x83;
  sector.writeUInt32LE(2048, 446 + 8);
  sector.writeUInt32LE(4096, 446 + 12);
  sector.writeUInt16LE(0xaa55, 510);
  const file = openSync(device, 'r+');
  writeSync(file, sector);
  fsyncSync(file);
  closeSync(file);
}

function whyNot(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root';
  const lacking = ['losetup', 'mkfs.ext4', 'debugfs', 'fsck', 'blkid'].find((program) => !has(program));
  if (lacking !== undefined) return `this host has no ${lacking}`;
  try {
    execFileSync('losetup', ['--detach', attach(join(folder, 'probe'))]);
    return undefined;
  } catch (err) {
    return `no loop device to be had: ${describeError(err)}`;
  }
}

const missing = whyNot();
if (missing !== undefined) console.warn(`local volumes on devices skipped: ${missing}`);
const noXfs = has('mkfs.xfs') ? undefined : 'this host has no mkfs.xfs';
if (missing === undefined && noXfs !== undefined) console.warn(`local volumes with xfs skipped: ${noXfs}`);

describe.skipIf(missing !== undefined)('a local volume on a device', () => {
  const host = createLinuxHost();
  const path = join(folder, 'mounted');
  let source = '';
  let image = '';
  let count = 0;
  beforeEach(async () => {
    image = join(folder, `disk-${count++}`);
    source = attach(image);
    await host.fs.makeDirectory(path);
  });
  afterEach(async () => {
    await host.mounts.unmount(path);
    execFileSync('losetup', ['--detach', source]);
    rmSync(image);
  });

  const mount = (more: Partial<Parameters<typeof formatAndMount>[1]> = {}) =>
    formatAndMount(host, { source, path, fsType: 'ext4', mountOptions: [], readOnly: false, ...more });
  const mountedAs = () =>
    readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .find((line) => line.includes(` ${path} `));
  const debug = (command: string) => execFileSync('debugfs', ['-w', '-R', command, source], { stdio: 'pipe' });
  const refusal = (attempt: Promise<void>) =>
    attempt.then(
      () => 'none',
      (err: unknown) => describeError(err),
    );

  test('that is empty is formatted without room for root, and keeps its files', async () => {
    await mount();
    const { stdout } = await host.exec.run(['dumpe2fs', '-h', source]);
    expect(stdout).toMatch(/Reserved block count:\s+0\n/);
    writeFileSync(join(path, 'file'), 'kept');
    await host.mounts.unmount(path);
    await mount({ mountOptions: ['noexec'] });
    expect(readFileSync(join(path, 'file'), 'utf8')).toBe('kept');
    expect(mountedAs()).toMatch(/ ext4 \S*noexec/);
  });

  test('that was not unmounted is repaired before it is written to', async () => {
    execFileSync('mkfs.ext4', ['-q', '-F', source]);
    debug('set_super_value state 2');
    debug('set_super_value free_blocks_count 5');
    await mount();
    const { stdout } = await host.exec.run(['dumpe2fs', '-h', source]);
    expect(stdout).not.toMatch(/Filesystem state:.*errors/);
    expect(stdout).not.toMatch(/Free blocks:\s+5\n/);
  });

  test('that is broken for good is left as it is, and what is wrong is told', async () => {
    execFileSync('mkfs.ext4', ['-q', '-F', source]);
    debug('clri <2>');
    debug('set_super_value state 2');
    expect(await refusal(mount())).toMatch(
      new RegExp(
        `^'fsck' found errors on device ${source} but could not correct them: [^]*Root inode is not a directory`,
      ),
    );
    expect(mountedAs()).toBeUndefined();
  });

  test('is not checked while it is mounted for another pod', async () => {
    await mount();
    const second = join(folder, 'second');
    await host.fs.makeDirectory(second);
    try {
      await mount({ path: second });
      writeFileSync(join(path, 'file'), 'seen');
      expect(readFileSync(join(second, 'file'), 'utf8')).toBe('seen');
    } finally {
      await host.mounts.unmount(second);
    }
  });

  test.each([
    ['partitions', () => writePartition(source)],
    ['something else', () => execFileSync('mkswap', [source], { stdio: 'pipe' })],
  ])('with %s on it is not formatted', async (_name, write) => {
    write();
    const before = execFileSync('sha256sum', [image], { encoding: 'utf8' });
    expect(await refusal(mount())).toMatch(/mount: .*wrong fs type/);
    expect(execFileSync('sha256sum', [image], { encoding: 'utf8' })).toBe(before);
  });

  test.skipIf(noXfs !== undefined)('may have another file system', async () => {
    // It makes no smaller ones.
    execFileSync('truncate', ['-s', String(320 * MIB), image]);
    execFileSync('losetup', ['--set-capacity', source]);
    await mount({ fsType: 'xfs' });
    await host.mounts.unmount(path);
    await mount({ fsType: 'xfs' });
    expect(mountedAs()).toContain(' xfs rw');
  });
});
