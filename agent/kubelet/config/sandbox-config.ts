import type { Pod } from '#api/object/kinds.ts';
import type { IdMapping, SandboxConfig } from '../../cri/runtime.ts';
import { type CgroupSettings, podCgroupParent } from '../cgroups/cgroup-names.ts';
import { allContainers, isHostNetwork, namespaceOf, specOf } from '../pod-spec.ts';
import { sandboxAnnotations, sandboxLabels } from '../runtime-labels.ts';
import { computeDns, type ResolvConf } from './dns.ts';
import { computeHostname } from './hostname.ts';
import { isAnyPrivileged, sandboxNamespaces, sandboxSecurity } from './security.ts';

export interface SandboxConfigInput {
  readonly pod: Pod;
  readonly attempt: number;
  readonly logDirectory: string;
  readonly hostResolvConf: ResolvConf;
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  readonly cgroups: CgroupSettings;
  /** Of the user namespace of its own; absent: the host's. */
  readonly userMappings?: readonly IdMapping[] | undefined;
}

export function computeSandboxConfig(input: SandboxConfigInput): SandboxConfig {
  const { pod, attempt, logDirectory, cgroups } = input;
  const { name, uid } = pod.metadata;
  return {
    identity: { name, namespace: namespaceOf(pod), uid, attempt },
    hostname: isHostNetwork(pod) ? '' : computeHostname(pod, input.clusterDomain).hostname,
    logDirectory,
    dns: computeDns({ ...input, host: input.hostResolvConf }),
    portMappings: isHostNetwork(pod) ? [] : portMappings(pod),
    labels: sandboxLabels(pod),
    annotations: sandboxAnnotations(pod),
    cgroupParent: podCgroupParent(pod, cgroups),
    sysctls: Object.fromEntries(
      (specOf(pod).securityContext?.sysctls ?? []).map(({ name: key, value }) => [key, value]),
    ),
    namespaces: sandboxNamespaces(pod, input.userMappings),
    privileged: isAnyPrivileged(pod),
    security: sandboxSecurity(pod),
  };
}

function portMappings(pod: Pod): SandboxConfig['portMappings'] {
  return allContainers(pod)
    .flatMap((container) => container.ports ?? [])
    .filter((port) => (port.hostPort ?? 0) > 0)
    .map((port) => ({
      protocol: (port.protocol ?? 'TCP') as 'TCP' | 'UDP' | 'SCTP',
      containerPort: port.containerPort,
      hostPort: port.hostPort ?? 0,
      hostIp: port.hostIP ?? '',
    }));
}
