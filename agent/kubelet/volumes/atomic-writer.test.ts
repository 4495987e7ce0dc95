import { expect, test } from 'vitest';
import { FakeFileSystem } from '#test/kit/fake-file-system.ts';
import { writePayload } from './atomic-writer.ts';
import { encodeText, type VolumeFile } from './volume-kind.ts';

const DIRECTORY = '/v';
const files = (content: Record<string, string>) =>
  new Map<string, VolumeFile>(
    Object.entries(content).map(([path, text]) => [path, { content: encodeText(text), mode: 0o644 }]),
  );

async function write(fs: FakeFileSystem, content: Record<string, string>, nonce: string): Promise<boolean> {
  return writePayload(files(content), { fs, directory: DIRECTORY, nowMs: 0, nonce, fsGroup: undefined });
}

test('a payload is reached through ..data and swapped as a whole', async () => {
  const fs = new FakeFileSystem();
  await fs.makeDirectory(DIRECTORY);
  expect(await write(fs, { a: '1', 'sub/b': '2', gone: 'x' }, 'n1')).toBe(true);
  expect(await fs.readLink('/v/..data')).toBe('..1970_01_01_00_00_00.n1');
  expect(await fs.readLink('/v/sub')).toBe('..data/sub');
  expect(await fs.readText('/v/..data/sub/b')).toBe('2');

  expect(await write(fs, { a: '9', 'sub/b': '2', new: 'y' }, 'n2')).toBe(true);
  expect(await fs.readText('/v/..data/a')).toBe('9');
  expect([...(await fs.list(DIRECTORY))].sort()).toEqual(['..1970_01_01_00_00_00.n2', '..data', 'a', 'new', 'sub']);
});

test('a payload that is there already is not written again', async () => {
  const fs = new FakeFileSystem();
  await fs.makeDirectory(DIRECTORY);
  await write(fs, { a: '1' }, 'n1');
  expect(await write(fs, { a: '1' }, 'n2')).toBe(false);
  expect(await fs.readLink('/v/..data')).toContain('n1');
});
