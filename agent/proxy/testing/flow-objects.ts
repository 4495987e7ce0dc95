import type { EndpointSlice, Service } from '#api/object/kinds.ts';
import type { Packet, Verdict } from '#test/kit/packet-tracer.ts';

export type ServiceSpec = Partial<NonNullable<Service['spec']>> & { status?: Service['status'] };

export const NODE = '192.0.2.1';
export const POD = '10.244.1.9';
export const OUTSIDE = '198.51.100.7';

export function service(name: string, spec: ServiceSpec = {}): Service {
  const { status, ...rest } = spec;
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'ns', uid: name, resourceVersion: '1', creationTimestamp: '' },
    spec: {
      clusterIP: '10.96.0.20',
      ports: [{ port: 80, targetPort: 8080, protocol: 'TCP' }],
      type: 'ClusterIP',
      ...rest,
    },
    ...(status === undefined ? {} : { status }),
  } as Service;
}

export interface TestEndpoint {
  readonly ip: string;
  readonly node?: string;
  readonly conditions?: { ready?: boolean; serving?: boolean; terminating?: boolean };
  readonly zones?: readonly string[];
  readonly nodes?: readonly string[];
}

export function slice(serviceName: string, endpoints: readonly TestEndpoint[], protocol = 'TCP'): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    addressType: endpoints[0]?.ip.includes(':') ? 'IPv6' : 'IPv4',
    metadata: {
      name: `${serviceName}-1`,
      namespace: 'ns',
      uid: `${serviceName}-1`,
      resourceVersion: '1',
      creationTimestamp: '',
      labels: { 'kubernetes.io/service-name': serviceName },
    },
    ports: [{ port: 8080, protocol }],
    endpoints: endpoints.map(({ ip, node = 'other', conditions = { ready: true }, zones, nodes }) => ({
      addresses: [ip],
      nodeName: node,
      conditions,
      ...(zones || nodes
        ? { hints: { forZones: zones?.map((name) => ({ name })), forNodes: nodes?.map((name) => ({ name })) } }
        : {}),
    })),
  } as EndpointSlice;
}

export const LOCAL: TestEndpoint = { ip: '10.244.1.5', node: 'me' };
export const REMOTE: TestEndpoint = { ip: '10.244.2.5' };

export const PLACE = { nodeName: 'me', zone: 'here' };
export const fromPod: Packet = { source: POD, destination: '10.96.0.20', protocol: 'tcp', port: 80 };
export const toNodePort: Packet = { source: OUTSIDE, destination: NODE, protocol: 'tcp', port: 30080 };
export const delivered = (to: string, masqueraded: boolean): Verdict => ({ kind: 'delivered', to, masqueraded });
export const nodePortSpec = {
  type: 'NodePort',
  ports: [{ port: 80, targetPort: 8080, protocol: 'TCP', nodePort: 30080 }],
} as Partial<NonNullable<Service['spec']>>;

export const loadBalancerSpec = {
  ...nodePortSpec,
  type: 'LoadBalancer',
  loadBalancerSourceRanges: ['198.51.100.0/24'],
  status: { loadBalancer: { ingress: [{ ip: '203.0.113.8' }] } },
} as ServiceSpec;
