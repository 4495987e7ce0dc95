import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { backupName, createAuditFile, expiredBackups } from './audit-file.ts';

it('createAuditFile sets the full file aside and goes on, also after a restart', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'audit-'));
  try {
    const path = join(dir, 'audit.log');
    let nowMs = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
    const options = { path, maxBytes: 10, maxBackups: 1, now: () => nowMs };
    await createAuditFile(options)(Buffer.from('aaaa\n'));
    const append = createAuditFile(options);
    await append(Buffer.from('bbbb\n'));
    await append(Buffer.from('cccc\n'));
    expect(await readFile(join(dir, 'audit-2026-01-02T03-04-05.678.log'), 'utf8')).toBe('aaaa\nbbbb\n');
    expect(await readFile(path, 'utf8')).toBe('cccc\n');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    nowMs += 1000;
    await append(Buffer.from('dddddddddd\n'));
    expect(await readdir(dir)).toEqual(['audit-2026-01-02T03-04-06.678.log', 'audit.log']);
  } finally {
    await rm(dir, { recursive: true });
  }
});

it('expiredBackups counts and dates what belongs to the log alone', () => {
  const path = '/var/log/audit.log';
  const day = 24 * 3_600_000;
  const nowMs = Date.UTC(2026, 0, 10);
  const file = (days: number) => backupName('audit.log', nowMs - days * day);
  const files = ['audit.log', 'audit-other.log', 'b.log', file(1), file(5), file(9)];
  expect(expiredBackups(files, { path, maxBackups: 2 }, nowMs)).toEqual([file(9)]);
  expect(expiredBackups(files, { path, maxBackups: 0, maxAgeMs: 3 * day }, nowMs)).toEqual([file(5), file(9)]);
  expect(expiredBackups(files, { path, maxBackups: 0 }, nowMs)).toEqual([]);
});
