import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KeyRing } from './key-ring.ts';

const KEY = '/registry/secrets/default/a';
const PLAIN = new Uint8Array([1, 2, 3]);

describe('KeyRing', () => {
  let dir: string;
  let path: string;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'coracle-ring-'));
    path = join(dir, 'seal', 'keys.json');
  });
  afterEach(() => rm(dir, { recursive: true }));

  const usesOnDisk = async (): Promise<number[]> =>
    (JSON.parse(await readFile(path, 'utf8')) as { keys: { uses: number }[] }).keys.map(({ uses }) => uses);

  it('makes its first key when it is needed, for nobody else to read', async () => {
    const ring = new KeyRing({ path });
    expect([ring.isEmpty, ring.newest]).toEqual([true, undefined]);
    const sealed = ring.use().seal(KEY, PLAIN);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const again = new KeyRing({ path });
    expect(again.newest?.open(KEY, sealed)).toEqual(PLAIN);
  });

  it('counts a use on disk before it happens, over crashes too', async () => {
    let used = 0;
    for (const burst of [1, 999, 2, 1500]) {
      const ring = new KeyRing({ path });
      for (let i = 0; i < burst; i++) {
        ring.use();
        used += 1;
        if (i % 500 === 0) expect((await usesOnDisk())[0]).toBeGreaterThanOrEqual(used);
      }
    }
    expect((await usesOnDisk())[0]).toBeGreaterThanOrEqual(used);
  });

  it('counts exactly over clean ends', async () => {
    for (const burst of [1, 999, 2, 1500]) {
      const ring = new KeyRing({ path });
      for (let i = 0; i < burst; i++) ring.use();
      ring.close();
      ring.close();
    }
    expect(await usesOnDisk()).toEqual([2502]);
  });

  it('takes a new key before the limit, and keeps the old one to open with', async () => {
    const ring = new KeyRing({ path, maxUses: 2_000 });
    const first = ring.use();
    const sealed = first.seal(KEY, PLAIN);
    let uses = 1;
    while (ring.use() === first) uses += 1;
    expect(uses).toBe(2_000);
    const again = new KeyRing({ path });
    expect(again.newest?.name).not.toBe(first.name);
    expect(again.find('aesgcm', first.name)?.open(KEY, sealed)).toEqual(PLAIN);
    expect(again.find('aescbc', first.name)).toBeUndefined();
  });

  it('takes a new key when it is told to', () => {
    const ring = new KeyRing({ path });
    const first = ring.use();
    ring.rotate();
    expect(ring.newest).not.toBe(first);
    expect(ring.use()).toBe(ring.newest);
  });

  it('does not seal with a use that it could not write down', async () => {
    const ring = new KeyRing({
      path,
      sync: () => {
        throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
      },
    });
    expect(() => ring.use()).toThrow(expect.objectContaining({ name: 'KeyRingError', errcode: 13 }));
    expect(ring.isEmpty).toBe(true);
  });

  it.each([
    ['no JSON', '{"version":1,', /garbled: put it back from a backup/],
    ['another version', '{"version":2,"keys":[]}', /does not hold the keys/],
    ['no keys', '{"version":1,"keys":[]}', /does not hold the keys/],
    ['a short key', '{"version":1,"keys":[{"name":"a","secret":"AAAA","uses":0}]}', /does not hold the keys/],
    ['null', 'null', /does not hold the keys/],
  ])('refuses a file with %s, and leaves it alone', async (_, text, message) => {
    new KeyRing({ path }).rotate();
    await writeFile(path, text);
    expect(() => new KeyRing({ path })).toThrow(message);
    expect(await readFile(path, 'utf8')).toBe(text);
  });

  it.skipIf(process.getuid?.() === 0)('says which file it may not read', async () => {
    new KeyRing({ path }).rotate();
    await chmod(path, 0);
    expect(() => new KeyRing({ path })).toThrow(path);
  });
});
