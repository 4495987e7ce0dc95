import { existsSync, readdirSync, renameSync, symlinkSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { removeTemporaryFolder } from './remove-temporary-folder.ts';

let folder: string;
let root: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coracle-remove-'));
  root = join(folder, 'tmp');
  await mkdir(join(root, 'data', 'deep'), { recursive: true });
  await mkdir(join(folder, 'etc', 'data'), { recursive: true });
  await symlink(join(folder, 'etc'), join(root, 'link'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it('removes a folder and what is in it, and minds none that is not there', async () => {
  await removeTemporaryFolder(join(root, 'data'), root);
  await removeTemporaryFolder(join(root, 'never', 'was'), root);
  expect(existsSync(join(root, 'data'))).toBe(false);
});

it.each(['', '/', '/.', '/./', '//', '/data/..', '/data/../data', '/./data', '/..', '/../etc', 'x/data'])(
  'takes nothing for a folder below that only looks so: %s',
  async (path) => {
    await expect(removeTemporaryFolder(`${root}${path}`, root)).rejects.toThrow('is not below');
    expect([existsSync(join(root, 'data', 'deep')), existsSync(join(folder, 'etc', 'data'))]).toEqual([true, true]);
  },
);

it('never follows a link that it finds on its way', async () => {
  await writeFile(join(folder, 'etc', 'passwd'), '');
  await writeFile(join(root, 'data', 'deep', 'file'), '');
  await symlink(join(folder, 'etc'), join(root, 'data', 'deep', 'link'));
  await removeTemporaryFolder(`${root}/data/`, root);
  expect([existsSync(join(root, 'data')), existsSync(join(folder, 'etc', 'passwd'))]).toEqual([false, true]);
});

it('keeps to the folder that it has opened when its owner puts a link in its place', async () => {
  // Many names, so that the swap comes while they go.
  const names = Array.from({ length: 500 }, (_, index) => `f${index}`);
  await mkdir(join(root, 'owned', 'v'), { recursive: true });
  await mkdir(join(folder, 'etc', 'v'));
  for (const name of names)
    await Promise.all([writeFile(join(root, 'owned', 'v', name), ''), writeFile(join(folder, 'etc', 'v', name), '')]);
  const first = join(root, 'owned', 'v');
  const end = removeTemporaryFolder(join(root, 'owned', 'v'), root);
  while (readdirSync(first).length === names.length) await new Promise((resolve) => setImmediate(resolve));
  renameSync(join(root, 'owned'), join(root, 'moved'));
  symlinkSync(join(folder, 'etc'), join(root, 'owned'));
  await end;
  expect(readdirSync(join(folder, 'etc', 'v'))).toHaveLength(names.length);
  expect(existsSync(join(root, 'moved', 'v'))).toBe(false);
});

it('gives up on folders nested without an end', async () => {
  await mkdir(join(root, 'data', ...Array.from({ length: 300 }, () => 'd')), { recursive: true });
  await expect(removeTemporaryFolder(join(root, 'data'), root)).rejects.toThrow('nested more than 256 deep');
});

it('never leaves by a link', async () => {
  await expect(removeTemporaryFolder(join(root, 'link', 'data'), root)).rejects.toThrow('is not below');
  await removeTemporaryFolder(join(root, 'link'), root);
  expect([existsSync(join(root, 'link')), existsSync(join(folder, 'etc', 'data'))]).toEqual([false, true]);
});
