import { execFile, spawn, spawnSync } from 'node:child_process';
import dnsPacket from 'dns-packet';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dnsSockets } from '#agent/host/dns-sockets.ts';
import type { DnsListener } from '#agent/host/host.ts';
import { launchResolver } from '#agent/launch-resolver.ts';
import { type DnsServer, startDnsServer } from '#agent/network/dns/dns-server.ts';
import type { ResolverThread } from '#agent/network/dns/resolver-messages.ts';
import type { Informer } from '#api/client/informer.ts';
import type { EndpointSlice, Service } from '#api/object/kinds.ts';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const problem = spawnSync('dig', ['-v']).status === 0 ? undefined : 'needs dig (package bind9-dnsutils)';
if (problem !== undefined) console.warn(`DNS against dig skipped: ${problem}`);

const metadata = (name: string, namespace = 'ns') => ({
  name,
  namespace,
  uid: name,
  resourceVersion: '1',
  creationTimestamp: '',
});
const informer = <T extends Service | EndpointSlice>(objects: readonly object[]): Informer<T> =>
  ({
    hasSynced: true,
    waitForSync: async () => {},
    addHandler: ({ onAdd }: { onAdd(object: T): void }) => {
      for (const object of objects) onAdd(object as T);
    },
  }) as unknown as Informer<T>;

const http = { name: 'http', port: 80, protocol: 'TCP' };
const services = [
  {
    metadata: metadata('web'),
    spec: { clusterIP: '10.96.0.20', clusterIPs: ['10.96.0.20', 'fd00:96::20'], ports: [http] },
  },
  { metadata: metadata('db'), spec: { clusterIP: 'None', ports: [http] } },
  { metadata: metadata('big'), spec: { clusterIP: 'None', ports: [http] } },
  { metadata: metadata('out'), spec: { type: 'ExternalName', externalName: 'outside.example' } },
];
const slices = [
  {
    metadata: { ...metadata('db-1'), labels: { 'kubernetes.io/service-name': 'db' } },
    addressType: 'IPv4',
    ports: [{ ...http, port: 8080 }],
    endpoints: [{ addresses: ['10.244.1.5'], hostname: 'db-0' }, { addresses: ['10.244.2.6'] }],
  },
  {
    metadata: { ...metadata('big-1'), labels: { 'kubernetes.io/service-name': 'big' } },
    addressType: 'IPv4',
    ports: [http],
    endpoints: Array.from({ length: 100 }, (_, i) => ({ addresses: [`10.244.3.${i + 1}`] })),
  },
];

