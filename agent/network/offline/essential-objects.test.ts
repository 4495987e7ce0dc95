import { expect, it } from 'vitest';
import type { EndpointSlice, Service } from '#api/object/kinds.ts';
import { planService } from '../../proxy/plan.ts';
import { NamesFeed } from '../dns/service-names.ts';
import { essentialService, essentialSlice } from './essential-objects.ts';

const metadata = {
  name: 'web',
  namespace: 'shop',
  uid: 'u1',
  resourceVersion: '7',
  labels: { 'kubernetes.io/service-name': 'web' },
  creationTimestamp: '2026-01-01T00:00:00Z',
  generation: 3,
  annotations: { 'kubectl.kubernetes.io/last-applied-configuration': 'x'.repeat(1_000) },
  ownerReferences: [{ apiVersion: 'v1', kind: 'Service', name: 'web', uid: 'u1' }],
};
const SERVICE = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata,
  spec: {
    type: 'LoadBalancer',
    clusterIP: '10.96.0.10',
    clusterIPs: ['10.96.0.10'],
    ipFamilies: ['IPv4'],
    ports: [{ name: 'http', port: 80, nodePort: 30_080, protocol: 'TCP' }],
    sessionAffinity: 'ClientIP',
    internalTrafficPolicy: 'Cluster',
    externalTrafficPolicy: 'Local',
    healthCheckNodePort: 31_000,
    trafficDistribution: 'PreferClose',
    loadBalancerSourceRanges: ['192.0.2.0/24'],
  },
  status: { loadBalancer: { ingress: [{ ip: '198.51.100.7', ipMode: 'VIP' }] } },
} as unknown as Service;
const SLICE = {
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { ...metadata, name: 'web-x1' },
  addressType: 'IPv4',
  ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  endpoints: ['a', 'b'].map((zone, i) => ({
    addresses: [`10.244.0.${i}`],
    conditions: { ready: true, serving: true, terminating: false },
    nodeName: `node-${i}`,
    hostname: `web-${i}`,
    zone,
    hints: { forZones: [{ name: zone }] },
    targetRef: { kind: 'Pod', name: `web-${i}`, namespace: 'shop', uid: `p${i}` },
  })),
} as unknown as EndpointSlice;

it('proxy and DNS make the same of what is kept', () => {
  const plansOf = (service: Service, slice: EndpointSlice) =>
    planService({ service, slices: [slice], nodeName: 'node-0', zone: 'a' });
  const kept = [essentialService(SERVICE), essentialSlice(SLICE)] as const;
  expect(plansOf(...kept)).toEqual(plansOf(SERVICE, SLICE));
  expect(plansOf(...kept)[0]).toMatchObject({ healthCheckNodePort: 31_000 });
  const headless = { ...SERVICE, spec: { ...SERVICE.spec, clusterIP: 'None', clusterIPs: ['None'] } } as Service;
  expect(namesOf(essentialService(headless), kept[1])).toEqual(namesOf(headless, SLICE));
  expect(namesOf(essentialService(SERVICE), kept[1])).toEqual(namesOf(SERVICE, SLICE));
});

it('nothing else is kept', () => {
  const { name, namespace, uid, resourceVersion, labels } = metadata;
  expect(essentialService(SERVICE).metadata).toEqual({ name, namespace, uid, resourceVersion, labels });
  expect(JSON.stringify(essentialSlice(SLICE))).not.toContain('targetRef');
});

function namesOf(service: Service, slice: EndpointSlice) {
  const changed = new Set<Parameters<NamesFeed['changeOf']>[0]>();
  const feed = new NamesFeed((key) => changed.add(key));
  feed.onService(service);
  feed.onSlice(slice);
  return [...changed].map((key) => feed.changeOf(key));
}
