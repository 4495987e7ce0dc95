import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { OPTIMIZE_AFTER_CALLS } from './optimize-sooner.ts';

/** One that is set at run time and unknown is passed over in silence; one of the command line ends the process. */
test('this engine knows the flags that it is given', () => {
  const known = execFileSync(process.execPath, ['--v8-options'], { encoding: 'utf8' });
  const start = readFileSync(join(import.meta.dirname, '../bin/coracle'), 'utf8');
  const flags = [OPTIMIZE_AFTER_CALLS, ...(/^ *controller\)\s+flags="([^"]*)"/m.exec(start)?.[1] ?? '').split(' ')];
  expect(flags.length).toBeGreaterThan(2);
  for (const flag of flags) expect(known).toContain(`  ${flag.split('=')[0]} `);
});
