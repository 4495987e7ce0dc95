import type { EndpointSlice, Node, Pod, Service } from '#api/object/kinds.ts';
import { SERVICE_NAME_LABEL } from '#api/object/slices-by-service.ts';
import type { Store } from '../../store/store.ts';
import type { ClusterLookups, EndpointLocation } from '../../tunnel/cluster-dialer.ts';
import { kubeletPort } from './kubelet-client.ts';

/** The order in which Kubernetes tries a node's addresses (--kubelet-preferred-address-types). */
const ADDRESS_ORDER = ['InternalIP', 'Hostname', 'InternalDNS', 'ExternalDNS', 'ExternalIP'];

/** Where nodes, pods and endpoints are, from the store's durable state. */
export function createClusterLookups(store: Pick<Store, 'snapshot'>): ClusterLookups {
  const read = <T>(key: string) => store.snapshot().get(key)?.object() as T | undefined;
  return {
    node(name) {
      const node = read<Node>(`/registry/minions/${name}`);
      if (node === undefined) return undefined;
      const addresses = node.status?.addresses ?? [];
      const ordered = ADDRESS_ORDER.flatMap((type) => addresses.filter((entry) => entry.type === type));
      return { addresses: [...new Set(ordered.map(({ address }) => address))], apiPort: kubeletPort(node) };
    },
    pod(namespace, name) {
      const pod = read<Pod>(`/registry/pods/${namespace}/${name}`);
      if (pod === undefined) return undefined;
      const ip = pod.status?.podIP || undefined;
      return { nodeName: pod.spec?.nodeName ?? '', ip, hostNetwork: pod.spec?.hostNetwork === true };
    },
    endpoints(namespace, name, port) {
      const service = read<Service>(`/registry/services/specs/${namespace}/${name}`);
      const servicePort = service?.spec?.ports?.find((entry) => entry.port === port || (entry.name ?? '') === port);
      if (servicePort === undefined) return undefined;
      const slices: EndpointSlice[] = [];
      for (const stored of store.snapshot().range(`/registry/endpointslices/${namespace}/`))
        if (stored.labels[SERVICE_NAME_LABEL] === name) slices.push(stored.object() as EndpointSlice);
      return slices.flatMap((slice) => readyEndpoints(slice, servicePort.name ?? ''));
    },
  };
}

function readyEndpoints(slice: EndpointSlice, portName: string): EndpointLocation[] {
  const port = slice.ports?.find((entry) => (entry.name ?? '') === portName)?.port;
  if (port === undefined) return [];
  return (slice.endpoints ?? [])
    .filter((endpoint) => endpoint.conditions?.ready !== false)
    .flatMap(({ addresses, nodeName }) =>
      addresses.slice(0, 1).map((ip) => ({ ip, port, nodeName: nodeName || undefined })),
    );
}
