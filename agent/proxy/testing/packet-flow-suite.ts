import { describe, expect, it } from 'vitest';
import type { EndpointSlice, Service } from '#api/object/kinds.ts';
import type { Packet, Verdict } from '#test/kit/packet-tracer.ts';
import { ChangeTracker, type PlanChange } from '../change-tracker.ts';
import type { ServicePortPlan } from '../service-port-plan.ts';
import { FLOW_CASES, NO_SUCH_PORT } from './flow-cases.ts';
import {
  delivered,
  fromPod,
  LOCAL,
  loadBalancerSpec,
  NODE,
  nodePortSpec,
  PLACE,
  REMOTE,
  type ServiceSpec,
  service,
  slice,
  toNodePort,
} from './flow-objects.ts';

/** A renderer with something that follows packets through what it renders. */
export interface FlowRig {
  full(plans: readonly ServicePortPlan[]): void;
  /** Answers what would travel to the kernel. */
  partial(changes: readonly PlanChange[]): string;
  trace(packet: Packet): Verdict;
  /** Names of everything that stands, to see what is left behind. */
  names(): readonly string[];
}

export interface FlowOptions {
  readonly nodeAddresses: readonly string[];
  readonly nodeIps?: readonly string[];
  readonly clusterCidr: string;
  readonly family: 'IPv4' | 'IPv6';
  readonly nodePortRanges?: readonly string[];
  /** Which of the endpoints a packet without affinity gets; default the first. */
  readonly choose?: (count: number) => number;
}

const IPV4_RIG: FlowOptions = {
  nodeAddresses: [NODE, '127.0.0.1'],
  nodeIps: [NODE],
  clusterCidr: '10.244.0.0/16',
  family: 'IPv4',
};

/** The same with addresses of IPv6: 10.244.1.5 becomes fd00:10:244:1::5, the range 10.244.0.0/16 fd00:10:244::/48. */
function inIpv6<T>(value: T): T {
  const text = JSON.stringify(value)
    .replaceAll('127.0.0.1', '::1')
    .replaceAll('"IPv4"', '"IPv6"')
    .replaceAll(/(\d+)\.(\d+)\.(\d+)\.(\d+)(?:\/(\d+))?/g, (_, a, b, c, d, length) => {
      if (length === undefined || length === '32')
        return `fd00:${a}:${b}:${c}::${d}${length === undefined ? '' : '/128'}`;
      const groups = [a, b, c].slice(0, Number(length) / 8);
      return `fd00:${groups.join(':')}::/${16 + 16 * groups.length}`;
    });
  return JSON.parse(text) as T;
}

