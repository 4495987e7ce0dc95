import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { SmallFiles } from './host.ts';
import { createLinuxHost } from './linux-host.ts';

const host = createLinuxHost();
const IMPLEMENTATIONS: readonly (readonly [string, SmallFiles])[] = [
  ['of a disk', host.fs],
  ['of a tmpfs', host.memory],
];

describe.each(IMPLEMENTATIONS)('small files %s', (_name, files) => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'small-files-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const modeOf = (name: string) => statSync(join(folder, name)).mode & 0o777;

  test('have the mode that was asked for, and keep it when they are written again', async () => {
    await files.makeDirectory(join(folder, 'deep', 'er'), 0o700);
    await files.makeDirectory(join(folder, 'usual'), 0o755);
    await files.write(join(folder, 'open'), 'one', 0o666);
    await files.write(join(folder, 'open'), 'two', 0o600);
    expect(['deep', 'deep/er', 'usual', 'open'].map(modeOf)).toEqual([0o755, 0o700, 0o755, 0o666]);
    await files.makeDirectory(join(folder, 'usual'), 0o750);
    expect(modeOf('usual')).toBe(0o750);
    await files.write(join(folder, 'narrow'), '', 0o600);
    await files.write(join(folder, 'narrow'), '', 0o666);
    expect(modeOf('narrow')).toBe(0o666);
    expect(Buffer.from(await files.readBytes(join(folder, 'open'))).toString()).toBe('two');
  });

  test('are absent without an error', async () => {
    const absent = join(folder, 'absent');
    expect([await files.list(absent), await files.info(absent), await files.readLink(absent)]).toEqual([
      [],
      undefined,
      undefined,
    ]);
    await files.remove(absent);
    await expect(files.readBytes(absent)).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(files.write(join(absent, 'below'), '')).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('are swapped through links', async () => {
    await files.write(join(folder, 'file'), 'text');
    await files.symlink('file', join(folder, 'next'));
    await expect(files.symlink('file', join(folder, 'next'))).rejects.toMatchObject({ code: 'EEXIST' });
    await files.rename(join(folder, 'next'), join(folder, 'link'));
    expect([await files.readLink(join(folder, 'link')), await files.readLink(join(folder, 'file'))]).toEqual([
      'file',
      undefined,
    ]);
    expect((await files.info(join(folder, 'link')))?.type).toBe('symlink');
    await files.chown(join(folder, 'file'), process.getuid!(), process.getgid!());
    await files.remove(join(folder, 'link'));
    expect(await files.list(folder)).toEqual(['file']);
  });
});
