import { describe, expect, it } from 'vitest';
import { NftTracer } from '#test/kit/nft-tracer.ts';
import { ChangeTracker } from '../change-tracker.ts';
import { manyServices, oneOfMany } from '../testing/many-services.ts';
import { describePacketFlow } from '../testing/packet-flow-suite.ts';
import {
  type Installed,
  NOTHING_INSTALLED,
  renderFullSync,
  renderPartialSync,
  type SharedState,
} from './render-nft.ts';

const RULES = { family: 'IPv4', clusterCidr: '10.244.0.0/16' } as const;

describePacketFlow(
  'nftables',
  ({ choose, nodeAddresses, ...options }) => {
    const tracer = new NftTracer({ nodeAddresses, pick: (count) => (choose?.(count) ?? 0) % count });
    let state: SharedState = NOTHING_INSTALLED;
    let installed: Installed | undefined;
    return {
      full(plans) {
        const { text, state: next } = renderFullSync(plans, installed, options);
        tracer.load(text);
        state = next;
        installed = tracer.installed();
      },
      partial(changes) {
        const { preparation, text, state: next } = renderPartialSync(changes, state, options);
        for (const part of [preparation, text]) tracer.load(part);
        state = next;
        installed = tracer.installed();
        return preparation + text;
      },
      trace: (packet) => tracer.trace(packet),
      names: () => tracer.names().filter((name) => !/-(tcp|udp|sctp)-\d+$/.test(name)),
    };
  },
  { refusesOtherPorts: true },
);

describe('nftables rules', () => {
  const render = (services: number, endpoints: number) => {
    const tracker = new ChangeTracker({ nodeName: 'me' }, () => {});
    for (const { service, slice } of manyServices(services, endpoints)) {
      tracker.onService(service);
      tracker.onSlice(slice);
    }
    const sync = tracker.beginSync();
    const { text, state } = renderFullSync(sync.plans, undefined, RULES);
    sync.confirm();
    return { text, state, tracker };
  };

  it.each([
    { services: 0, endpoints: 1, rules: 24, elements: 0 },
    { services: 50, endpoints: 2, rules: 26, elements: 50 * 4 },
    { services: 1000, endpoints: 2, rules: 26, elements: 1000 * 4 },
    { services: 10, endpoints: 20, rules: 26, elements: 10 * 22 },
  ])('of $services Services with $endpoints endpoints: one chain of two rules, elements for the rest', (expected) => {
    const tracer = new NftTracer({ nodeAddresses: [] });
    tracer.load(render(expected.services, expected.endpoints).text);
    expect(tracer.ruleCount).toBe(expected.rules);
    expect(tracer.totalElements).toBe(expected.elements);
  });

  it('of one changed endpoint are its own elements and nothing else', () => {
    const { tracker, state } = render(100, 2);
    tracker.onSlice(oneOfMany(7, 2, 1).slice);
    expect(renderPartialSync(tracker.beginSync().changes, state, RULES).text.split('\n')).toEqual([
      'delete element ip kube-proxy endpoints-tcp-2 { 10.96.0.8 . 80 . 0, 10.96.0.8 . 80 . 1 }',
      'add element ip kube-proxy endpoints-tcp-2 { 10.96.0.8 . 80 . 0 : 10.112.0.15 . 8081, 10.96.0.8 . 80 . 1 : 10.112.0.16 . 8081 }',
      '',
    ]);
  });

  it('refuse a port of a cluster IP that no Service has, as long as some port of it is there', () => {
    const { tracker, state, text } = render(1, 2);
    const tracer = new NftTracer({ nodeAddresses: [] });
    tracer.load(text);
    const { service } = oneOfMany(0, 2);
    const at = (port: number) =>
      tracer.trace({ source: '10.244.0.9', destination: service.spec!.clusterIP!, protocol: 'tcp', port }).kind;
    expect([at(80), at(81)]).toEqual(['delivered', 'rejected']);

    let known = state;
    const change = (...ports: number[]) => {
      const spec = { ...service.spec!, ports: ports.map((port) => ({ name: 'http', port, protocol: 'TCP' })) };
      if (ports.length === 0) tracker.onServiceDeleted(service);
      else tracker.onService({ ...service, spec } as typeof service);
      const sync = tracker.beginSync();
      const next = renderPartialSync(sync.changes, known, RULES);
      for (const part of [next.preparation, next.text]) tracer.load(part);
      sync.confirm();
      known = next.state;
    };
    change(81);
    expect([at(80), at(81)]).toEqual(['rejected', 'delivered']);
    change();
    // Nobody's: on to wherever the host routes it.
    expect([at(80), at(81)]).toEqual(['delivered', 'delivered']);
  });

  const changes: readonly {
    readonly what: string;
    readonly before: number;
    readonly after: number;
    readonly shift?: number;
  }[] = [
    { what: 'one endpoint more', before: 2, after: 3 },
    { what: 'one endpoint less', before: 3, after: 2 },
    { what: 'as many, all others', before: 2, after: 2, shift: 1 },
    { what: 'a count that no Service had', before: 4, after: 17 },
  ];
  it.each(changes)('lead a packet on its way to an endpoint while a transaction is committed: $what', (change) => {
    for (let afterLookUps = 0; afterLookUps < 6; afterLookUps++) {
      const { tracker, state, text } = render(1, change.before);
      const tracer = new NftTracer({ nodeAddresses: [] });
      tracer.load(text);
      const { service, slice } = oneOfMany(0, change.after, change.shift ?? 0);
      tracker.onSlice(slice);
      const next = renderPartialSync(tracker.beginSync().changes, state, RULES);
      tracer.load(next.preparation);

      const packet = {
        source: '10.244.0.9',
        destination: service.spec!.clusterIP!,
        protocol: 'tcp',
        port: 80,
      } as const;
      expect(tracer.traceInterrupted(packet, { afterLookUps, text: next.text })).toMatchObject({
        kind: 'delivered',
        to: expect.stringMatching(/^10\.112\./),
      });
    }
  });
});
