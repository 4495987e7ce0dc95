import { existsSync, readFileSync } from 'node:fs';

/** What a pod may ask for and not every kernel has. */
export type KernelFeature = 'AppArmor' | 'SELinux' | 'swap on cgroup v2' | 'cgroup v2' | 'limits of huge pages' | 'USB';

const read = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8').trim() : '');

const CONTROLLERS = '/sys/fs/cgroup/cgroup.controllers';
const unified = () => read(CONTROLLERS).split(' ');

/** Each asks the kernel and answers why there is none of it, or undefined. */
const PROBES: Readonly<Record<KernelFeature, () => string | undefined>> = {
  AppArmor: () =>
    read('/sys/module/apparmor/parameters/enabled') === 'Y' ? undefined : 'the kernel has no AppArmor, or it is off',
  SELinux: () =>
    existsSync('/sys/fs/selinux/enforce') ? undefined : 'SELinux is not mounted: the kernel has none, or it is off',
  'cgroup v2': () =>
    unified().includes('memory')
      ? undefined
      : `${CONTROLLERS} has no memory: the controllers are in trees of version 1`,
  'swap on cgroup v2': () => {
    if (!unified().includes('memory')) return 'only cgroup v2 limits swap by itself';
    return read('/proc/swaps').split('\n').length > 1 ? undefined : 'no swap is on';
  },
  'limits of huge pages': () => {
    const v1 = /^hugetlb\t[1-9]/m.test(read('/proc/cgroups'));
    return v1 || unified().includes('hugetlb')
      ? undefined
      : 'no tree of cgroups that runc uses has the controller hugetlb';
  },
  USB: () => (existsSync('/sys/bus/usb/devices') ? undefined : 'the kernel has no USB'),
};

/** What this kernel lacks, each with its reason; printed once, since tests of it are skipped. */
export function kernelLacks(who: string): Readonly<Record<KernelFeature, string | undefined>> {
  const found = Object.fromEntries(Object.entries(PROBES).map(([feature, probe]) => [feature, probe()]));
  for (const [feature, why] of Object.entries(found))
    if (why !== undefined) console.warn(`${who}: ${feature} skipped: ${why}`);
  return found as Record<KernelFeature, string | undefined>;
}
