import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { silentLogger } from '#base/logger.ts';
import { tightenFileModes } from './file-modes.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'modes-'));
  await mkdir(join(dir, 'pki'), { mode: 0o755 });
  await writeFile(join(dir, 'pki', 'ca.key'), 'secret');
});
afterEach(() => rm(dir, { recursive: true }));

const modeOf = async (path: string) => ((await stat(join(dir, path))).mode & 0o777).toString(8);

it('takes from others what they may do with keys and state, and tells of it once', async () => {
  await chmod(join(dir, 'pki', 'ca.key'), 0o644);
  await chmod(dir, 0o755);
  const warn = vi.fn();
  const log = { ...silentLogger, warn };
  await tightenFileModes(dir, log);
  expect([await modeOf('.'), await modeOf('pki'), await modeOf('pki/ca.key')]).toEqual(['700', '700', '600']);
  const files = [dir, join(dir, 'pki'), join(dir, 'pki', 'ca.key')];
  expect(warn.mock.calls).toEqual([[expect.any(String), { files }]]);
  await tightenFileModes(dir, log);
  expect(warn).toHaveBeenCalledTimes(1);
});
