import { describe, expect, it } from 'vitest';
import type { EndpointSlice, Service } from '#api/object/kinds.ts';
import { addressOfReverse, ClusterZone, type ZoneAnswer } from './cluster-zone.ts';
import { NamesFeed } from './service-names.ts';

const meta = (name: string, namespace = 'ns') => ({
  name,
  namespace,
  uid: name,
  resourceVersion: '1',
  creationTimestamp: '',
});

function service(name: string, spec: object, namespace?: string): Service {
  return { metadata: meta(name, namespace), spec } as unknown as Service;
}

function slice(
  serviceName: string,
  endpoints: readonly object[],
  ports: readonly object[],
  addressType = 'IPv4',
): EndpointSlice {
  const metadata = { ...meta(`${serviceName}-${addressType}`), labels: { 'kubernetes.io/service-name': serviceName } };
  return { metadata, addressType, endpoints, ports } as unknown as EndpointSlice;
}

function zoneAndFeed(): { it: ClusterZone; feed: NamesFeed } {
  const it = new ClusterZone('Cluster.Local');
  const feed = new NamesFeed((service) => it.onNames(structuredClone(feed.changeOf(service))));
  const http = { name: 'http', port: 80, protocol: 'TCP' };
  feed.onService(service('web', { clusterIP: '10.96.0.20', clusterIPs: ['10.96.0.20', 'fd00:96::20'], ports: [http] }));
  feed.onService(service('db', { clusterIP: 'None', ports: [http] }));
  feed.onService(service('out', { type: 'ExternalName', externalName: 'Example.COM.' }));
  feed.onService(service('kube-dns', { clusterIP: '10.96.0.10', ports: [] }, 'kube-system'));
  feed.onSlice(
    slice(
      'db',
      [
        { addresses: ['10.244.1.5'], hostname: 'db-0', conditions: { ready: true } },
        { addresses: ['10.244.2.6'], conditions: {} },
        { addresses: ['10.244.2.7'], hostname: 'db-2', conditions: { ready: false } },
      ],
      [{ name: 'http', port: 8080, protocol: 'TCP' }],
    ),
  );
  feed.onSlice(slice('db', [{ addresses: ['fd00:244::5'], hostname: 'db-0' }], [{ name: 'http', port: 8080 }], 'IPv6'));
  return { it, feed };
}

const zone = () => zoneAndFeed().it;

/** `records` as `type data`, sorted; other answers by their kind. */
function told(answer: ZoneAnswer): string[] | string {
  if (answer.kind === 'alias') return `alias ${answer.target}`;
  if (answer.kind !== 'records') return answer.kind;
  return answer.answers
    .map(({ type, data }) => {
      if (typeof data === 'string') return `${type} ${data}`;
      return 'target' in data
        ? `${type} ${data.priority} ${data.weight} ${data.port} ${data.target}`
        : `${type} ${data.mname}`;
    })
    .sort();
}

