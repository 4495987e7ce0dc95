import type { IContainer } from 'kubernetes-models/v1/Container';
import { podLimits, podRequests } from '#api/meta/pod-resources.ts';
import { Quantity } from '#api/meta/quantity.ts';
import type { Pod } from '#api/object/kinds.ts';
import { specOf } from '../pod-spec.ts';

/** What one container uses; bytes. */
export interface ContainerUsage {
  readonly name: string;
  readonly memoryBytes: number;
  /** Writable layer and logs. */
  readonly diskBytes: number;
  readonly inodes: number;
}

export interface PodUsage {
  readonly containers: readonly ContainerUsage[];
  /** emptyDirs on disk and rendered volumes, by name. */
  readonly volumes: ReadonlyMap<string, { readonly bytes: number; readonly inodes: number }>;
  readonly processes: number;
}

export const NO_USAGE: PodUsage = { containers: [], volumes: new Map(), processes: 0 };

const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);

export const memoryOf = ({ containers }: PodUsage): number => sum(containers.map(({ memoryBytes }) => memoryBytes));
export const diskOf = ({ containers, volumes }: PodUsage): number =>
  sum([...containers.map(({ diskBytes }) => diskBytes), ...[...volumes.values()].map(({ bytes }) => bytes)]);
export const inodesOf = ({ containers, volumes }: PodUsage): number =>
  sum([...containers.map(({ inodes }) => inodes), ...[...volumes.values()].map(({ inodes }) => inodes)]);

export const requestOf = (pod: Pod, resource: string): number => podRequests(specOf(pod)).get(resource)?.value() ?? 0;

const quantityOf = (container: IContainer, list: 'limits' | 'requests', resource: string) => {
  const amount = container.resources?.[list]?.[resource];
  return amount === undefined ? undefined : Quantity.parse(amount);
};

export const containerRequest = (container: IContainer, resource: string): number =>
  quantityOf(container, 'requests', resource)?.value() ?? 0;

/** `1Mi`: the largest binary unit that leaves no rest. */
export const formatBytes = (bytes: number): string => Quantity.fromValue(Math.round(bytes), 'BinarySI').toString();

const STORAGE = 'ephemeral-storage';

/** Why a pod may not stay although the node has room: it has used more of the disk than it was allowed to; undefined = it has not. */
export function localStorageExcess(pod: Pod, usage: PodUsage): string | undefined {
  const spec = specOf(pod);
  for (const { name, emptyDir } of spec.volumes ?? []) {
    const limit = emptyDir?.sizeLimit === undefined ? undefined : Quantity.parse(emptyDir.sizeLimit);
    const used = usage.volumes.get(name)?.bytes ?? 0;
    if (limit !== undefined && limit.sign > 0 && used > limit.value())
      return `Usage of EmptyDir volume "${name}" exceeds the limit "${limit}". `;
  }
  const limit = podLimits(spec, { withOverhead: false }).get(STORAGE);
  if (limit !== undefined && limit.sign > 0 && diskOf(usage) > limit.value())
    return `Pod ephemeral local storage usage exceeds the total limit of containers ${limit}. `;
  for (const container of [...spec.containers, ...(spec.initContainers ?? [])]) {
    const own = quantityOf(container, 'limits', STORAGE);
    const used = usage.containers.find(({ name }) => name === container.name)?.diskBytes ?? 0;
    if (own !== undefined && own.sign > 0 && used > own.value())
      return `Container ${container.name} exceeded its local ephemeral storage limit "${own}". `;
  }
  return undefined;
}

/** Whether anything of the pod is to be measured at all when the node has room. */
export function hasStorageLimit(pod: Pod): boolean {
  const spec = specOf(pod);
  const containers = [...spec.containers, ...(spec.initContainers ?? [])];
  return (
    (spec.volumes ?? []).some(({ emptyDir }) => emptyDir?.sizeLimit !== undefined && emptyDir.medium !== 'Memory') ||
    containers.some(({ resources }) => resources?.limits?.[STORAGE] !== undefined)
  );
}
