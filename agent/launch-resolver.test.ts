import { expect, it } from 'vitest';
import { resolverLimits } from './launch-resolver.ts';

const MEBIBYTE = 2 ** 20;

it.each([
  { machine: 512, want: 96 },
  { machine: 2_048, want: 256 },
  { machine: 65_536, want: 512 },
])('a machine of $machine MiB lets names have $want MiB', ({ machine, want }) => {
  expect(resolverLimits(machine * MEBIBYTE).maxOldGenerationSizeMb).toBe(want);
});
