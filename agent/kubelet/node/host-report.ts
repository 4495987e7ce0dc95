import type { Host } from '../../host/host.ts';
import { MEMORY_CGROUP_OFF } from './memory-condition.ts';
import { MEMORY_MAY_SWAP } from './swap-condition.ts';

export interface HostReport {
  readonly isSound: boolean;
  readonly lines: readonly string[];
}

/** What `coracle doctor host` prints: what this kernel cannot do for pods, and what it can. Changes nothing. */
export async function examineHostForPods(host: Host): Promise<HostReport> {
  const { version, controllers } = await host.cgroups();
  const { swapBytes, kernelVersion } = await host.facts();
  const read = async (path: string) => (await host.fs.readText(path).catch(() => '')).trim();
  const has = async (path: string) => (await host.fs.info(path)) !== undefined;
  const [appArmor, userNamespaces, seccomp, selinux] = [
    (await read('/sys/module/apparmor/parameters/enabled')) === 'Y',
    Number(await read('/proc/sys/user/max_user_namespaces')) > 0,
    await has('/proc/sys/kernel/seccomp/actions_avail'),
    await has('/sys/fs/selinux/enforce'),
  ];
  const hasMemory = controllers.includes('memory');
  const { reason, cause, cure } = MEMORY_CGROUP_OFF;
  const said = (isThere: boolean) => (isThere ? 'yes' : 'no');
  const [major = 0, minor = 0] = kernelVersion.split('.').map(Number);
  // The agent tries; this must not change anything, mounts included.
  const maySwap = swapBytes > 0 && (major < 6 || (major === 6 && minor < 4));
  return {
    isSound: hasMemory && !maySwap,
    lines: [
      ...(hasMemory ? ['sound: limits of pods are enforced'] : [`found: ${reason}: ${cause}`, `  to cure it: ${cure}`]),
      ...(maySwap
        ? [`found: ${MEMORY_MAY_SWAP.reason}: ${MEMORY_MAY_SWAP.cause}`, `  to cure it: ${MEMORY_MAY_SWAP.cure}`]
        : []),
      `kernel ${kernelVersion}, cgroup v${version}: ${controllers.join(' ')}`,
      `seccomp ${said(seccomp)}, AppArmor ${said(appArmor)}, SELinux ${said(selinux)}, user namespaces ${said(userNamespaces)}, swap ${swapBytes === 0 ? 'none' : `${Math.round(swapBytes / 2 ** 20)} MiB`}`,
    ],
  };
}
