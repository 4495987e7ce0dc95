import type { EndpointSlice, Service } from '#api/object/kinds.ts';

const address = (base: number, index: number): string =>
  `10.${base + Math.floor(index / 62_500)}.${Math.floor(index / 250) % 250}.${1 + (index % 250)}`;

export interface ServiceWithSlice {
  readonly service: Service;
  readonly slice: EndpointSlice;
}

/** ClusterIP Services of as many endpoints each, on other nodes; `generation` moves the target port of the index-th. */
export function manyServices(count: number, endpoints: number): ServiceWithSlice[] {
  return Array.from({ length: count }, (_, index) => oneOfMany(index, endpoints));
}

export function oneOfMany(index: number, endpoints: number, generation = 0): ServiceWithSlice {
  const metadata = { namespace: 'many', resourceVersion: '1', creationTimestamp: '' };
  const name = `s${index}`;
  return {
    service: {
      metadata: { ...metadata, name, uid: name },
      spec: { type: 'ClusterIP', clusterIP: address(96, index), ports: [{ name: 'http', port: 80, protocol: 'TCP' }] },
    } as Service,
    slice: {
      addressType: 'IPv4',
      metadata: { ...metadata, name: `${name}-x`, uid: `${name}-x`, labels: { 'kubernetes.io/service-name': name } },
      ports: [{ name: 'http', port: 8080 + generation, protocol: 'TCP' }],
      endpoints: Array.from({ length: endpoints }, (_, n) => ({
        addresses: [address(112, index * endpoints + n)],
        conditions: { ready: true },
        nodeName: 'other',
      })),
    } as unknown as EndpointSlice,
  };
}
