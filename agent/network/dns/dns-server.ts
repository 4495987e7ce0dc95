import type { Informer } from '#api/client/informer.ts';
import { parseCidr, parseIp, rangeContains } from '#api/meta/ip-address.ts';
import type { EndpointSlice, Service } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { DnsListener, DnsPeer, Host } from '../../host/host.ts';
import { ClusterZone } from './cluster-zone.ts';
import { encodeQuery } from './dns-message.ts';
import { DnsMetrics } from './dns-metrics.ts';
import { respond } from './dns-responder.ts';
import { Forwarder, nameOf, parseServer, type UpstreamServer } from './forwarder.ts';
import { parseStubDomains, stubServersFor } from './stub-domains.ts';

/** Of the node itself, on its loopback: stays when other addresses change, and is nobody else's. */
export const DNS_ADDRESS = '169.254.10.53';

export interface DnsServerOptions {
  readonly host: Host;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
  readonly services: Informer<Service>;
  readonly endpointSlices: Informer<EndpointSlice>;
  readonly clusterDomain: string;
  /** Addresses of the cluster DNS: asking there would be asking ourselves. */
  readonly clusterDns: readonly string[];
  /** Who may ask besides this node. */
  readonly clusterCidrs: readonly string[];
  readonly port: number;
  /** Resolvers to ask instead of the host's; empty: the host's. */
  readonly upstreams: readonly string[];
  /** `corp.example=10.0.0.53`. */
  readonly stubDomains: readonly string[];
}

export interface DnsServer {
  readonly address: string;
  readonly port: number;
  readonly metrics: DnsMetrics;
  /** What an operator must know; undefined when all is well. */
  readonly problem: string | undefined;
}

const RESOLV_CONF_MAX_AGE_MS = 5_000;
const LOOP_PROBE_TIMEOUT_MS = 2_000;

/** Listens until aborted. Names of the cluster are answered from the informers, which go on while the controller is away. */
export async function startDnsServer(options: DnsServerOptions, signal: AbortSignal): Promise<DnsServer> {
  const { host, clock, log } = options;
  const zone = new ClusterZone(options.clusterDomain);
  watchObjects(options, zone);
  const metrics = new DnsMetrics();
  const upstreams = new Upstreams(options);
  const forwarder = new Forwarder({
    exchange: host.dns.exchange,
    clock,
    log,
    serversFor: (name) => upstreams.serversFor(name),
    randomId: () => Math.floor(options.random() * 65_536),
    onAsked: (server, elapsedMs) => metrics.onAsked(nameOf(server), elapsedMs),
  });
  metrics.watchCache(forwarder.cache);
  const isAllowed = clientFilter(options);
  const responder = {
    zone,
    forwarder,
    isReady: () => options.services.hasSynced && options.endpointSlices.hasSynced,
    onOwnQuestion: (name: string) => upstreams.isOwnProbe(name),
  };
  const handle = async (message: Uint8Array, peer: DnsPeer) => {
    if (!(await isAllowed(peer.address))) return undefined;
    const startedMs = clock.monotonic();
    return respond(message, peer.transport, {
      ...responder,
      onAnswered: (query, response, source) =>
        metrics.onAnswered(query.type, response, source, clock.monotonic() - startedMs),
    });
  };
  await host.exec.run(['ip', 'address', 'replace', `${DNS_ADDRESS}/32`, 'dev', 'lo']);
  const listener: DnsListener = await host.dns.listen({ address: DNS_ADDRESS, port: options.port, handle });
  signal.addEventListener('abort', () => void listener.close(), { once: true });
  log.info('cluster DNS answers on this node', { address: DNS_ADDRESS, port: listener.port });
  return {
    address: DNS_ADDRESS,
    port: listener.port,
    metrics,
    get problem() {
      return upstreams.problem;
    },
  };
}

/** Takes back what starting put into the host. */
export async function removeDnsAddress({ exec }: Host): Promise<void> {
  const { stdout } = await exec.run(['ip', 'address', 'show', 'dev', 'lo']);
  if (stdout.includes(`${DNS_ADDRESS}/32`)) await exec.run(['ip', 'address', 'del', `${DNS_ADDRESS}/32`, 'dev', 'lo']);
}

