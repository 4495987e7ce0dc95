import dnsPacket from 'dns-packet';
import { describe, expect, it } from 'vitest';
import type { DnsExchange } from '#agent/host/host.ts';
import type { Service } from '#api/object/kinds.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { seededRandom } from '#base/seeded-random.ts';
import { ClusterZone } from './cluster-zone.ts';
import { encodeQuery } from './dns-message.ts';
import { type DnsResponderOptions, respond } from './dns-responder.ts';
import { Forwarder } from './forwarder.ts';
import { NamesFeed } from './service-names.ts';

/** Answers a question, or undefined: silence. */
type Upstream = (name: string, type: string, transport: 'udp' | 'tcp', address: string) => object | undefined;

/** A responder over a cluster of two Services whose upstream servers are a function. */
function rig(upstream: Upstream, servers: readonly string[] = ['192.0.2.1']) {
  const clock = new FakeClock();
  const asked: string[] = [];
  const exchange: DnsExchange = async (server, message) => {
    const { id, questions } = dnsPacket.decode(Buffer.from(message));
    const { name, type } = questions![0]!;
    asked.push(`${server.transport} ${server.address} ${name}`);
    const answer = upstream(name, type, server.transport, server.address);
    if (answer === undefined) throw new Error('silence');
    // As sockets deliver it: somewhere in the memory of others.
    return Buffer.concat([
      Buffer.alloc(64),
      dnsPacket.encode({ type: 'response', id, questions, ...answer } as never),
    ]).subarray(64);
  };
  const zone = new ClusterZone('cluster.local');
  const metadata = { namespace: 'ns', uid: '', resourceVersion: '1', creationTimestamp: '' };
  const feed = new NamesFeed((service) => zone.onNames(feed.changeOf(service)));
  feed.onService({ metadata: { ...metadata, name: 'web' }, spec: { clusterIP: '10.96.0.20' } } as unknown as Service);
  feed.onService({
    metadata: { ...metadata, name: 'out' },
    spec: { type: 'ExternalName', externalName: 'example.com' },
  } as unknown as Service);
  const forwarder = new Forwarder({
    exchange,
    clock,
    log: silentLogger,
    serversFor: async () => servers.map((address) => ({ address, port: 53 })),
    randomId: () => 4711,
  });
  const options: DnsResponderOptions = { zone, forwarder, isReady: () => true };
  const askRaw = async (
    message: Uint8Array,
    transport: 'udp' | 'tcp' = 'udp',
    more: Partial<DnsResponderOptions> = {},
  ) => respond(message, transport, { ...options, ...more });
  const ask = async (name: string, type = 'A', more: Partial<DnsResponderOptions> = {}) => {
    const bytes = await askRaw(encodeQuery(name, type, 99), 'udp', more);
    return dnsPacket.decode(Buffer.from(bytes!)) as dnsPacket.DecodedPacket & { rcode: string };
  };
  return { clock, asked, ask, askRaw };
}

const address = (name: string, data: string, ttl = 60) => ({ answers: [{ type: 'A', name, ttl, data }] });
const many = (name: string) => ({
  answers: Array.from({ length: 100 }, (_, i) => ({ type: 'A', name, ttl: 60, data: `192.0.2.${i}` })),
});

