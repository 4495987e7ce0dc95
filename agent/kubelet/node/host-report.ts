import type { Host } from '../../host/host.ts';
import { MEMORY_CGROUP_OFF } from './memory-condition.ts';

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
  return {
    isSound: hasMemory,
    lines: [
      ...(hasMemory ? ['sound: limits of pods are enforced'] : [`found: ${reason}: ${cause}`, `  to cure it: ${cure}`]),
      `kernel ${kernelVersion}, cgroup v${version}: ${controllers.join(' ')}`,
      `seccomp ${said(seccomp)}, AppArmor ${said(appArmor)}, SELinux ${said(selinux)}, user namespaces ${said(userNamespaces)}, swap ${swapBytes === 0 ? 'none' : `${Math.round(swapBytes / 2 ** 20)} MiB`}`,
    ],
  };
}
