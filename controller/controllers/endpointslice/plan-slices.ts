import { isDeepStrictEqual } from 'node:util';
import type { EndpointSlice, Node, Pod, Service } from '#api/object/kinds.ts';
import {
  type AddressType,
  addressTypesOf,
  computeEndpoint,
  computeEndpointPorts,
  type Endpoint,
  type EndpointPort,
  isEndpointPod,
  isHeadless,
  podAddresses,
} from './pod-endpoints.ts';

export const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';
export const MANAGER = 'endpointslice-controller.k8s.io';
export const SERVICE_NAME = 'kubernetes.io/service-name';
const HEADLESS = 'service.kubernetes.io/headless';
/** Kubernetes' default: one change of a pod rewrites at most this many endpoints. */
export const MAX_ENDPOINTS_PER_SLICE = 100;

export interface SlicePlan {
  readonly create: readonly SliceContent[];
  readonly update: readonly EndpointSlice[];
  readonly delete: readonly EndpointSlice[];
}

export interface SliceContent {
  readonly addressType: AddressType;
  readonly ports: readonly EndpointPort[];
  readonly endpoints: readonly Endpoint[];
}

export interface SliceInput {
  readonly service: Service;
  /** Those that the selector matches. */
  readonly pods: readonly Pod[];
  /** The slices of this service that this controller manages. */
  readonly existing: readonly EndpointSlice[];
  readonly nodeOf: (name: string) => Node | undefined;
}

/** Changes as few slices as possible: every agent of the fleet receives each one that changes. */
export function planSlices(input: SliceInput): SlicePlan {
  const plan = { create: [] as SliceContent[], update: [] as EndpointSlice[], delete: [] as EndpointSlice[] };
  const types = addressTypesOf(input.service);
  plan.delete.push(...input.existing.filter(({ addressType }) => !types.includes(addressType as AddressType)));
  for (const addressType of types) planFamily(input, addressType, plan);
  return plan;
}

type MutablePlan = { [K in keyof SlicePlan]: SlicePlan[K][number][] };

function planFamily(input: SliceInput, addressType: AddressType, plan: MutablePlan): void {
  const { service, existing } = input;
  const wanted = groupByPorts(input, addressType);
  const labels = computeLabels(service);
  const slices = existing.filter((slice) => slice.addressType === addressType);
  const kept: EndpointSlice[] = [];
  const groups = new Map([...wanted].map(([key, group]) => [key, { ...group, slices: [] as EndpointSlice[] }]));
  for (const slice of slices) {
    const group = groups.get(portsKey(slice.ports ?? []));
    if (group === undefined) plan.delete.push(slice);
    else group.slices.push(slice);
  }
  for (const { ports, endpoints, slices: own } of groups.values())
    kept.push(...packGroup({ addressType, ports, endpoints }, own, labels, plan));
  // A service without endpoints keeps one empty slice: it tells "nobody is there" from "nobody has looked yet".
  if (kept.length > 0 || plan.create.some((content) => content.addressType === addressType)) return;
  const placeholder = plan.delete.find((slice) => slice.addressType === addressType);
  if (placeholder === undefined) plan.create.push({ addressType, ports: [], endpoints: [] });
  else {
    plan.delete.splice(plan.delete.indexOf(placeholder), 1);
    updateIfChanged(placeholder, { addressType, ports: [], endpoints: [] }, labels, plan);
  }
}

/** Endpoints of one group of equal ports over its slices; answers the slices that stay. */
function packGroup(
  group: SliceContent,
  slices: readonly EndpointSlice[],
  labels: Record<string, string>,
  plan: MutablePlan,
): EndpointSlice[] {
  const left = new Map(group.endpoints.map((endpoint) => [endpointKey(endpoint), endpoint]));
  const contents = slices.map((slice) => {
    const staying = (slice.endpoints ?? []).map(endpointKey).filter((key) => left.has(key));
    const endpoints = staying.map((key) => left.get(key)!);
    for (const key of staying) left.delete(key);
    return { slice, endpoints };
  });
  const added = [...left.values()];
  // Fill first those that change anyway, then the fullest that still has room.
  const isChanged = ({ slice, endpoints }: (typeof contents)[number]) =>
    !isDeepStrictEqual(slice.endpoints ?? [], endpoints);
  const order = [...contents].sort(
    (a, b) => Number(isChanged(b)) - Number(isChanged(a)) || b.endpoints.length - a.endpoints.length,
  );
  for (const content of order)
    content.endpoints.push(...added.splice(0, MAX_ENDPOINTS_PER_SLICE - content.endpoints.length));
  while (added.length > 0) plan.create.push({ ...group, endpoints: added.splice(0, MAX_ENDPOINTS_PER_SLICE) });
  const kept: EndpointSlice[] = [];
  for (const { slice, endpoints } of contents) {
    if (endpoints.length === 0) plan.delete.push(slice);
    else {
      kept.push(slice);
      updateIfChanged(slice, { ...group, endpoints }, labels, plan);
    }
  }
  return kept;
}

function updateIfChanged(
  slice: EndpointSlice,
  { ports, endpoints }: SliceContent,
  labels: Record<string, string>,
  plan: MutablePlan,
): void {
  const isSame =
    isDeepStrictEqual(slice.endpoints ?? [], endpoints) &&
    portsKey(slice.ports ?? []) === portsKey(ports) &&
    isDeepStrictEqual(slice.metadata.labels, labels);
  if (isSame) return;
  plan.update.push({
    ...slice,
    metadata: { ...slice.metadata, labels },
    ports: [...ports],
    endpoints: [...endpoints],
  });
}

interface PortGroup {
  readonly ports: readonly EndpointPort[];
  readonly endpoints: Endpoint[];
}

function groupByPorts({ service, pods, nodeOf }: SliceInput, addressType: AddressType): Map<string, PortGroup> {
  const groups = new Map<string, PortGroup>();
  for (const pod of pods) {
    if (!isEndpointPod(pod) || podAddresses(pod, addressType).length === 0) continue;
    const ports = computeEndpointPorts(service, pod);
    const key = portsKey(ports);
    const group = groups.get(key) ?? { ports, endpoints: [] };
    groups.set(key, group);
    const node = pod.spec?.nodeName ? nodeOf(pod.spec.nodeName) : undefined;
    group.endpoints.push(computeEndpoint(service, pod, node, addressType));
  }
  return groups;
}

/** An endpoint is the same one as long as it is the same pod at the same address. */
const endpointKey = (endpoint: Endpoint) => `${endpoint.targetRef?.uid}/${endpoint.addresses[0]}`;

function portsKey(ports: readonly EndpointPort[]): string {
  const rows = ports.map((port) => [port.name ?? '', port.port, port.protocol ?? 'TCP', port.appProtocol ?? '']);
  return JSON.stringify(rows.map((row) => row.join('|')).sort());
}

/** The service's own labels, and those by which slices are found. */
export function computeLabels(service: Service): Record<string, string> {
  const { [HEADLESS]: _, ...own } = service.metadata.labels ?? {};
  return {
    ...own,
    ...(isHeadless(service) ? { [HEADLESS]: '' } : {}),
    [SERVICE_NAME]: service.metadata.name,
    [MANAGED_BY]: MANAGER,
  };
}