describe('the resolver', () => {
  it("answers in the client's upper and lower case", async () => {
    const { ask } = rig(() => undefined);
    const answer = await ask('WeB.ns.svc.cluster.LOCAL');
    expect(answer).toMatchObject({ id: 99, rcode: 'NOERROR', flag_aa: true, flag_ra: true });
    expect(answer.questions![0]!.name).toBe('WeB.ns.svc.cluster.LOCAL');
    expect(answer.answers).toMatchObject([{ name: 'WeB.ns.svc.cluster.LOCAL', data: '10.96.0.20', ttl: 30 }]);
  });

  it.each([
    { name: 'nobody.ns.svc.cluster.local', rcode: 'NXDOMAIN' },
    { name: 'ns.svc.cluster.local', rcode: 'NOERROR' },
  ])('tells with its SOA how long $name may be remembered as $rcode', async ({ name, rcode }) => {
    const answer = await rig(() => undefined).ask(name);
    expect(answer).toMatchObject({ rcode, answers: [] });
    expect(answer.authorities).toMatchObject([{ type: 'SOA', name: 'cluster.local', data: { minimum: 5 } }]);
  });

  it('says it does not know while it does not, rather than that there is no such name', async () => {
    const answer = await rig(() => undefined).ask('nobody.ns.svc.cluster.local', 'A', { isReady: () => false });
    expect(answer.rcode).toBe('SERVFAIL');
  });

  it('follows an alias to the outside', async () => {
    const { ask } = rig((name) => address(name, '192.0.2.80'));
    expect((await ask('out.ns.svc.cluster.local')).answers).toMatchObject([
      { type: 'CNAME', data: 'example.com' },
      { type: 'A', name: 'example.com', data: '192.0.2.80' },
    ]);
  });

  it('asks once and remembers, counting down', async () => {
    const { ask, asked, clock } = rig((name) => address(name, '192.0.2.80'));
    await ask('example.com');
    await clock.advance(20_000);
    const again = await ask('EXAMPLE.com');
    expect(again.questions![0]!.name).toBe('EXAMPLE.com');
    expect(again.answers).toMatchObject([{ data: '192.0.2.80', ttl: 40 }]);
    expect(asked).toHaveLength(1);
    await clock.advance(41_000);
    await ask('example.com');
    expect(asked).toHaveLength(2);
  });

  it('remembers that there is nothing as long as the SOA says', async () => {
    const soa = { mname: 'a', rname: 'b', serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 10 };
    const { ask, asked, clock } = rig(() => ({
      flags: 3,
      authorities: [{ type: 'SOA', name: 'com', ttl: 3600, data: soa }],
    }));
    expect((await ask('nothing.com')).rcode).toBe('NXDOMAIN');
    await clock.advance(9_000);
    expect((await ask('nothing.com')).rcode).toBe('NXDOMAIN');
    expect(asked).toHaveLength(1);
    await clock.advance(2_000);
    await ask('nothing.com');
    expect(asked).toHaveLength(2);
  });

  it('one question at a time serves all that wait for the same name', async () => {
    const { ask, asked } = rig((name) => address(name, '192.0.2.80'));
    await Promise.all([ask('example.com'), ask('example.com'), ask('example.com')]);
    expect(asked).toHaveLength(1);
  });

  it('goes to the next server when one is silent, and asks that one last for a while', async () => {
    const { ask, asked } = rig(
      (name, _, __, server) => (server === '192.0.2.1' ? undefined : address(name, '192.0.2.80')),
      ['192.0.2.1', '192.0.2.2'],
    );
    expect((await ask('one.com')).rcode).toBe('NOERROR');
    expect((await ask('two.com')).rcode).toBe('NOERROR');
    expect(asked).toEqual(['udp 192.0.2.1 one.com', 'udp 192.0.2.2 one.com', 'udp 192.0.2.2 two.com']);
  });

  it('serves what it remembers while nobody answers, and fails without', async () => {
    let isUp = true;
    const { ask, clock } = rig((name) => (isUp ? address(name, '192.0.2.80', 5) : undefined));
    await ask('example.com');
    isUp = false;
    await clock.advance(600_000);
    expect((await ask('example.com')).answers).toMatchObject([{ data: '192.0.2.80', ttl: 30 }]);
    expect((await ask('other.com')).rcode).toBe('SERVFAIL');
  });

  it('asks over TCP when the answer was cut off, and cuts off what the client cannot take', async () => {
    const { askRaw, asked } = rig((name, _, transport) => (transport === 'udp' ? { flags: 1 << 9 } : many(name)));
    const query = encodeQuery('big.com', 'A', 99);
    const udp = dnsPacket.decode(Buffer.from((await askRaw(query))!));
    expect(udp).toMatchObject({ flag_tc: true, answers: [] });
    expect(asked.map((line) => line.split(' ')[0])).toEqual(['udp', 'tcp']);
    const tcp = dnsPacket.decode(Buffer.from((await askRaw(query, 'tcp'))!));
    expect(tcp.answers).toHaveLength(100);
    expect(tcp).toMatchObject({ flag_tc: false });
  });

  it('takes as much as the client says it can, and answers EDNS with EDNS', async () => {
    const { askRaw } = rig((name) => ({ answers: many(name).answers.slice(0, 40) }));
    const edns = dnsPacket.encode({
      type: 'query',
      id: 99,
      flags: 256,
      questions: [{ type: 'A', name: 'web.ns.svc.cluster.local' }],
      additionals: [{ type: 'OPT', name: '.', udpPayloadSize: 4096, flags: 0, options: [] }],
    } as never);
    const answer = dnsPacket.decode(Buffer.from((await askRaw(edns))!));
    expect(answer.additionals).toMatchObject([{ type: 'OPT', udpPayloadSize: 1232 }]);
  });

  it.each([
    {
      name: 'another class',
      bytes: dnsPacket.encode({
        type: 'query',
        id: 1,
        questions: [{ type: 'TXT', name: 'version.bind', class: 'CH' }],
      } as never),
      rcode: 'REFUSED',
    },
    {
      name: 'an update',
      bytes: (() => {
        const b = encodeQuery('a.b', 'A', 1).slice();
        b[2] = 5 << 3;
        return b;
      })(),
      rcode: 'NOTIMP',
    },
    { name: 'half a question', bytes: encodeQuery('a.b', 'A', 1).subarray(0, 15), rcode: 'FORMERR' },
  ])('$name: $rcode', async ({ bytes, rcode }) => {
    const answer = (await rig(() => undefined).askRaw(bytes))!;
    expect(['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'][answer[3]! & 0xf]).toBe(rcode);
  });

  it('never answers an answer, nor what is too short to be one', async () => {
    const { askRaw } = rig(() => undefined);
    const response = encodeQuery('a.b', 'A', 1).slice();
    response[2] = 0x80;
    expect(await askRaw(response)).toBeUndefined();
    expect(await askRaw(new Uint8Array(5))).toBeUndefined();
  });

  it('survives any bytes', async () => {
    const { askRaw } = rig(() => undefined);
    const next = seededRandom(7);
    const random = () => Math.floor(next() * 65_536);
    for (let i = 0; i < 2_000; i++) {
      const bytes = Uint8Array.from({ length: random() % 80 }, () => random() & 0xff);
      if (bytes.length > 5) bytes.set([0, 0, 0, 1], 2);
      await askRaw(bytes);
    }
  });
});