function watchObjects({ services, endpointSlices }: DnsServerOptions, zone: ClusterZone): void {
  services.addHandler({
    onAdd: (service) => zone.onService(service),
    onUpdate: (_, service) => zone.onService(service),
    onDelete: (service) => zone.onServiceDeleted(service),
  });
  endpointSlices.addHandler({
    onAdd: (slice) => zone.onSlice(slice),
    onUpdate: (_, slice) => zone.onSlice(slice),
    onDelete: (slice) => zone.onSliceDeleted(slice),
  });
}

/**
 * Pods and the node itself: an open resolver would be a weapon against third parties. An address that is not known is looked for once
 * among the node's own.
 */
function clientFilter({ host, clusterCidrs }: DnsServerOptions): (address: string) => Promise<boolean> {
  const ranges = clusterCidrs.flatMap((cidr) => parseCidr(cidr) ?? []);
  const known = new Set([DNS_ADDRESS, '127.0.0.1']);
  const strangers = new Set<string>();
  return async (address) => {
    if (known.has(address)) return true;
    const ip = parseIp(address);
    if (ip === undefined) return false;
    if (ranges.some((range) => rangeContains(range, ip))) return true;
    if (strangers.has(address)) return false;
    for (const own of await host.addresses()) known.add(own.address);
    if (!known.has(address) && strangers.size < 1_000) strangers.add(address);
    return known.has(address);
  };
}

/** Which resolvers are asked: stub domains first, then those of the configuration or of the host, without those that lead back to us. */
class Upstreams {
  readonly #options: DnsServerOptions;
  readonly #stubs: ReturnType<typeof parseStubDomains>;
  readonly #looping = new Set<string>();
  readonly #probed = new Set<string>();
  readonly #probeName: string;
  #current: readonly UpstreamServer[] = [];
  #probing: string | undefined;
  #readMs = Number.NEGATIVE_INFINITY;

  constructor(options: DnsServerOptions) {
    this.#options = options;
    this.#stubs = parseStubDomains(options.stubDomains);
    this.#probeName = `${Math.floor(options.random() * 2 ** 48).toString(16)}.coracle-loop`;
  }

  get problem(): string | undefined {
    if (this.#looping.size === 0) return undefined;
    return `the resolvers ${[...this.#looping].join(', ')} of this host ask the cluster DNS in turn and are left out; set dnsUpstreams`;
  }

  /** The question that shows a loop has come back. */
  isOwnProbe(name: string): boolean {
    if (name !== this.#probeName) return false;
    if (this.#probing !== undefined && !this.#looping.has(this.#probing)) {
      this.#looping.add(this.#probing);
      this.#options.log.error('a resolver of this host asks us in turn; it is left out', { server: this.#probing });
    }
    return true;
  }

  async serversFor(name: string): Promise<readonly UpstreamServer[]> {
    const stub = stubServersFor(this.#stubs, name);
    if (stub !== undefined) return stub;
    const now = this.#options.clock.monotonic();
    if (now - this.#readMs > RESOLV_CONF_MAX_AGE_MS) {
      this.#readMs = now;
      this.#current = await this.#read();
    }
    return this.#current.filter((server) => !this.#looping.has(nameOf(server)));
  }

  async #read(): Promise<readonly UpstreamServer[]> {
    const { host, clusterDns, upstreams } = this.#options;
    const named = upstreams.length > 0 ? upstreams : (await host.resolvConf()).servers;
    const own = new Set([...clusterDns, DNS_ADDRESS]);
    const servers = named.map(parseServer).filter(({ address }) => !own.has(address));
    void this.#probeNew(servers);
    return servers;
  }

  /** Beside the questions of clients: what a loop lets through until it is seen ends by the time-out of a single question. */
  async #probeNew(servers: readonly UpstreamServer[]): Promise<void> {
    for (const server of servers.filter((one) => !this.#probed.has(nameOf(one)))) {
      this.#probed.add(nameOf(server));
      await this.#probe(server).catch((err: unknown) =>
        this.#options.log.debug('a resolver did not answer', { server: nameOf(server), err: describeError(err) }),
      );
    }
  }

  /** A resolver on this host (systemd-resolved, dnsmasq) may have been told to ask the cluster DNS: then a name nobody has comes back. */
  async #probe(server: UpstreamServer): Promise<void> {
    const question = encodeQuery(this.#probeName, 'HINFO', Math.floor(this.#options.random() * 65_536));
    this.#probing = nameOf(server);
    try {
      await this.#options.host.dns.exchange({ ...server, transport: 'udp' }, question, {
        timeoutMs: LOOP_PROBE_TIMEOUT_MS,
        accept: () => true,
      });
    } finally {
      this.#probing = undefined;
    }
  }
}
