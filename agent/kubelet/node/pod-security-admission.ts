import type { Pod } from '#api/object/kinds.ts';
import type { RuntimeFeatures } from '../../cri/runtime.ts';
import { allContainers, isHostNetwork, specOf } from '../pod-spec.ts';
import type { Refusal } from './node-admission.ts';

/** What this host and its runtime can do, as far as pods may ask for it. */
export interface NodeAbilities {
  readonly features: RuntimeFeatures;
  readonly hasAppArmor: boolean;
  /** Names or prefixes that end in `*`, of sysctls beyond the safe ones. */
  readonly allowedUnsafeSysctls: readonly string[];
}

/** Namespaced by the kernel, and harmless to neighbours: Kubernetes' safe set. */
const SAFE_SYSCTLS: readonly string[] = [
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.ping_group_range',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_wmem',
];

/** Refuses pods whose isolation this node cannot give: they would run less confined than they think. Pure. */
export function refuseIsolation(pod: Pod, abilities: NodeAbilities): Refusal | undefined {
  const refusal = refuseSysctls(pod, abilities) ?? refuseAppArmor(pod, abilities) ?? refuseGroups(pod, abilities);
  return refusal && { ...refusal, message: `Pod was rejected: ${refusal.message}` };
}

function refuseSysctls(pod: Pod, { allowedUnsafeSysctls }: NodeAbilities): Refusal | undefined {
  const { securityContext, hostIPC } = specOf(pod);
  for (const { name: given } of securityContext?.sysctls ?? []) {
    const name = given.replaceAll('/', '.');
    const refusal = (why: string) => ({ reason: 'SysctlForbidden', message: `forbidden sysctl: "${given}" ${why}` });
    const isAllowed = [...SAFE_SYSCTLS, ...allowedUnsafeSysctls].some((pattern) =>
      pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern,
    );
    if (!isAllowed) return refusal('not allowlisted');
    if (name.startsWith('net.') && isHostNetwork(pod)) return refusal('not allowed with host net enabled');
    if ((name.startsWith('kernel.') || name.startsWith('fs.mqueue.')) && hostIPC === true)
      return refusal('not allowed with host ipc enabled');
  }
  return undefined;
}

function refuseAppArmor(pod: Pod, { hasAppArmor }: NodeAbilities): Refusal | undefined {
  if (hasAppArmor) return undefined;
  const podLevel = specOf(pod).securityContext?.appArmorProfile;
  const asks = allContainers(pod).some(({ securityContext }) => {
    const type = (securityContext?.appArmorProfile ?? podLevel)?.type;
    return type !== undefined && type !== 'Unconfined' && securityContext?.privileged !== true;
  });
  if (!asks) return undefined;
  return { reason: 'AppArmor', message: 'Cannot enforce AppArmor: AppArmor is not enabled on the host' };
}

function refuseGroups(pod: Pod, { features }: NodeAbilities): Refusal | undefined {
  if (specOf(pod).securityContext?.supplementalGroupsPolicy !== 'Strict' || features.supplementalGroupsPolicy)
    return undefined;
  return {
    reason: 'SupplementalGroupsPolicyNotSupported',
    message: 'SupplementalGroupsPolicy=Strict is not supported in this node',
  };
}