/** Every backend runs the same suite: which packet goes where, never what a rule looks like. */
export function describePacketFlow(
  backend: string,
  createRig: (options: FlowOptions) => FlowRig,
  { refusesOtherPorts = false } = {},
): void {
  const rig = (options: Partial<FlowOptions> = {}): FlowRig => createRig({ ...IPV4_RIG, ...options });

  const loaded = (svc: Service, slices: readonly EndpointSlice[], options: Partial<FlowOptions> = {}): FlowRig => {
    const tracker = new ChangeTracker(PLACE, () => {});
    tracker.onService(svc);
    for (const each of slices) tracker.onSlice(each);
    const created = rig(options);
    created.full(tracker.beginSync().plans.filter(({ family }) => family === (options.family ?? 'IPv4')));
    return created;
  };

  describe(`${backend}: where packets go`, () => {
    it.each(FLOW_CASES)('$name', ({ service: svc, endpoints, protocol, packet, want }) => {
      const untouched = delivered(`${packet.destination}:${packet.port}`, false);
      const noSuchPort = refusesOtherPorts ? { kind: 'rejected' } : untouched;
      const verdict = loaded(svc, [slice('a', endpoints, protocol)]).trace(packet);
      expect(verdict).toEqual(want === NO_SUCH_PORT ? noSuchPort : want);
    });

    it.each(FLOW_CASES)('IPv6: $name', ({ want, ...rest }) => {
      const { service: svc, endpoints, protocol, packet } = inIpv6(rest);
      const untouched = delivered(`${packet.destination}:${packet.port}`, false);
      const noSuchPort = refusesOtherPorts ? { kind: 'rejected' } : untouched;
      const verdict = loaded(svc, [slice('a', endpoints, protocol)], inIpv6(IPV4_RIG)).trace(packet);
      expect(verdict).toEqual(want === NO_SUCH_PORT ? noSuchPort : inIpv6(want));
    });

    it('a client with affinity stays with its endpoint while others are chosen anew', () => {
      let turn = 0;
      const chosen = () => turn++;
      const svc = service('a', { sessionAffinity: 'ClientIP' });
      const three = [REMOTE, LOCAL, { ip: '10.244.3.5' }];
      const created = loaded(svc, [slice('a', three)], { choose: chosen });
      const first = created.trace(fromPod);
      for (let i = 0; i < 5; i++) expect(created.trace(fromPod)).toEqual(first);
      const others = new Set(
        [1, 2, 3, 4, 5, 6].map((i) => JSON.stringify(created.trace({ ...fromPod, source: `10.244.1.10${i}` }))),
      );
      expect(others.size).toBeGreaterThan(1);
    });

    it('node ports answer in their address ranges only', () => {
      const created = loaded(service('a', nodePortSpec), [slice('a', [REMOTE])], {
        nodePortRanges: ['192.0.2.0/24'],
        nodeAddresses: [NODE, '198.18.0.1'],
      });
      expect(created.trace(toNodePort)).toEqual(delivered('10.244.2.5:8080', true));
      expect(created.trace({ ...toNodePort, destination: '198.18.0.1' })).toEqual(delivered('198.18.0.1:30080', false));
    });

    it('the other family of a dual-stack Service has endpoints of its own', () => {
      const svc = service('a', {
        ...nodePortSpec,
        clusterIPs: ['10.96.0.20', 'fd00:96::20'],
        ipFamilies: ['IPv4', 'IPv6'],
      });
      const six = { ...slice('a', [{ ip: 'fd00:244:2::5' }]), metadata: { ...slice('a', []).metadata, name: 'a-6' } };
      const created = loaded(svc, [slice('a', [REMOTE]), six], {
        family: 'IPv6',
        clusterCidr: 'fd00:244::/32',
        nodeAddresses: ['2001:db8::1', '::1'],
      });
      const packet: Packet = { source: 'fd00:244:1::9', destination: 'fd00:96::20', protocol: 'tcp', port: 80 };
      expect(created.trace(packet)).toEqual(delivered('fd00:244:2::5:8080', false));
      expect(created.trace({ ...packet, source: '2001:db8:9::9', destination: '2001:db8::1', port: 30080 })).toEqual(
        delivered('fd00:244:2::5:8080', true),
      );
    });
  });

  describe(`${backend}: partial sync`, () => {
    function start() {
      const tracker = new ChangeTracker(PLACE, () => {});
      tracker.onService(service('a'));
      tracker.onSlice(slice('a', [REMOTE]));
      tracker.onService(service('b', { clusterIP: '10.96.0.30' }));
      tracker.onSlice(slice('b', [LOCAL]));
      const tracer = rig();
      const first = tracker.beginSync();
      tracer.full(first.plans);
      first.confirm();
      const sync = (): string => {
        const next = tracker.beginSync();
        const text = tracer.partial(next.changes);
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
      const before = tracer.names();
      const balancer: ServiceSpec = {
        ...loadBalancerSpec,
        externalTrafficPolicy: 'Local',
        sessionAffinity: 'ClientIP',
        clusterIP: '10.96.0.40',
      };
      tracker.onService(service('c', balancer));
      tracker.onSlice(slice('c', [REMOTE, LOCAL]));
      sync();
      expect(tracer.names().length).toBeGreaterThan(before.length);
      tracker.onServiceDeleted(service('c', balancer));
      sync();
      expect(tracer.names()).toEqual(before);
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

    it('masquerades a hairpin until the last Service that needs it has gone', () => {
      const { tracker, tracer, sync } = start();
      const fromItself: Packet = { ...fromPod, source: LOCAL.ip, destination: '10.96.0.30' };
      tracker.onService(service('c', { clusterIP: '10.96.0.40' }));
      tracker.onSlice(slice('c', [LOCAL]));
      sync();
      tracker.onServiceDeleted(service('c', {}));
      sync();
      expect(tracer.trace(fromItself)).toEqual(delivered('10.244.1.5:8080', true));
    });

    it('changes the time-out of an affinity', () => {
      const { tracker, tracer, sync } = start();
      const sticky = (timeoutSeconds: number) =>
        service('a', { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds } } });
      tracker.onService(sticky(100));
      sync();
      tracker.onService(sticky(200));
      expect(sync()).toContain('200');
      expect(tracer.trace(fromPod)).toEqual(delivered('10.244.2.5:8080', false));
    });

    it('writes everything again over what stands', () => {
      const { tracker, tracer } = start();
      const before = tracer.names();
      tracker.forget();
      tracer.full(tracker.beginSync().plans);
      expect(tracer.names()).toEqual(before);
      expect(tracer.trace(fromPod)).toEqual(delivered('10.244.2.5:8080', false));
    });
  });
}