describe('names of the cluster', () => {
  it.each([
    { name: 'web.ns.svc.cluster.local', type: 'A', want: ['A 10.96.0.20'] },
    { name: 'web.ns.svc.cluster.local', type: 'AAAA', want: ['AAAA fd00:96::20'] },
    { name: 'web.ns.svc.cluster.local', type: 'MX', want: 'no-data' },
    { name: 'web.ns.svc.cluster.local', type: 'SRV', want: ['SRV 0 100 80 web.ns.svc.cluster.local'] },
    { name: '_http._tcp.web.ns.svc.cluster.local', type: 'SRV', want: ['SRV 0 100 80 web.ns.svc.cluster.local'] },
    { name: '_http._tcp.web.ns.svc.cluster.local', type: 'A', want: 'no-data' },
    { name: '_http._udp.web.ns.svc.cluster.local', type: 'SRV', want: 'no-name' },
    { name: '_tcp.web.ns.svc.cluster.local', type: 'A', want: 'no-data' },
    { name: 'db.ns.svc.cluster.local', type: 'A', want: ['A 10.244.1.5', 'A 10.244.2.6'] },
    { name: 'db.ns.svc.cluster.local', type: 'AAAA', want: ['AAAA fd00:244::5'] },
    { name: 'db-0.db.ns.svc.cluster.local', type: 'A', want: ['A 10.244.1.5'] },
    { name: '10-244-2-6.db.ns.svc.cluster.local', type: 'A', want: ['A 10.244.2.6'] },
    { name: 'db-2.db.ns.svc.cluster.local', type: 'A', want: 'no-name' },
    { name: 'db-0.web.ns.svc.cluster.local', type: 'A', want: 'no-name' },
    {
      name: '_http._tcp.db.ns.svc.cluster.local',
      type: 'SRV',
      want: ['SRV 0 33 8080 10-244-2-6.db.ns.svc.cluster.local', 'SRV 0 33 8080 db-0.db.ns.svc.cluster.local'],
    },
    { name: 'out.ns.svc.cluster.local', type: 'A', want: 'alias example.com' },
    { name: 'nobody.ns.svc.cluster.local', type: 'A', want: 'no-name' },
    { name: 'ns.svc.cluster.local', type: 'A', want: 'no-data' },
    { name: 'other.svc.cluster.local', type: 'A', want: 'no-name' },
    { name: 'svc.cluster.local', type: 'A', want: 'no-data' },
    { name: '10-244-9-9.ns.pod.cluster.local', type: 'A', want: ['A 10.244.9.9'] },
    { name: 'fd00-244--9.ns.pod.cluster.local', type: 'AAAA', want: ['AAAA fd00:244::9'] },
    { name: '10-244-9-9.other.pod.cluster.local', type: 'A', want: 'no-name' },
    { name: 'nonsense.ns.pod.cluster.local', type: 'A', want: 'no-name' },
    { name: '20.0.96.10.in-addr.arpa', type: 'PTR', want: ['PTR web.ns.svc.cluster.local'] },
    { name: '5.1.244.10.in-addr.arpa', type: 'PTR', want: ['PTR db-0.db.ns.svc.cluster.local'] },
    { name: '1.1.1.1.in-addr.arpa', type: 'PTR', want: 'elsewhere' },
    { name: 'cluster.local', type: 'SOA', want: ['SOA ns.dns.cluster.local'] },
    { name: 'cluster.local', type: 'NS', want: ['NS ns.dns.cluster.local'] },
    { name: 'ns.dns.cluster.local', type: 'A', want: ['A 10.96.0.10'] },
    { name: 'dns-version.cluster.local', type: 'TXT', want: ['TXT 1.1.0'] },
    { name: 'nothing.cluster.local', type: 'A', want: 'no-name' },
    { name: 'example.com', type: 'A', want: 'elsewhere' },
    { name: 'notcluster.local', type: 'A', want: 'elsewhere' },
  ])('$name $type', ({ name, type, want }) => {
    expect(told(zone().resolve(name, type))).toEqual(want);
  });

  it('carry the addresses of what they name', () => {
    const answer = zone().resolve('_http._tcp.db.ns.svc.cluster.local', 'SRV');
    expect(answer.kind === 'records' && answer.additionals.map(({ data }) => data)).toEqual([
      '10.244.1.5',
      '10.244.2.6',
      'fd00:244::5',
    ]);
  });

  it('turn, so that clients that take the first address spread', () => {
    const it = zone();
    const first = () => {
      const answer = it.resolve('db.ns.svc.cluster.local', 'A');
      return answer.kind === 'records' ? answer.answers[0]!.data : undefined;
    };
    expect(new Set([first(), first()])).toEqual(new Set(['10.244.1.5', '10.244.2.6']));
  });

  it('follow what comes and goes', () => {
    const { it, feed } = zoneAndFeed();
    feed.onSliceDeleted(slice('db', [], []));
    expect(told(it.resolve('db-0.db.ns.svc.cluster.local', 'A'))).toBe('no-data');
    expect(told(it.resolve('5.1.244.10.in-addr.arpa', 'PTR'))).toBe('elsewhere');
    for (const name of ['web', 'db', 'out']) feed.onServiceDeleted(service(name, {}));
    expect(told(it.resolve('web.ns.svc.cluster.local', 'A'))).toBe('no-name');
    expect(told(it.resolve('ns.svc.cluster.local', 'A'))).toBe('no-name');
  });

  it('are told once more to a zone that begins late', () => {
    const late = new ClusterZone('cluster.local');
    let isLate = false;
    const feed = new NamesFeed((service) => isLate && late.onNames(feed.changeOf(service)));
    feed.onService(service('db', { clusterIP: 'None', ports: [] }));
    feed.onSlice(slice('db', [{ addresses: ['10.244.1.5'] }], []));
    feed.onService(service('gone', { clusterIP: '10.96.0.21' }));
    feed.onServiceDeleted(service('gone', {}));
    isLate = true;
    feed.replay();
    expect(told(late.resolve('db.ns.svc.cluster.local', 'A'))).toEqual(['A 10.244.1.5']);
    expect(told(late.resolve('gone.ns.svc.cluster.local', 'A'))).toBe('no-name');
  });
});

it.each([
  ['5.1.244.10.in-addr.arpa', '10.244.1.5'],
  ['1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa', '2001:db8::1'],
  ['244.10.in-addr.arpa', undefined],
  ['999.1.244.10.in-addr.arpa', undefined],
])('the address of %s is %s', (name, want) => {
  expect(addressOfReverse(name)).toBe(want);
});
