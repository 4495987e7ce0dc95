import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openInstanceIdentity, renderIdentity } from './instance-identity.ts';

it('stays over restarts, and differs between data directories', async () => {
  const [one, two] = [await mkdtemp(join(tmpdir(), 'identity-')), await mkdtemp(join(tmpdir(), 'identity-'))];
  try {
    const first = await openInstanceIdentity(one);
    expect(await openInstanceIdentity(one)).toBe(first);
    expect(await openInstanceIdentity(two)).not.toBe(first);
  } finally {
    for (const folder of [one, two]) await rm(folder, { recursive: true });
  }
});

it('differs on a machine that runs a copy of the disk', () => {
  const facts = { hostname: 'pi', instanceId: 'a', machine: ['m', '02:00:00:00:00:01'] };
  expect(renderIdentity({ ...facts, machine: ['m', '02:00:00:00:00:02'] })).not.toBe(renderIdentity(facts));
});
