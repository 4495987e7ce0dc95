import { isDeepStrictEqual } from 'node:util';
import type { EndpointSlice } from '#api/object/kinds.ts';
import type { AddressType, Endpoint, EndpointPort } from './pod-endpoints.ts';

/** Kubernetes' default: one change of a pod rewrites at most this many endpoints. */
const MAX_ENDPOINTS_PER_SLICE = 100;

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

export interface PackingInput {
  /** What should be there, by family and set of ports; see `SliceGroups`. */
  readonly groups: readonly SliceContent[];
  /** The slices of this owner that are there. */
  readonly existing: readonly EndpointSlice[];
  /** Labels of every slice. */
  readonly labels: Readonly<Record<string, string>>;
  /** Families of which one empty slice stays: it tells "nobody is there" from "nobody has looked yet". */
  readonly placeholders: readonly AddressType[];
}

type MutablePlan = { [K in keyof SlicePlan]: SlicePlan[K][number][] };

/** Changes as few slices as possible: every agent of the fleet receives each one that changes. */
export function packSlices({ groups, existing, labels, placeholders }: PackingInput): SlicePlan {
  const plan: MutablePlan = { create: [], update: [], delete: [] };
  const keyed = new Map(groups.map((group) => [groupKey(group), { group, slices: [] as EndpointSlice[] }]));
  for (const slice of existing) {
    const found = keyed.get(groupKey({ addressType: slice.addressType as AddressType, ports: slice.ports ?? [] }));
    if (found === undefined) plan.delete.push(slice);
    else found.slices.push(slice);
  }
  const staying = new Set<string>();
  for (const { group, slices } of keyed.values())
    for (const { addressType } of packGroup(group, slices, labels, plan)) staying.add(addressType);
  for (const addressType of placeholders) if (!staying.has(addressType)) keepPlaceholder(addressType, labels, plan);
  return plan;
}

function keepPlaceholder(addressType: AddressType, labels: Readonly<Record<string, string>>, plan: MutablePlan): void {
  if (plan.create.some((content) => content.addressType === addressType)) return;
  const empty: SliceContent = { addressType, ports: [], endpoints: [] };
  const reused = plan.delete.findIndex((slice) => slice.addressType === addressType);
  if (reused < 0) plan.create.push(empty);
  else for (const slice of plan.delete.splice(reused, 1)) updateIfChanged(slice, empty, labels, plan);
}

/** Endpoints of one group of equal ports over its slices; answers the slices that stay. */
function packGroup(
  group: SliceContent,
  slices: readonly EndpointSlice[],
  labels: Readonly<Record<string, string>>,
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
  labels: Readonly<Record<string, string>>,
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

/** An endpoint is the same one as long as it is the same pod at the same address. */
const endpointKey = (endpoint: Endpoint) => `${endpoint.targetRef?.uid}/${endpoint.addresses[0]}`;

function portsKey(ports: readonly EndpointPort[]): string {
  const rows = ports.map((port) => [port.name ?? '', port.port, port.protocol ?? 'TCP', port.appProtocol ?? '']);
  return JSON.stringify(rows.map((row) => row.join('|')).sort());
}

function groupKey({ addressType, ports }: Pick<SliceContent, 'addressType' | 'ports'>): string {
  return `${addressType} ${portsKey(ports)}`;
}

/** Collects endpoints by family and set of ports. */
export class SliceGroups {
  readonly #groups = new Map<string, SliceContent & { readonly endpoints: Endpoint[] }>();

  add(addressType: AddressType, ports: readonly EndpointPort[], endpoint: Endpoint): void {
    const key = groupKey({ addressType, ports });
    const group = this.#groups.get(key) ?? { addressType, ports, endpoints: [] };
    this.#groups.set(key, group);
    group.endpoints.push(endpoint);
  }

  list(): readonly SliceContent[] {
    return [...this.#groups.values()];
  }
}
