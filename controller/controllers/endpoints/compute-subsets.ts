import type { Endpoints, Pod, Service } from '#api/object/kinds.ts';
import {
  addressTypesOf,
  computeEndpointPorts,
  endpointHostname,
  isEndpointPod,
  podAddresses,
} from '../endpointslice/pod-endpoints.ts';
import { isPodReady } from '../pod-state.ts';

export type EndpointSubset = NonNullable<Endpoints['subsets']>[number];
type EndpointAddress = NonNullable<EndpointSubset['addresses']>[number];

/** More addresses than this do not fit; the object says so in an annotation. */
export const MAX_ADDRESSES = 1000;

export interface ComputedSubsets {
  readonly subsets: readonly EndpointSubset[];
  readonly isTruncated: boolean;
}

/** The old, flat view of a service: one subset per set of ports, one family. Terminating pods are left out here. */
export function computeSubsets(service: Service, pods: readonly Pod[]): ComputedSubsets {
  const publishNotReady = service.spec?.publishNotReadyAddresses === true;
  const [addressType = 'IPv4'] = addressTypesOf(service);
  const groups = new Map<
    string,
    { ports: EndpointSubset['ports']; ready: EndpointAddress[]; notReady: EndpointAddress[] }
  >();
  for (const pod of pods) {
    const isTerminating = pod.metadata.deletionTimestamp !== undefined;
    const [ip] = podAddresses(pod, addressType);
    if (ip === undefined || !isEndpointPod(pod) || (isTerminating && !publishNotReady)) continue;
    const ports = computeEndpointPorts(service, pod).map(({ name, ...port }) => (name ? { name, ...port } : port));
    // A pod that serves none of the ports is no endpoint, unless the service has none to serve.
    if (ports.length === 0 && (service.spec?.ports ?? []).length > 0) continue;
    const key = JSON.stringify(ports);
    const group = groups.get(key) ?? { ports: ports as EndpointSubset['ports'], ready: [], notReady: [] };
    groups.set(key, group);
    const hostname = endpointHostname(service, pod);
    const address: EndpointAddress = {
      ip,
      ...(hostname === undefined ? {} : { hostname }),
      ...(pod.spec?.nodeName ? { nodeName: pod.spec.nodeName } : {}),
      targetRef: { kind: 'Pod', namespace: pod.metadata.namespace, name: pod.metadata.name, uid: pod.metadata.uid },
    };
    (publishNotReady || isPodReady(pod) ? group.ready : group.notReady).push(address);
  }
  return truncate([...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group));
}

interface Group {
  readonly ports: EndpointSubset['ports'];
  readonly ready: readonly EndpointAddress[];
  readonly notReady: readonly EndpointAddress[];
}

const byIp = (a: EndpointAddress, b: EndpointAddress) => (a.ip < b.ip ? -1 : 1);

function truncate(groups: readonly Group[]): ComputedSubsets {
  let room = MAX_ADDRESSES;
  const total = groups.reduce((sum, { ready, notReady }) => sum + ready.length + notReady.length, 0);
  const take = (addresses: readonly EndpointAddress[]) => {
    const taken = [...addresses].sort(byIp).slice(0, room);
    room -= taken.length;
    return taken;
  };
  // Ready addresses of all groups go first.
  const readies = groups.map(({ ready }) => take(ready));
  const subsets = groups.map(({ ports, notReady }, index) => {
    const addresses = readies[index] ?? [];
    const notReadyAddresses = take(notReady);
    return {
      ...(addresses.length === 0 ? {} : { addresses }),
      ...(notReadyAddresses.length === 0 ? {} : { notReadyAddresses }),
      ...(ports?.length ? { ports } : {}),
    };
  });
  return { subsets, isTruncated: total > MAX_ADDRESSES };
}
