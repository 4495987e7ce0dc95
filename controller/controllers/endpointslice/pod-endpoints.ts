import type { EndpointSlice, Node, Pod, Service } from '#api/object/kinds.ts';
import { isPodReady, isPodTerminal } from '../pod-state.ts';

export type Endpoint = NonNullable<EndpointSlice['endpoints']>[number];
export type EndpointPort = NonNullable<EndpointSlice['ports']>[number];
export type AddressType = 'IPv4' | 'IPv6';
type ServicePort = NonNullable<NonNullable<Service['spec']>['ports']>[number];

/** Has addresses and is not finished. A terminating pod still counts: proxies drain it. */
export function isEndpointPod(pod: Pod): boolean {
  return !isPodTerminal(pod) && (pod.status?.podIPs ?? []).length + (pod.status?.podIP ? 1 : 0) > 0;
}

export function isHeadless(service: Service): boolean {
  return service.spec?.clusterIP === 'None';
}

export function addressTypesOf(service: Service): readonly AddressType[] {
  const families = service.spec?.ipFamilies ?? [];
  if (families.length > 0) return families as readonly AddressType[];
  return [service.spec?.clusterIP?.includes(':') ? 'IPv6' : 'IPv4'];
}

/** The pod's addresses of one family, in the kubelet's order. */
export function podAddresses(pod: Pod, addressType: AddressType): readonly string[] {
  const all = pod.status?.podIPs?.map(({ ip }) => ip) ?? (pod.status?.podIP ? [pod.status.podIP] : []);
  return all.filter((ip): ip is string => ip !== undefined && ip.includes(':') === (addressType === 'IPv6'));
}

/** Named ports are looked up in each pod, so that two versions of it may listen on different numbers. Undefined: it has no such port. */
function resolveTargetPort(pod: Pod, port: ServicePort): number | undefined {
  const target = port.targetPort ?? port.port;
  if (typeof target === 'number') return target === 0 ? port.port : target;
  const sidecars = (pod.spec?.initContainers ?? []).filter((container) => container.restartPolicy === 'Always');
  const protocol = port.protocol ?? 'TCP';
  return [...(pod.spec?.containers ?? []), ...sidecars]
    .flatMap((container) => container.ports ?? [])
    .find((candidate) => candidate.name === target && (candidate.protocol ?? 'TCP') === protocol)?.containerPort;
}

/** The ports of a service as this pod serves them; those that it lacks are left out. */
export function computeEndpointPorts(service: Service, pod: Pod): EndpointPort[] {
  return (service.spec?.ports ?? []).flatMap((port) => {
    const number = resolveTargetPort(pod, port);
    if (number === undefined) return [];
    const { appProtocol } = port;
    const shared = { name: port.name ?? '', port: number, protocol: port.protocol ?? ('TCP' as const) };
    return [appProtocol === undefined ? shared : { ...shared, appProtocol }];
  });
}

/** `hostname` gives a headless service's pod a DNS name of its own. */
export function endpointHostname(service: Service, pod: Pod): string | undefined {
  const { hostname, subdomain } = pod.spec ?? {};
  const isNamed = hostname && subdomain === service.metadata.name;
  return isNamed && service.metadata.namespace === pod.metadata.namespace ? hostname : undefined;
}

/**
 * Near whom proxies are to prefer this endpoint (KEP-4444, KEP-3015). `PreferClose` is the older name of `PreferSameZone`; who is to stay on
 * the node stays at least in the zone. Only endpoints that are ready have hints: proxies ignore all where one of those has none.
 */
function computeHints(service: Service, { nodeName, zone, conditions }: Endpoint): NonNullable<Endpoint['hints']> {
  const distribution = service.spec?.trafficDistribution;
  if (!distribution || conditions?.ready !== true) return {};
  return {
    ...(zone === undefined ? {} : { forZones: [{ name: zone }] }),
    ...(distribution === 'PreferSameNode' && nodeName !== undefined ? { forNodes: [{ name: nodeName }] } : {}),
  };
}

export function computeEndpoint(
  service: Service,
  pod: Pod,
  node: Node | undefined,
  addressType: AddressType,
): Endpoint {
  const isTerminating = pod.metadata.deletionTimestamp !== undefined;
  const serving = isPodReady(pod);
  const hostname = endpointHostname(service, pod);
  const zone = node?.metadata.labels?.['topology.kubernetes.io/zone'];
  const endpoint: Endpoint = {
    addresses: podAddresses(pod, addressType).slice(0, 1),
    conditions: {
      ready: service.spec?.publishNotReadyAddresses === true || (serving && !isTerminating),
      serving,
      terminating: isTerminating,
    },
    ...(hostname === undefined ? {} : { hostname }),
    ...(pod.spec?.nodeName ? { nodeName: pod.spec.nodeName } : {}),
    ...(zone === undefined ? {} : { zone }),
    targetRef: { kind: 'Pod', namespace: pod.metadata.namespace, name: pod.metadata.name, uid: pod.metadata.uid },
  };
  const hints = computeHints(service, endpoint);
  return Object.keys(hints).length === 0 ? endpoint : { ...endpoint, hints };
}
