import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
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

it('never leaves by a link', async () => {
  await expect(removeTemporaryFolder(join(root, 'link', 'data'), root)).rejects.toThrow('is not below');
  await removeTemporaryFolder(join(root, 'link'), root);
  expect([existsSync(join(root, 'link')), existsSync(join(folder, 'etc', 'data'))]).toEqual([false, true]);
});
