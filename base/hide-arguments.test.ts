import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { hideSecrets } from './hide-arguments.ts';

it.each([
  ['agent --servers a --token x.y', 'agent --servers a --token ********'],
  ['agent --token=x=y --node-name n', 'agent --token=******** --node-name n'],
  ['controller --join x --components a', 'controller --join ******** --components a'],
  ['token list', undefined],
])('the secrets of "%s" are hidden', (line, expected) => {
  expect(hideSecrets(line.split(' '))?.join(' ')).toBe(expected);
});

it('what every user of the host sees of a process has no token in it', async () => {
  const module = join(import.meta.dirname, 'hide-arguments.ts');
  const code = `const { hideSecretArguments } = await import('${module}'); hideSecretArguments(); console.log('hidden'); setTimeout(() => {}, 60_000);`;
  const child = spawn(process.execPath, [
    '--input-type=module',
    '-e',
    code,
    'agent',
    '--token',
    'abcdef.planted',
    '--x',
  ]);
  try {
    const [said] = await once(child.stdout, 'data');
    expect(String(said)).toBe('hidden\n');
    const shown = readFileSync(`/proc/${child.pid}/cmdline`, 'utf8');
    expect(shown).not.toContain('planted');
    expect(shown).toMatch(/agent --token \*+ --x\0*$/);
  } finally {
    child.kill();
  }
});
