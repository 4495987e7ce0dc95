import { expect, test } from 'vitest';
import { FakeExecutor } from '#test/kit/fake-host.ts';
import { ExecError } from './host.ts';
import { createMounter } from './mounter.ts';

test.each([
  ['keeps memory out of the swap', '', ['mode=777,noswap', 'mode=777,noswap']],
  [
    'does without that where the kernel does not know it',
    'wrong fs type, bad option',
    ['mode=777,noswap', 'mode=777', 'mode=777'],
  ],
])('a tmpfs %s', async (_name, refusal, expected) => {
  const exec = new FakeExecutor();
  exec.respond((argv) =>
    refusal !== '' && argv.some((word) => word.includes('noswap')) ? new ExecError(argv, 32, refusal) : undefined,
  );
  const mounter = createMounter(exec);
  await mounter.mountTmpfs('/a', {});
  await mounter.mountTmpfs('/b', {});
  expect(exec.calls.map(({ argv }) => argv[4])).toEqual(expected);
});

test('a tmpfs that cannot be mounted at all says so, and the next one is asked for as before', async () => {
  const exec = new FakeExecutor();
  exec.respond((argv) => (argv.at(-1) === '/gone' ? new ExecError(argv, 32, 'mount point does not exist') : undefined));
  const mounter = createMounter(exec);
  await expect(mounter.mountTmpfs('/gone', {})).rejects.toThrow('mount point does not exist');
  await mounter.mountTmpfs('/b', {});
  expect(exec.calls.at(-1)?.argv[4]).toBe('mode=777,noswap');
});
