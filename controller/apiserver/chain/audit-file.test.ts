import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { createAuditFile } from './audit-file.ts';

it('createAuditFile sets the full file aside and goes on, also after a restart', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'audit-'));
  try {
    const path = join(dir, 'audit.log');
    await createAuditFile({ path, maxBytes: 10 })('aaaa\n');
    const append = createAuditFile({ path, maxBytes: 10 });
    await append('bbbb\n');
    await append('cccc\n');
    expect(await readFile(`${path}.1`, 'utf8')).toBe('aaaa\nbbbb\n');
    expect(await readFile(path, 'utf8')).toBe('cccc\n');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  } finally {
    await rm(dir, { recursive: true });
  }
});
