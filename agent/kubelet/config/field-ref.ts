import type { IContainer } from 'kubernetes-models/v1/Container';
import { Quantity } from '#api/meta/quantity.ts';
import type { Pod } from '#api/object/kinds.ts';
import { namespaceOf, specOf } from '../pod-spec.ts';
import { ConfigError } from './config-error.ts';

export interface PodAddresses {
  readonly podIps: readonly string[];
  readonly hostIps: readonly string[];
}

/** Whether a variable of the container is an address of its pod, which is known only once the sandbox is there. */
export function namesPodAddress({ env = [] }: IContainer): boolean {
  return env.some(({ valueFrom }) => /^status\.podIPs?$/.test(valueFrom?.fieldRef?.fieldPath ?? ''));
}

/** Value of a downward API `fieldRef`. Addresses are undefined where they are not known (volumes may not refer to them). */
export function fieldRefValue(pod: Pod, path: string, addresses?: PodAddresses): string {
  const keyed = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(path);
  if (keyed !== null) return pod.metadata[keyed[1] as 'labels' | 'annotations']?.[keyed[2]!] ?? '';
  const spec = specOf(pod);
  switch (path) {
    case 'metadata.name':
      return pod.metadata.name;
    case 'metadata.namespace':
      return namespaceOf(pod);
    case 'metadata.uid':
      return pod.metadata.uid;
    case 'metadata.labels':
      return formatMap(pod.metadata.labels);
    case 'metadata.annotations':
      return formatMap(pod.metadata.annotations);
    case 'spec.nodeName':
      return spec.nodeName ?? '';
    case 'spec.serviceAccountName':
      return spec.serviceAccountName ?? '';
    case 'status.hostIP':
      return addresses?.hostIps[0] ?? '';
    case 'status.hostIPs':
      return addresses?.hostIps.join(',') ?? '';
    case 'status.podIP':
      return addresses?.podIps[0] ?? '';
    case 'status.podIPs':
      return addresses?.podIps.join(',') ?? '';
    default:
      throw new ConfigError(`unsupported fieldPath: ${path}`);
  }
}

/** One `key="value"` per line, sorted, as downward API volumes show maps. */
function formatMap(map: Readonly<Record<string, string>> | undefined): string {
  return Object.keys(map ?? {})
    .sort()
    .map((key) => `${key}=${JSON.stringify(map?.[key])}`)
    .join('\n');
}

/** What `limits.*` mean for a container that has none: the whole node. */
export interface NodeAllocatable {
  readonly cpu: number;
  readonly memory: number;
  readonly 'ephemeral-storage': number;
}

/** Value of a `resourceFieldRef`, divided and rounded up. */
export function resourceFieldValue(
  container: IContainer,
  ref: { readonly resource: string; readonly divisor?: string | number },
  allocatable: NodeAllocatable,
): string {
  const [kind, ...rest] = ref.resource.split('.');
  const name = rest.join('.');
  if (kind !== 'limits' && kind !== 'requests')
    throw new ConfigError(`unsupported container resource : ${ref.resource}`);
  const { requests, limits } = container.resources ?? {};
  const quantity = kind === 'limits' ? limits?.[name] : (requests?.[name] ?? limits?.[name]);
  const isWholeNode = quantity === undefined && kind === 'limits';
  const amount =
    quantity === undefined
      ? isWholeNode
        ? allocatable[name as keyof NodeAllocatable]
        : 0
      : Quantity.parse(quantity).toNumber();
  const divisor = ref.divisor === undefined ? 0 : Quantity.parse(ref.divisor).toNumber();
  // With a tolerance for binary fractions: 0.3 / 0.1 is 3, not 4.
  return String(Math.ceil((amount ?? 0) / (divisor === 0 ? 1 : divisor) - 1e-6));
}
