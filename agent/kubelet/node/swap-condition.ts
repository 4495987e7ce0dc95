import type { NetworkVerdict } from './network-conditions.ts';

/** What is wrong where swap is on and the kernel cannot keep a tmpfs out of it, and what helps. */
export const MEMORY_MAY_SWAP = {
  reason: 'MemoryVolumesMaySwap',
  cause: 'Secrets, tokens and memory volumes of pods may be written to swap: Linux can keep them out of it from 6.4 on',
  cure: 'run a newer kernel, or turn swap off',
} as const;

/** Ours, and not shown where there is nothing to say. `didSwap`: the Node has the condition, which stays and turns false. */
export function swapVerdicts(maySwap: boolean, didSwap: boolean): Readonly<Record<string, NetworkVerdict>> {
  if (!maySwap && !didSwap) return {};
  const { reason, cause, cure } = MEMORY_MAY_SWAP;
  const verdict = maySwap
    ? { isTrue: true, reason, message: `${cause}; to cure it: ${cure}` }
    : {
        isTrue: false,
        reason: 'MemoryVolumesStay',
        message: 'Secrets, tokens and memory volumes of pods are not swapped',
      };
  return { SecretsMaySwap: verdict };
}
