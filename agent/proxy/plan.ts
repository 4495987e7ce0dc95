import { type IpFamily, parseCidr, parseIp } from '#api/meta/ip-address.ts';
import type { EndpointSlice, Service } from '#api/object/kinds.ts';
import { type Candidate, pickUsable, preferByTopology } from './endpoint-choice.ts';
import type { EndpointTarget, Protocol, ServicePortId, ServicePortPlan } from './service-port-plan.ts';

/** Services that another proxy implements carry this label (KEP-2447). */
const SERVICE_PROXY_NAME_LABEL = 'service.kubernetes.io/service-proxy-name';
/** Headless Services of this label have no proxying at all. */
const HEADLESS_LABEL = 'service.kubernetes.io/headless';
const DEFAULT_AFFINITY_SECONDS = 10_800;

type Endpoint = NonNullable<EndpointSlice['endpoints']>[number];
type ServicePort = NonNullable<NonNullable<Service['spec']>['ports']>[number];

/** Where this proxy runs: endpoints near it may be preferred. */
export interface NodePlace {
  readonly nodeName: string;
  /** `topology.kubernetes.io/zone` of the node. */
  readonly zone?: string | undefined;
  /** What answers on this node for a Service port that has no endpoint of its own: the agent's resolver for the cluster DNS. */
  readonly standIn?: (clusterIp: string, port: number) => EndpointTarget | undefined;
}

export interface PlanInput extends NodePlace {
  readonly service: Service;
  readonly slices: readonly EndpointSlice[];
}

/** The plans of one Service, one per port and family; empty when the Service needs nothing of this proxy. */
export function planService(input: PlanInput): ServicePortPlan[] {
  const { spec } = input.service;
  if (spec === undefined || !isProxied(input.service)) return [];
  return clusterIpsOf(input.service).flatMap(([family, clusterIp]) =>
    (spec.ports ?? []).map((port) => planPort(input, port, family, clusterIp)),
  );
}

function planPort(input: PlanInput, port: ServicePort, family: IpFamily, clusterIp: string): ServicePortPlan {
  const { service, slices, nodeName } = input;
  const { metadata, status } = service;
  const spec = service.spec!;
  const isOfFamily = (address: string) => parseIp(address)?.family === family;
  const candidates = withStandIn(
    collectEndpoints({ port, slices, nodeName, family }),
    input.standIn?.(clusterIp, port.port),
  );
  return {
    id: servicePortId(metadata.namespace ?? '', metadata.name, port.name ?? ''),
    protocol: (port.protocol ?? 'TCP') as Protocol,
    family,
    clusterIp,
    port: port.port,
    externalIps: (spec.externalIPs ?? []).filter(isOfFamily),
    loadBalancerIps: (status?.loadBalancer?.ingress ?? []).flatMap(({ ip, ipMode }) =>
      ip && isOfFamily(ip) && ipMode !== 'Proxy' ? [ip] : [],
    ),
    loadBalancerSourceRanges: (spec.loadBalancerSourceRanges ?? [])
      .map((range) => range.trim())
      .filter((range) => parseCidr(range)?.family === family),
    nodePort: spec.type === 'NodePort' || spec.type === 'LoadBalancer' ? (port.nodePort ?? 0) : 0,
    clusterEndpoints: pickUsable(preferByTopology(candidates, input)),
    localEndpoints: pickUsable(candidates.filter(({ target }) => target.isLocal)),
    internalLocal: spec.internalTrafficPolicy === 'Local',
    externalLocal: spec.externalTrafficPolicy === 'Local',
    hasAnyEndpoint: pickUsable(candidates).length > 0,
    healthCheckNodePort:
      spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local' ? (spec.healthCheckNodePort ?? 0) : 0,
    affinitySeconds:
      spec.sessionAffinity === 'ClientIP'
        ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? DEFAULT_AFFINITY_SECONDS)
        : 0,
  };
}

export function servicePortId(namespace: string, name: string, port: string): ServicePortId {
  return `${namespace}/${name}${port === '' ? '' : `:${port}`}` as ServicePortId;
}

/** Health-check node ports count for Services of any kind that are proxied here. */
function isProxied({ spec, metadata }: Service): boolean {
  const clusterIp = spec?.clusterIP ?? '';
  if (spec?.type === 'ExternalName' || clusterIp === '' || clusterIp === 'None') return false;
  const labels = metadata.labels ?? {};
  return labels[SERVICE_PROXY_NAME_LABEL] === undefined && labels[HEADLESS_LABEL] === undefined;
}

function clusterIpsOf({ spec }: Service): [IpFamily, string][] {
  const addresses = spec?.clusterIPs?.length ? spec.clusterIPs : [spec?.clusterIP ?? ''];
  return addresses.flatMap((address): [IpFamily, string][] => {
    const family = parseIp(address)?.family;
    return family === undefined ? [] : [[family, address]];
  });
}

/** Endpoints of the users' own take over as soon as one of them can be used. */
function withStandIn(candidates: readonly Candidate[], target: EndpointTarget | undefined): readonly Candidate[] {
  if (target === undefined || pickUsable(candidates).length > 0) return candidates;
  return [{ target, ready: true, servesWhileTerminating: false, forZones: [], forNodes: [] }];
}

interface EndpointsInput {
  readonly port: ServicePort;
  readonly slices: readonly EndpointSlice[];
  readonly nodeName: string;
  readonly family: IpFamily;
}

/** Every endpoint of the port over all slices, without doubles (slices may overlap while the controller moves endpoints), in a fixed order. */
function collectEndpoints({ port, slices, nodeName, family }: EndpointsInput): Candidate[] {
  const byTarget = new Map<string, Candidate>();
  for (const slice of slices) {
    if (slice.addressType !== family) continue;
    const slicePort = (slice.ports ?? []).find(
      (p) => (p.name ?? '') === (port.name ?? '') && (p.protocol ?? 'TCP') === (port.protocol ?? 'TCP'),
    );
    if (slicePort?.port === undefined) continue;
    for (const endpoint of slice.endpoints ?? []) {
      const candidate = candidateOf(endpoint, slicePort.port, nodeName);
      if (candidate === undefined) continue;
      const key = `${candidate.target.address}:${candidate.target.port}`;
      if (!byTarget.get(key)?.ready) byTarget.set(key, candidate);
    }
  }
  return [...byTarget].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, candidate]) => candidate);
}

function candidateOf(endpoint: Endpoint, port: number, nodeName: string): Candidate | undefined {
  // The API promises that all addresses of one endpoint are interchangeable; consumers use the first.
  const address = endpoint.addresses[0];
  if (address === undefined) return undefined;
  const { ready, serving, terminating } = endpoint.conditions ?? {};
  return {
    target: { address, port, isLocal: endpoint.nodeName === nodeName },
    ready: ready !== false,
    servesWhileTerminating: serving === true && terminating === true,
    forZones: (endpoint.hints?.forZones ?? []).map(({ name }) => name),
    forNodes: (endpoint.hints?.forNodes ?? []).map(({ name }) => name),
  };
}
