import { chmod, mkdir, mkdtemp, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { handlePath, openBeneath, readTextBeneath } from './beneath.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'beneath-'));
  await mkdir(join(root, 'volume/sub'), { recursive: true });
  await writeFile(join(root, 'secret'), 'host');
  await writeFile(join(root, 'volume/sub/file'), 'inside');
  await symlink(root, join(root, 'volume/up'));
  await symlink('../secret', join(root, 'volume/link'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

test('reads a file inside', async () => {
  expect(await readTextBeneath(join(root, 'volume'), 'sub/file', 100)).toBe('inside');
});

test.each([
  ['a link as the last element', 'link', 'ELOOP'],
  ['a link on the way', 'up/secret', 'ENOTDIR'],
  ['dots', '../secret', 'EINVAL'],
  ['a directory', 'sub', 'EINVAL'],
  ['nothing', 'absent', 'ENOENT'],
])('refuses %s', async (_name, path, code) => {
  await expect(readTextBeneath(join(root, 'volume'), path, 100)).rejects.toMatchObject({ code });
});

test('refuses more than it may read', async () => {
  await expect(readTextBeneath(join(root, 'volume'), 'sub/file', 3)).rejects.toMatchObject({ code: 'EFBIG' });
});

test('makes missing directories with the mode of the root, and its handle outlives a swap of the path', async () => {
  await chmod(join(root, 'volume'), 0o2777);
  const handle = await openBeneath(join(root, 'volume'), 'a/b', { create: true });
  try {
    expect(await readlink(handlePath(handle))).toBe(join(root, 'volume/a/b'));
    expect((await stat(join(root, 'volume/a'))).mode & 0o7777).toBe(0o2777);
    expect((await stat(join(root, 'volume/a/b'))).mode & 0o7777).toBe(0o2777);
  } finally {
    await handle.close();
  }
  await expect(openBeneath(join(root, 'volume'), 'up/x', { create: true })).rejects.toMatchObject({ code: 'ENOTDIR' });
});

test('makes a directory once, however many ask for it at the same time', async () => {
  const paths = Array.from({ length: 20 }, () => openBeneath(join(root, 'volume'), 'a/b/c', { create: true }));
  const results = await Promise.allSettled(paths);
  for (const result of results) if (result.status === 'fulfilled') await result.value.close();
  expect(results.filter(({ status }) => status === 'rejected')).toEqual([]);
});
