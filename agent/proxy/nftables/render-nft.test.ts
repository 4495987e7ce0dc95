import { describe, expect, it } from 'vitest';
import { NftTracer } from '#test/kit/nft-tracer.ts';
import { ChangeTracker } from '../change-tracker.ts';
import { manyServices, oneOfMany } from '../testing/many-services.ts';
import { describePacketFlow } from '../testing/packet-flow-suite.ts';
import { type Installed, renderFullSync, renderPartialSync, type SharedState } from './render-nft.ts';

const RULES = { family: 'IPv4', clusterCidr: '10.244.0.0/16' } as const;

describePacketFlow('nftables', ({ choose, nodeAddresses, ...options }) => {
  const tracer = new NftTracer({ nodeAddresses, pick: (count) => (choose?.(count) ?? 0) % count });
  let state: SharedState = { spreads: new Set(), hairpins: new Map() };
  let installed: Installed | undefined;
  return {
    full(plans) {
      const { text, state: next } = renderFullSync(plans, installed, options);
      tracer.load(text);
      state = next;
      installed = tracer.installed();
    },
    partial(changes) {
      const { text, state: next } = renderPartialSync(changes, state, options);
      tracer.load(text);
      state = next;
      installed = tracer.installed();
      return text;
    },
    trace: (packet) => tracer.trace(packet),
    names: () => tracer.names().filter((name) => !/-(tcp|udp|sctp)-\d+$/.test(name)),
  };
});

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
    { services: 0, endpoints: 1, rules: 19, elements: 0 },
    { services: 50, endpoints: 2, rules: 21, elements: 50 * 3 },
    { services: 1000, endpoints: 2, rules: 21, elements: 1000 * 3 },
    { services: 10, endpoints: 20, rules: 21, elements: 10 * 21 },
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
});
