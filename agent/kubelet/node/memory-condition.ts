import type { NetworkVerdict } from './network-conditions.ts';

/** What is wrong where the kernel has no memory cgroup, and what helps; in the node's condition and in `coracle doctor host`. */
export const MEMORY_CGROUP_OFF = {
  reason: 'MemoryCgroupOff',
  cause: 'the kernel was started without the memory cgroup: limits of memory are advice that nobody enforces',
  cure: 'start it with cgroup_enable=memory (Raspberry Pi OS: at the end of the one line of /boot/firmware/cmdline.txt), then reboot',
} as const;

/** Ours, and not shown where there is nothing to say. `wasOff`: the Node has the condition, which stays and turns false. */
export function memoryVerdicts(hasMemoryLimits: boolean, wasOff: boolean): Readonly<Record<string, NetworkVerdict>> {
  if (hasMemoryLimits && !wasOff) return {};
  const { reason, cause, cure } = MEMORY_CGROUP_OFF;
  const verdict = hasMemoryLimits
    ? { isTrue: false, reason: 'MemoryCgroupOn', message: 'limits of memory are enforced' }
    : { isTrue: true, reason, message: `${cause}; to cure it: ${cure}` };
  return { MemoryLimitsUnenforced: verdict };
}
