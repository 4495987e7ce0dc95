import type { EndpointSlice, Service } from '#api/object/kinds.ts';
import type { EndpointTarget, Protocol, ServicePortId, ServicePortPlan } from './service-port-plan.ts';

/** Services that another proxy implements carry this label (KEP-2447). */
const SERVICE_PROXY_NAME_LABEL = 'service.kubernetes.io/service-proxy-name';
/** Headless Services of this label have no proxying at all. */
const HEADLESS_LABEL = 'service.kubernetes.io/headless';
const DEFAULT_AFFINITY_SECONDS = 10_800;

type Endpoint = NonNullable<EndpointSlice['endpoints']>[number];
type ServicePort = NonNullable<NonNullable<Service['spec']>['ports']>[number];

export interface PlanInput {
  readonly service: Service;
  readonly slices: readonly EndpointSlice[];
  readonly nodeName: string;
}

/** The plans of one Service, one per port; empty when the Service needs nothing of this proxy. */
export function planService({ service, slices, nodeName }: PlanInput): ServicePortPlan[] {
  const { spec, metadata } = service;
  const clusterIp = spec?.clusterIP ?? '';
  if (spec === undefined || !isProxied(service, clusterIp)) return [];
  const ingress = service.status?.loadBalancer?.ingress ?? [];
  return (spec.ports ?? []).map((port) => {
    const endpoints = collectEndpoints(port, slices, nodeName);
    const usable = pickUsable(endpoints);
    const local = pickUsable(endpoints.filter(({ target }) => target.isLocal));
    const externalLocal = spec.externalTrafficPolicy === 'Local';
    return {
      id: servicePortId(metadata.namespace ?? '', metadata.name, port.name ?? ''),
      protocol: (port.protocol ?? 'TCP') as Protocol,
      clusterIp,
      port: port.port,
      externalIps: (spec.externalIPs ?? []).filter(isIpv4),
      loadBalancerIps: ingress.flatMap((entry) =>
        entry.ip && isIpv4(entry.ip) && entry.ipMode !== 'Proxy' ? [entry.ip] : [],
      ),
      loadBalancerSourceRanges: spec.loadBalancerSourceRanges ?? [],
      nodePort: spec.type === 'NodePort' || spec.type === 'LoadBalancer' ? (port.nodePort ?? 0) : 0,
      internalEndpoints: spec.internalTrafficPolicy === 'Local' ? local : usable,
      externalEndpoints: externalLocal ? local : usable,
      keepsClientAddress: externalLocal,
      hasAnyEndpoint: usable.length > 0,
      affinitySeconds:
        spec.sessionAffinity === 'ClientIP'
          ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? DEFAULT_AFFINITY_SECONDS)
          : 0,
    };
  });
}

export function servicePortId(namespace: string, name: string, port: string): ServicePortId {
  return `${namespace}/${name}${port === '' ? '' : `:${port}`}` as ServicePortId;
}

function isProxied({ spec, metadata }: Service, clusterIp: string): boolean {
  if (spec?.type === 'ExternalName' || clusterIp === '' || clusterIp === 'None' || !isIpv4(clusterIp)) return false;
  const labels = metadata.labels ?? {};
  return labels[SERVICE_PROXY_NAME_LABEL] === undefined && labels[HEADLESS_LABEL] === undefined;
}

interface Candidate {
  readonly target: EndpointTarget;
  readonly ready: boolean;
  /** Still answers although it is on its way out (KEP-1669). */
  readonly servesWhileTerminating: boolean;
}

/** Every endpoint of the port over all slices, without doubles (slices may overlap while the controller moves endpoints), in a fixed order. */
function collectEndpoints(port: ServicePort, slices: readonly EndpointSlice[], nodeName: string): Candidate[] {
  const byTarget = new Map<string, Candidate>();
  for (const slice of slices) {
    if (slice.addressType !== 'IPv4') continue;
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
  };
}

/** Ready endpoints; where there is none, those that still serve while they terminate. */
function pickUsable(candidates: readonly Candidate[]): EndpointTarget[] {
  const ready = candidates.filter((candidate) => candidate.ready);
  const chosen = ready.length > 0 ? ready : candidates.filter((candidate) => candidate.servesWhileTerminating);
  return chosen.map((candidate) => candidate.target);
}

const isIpv4 = (address: string): boolean => /^\d{1,3}(\.\d{1,3}){3}$/.test(address);
