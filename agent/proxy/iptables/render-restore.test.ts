import { describe, expect, it } from 'vitest';
import type { EndpointSlice, Service } from '#api/object/kinds.ts';
import { type Packet, PacketTracer, type Verdict } from '#test/kit/packet-tracer.ts';
import { ChangeTracker } from '../change-tracker.ts';
import { renderFullSync, renderPartialSync } from './render-restore.ts';

const RULES = { clusterCidr: '10.244.0.0/16', randomFully: true };
const NODE = '192.0.2.1';
const POD = '10.244.1.9';
const OUTSIDE = '198.51.100.7';

function service(
  name: string,
  spec: Partial<NonNullable<Service['spec']>> & { status?: Service['status'] } = {},
): Service {
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

interface TestEndpoint {
  readonly ip: string;
  readonly node?: string;
  readonly conditions?: { ready?: boolean; serving?: boolean; terminating?: boolean };
}

function slice(serviceName: string, endpoints: readonly TestEndpoint[]): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    addressType: 'IPv4',
    metadata: {
      name: `${serviceName}-1`,
      namespace: 'ns',
      uid: `${serviceName}-1`,
      resourceVersion: '1',
      creationTimestamp: '',
      labels: { 'kubernetes.io/service-name': serviceName },
    },
    ports: [{ port: 8080, protocol: 'TCP' }],
    endpoints: endpoints.map(({ ip, node = 'other', conditions = { ready: true } }) => ({
      addresses: [ip],
      nodeName: node,
      conditions,
    })),
  } as EndpointSlice;
}

const LOCAL: TestEndpoint = { ip: '10.244.1.5', node: 'me' };
const REMOTE: TestEndpoint = { ip: '10.244.2.5' };

function loaded(svc: Service, endpoints: readonly TestEndpoint[]): PacketTracer {
  const tracker = new ChangeTracker('me', () => {});
  tracker.onService(svc);
  tracker.onSlice(slice(svc.metadata.name, endpoints));
  const tracer = new PacketTracer({ nodeAddresses: [NODE, '127.0.0.1'] });
  tracer.load(renderFullSync(tracker.beginSync().plans, new Set(), RULES));
  return tracer;
}

const fromPod: Packet = { source: POD, destination: '10.96.0.20', protocol: 'tcp', port: 80 };
const toNodePort: Packet = { source: OUTSIDE, destination: NODE, protocol: 'tcp', port: 30080 };
const delivered = (to: string, masqueraded: boolean): Verdict => ({ kind: 'delivered', to, masqueraded });
const nodePortSpec = {
  type: 'NodePort',
  ports: [{ port: 80, targetPort: 8080, protocol: 'TCP', nodePort: 30080 }],
} as Partial<NonNullable<Service['spec']>>;

describe('iptables rules of a Service', () => {
  const cases: { name: string; service: Service; endpoints: readonly TestEndpoint[]; packet: Packet; want: Verdict }[] =
    [
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
        name: 'another port is left alone',
        service: service('a'),
        endpoints: [REMOTE],
        packet: { ...fromPod, port: 81 },
        want: delivered('10.96.0.20:81', false),
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
    ];
  it.each(cases)('$name', ({ service: svc, endpoints, packet, want }) => {
    expect(loaded(svc, endpoints).trace(packet)).toEqual(want);
  });

  it('gives each endpoint the same chance', () => {
    const three = [REMOTE, LOCAL, { ip: '10.244.3.5' }];
    const tracker = new ChangeTracker('me', () => {});
    tracker.onService(service('a'));
    tracker.onSlice(slice('a', three));
    const text = renderFullSync(tracker.beginSync().plans, new Set(), RULES);
    expect([...text.matchAll(/--probability ([\d.]+)/g)].map((match) => Number(match[1]!).toFixed(4))).toEqual([
      '0.3333',
      '0.5000',
    ]);
  });

  it('costs a fixed number of rules per Service and endpoint', () => {
    const tracker = new ChangeTracker('me', () => {});
    for (let i = 0; i < 50; i++) {
      tracker.onService(service(`s${i}`, { clusterIP: `10.96.1.${i}` }));
      tracker.onSlice(slice(`s${i}`, [REMOTE, LOCAL]));
    }
    const tracer = new PacketTracer({ nodeAddresses: [NODE] });
    tracer.load(renderFullSync(tracker.beginSync().plans, new Set(), RULES));
    // 10 fixed ones; per Service 1 dispatch + 1 masquerade, per endpoint 1 jump + 2 in its chain.
    expect(tracer.ruleCount).toBe(10 + 50 * (2 + 2 * 3));
  });
});

describe('partial sync', () => {
  function start() {
    const tracker = new ChangeTracker('me', () => {});
    tracker.onService(service('a'));
    tracker.onSlice(slice('a', [REMOTE]));
    tracker.onService(service('b', { clusterIP: '10.96.0.30' }));
    tracker.onSlice(slice('b', [LOCAL]));
    const tracer = new PacketTracer({ nodeAddresses: [NODE] });
    const first = tracker.beginSync();
    tracer.load(renderFullSync(first.plans, new Set(), RULES));
    first.confirm();
    const sync = (): string => {
      const next = tracker.beginSync();
      const text = renderPartialSync(next.changes, RULES);
      tracer.load(text);
      next.confirm();
      return text;
    };
    return { tracker, tracer, sync };
  }

  it('carries nothing when nothing that matters changed', () => {
    const { tracker, sync } = start();
    tracker.onService(service('a'));
    expect(sync()).toBe('');
  });

  it('carries only the chains of the Service whose endpoints changed', () => {
    const { tracker, tracer, sync } = start();
    tracker.onSlice(slice('a', [{ ip: '10.244.3.3' }]));
    const text = sync();
    expect(text).not.toContain('ns/b');
    expect(tracer.trace(fromPod)).toEqual(delivered('10.244.3.3:8080', false));
  });

  it('refuses once the last endpoint goes and delivers again when one is back', () => {
    const { tracker, tracer, sync } = start();
    tracker.onSlice(slice('a', []));
    sync();
    expect(tracer.trace(fromPod)).toEqual({ kind: 'rejected' });
    tracker.onSlice(slice('a', [REMOTE]));
    sync();
    expect(tracer.trace(fromPod)).toEqual(delivered('10.244.2.5:8080', false));
  });

  it('leaves no chain of a removed Service behind', () => {
    const { tracker, tracer, sync } = start();
    const before = tracer.chains('nat').length;
    tracker.onService(service('c', { ...nodePortSpec, clusterIP: '10.96.0.40' }));
    tracker.onSlice(slice('c', [REMOTE, LOCAL]));
    sync();
    expect(tracer.chains('nat').length).toBeGreaterThan(before);
    tracker.onServiceDeleted(service('c', { ...nodePortSpec, clusterIP: '10.96.0.40' }));
    sync();
    expect(tracer.chains('nat').length).toBe(before);
  });

  it('writes a Service anew that was removed before', () => {
    const { tracker, tracer, sync } = start();
    tracker.onServiceDeleted(service('a'));
    sync();
    tracker.onService(service('a'));
    sync();
    expect(tracer.trace(fromPod)).toEqual(delivered('10.244.2.5:8080', false));
  });

  it('moves a Service to another cluster IP', () => {
    const { tracker, tracer, sync } = start();
    tracker.onService(service('a', { clusterIP: '10.96.0.99' }));
    sync();
    expect(tracer.trace({ ...fromPod, destination: '10.96.0.99' })).toEqual(delivered('10.244.2.5:8080', false));
    expect(tracer.trace(fromPod)).toEqual(delivered('10.96.0.20:80', false));
  });
});
