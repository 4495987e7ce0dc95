import { expect, it } from 'vitest';
import { FakeFileSystem } from '#test/kit/fake-file-system.ts';
import { tightenPrivateFiles } from './private-files.ts';

it('takes from others what they may do with keys, and says which were open', async () => {
  const fs = new FakeFileSystem();
  await fs.makeDirectory('/identity', 0o700);
  await fs.write('/identity/node.pem', 'key', 0o644);
  await fs.write('/identity/ca.crt', 'ca', 0o600);
  expect(await tightenPrivateFiles(fs, '/identity')).toEqual(['/identity/node.pem']);
  expect((await fs.info('/identity/node.pem'))!.mode & 0o777).toBe(0o600);
  expect(await tightenPrivateFiles(fs, '/identity')).toEqual([]);
  expect(await tightenPrivateFiles(fs, '/nowhere')).toEqual([]);
});
