import { describe, expect, it } from 'vitest';
import { PacketTracer } from '#test/kit/packet-tracer.ts';
import { ChangeTracker } from '../change-tracker.ts';
import { manyServices } from '../testing/many-services.ts';
import { describePacketFlow } from '../testing/packet-flow-suite.ts';
import { SERVICE_CHAIN_PATTERN } from './chain-names.ts';
import { renderFullSync, renderPartialSync } from './render-restore.ts';

const RULES = { family: 'IPv4', clusterCidr: '10.244.0.0/16', randomFully: true, localhostNodePorts: true } as const;

describePacketFlow('iptables', ({ choose, ...options }) => {
  const rules = { ...RULES, ...options };
  const tracer = new PacketTracer({
    nodeAddresses: options.nodeAddresses,
    ...(choose === undefined ? {} : { chance: (probability) => choose(2) % Math.round(1 / probability) === 0 }),
  });
  return {
    full(plans) {
      const installed = tracer.chains('nat').filter((name) => SERVICE_CHAIN_PATTERN.test(name));
      for (const run of renderFullSync(plans, new Set(installed), rules)) tracer.load(run);
    },
    partial(changes) {
      const text = renderPartialSync(changes, rules);
      tracer.load(text);
      return text;
    },
    trace: (packet) => tracer.trace(packet),
    names: () => ['nat', 'filter'].flatMap((table) => tracer.chains(table)).sort(),
  };
});

describe('iptables rules', () => {
  const render = (services: number, endpoints: number) => {
    const tracker = new ChangeTracker({ nodeName: 'me' }, () => {});
    for (const { service, slice } of manyServices(services, endpoints)) {
      tracker.onService(service);
      tracker.onSlice(slice);
    }
    return renderFullSync(tracker.beginSync().plans, new Set(), RULES);
  };

  it('give each endpoint the same chance', () => {
    expect(
      [
        ...render(1, 3)
          .join('')
          .matchAll(/--probability ([\d.]+)/g),
      ].map((match) => Number(match[1]!).toFixed(4)),
    ).toEqual(['0.3333', '0.5000']);
  });

  it.each([
    { services: 0, endpoints: 0 },
    { services: 50, endpoints: 2 },
    { services: 1200, endpoints: 2 },
    { services: 10, endpoints: 20 },
  ])('cost a fixed number for $services Services of $endpoints endpoints', ({ services, endpoints }) => {
    const tracer = new PacketTracer({ nodeAddresses: [] });
    for (const run of render(services, endpoints)) tracer.load(run);
    // 11 fixed ones; per Service 1 dispatch + 1 masquerade, per endpoint 1 jump + 2 in its chain.
    expect(tracer.ruleCount).toBe(11 + services * (2 + endpoints * 3));
  });
});
