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

test('whoever was killed at any step of it, the next one ends with the new payload alone', async () => {
  const changing = ['makeDirectory', 'write', 'chmod', 'symlink', 'rename', 'remove'] as const;
  for (let step = 1, hasDied = true; hasDied; step++) {
    const fs = new FakeFileSystem();
    await fs.makeDirectory(DIRECTORY);
    await write(fs, { a: '1', gone: 'x' }, 'n1');
    let seen = 0;
    const dying = new Proxy(fs, {
      get(target, key) {
        const value = Reflect.get(target, key);
        if (typeof value !== 'function') return value;
        return async (...args: unknown[]) => {
          if ((changing as readonly unknown[]).includes(key) && ++seen >= step) throw new Error('killed');
          return Reflect.apply(value, target, args);
        };
      },
    });
    hasDied = await write(dying, { a: '2', new: 'y' }, 'n2').then(
      () => false,
      () => true,
    );
    await write(fs, { a: '2', new: 'y' }, 'n3');
    const names = await fs.list(DIRECTORY);
    expect([step, ...names.filter((name) => !name.startsWith('..1970'))]).toEqual([step, '..data', 'a', 'new']);
    expect(names).toHaveLength(4);
    expect([await fs.readText('/v/a'), await fs.readText('/v/new')]).toEqual(['2', 'y']);
  }
});

test('what cannot be written leaves nothing behind, and what was there stays', async () => {
  const fs = new FakeFileSystem();
  await fs.makeDirectory(DIRECTORY);
  await write(fs, { a: '1' }, 'n1');
  const before = fs.paths(DIRECTORY);
  fs.failWith('/v/..1970_01_01_00_00_00.n2/b', new Error('ENOSPC'));
  await expect(write(fs, { a: '2', b: '2' }, 'n2')).rejects.toThrow('ENOSPC');
  expect(fs.paths(DIRECTORY)).toEqual(before);
  expect(await fs.readText('/v/a')).toBe('1');
});
