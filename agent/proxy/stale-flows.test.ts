import { describe, expect, it } from 'vitest';
import { ChangeTracker } from './change-tracker.ts';
import { findStaleFlows, parseUdpFlows } from './stale-flows.ts';
import { oneOfMany } from './testing/many-services.ts';

const line = (destination: string, port: number, answer: string, answerPort: number) =>
  `udp      17 29 src=10.244.1.9 dst=${destination} sport=4711 dport=${port} [UNREPLIED] src=${answer} dst=10.244.1.9 sport=${answerPort} dport=4711 mark=0 use=1`;

function plans(endpoints: number) {
  const { service, slice } = oneOfMany(0, endpoints);
  const udp = <T extends { spec?: unknown; ports?: unknown }>(object: T): T =>
    JSON.parse(JSON.stringify(object).replaceAll('"TCP"', '"UDP"')) as T;
  const tracker = new ChangeTracker({ nodeName: 'me' }, () => {});
  const planned = udp(service as never) as typeof service;
  planned.spec = {
    ...planned.spec,
    type: 'NodePort',
    ports: [{ name: 'http', port: 80, protocol: 'UDP', nodePort: 30053 }],
  };
  tracker.onService(planned);
  tracker.onSlice(udp(slice as never) as typeof slice);
  return tracker.beginSync().plans;
}

describe('stale UDP flows', () => {
  it.each([
    { name: 'one to an endpoint stays', listing: line('10.96.0.1', 80, '10.112.0.1', 8080), endpoints: 1, stale: 0 },
    { name: 'one to a gone endpoint goes', listing: line('10.96.0.1', 80, '10.112.9.9', 8080), endpoints: 1, stale: 1 },
    {
      name: 'one from before there were endpoints goes',
      listing: line('10.96.0.1', 80, '10.96.0.1', 80),
      endpoints: 1,
      stale: 1,
    },
    {
      name: 'without endpoints there is nothing better',
      listing: line('10.96.0.1', 80, '10.96.0.1', 80),
      endpoints: 0,
      stale: 0,
    },
    {
      name: 'one to a node port of ours goes',
      listing: line('192.0.2.1', 30053, '10.112.9.9', 8080),
      endpoints: 1,
      stale: 1,
    },
    {
      name: "one to somebody else's port of that number stays",
      listing: line('192.0.2.9', 30053, '192.0.2.9', 30053),
      endpoints: 1,
      stale: 0,
    },
    {
      name: 'others are none of our business',
      listing: line('192.0.2.9', 53, '192.0.2.9', 53),
      endpoints: 1,
      stale: 0,
    },
    {
      name: 'a line that is no flow',
      listing: 'conntrack v1.4.7 (conntrack-tools): 0 flow entries have been shown.',
      endpoints: 1,
      stale: 0,
    },
  ])('$name', ({ listing, endpoints, stale }) => {
    expect(findStaleFlows(parseUdpFlows(listing), plans(endpoints), new Set(['192.0.2.1']))).toHaveLength(stale);
  });
});
