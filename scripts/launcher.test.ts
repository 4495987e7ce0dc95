import { spawnSync } from 'node:child_process';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

it('an agent may use an eighth of the machine, within bounds', () => {
  // `-x` tells what it becomes.
  const { stderr } = spawnSync('sh', ['-x', join(import.meta.dirname, '../bin/coracle'), 'agent', '--help'], {
    encoding: 'utf8',
  });
  const limitMb = Number(/exec .* --max-old-space-size=(\d+)/.exec(stderr)?.[1]);
  expect(limitMb).toBe(Math.min(512, Math.max(96, Math.floor(totalmem() / 8 / 2 ** 20))));
});
