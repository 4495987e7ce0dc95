import { mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readBackupFile, writeBackupFile } from './backup-file.ts';
import { type BackupRecord, encodeRecord } from './backup-records.ts';

const PASSPHRASE = 'correct horse battery';
const MANIFEST: BackupRecord = {
  kind: 'manifest',
  manifest: { coracleVersion: '1', created: '2026-01-01T00:00:00.000Z', revision: 7, backend: 'sqlite', cluster: {} },
};
const NOW_MS = Date.UTC(2026, 0, 1);

describe('a backup file', () => {
  let dir: string;
  let path: string;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'coracle-backup-'));
    path = join(dir, 'a.backup');
  });
  afterEach(() => rm(dir, { recursive: true }));

  /** Incompressible, so that the file has many chunks. */
  const objects = (count: number, valueBytes: number): BackupRecord[] =>
    Array.from({ length: count }, (_, i) => ({
      kind: 'object',
      key: `/registry/secrets/default/s${i}ä`,
      revision: i + 2 ** 40,
      value: Buffer.from(crypto.getRandomValues(new Uint8Array(valueBytes))),
    }));
  const write = async (records: readonly BackupRecord[], passphrase = PASSPHRASE) => {
    const all: BackupRecord[] = [MANIFEST, ...records, { kind: 'end', objects: records.length, files: 0 }];
    return writeBackupFile(toStream(all.map(encodeRecord)), { path, passphrase, nowMs: NOW_MS, scryptCost: 16 });
  };
  const read = async (passphrase = PASSPHRASE): Promise<BackupRecord[]> => {
    const records: BackupRecord[] = [];
    for await (const record of readBackupFile({ path, passphrase })) records.push(record);
    return records;
  };

  it.each([
    [0, 0],
    [3, 10],
    [40, 30_000],
  ])('holds what was written: %i objects of %i bytes', async (count, size) => {
    const records = objects(count, size);
    const bytes = await write(records);
    expect((await stat(path)).size).toBe(bytes);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await read()).toEqual([MANIFEST, ...records, { kind: 'end', objects: count, files: 0 }]);
    expect(await readdir(dir)).toEqual(['a.backup']);
  });

  it('shows nothing of its content', async () => {
    const value = Buffer.from('{"password":"aHVudGVyMg=="}'.repeat(100));
    await write([{ kind: 'object', key: '/registry/secrets/a/b', revision: 1, value }]);
    const text = (await readFile(path)).toString('latin1');
    expect(text).not.toContain('aHVudGVyMg');
    expect(text).not.toContain('/registry');
  });

  it.each<[string, (file: Buffer) => Uint8Array, RegExp]>([
    ['an empty file', () => Buffer.alloc(0), /this is no backup of Coracle/],
    ['another file', () => Buffer.from('#!/bin/sh\necho hello\n'), /this is no backup of Coracle/],
    ['random bytes', () => Buffer.alloc(100_000, 0xa5), /this is no backup of Coracle/],
    ['a header cut off', (file) => file.subarray(0, 40), /cut off at its beginning/],
    ['only the header', (file) => file.subarray(0, headEnd(file)), /the file ends too early/],
    ['cut off within a chunk', (file) => file.subarray(0, file.length - 1), /garbled or cut off|ends too early/],
    [
      'cut off at a chunk’s end',
      (file) => file.subarray(0, headEnd(file) + 3 * (65_536 + 16)),
      /the file ends too early/,
    ],
    ['one bit in the header', (file) => flip(file, 30), /its beginning is garbled/],
    ['one bit in the first chunk', (file) => flip(file, headEnd(file) + 5), /garbled or cut off at byte 0 of/],
    ['one bit in the middle', (file) => flip(file, headEnd(file) + 70_000), /garbled or cut off at byte 65552 of/],
    ['one bit at the end', (file) => flip(file, file.length - 1), /garbled or cut off/],
    ['bytes behind the end', (file) => Buffer.concat([file, Buffer.from('x')]), /garbled or cut off/],
    ['two chunks swapped', (file) => swapped(file), /garbled or cut off at byte 0/],
    [
      'a later format',
      (file) => Buffer.from(withFormat(file, 2), 'latin1'),
      /its beginning is garbled|newer than this/,
    ],
  ])('is refused when it is %s', async (_, change, message) => {
    await write(objects(20, 30_000));
    await writeFile(path, change(await readFile(path)));
    await expect(read()).rejects.toThrow(message);
    await expect(read()).rejects.toMatchObject({ name: 'BackupError' });
  });

  it('tells a wrong passphrase from damage', async () => {
    await write(objects(2, 100));
    await expect(read('correct horse batterz')).rejects.toThrow(/a\.backup: wrong passphrase$/);
  });

  it('takes a passphrase in any Unicode form', async () => {
    await write(objects(1, 10), 'schl\u00fcssel-1');
    expect(await read('schlu\u0308ssel-1')).toHaveLength(3);
  });

  it.each<[string, string, RegExp]>([
    ['is missing', 'none', /none: no such file/],
    ['is a folder', '.', /this is a folder, not a backup/],
  ])('is told when it %s', async (_, name, message) => {
    path = join(dir, name);
    await expect(read()).rejects.toThrow(message);
  });

  it('leaves nothing behind, and an older one in place, when writing fails', async () => {
    await write(objects(2, 100));
    const before = await readFile(path);
    const failing = async function* () {
      yield encodeRecord(MANIFEST);
      yield* objects(20, 100_000).map(encodeRecord);
      throw Object.assign(new Error('the connection was lost'), { code: 'ECONNRESET' });
    };
    await expect(
      writeBackupFile(failing(), { path, passphrase: PASSPHRASE, nowMs: NOW_MS, scryptCost: 16 }),
    ).rejects.toThrow(/was not written to .*a\.backup$/);
    expect([await readdir(dir), await readFile(path)]).toEqual([['a.backup'], before]);
    path = join(dir, 'no', 'folder');
    await expect(write([])).rejects.toThrow(/cannot be written to/);
  });

  it('keeps the older file when the disk is full', async () => {
    await write(objects(2, 100));
    const before = await readFile(path);
    await symlink('/dev/full', `${path}.${process.pid}.tmp`);
    await expect(write(objects(20, 30_000))).rejects.toMatchObject({ cause: { code: 'ENOSPC' } });
    expect([await readdir(dir), await readFile(path)]).toEqual([['a.backup'], before]);
  });

  it.each<[string, BackupRecord[]]>([
    ['has no end', [MANIFEST]],
    ['counts wrongly', [MANIFEST, { kind: 'end', objects: 1, files: 0 }]],
  ])('is refused when its content %s', async (_, records) => {
    await writeBackupFile(toStream(records.map(encodeRecord)), {
      path,
      passphrase: PASSPHRASE,
      nowMs: NOW_MS,
      scryptCost: 2,
    });
    await expect(read()).rejects.toMatchObject({ name: 'BackupError' });
  });
});

async function* toStream(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void, undefined> {
  yield* pieces;
}

/** Where the chunks begin: behind the third line. */
function headEnd(file: Buffer): number {
  return file.indexOf('\n', file.indexOf('\n', file.indexOf('\n') + 1) + 1) + 1;
}

function flip(file: Buffer, at: number): Buffer {
  const copy = Buffer.from(file);
  copy[at]! ^= 1;
  return copy;
}

function swapped(file: Buffer): Buffer {
  const [size, from] = [65_536 + 16, headEnd(file)];
  const chunk = (number: number) => file.subarray(from + number * size, from + (number + 1) * size);
  return Buffer.concat([file.subarray(0, from), chunk(1), chunk(0), file.subarray(from + 2 * size)]);
}

const withFormat = (file: Buffer, format: number) =>
  file.toString('latin1').replace('"format":1', `"format":${format}`);
