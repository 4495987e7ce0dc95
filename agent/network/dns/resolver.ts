import { parseCidr, parseIp, rangeContains } from '#api/meta/ip-address.ts';
import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import type { DnsListener, DnsListenOptions, DnsPeer, Host } from '../../host/host.ts';
import { ClusterZone } from './cluster-zone.ts';
import { DnsMetrics } from './dns-metrics.ts';
import { respond } from './dns-responder.ts';
import { Forwarder, nameOf } from './forwarder.ts';
import type { ResolverSettings } from './resolver-messages.ts';
import type { NamesChange } from './service-names.ts';
import { Upstreams } from './upstreams.ts';

export interface ResolverOptions extends ResolverSettings {
  readonly host: Pick<Host, 'dns' | 'addresses' | 'resolvConf'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
}

export interface Resolver {
  readonly port: number;
  onNames(changes: readonly NamesChange[]): void;
  /** Until then nobody is told that there is no such name. */
  onSynced(): void;
  renderMetrics(): string;
  close(): Promise<void>;
}

/** Strangers who ask again and again do not make this node read its addresses more often. */
const ADDRESSES_AGE_MS = 1_000;

/** Answers names of the cluster from what it is told, and all others with what other resolvers say. Rejects when it cannot listen. */
export async function startResolver(options: ResolverOptions): Promise<Resolver> {
  const { host, clock, log, addresses, clusterDns } = options;
  const zone = new ClusterZone(options.clusterDomain);
  const metrics = new DnsMetrics();
  const upstreams = new Upstreams({ ...options, own: [...clusterDns, ...addresses] });
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
  let isSynced = false;
  const responder = {
    zone,
    forwarder,
    isReady: () => isSynced,
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
  const { port, close } = await listenOn(options, handle);
  return {
    port,
    onNames(changes) {
      for (const change of changes) zone.onNames(change);
    },
    onSynced() {
      isSynced = true;
    },
    renderMetrics: () => metrics.render(),
    close,
  };
}

/** All or none: a resolver that some of its clients do not reach is none. */
async function listenOn(
  { host, addresses, port: wanted }: ResolverOptions,
  handle: DnsListenOptions['handle'],
): Promise<{ readonly port: number; readonly close: () => Promise<void> }> {
  const listeners: DnsListener[] = [];
  const close = async () => {
    await Promise.all(listeners.map((listener) => listener.close()));
  };
  let port = wanted;
  for (const address of addresses) {
    try {
      const listener = await host.dns.listen({ address, port, handle });
      listeners.push(listener);
      // Whatever was free for the first serves the others.
      port = listener.port;
    } catch (err) {
      await close();
      throw err;
    }
  }
  return { port, close };
}

/**
 * Pods and the node itself: an open resolver would be a weapon against third parties. An address that is not known is looked for
 * among the node's own, which change: one that was a stranger's may be the node's soon after.
 */
function clientFilter({
  host,
  clock,
  addresses: ownAddresses,
  clusterCidrs,
}: ResolverOptions): (address: string) => Promise<boolean> {
  const ranges = clusterCidrs.flatMap((cidr) => parseCidr(cidr) ?? []);
  const known = new Set([...ownAddresses, '127.0.0.1', '::1']);
  let readMs = Number.NEGATIVE_INFINITY;
  let reading = Promise.resolve();
  const readOwn = async () => {
    for (const { address } of await host.addresses()) known.add(address);
  };
  return async (address) => {
    if (known.has(address)) return true;
    const ip = parseIp(address);
    if (ip === undefined) return false;
    if (ranges.some((range) => rangeContains(range, ip))) return true;
    if (clock.monotonic() - readMs >= ADDRESSES_AGE_MS) {
      readMs = clock.monotonic();
      reading = readOwn();
    }
    await reading;
    return known.has(address);
  };
}