/** The judge is dig: what it prints, and what it complains about. Everything on loopback. */
describe.skipIf(problem !== undefined)('the resolver of the agent, asked by dig', () => {
  let upstream: DnsListener;
  let server: DnsServer;
  const threads: ResolverThread[] = [];
  const stop = new AbortController();
  const asked: string[] = [];

  beforeAll(async () => {
    upstream = await dnsSockets.listen({
      // Not the address of the resolver, which does not ask itself.
      address: '127.0.0.2',
      port: 0,
      async handle(message, { transport }) {
        const { id, questions } = dnsPacket.decode(Buffer.from(message));
        const { name, type } = questions![0]!;
        asked.push(`${transport} ${name} ${type}`);
        const records = (count: number) =>
          Array.from({ length: count }, (_, i) => ({ type: 'A', name, ttl: 60, data: `192.0.2.${i + 1}` }));
        if (name === 'large.example' && transport === 'udp')
          return dnsPacket.encode({ type: 'response', id, flags: 1 << 9, questions } as never);
        const found =
          name === 'nothing.example' ? { flags: 3 } : { answers: records(name === 'large.example' ? 90 : 1) };
        return dnsPacket.encode({ type: 'response', id, questions, ...found } as never);
      },
    });
    server = await startDnsServer(
      {
        host: new FakeHost(),
        clock: systemClock,
        log: silentLogger,
        // The thread that agents run, on an address that every machine has.
        launch(settings) {
          const thread = launchResolver({ ...settings, addresses: ['127.0.0.1', '::1'] });
          threads.push(thread);
          return thread;
        },
        services: informer<Service>(services),
        endpointSlices: informer<EndpointSlice>(slices),
        clusterDomain: 'cluster.local',
        clusterDns: ['10.96.0.10'],
        clusterCidrs: ['10.244.0.0/16'],
        port: 0,
        upstreams: [`127.0.0.2:${upstream.port}`],
        stubDomains: [],
      },
      stop.signal,
    );
  });
  afterAll(async () => {
    stop.abort();
    await upstream?.close();
  });

  const dig = (...args: string[]) =>
    new Promise<string>((resolve, reject) => {
      const base = ['@127.0.0.1', '-p', String(server.port), '+tries=1', '+time=3'];
      execFile('dig', [...base, ...args], (err, stdout) =>
        err ? reject(new Error(`${err.message}${stdout}`)) : resolve(stdout),
      );
    });
  const short = async (...args: string[]) => (await dig('+short', ...args)).trim().split('\n').sort();

  it.each([
    { ask: ['web.ns.svc.cluster.local', 'A'], want: ['10.96.0.20'] },
    { ask: ['WEB.ns.svc.Cluster.local', 'AAAA'], want: ['fd00:96::20'] },
    { ask: ['db.ns.svc.cluster.local', 'A'], want: ['10.244.1.5', '10.244.2.6'] },
    { ask: ['db-0.db.ns.svc.cluster.local', 'A'], want: ['10.244.1.5'] },
    { ask: ['_http._tcp.web.ns.svc.cluster.local', 'SRV'], want: ['0 100 80 web.ns.svc.cluster.local.'] },
    {
      ask: ['_http._tcp.db.ns.svc.cluster.local', 'SRV'],
      want: ['0 50 8080 10-244-2-6.db.ns.svc.cluster.local.', '0 50 8080 db-0.db.ns.svc.cluster.local.'],
    },
    { ask: ['-x', '10.96.0.20'], want: ['web.ns.svc.cluster.local.'] },
    { ask: ['-x', 'fd00:96::20'], want: ['web.ns.svc.cluster.local.'] },
    { ask: ['-x', '10.244.1.5'], want: ['db-0.db.ns.svc.cluster.local.'] },
    { ask: ['10-244-7-7.ns.pod.cluster.local', 'A'], want: ['10.244.7.7'] },
    { ask: ['out.ns.svc.cluster.local', 'A'], want: ['192.0.2.1', 'outside.example.'] },
    { ask: ['out.ns.svc.cluster.local', 'CNAME'], want: ['outside.example.'] },
    { ask: ['dns-version.cluster.local', 'TXT'], want: ['"1.1.0"'] },
    { ask: ['cluster.local', 'NS'], want: ['ns.dns.cluster.local.'] },
    { ask: ['somewhere.example', 'A'], want: ['192.0.2.1'] },
  ])('$ask', async ({ ask, want }) => {
    expect(await short(...ask)).toEqual(want);
    expect(await short('+tcp', ...ask)).toEqual(want);
    expect(await short('+noedns', ...ask)).toEqual(want);
  });

  it.each([
    { ask: ['nobody.ns.svc.cluster.local'], status: 'NXDOMAIN', soa: true },
    { ask: ['web.ns.svc.cluster.local', 'MX'], status: 'NOERROR', soa: true },
    { ask: ['ns.svc.cluster.local'], status: 'NOERROR', soa: true },
    { ask: ['nothing.example'], status: 'NXDOMAIN', soa: false },
    { ask: ['version.bind', 'TXT', 'CH'], status: 'REFUSED', soa: false },
  ])('$ask is $status', async ({ ask, status, soa }) => {
    const text = await dig(...ask);
    expect(text).toContain(`status: ${status}`);
    expect(/\sIN\s+SOA\s/.test(text)).toBe(soa);
    expect(text).not.toMatch(/malformed|mismatch|extra bytes/i);
  });

  it('an answer larger than the client takes is cut off and comes whole over TCP', async () => {
    for (const name of ['big.ns.svc.cluster.local', 'large.example']) {
      const cut = await dig('+ignore', '+noedns', name);
      expect(cut).toMatch(/flags: .*\btc\b/);
      // dig comes back over TCP by itself.
      expect((await short(name)).length).toBeGreaterThan(80);
    }
  });

  it('remembers what others answered', async () => {
    await short('cached.example');
    await short('cached.example');
    expect(asked.filter((line) => line === 'udp cached.example A')).toHaveLength(1);
  });

  it('answers 1,000 names, half of them new, at once', async () => {
    const times: number[] = [];
    for (let i = 0; i < 2_000; i++) {
      const name = i % 2 === 0 ? 'web.ns.svc.cluster.local' : `cold${Math.floor(i / 4)}.example`;
      const question = dnsPacket.encode({
        type: 'query',
        id: i,
        flags: 256,
        questions: [{ type: 'A', name }],
      } as never);
      const startedMs = performance.now();
      await dnsSockets.exchange({ address: '127.0.0.1', port: server.port, transport: 'udp' }, question, {
        timeoutMs: 3_000,
        accept: () => true,
      });
      times.push(performance.now() - startedMs);
    }
    times.sort((a, b) => a - b);
    console.info(`DNS: p50 ${times[1_000]!.toFixed(2)} ms, p99 ${times[1_980]!.toFixed(2)} ms`);
    // The goal is judged by the bench case; client and upstream run in this very thread, and the machine may be busy.
    expect(times[1_000]).toBeLessThan(50);
  });

  it('answers while the main thread of the agent is busy', async () => {
    // dig looks for the answer while nothing of this thread runs: it would give up after a second.
    const asking = spawn('sh', [
      '-c',
      `dig @127.0.0.1 -p ${server.port} +tries=1 +time=1 +short web.ns.svc.cluster.local; date +%s%N`,
    ]);
    let told = '';
    asking.stdout.on('data', (chunk) => (told += chunk));
    const ended = new Promise((resolve) => asking.once('close', resolve));
    const until = performance.now() + 2_500;
    while (performance.now() < until);
    const freeNs = BigInt(Date.now()) * 1_000_000n;
    await ended;
    const [answer, answeredNs] = told.trim().split('\n');
    expect(answer).toBe('10.96.0.20');
    expect(BigInt(answeredNs!)).toBeLessThan(freeNs);
  });

  it('starts anew with all names when its thread dies', async () => {
    threads.at(-1)!.end();
    await waitUntil('another thread', 10_000, () => threads.length === 2);
    await waitUntil(
      'answers',
      10_000,
      async () => (await short('web.ns.svc.cluster.local').catch(() => []))[0] === '10.96.0.20',
    );
    expect(await short('db-0.db.ns.svc.cluster.local')).toEqual(['10.244.1.5']);
    expect(await dig('nobody.ns.svc.cluster.local')).toContain('status: NXDOMAIN');
    expect(await server.renderMetrics()).toMatch(
      /coracle_dns_requests_total\{type="A",source="cluster",rcode="NOERROR"\} \d/,
    );
  });
});
