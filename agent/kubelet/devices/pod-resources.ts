import type { Pod } from '#api/object/kinds.ts';
import type { ClaimedDevices, ClaimManager } from '../claims/claim-manager.ts';
import { type CpuSet, parseCpuSet } from '../cpus/cpu-set.ts';
import type { LedgerRecord } from '../ledger-record.ts';
import { allContainers, isSidecar, namespaceOf, uidOf } from '../pod-spec.ts';

export interface ResourceDevices {
  readonly resource: string;
  readonly ids: readonly string[];
}

export interface ContainerResources {
  readonly name: string;
  readonly devices: readonly ResourceDevices[];
  /** CPUs that it has alone. */
  readonly cpus: CpuSet;
  readonly claims: readonly ClaimedDevices[];
}

export interface PodResources {
  readonly name: string;
  readonly namespace: string;
  readonly containers: readonly ContainerResources[];
}

/** What monitoring agents on the node may know: which pod has which devices. */
export interface PodResourcesSource {
  list(): readonly PodResources[];
  /** All devices that pods can be given, granted or not. */
  allocatable(): readonly ResourceDevices[];
  /** CPUs that containers can have alone. */
  allocatableCpus(): CpuSet;
}

/** By what the node remembers to have granted. Init containers that have ended hold nothing; sidecars do. */
export function podResources(
  pod: Pod,
  record: Pick<LedgerRecord, 'devices' | 'cpus'> | undefined,
  claims: Pick<ClaimManager, 'devices'>,
): PodResources {
  const init = new Set((pod.spec?.initContainers ?? []).filter((one) => !isSidecar(one)).map(({ name }) => name));
  return {
    name: pod.metadata.name,
    namespace: namespaceOf(pod),
    containers: allContainers(pod)
      .filter(({ name }) => !init.has(name))
      .map((container) => ({ container, name: container.name }))
      .map(({ container, name }) => ({
        name,
        claims: claims.devices(pod, container),
        devices: Object.entries(record?.devices?.[name] ?? {}).map(([resource, held]) => ({
          resource,
          ids: Object.keys(held).sort(),
        })),
        cpus: parseCpuSet(record?.cpus?.[name] ?? ''),
      })),
  };
}

export function podResourcesSource(options: {
  readonly pods: () => readonly Pod[];
  readonly record: (uid: ReturnType<typeof uidOf>) => LedgerRecord | undefined;
  readonly devices: () => readonly ResourceDevices[];
  readonly cpus: () => CpuSet;
  readonly claims: Pick<ClaimManager, 'devices'>;
}): PodResourcesSource {
  const { pods, record, devices, cpus, claims } = options;
  return {
    list: () => pods().map((pod) => podResources(pod, record(uidOf(pod)), claims)),
    allocatable: devices,
    allocatableCpus: cpus,
  };
}
