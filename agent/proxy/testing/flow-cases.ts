import type { Service } from '#api/object/kinds.ts';
import type { Packet, Verdict } from '#test/kit/packet-tracer.ts';
import {
  delivered,
  fromPod,
  LOCAL,
  loadBalancerSpec,
  NODE,
  nodePortSpec,
  OUTSIDE,
  POD,
  REMOTE,
  service,
  type TestEndpoint,
  toNodePort,
} from './flow-objects.ts';

/** A port of a cluster IP that no Service has: kube-proxy's nftables mode refuses it, its iptables mode lets the packet go where it came from. */
export const NO_SUCH_PORT = 'no such port';

const labelled = (svc: Service, label: string, value: string): Service => ({
  ...svc,
  metadata: { ...svc.metadata, labels: { [label]: value } },
});

export interface FlowCase {
  readonly name: string;
  readonly service: Service;
  readonly endpoints: readonly TestEndpoint[];
  readonly protocol?: string;
  readonly packet: Packet;
  readonly want: Verdict | typeof NO_SUCH_PORT;
}

export const FLOW_CASES: readonly FlowCase[] = [
  {
    name: 'cluster IP from a pod keeps the source',
    service: service('a'),
    endpoints: [REMOTE],
    packet: fromPod,
    want: delivered('10.244.2.5:8080', false),
  },
  {
    name: 'cluster IP from outside the pod network is masqueraded',
    service: service('a'),
    endpoints: [REMOTE],
    packet: { ...fromPod, source: NODE, fromHost: true },
    want: delivered('10.244.2.5:8080', true),
  },
  {
    name: 'hairpin is masqueraded',
    service: service('a'),
    endpoints: [LOCAL],
    packet: { ...fromPod, source: LOCAL.ip },
    want: delivered('10.244.1.5:8080', true),
  },
  {
    name: 'another port leads nowhere',
    service: service('a'),
    endpoints: [REMOTE],
    packet: { ...fromPod, port: 81 },
    want: NO_SUCH_PORT,
  },
  {
    name: 'no endpoints refuses a pod',
    service: service('a'),
    endpoints: [],
    packet: fromPod,
    want: { kind: 'rejected' },
  },
  {
    name: 'unready endpoints do not count',
    service: service('a'),
    endpoints: [{ ...REMOTE, conditions: { ready: false } }],
    packet: fromPod,
    want: { kind: 'rejected' },
  },
  {
    name: 'endpoints that serve while terminating stand in when none is ready',
    service: service('a'),
    endpoints: [{ ...REMOTE, conditions: { ready: false, serving: true, terminating: true } }],
    packet: fromPod,
    want: delivered('10.244.2.5:8080', false),
  },
  {
    name: 'node port is masqueraded',
    service: service('a', nodePortSpec),
    endpoints: [REMOTE],
    packet: toNodePort,
    want: delivered('10.244.2.5:8080', true),
  },
  {
    name: 'node port without endpoints refuses',
    service: service('a', nodePortSpec),
    endpoints: [],
    packet: toNodePort,
    want: { kind: 'rejected' },
  },
  {
    name: 'node port with externalTrafficPolicy Local keeps the source',
    service: service('a', { ...nodePortSpec, externalTrafficPolicy: 'Local' }),
    endpoints: [REMOTE, LOCAL],
    packet: toNodePort,
    want: delivered('10.244.1.5:8080', false),
  },
  {
    name: 'node port with externalTrafficPolicy Local drops without a local endpoint',
    service: service('a', { ...nodePortSpec, externalTrafficPolicy: 'Local' }),
    endpoints: [REMOTE],
    packet: toNodePort,
    want: { kind: 'dropped' },
  },
  {
    name: 'a pod reaches a Local node port through the cluster-wide endpoints',
    service: service('a', { ...nodePortSpec, externalTrafficPolicy: 'Local' }),
    endpoints: [REMOTE],
    packet: { ...toNodePort, source: POD },
    want: delivered('10.244.2.5:8080', false),
  },
  {
    name: 'internalTrafficPolicy Local stays on the node',
    service: service('a', { internalTrafficPolicy: 'Local' }),
    endpoints: [REMOTE, LOCAL],
    packet: fromPod,
    want: delivered('10.244.1.5:8080', false),
  },
  {
    name: 'internalTrafficPolicy Local without a local endpoint drops',
    service: service('a', { internalTrafficPolicy: 'Local' }),
    endpoints: [REMOTE],
    packet: fromPod,
    want: { kind: 'dropped' },
  },
  {
    name: 'external IP',
    service: service('a', { externalIPs: ['203.0.113.9'] }),
    endpoints: [REMOTE],
    packet: { ...fromPod, source: OUTSIDE, destination: '203.0.113.9' },
    want: delivered('10.244.2.5:8080', true),
  },
  {
    name: 'load-balancer address refuses nobody within its source ranges',
    service: service('a', {
      ...nodePortSpec,
      type: 'LoadBalancer',
      loadBalancerSourceRanges: ['198.51.100.0/24'],
      status: { loadBalancer: { ingress: [{ ip: '203.0.113.8' }] } },
    }),
    endpoints: [REMOTE],
    packet: { ...fromPod, source: OUTSIDE, destination: '203.0.113.8' },
    want: delivered('10.244.2.5:8080', true),
  },
  {
    name: 'load-balancer address drops whoever is outside its source ranges',
    service: service('a', loadBalancerSpec),
    endpoints: [REMOTE],
    packet: { ...fromPod, source: '198.51.101.7', destination: '203.0.113.8' },
    want: { kind: 'dropped' },
  },
  {
    name: 'the node reaches a load-balancer address that is its own where the ranges let the node in',
    service: service('a', { ...loadBalancerSpec, loadBalancerSourceRanges: ['198.51.100.0/24', '192.0.2.0/24'] }),
    endpoints: [REMOTE],
    packet: { ...fromPod, source: '203.0.113.8', destination: '203.0.113.8', fromHost: true },
    want: delivered('10.244.2.5:8080', true),
  },
  {
    name: 'the node does not reach a load-balancer address that is its own where they do not',
    service: service('a', loadBalancerSpec),
    endpoints: [REMOTE],
    packet: { ...fromPod, source: '203.0.113.8', destination: '203.0.113.8', fromHost: true },
    want: { kind: 'dropped' },
  },
  {
    name: 'load-balancer address of ipMode Proxy is left alone',
    service: service('a', {
      ...nodePortSpec,
      type: 'LoadBalancer',
      status: { loadBalancer: { ingress: [{ ip: '203.0.113.8', ipMode: 'Proxy' }] } },
    }),
    endpoints: [REMOTE],
    packet: { ...fromPod, source: OUTSIDE, destination: '203.0.113.8' },
    want: delivered('203.0.113.8:80', false),
  },
  {
    name: 'a pod of the node reaches itself through a Local node port masqueraded',
    service: service('a', { ...nodePortSpec, externalTrafficPolicy: 'Local' }),
    endpoints: [LOCAL],
    packet: { ...toNodePort, source: LOCAL.ip },
    want: delivered('10.244.1.5:8080', true),
  },
  {
    name: 'internalTrafficPolicy Local does not bind external traffic',
    service: service('a', { ...nodePortSpec, internalTrafficPolicy: 'Local' }),
    endpoints: [REMOTE],
    packet: toNodePort,
    want: delivered('10.244.2.5:8080', true),
  },
  {
    name: 'both policies Local: a pod reaches an external address through the cluster-wide endpoints',
    service: service('a', { ...nodePortSpec, internalTrafficPolicy: 'Local', externalTrafficPolicy: 'Local' }),
    endpoints: [REMOTE],
    packet: { ...toNodePort, source: POD },
    want: delivered('10.244.2.5:8080', false),
  },
  {
    name: 'affinity delivers to an endpoint',
    service: service('a', { ...nodePortSpec, sessionAffinity: 'ClientIP' }),
    endpoints: [REMOTE],
    packet: toNodePort,
    want: delivered('10.244.2.5:8080', true),
  },
  {
    name: 'UDP',
    service: service('a', { ports: [{ port: 53, targetPort: 5353, protocol: 'UDP' }] }),
    endpoints: [REMOTE],
    protocol: 'UDP',
    packet: { ...fromPod, protocol: 'udp', port: 53 },
    want: delivered('10.244.2.5:8080', false),
  },
  {
    name: 'SCTP',
    service: service('a', { ports: [{ port: 80, targetPort: 8080, protocol: 'SCTP' }] }),
    endpoints: [REMOTE],
    protocol: 'SCTP',
    packet: { ...fromPod, protocol: 'sctp' },
    want: delivered('10.244.2.5:8080', false),
  },
  {
    name: 'TCP to a UDP port leads nowhere',
    service: service('a', { ports: [{ port: 80, targetPort: 5353, protocol: 'UDP' }] }),
    endpoints: [REMOTE],
    protocol: 'UDP',
    packet: fromPod,
    want: NO_SUCH_PORT,
  },
  {
    name: 'the Service of another proxy is left alone',
    service: labelled(service('a'), 'service.kubernetes.io/service-proxy-name', 'other'),
    endpoints: [REMOTE],
    packet: fromPod,
    want: delivered('10.96.0.20:80', false),
  },
  {
    name: 'a headless Service is left alone',
    service: service('a', { clusterIP: 'None' }),
    endpoints: [REMOTE],
    packet: fromPod,
    want: delivered('10.96.0.20:80', false),
  },
  {
    name: 'an endpoint meant for this zone is preferred',
    service: service('a'),
    endpoints: [
      { ...REMOTE, zones: ['there'] },
      { ...LOCAL, zones: ['here'] },
    ],
    packet: fromPod,
    want: delivered('10.244.1.5:8080', false),
  },
  {
    name: 'an endpoint meant for this node is preferred to its zone',
    service: service('a'),
    endpoints: [
      { ...REMOTE, zones: ['here'], nodes: ['other'] },
      { ...LOCAL, zones: ['there'], nodes: ['me'] },
    ],
    packet: fromPod,
    want: delivered('10.244.1.5:8080', false),
  },
  {
    name: 'hints count only when every endpoint has them',
    service: service('a'),
    endpoints: [{ ip: '10.244.0.1' }, { ...LOCAL, zones: ['here'] }],
    packet: fromPod,
    want: delivered('10.244.0.1:8080', false),
  },
];
