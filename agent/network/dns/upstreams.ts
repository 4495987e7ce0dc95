import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Host } from '../../host/host.ts';
import { encodeQuery } from './dns-message.ts';
import { nameOf, parseServer, type UpstreamServer } from './forwarder.ts';
import { parseStubDomains, stubServersFor } from './stub-domains.ts';

export interface UpstreamsOptions {
  readonly host: Pick<Host, 'dns' | 'resolvConf'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
  /** The resolver's own addresses: asking there would be asking itself. */
  readonly own: readonly string[];
  /** Resolvers to ask instead of the host's; empty: the host's. */
  readonly upstreams: readonly string[];
  /** `corp.example=10.0.0.53`. */
  readonly stubDomains: readonly string[];
}

const RESOLV_CONF_MAX_AGE_MS = 5_000;
const LOOP_PROBE_TIMEOUT_MS = 2_000;

/** Which resolvers are asked: stub domains first, then those of the configuration or of the host, without those that lead back to us. */
export class Upstreams {
  readonly #options: UpstreamsOptions;
  readonly #stubs: ReturnType<typeof parseStubDomains>;
  readonly #looping = new Set<string>();
  readonly #probed = new Set<string>();
  readonly #probeName: string;
  #current: readonly UpstreamServer[] = [];
  #probing: string | undefined;
  #readMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> = Promise.resolve();

  constructor(options: UpstreamsOptions) {
    this.#options = options;
    this.#stubs = parseStubDomains(options.stubDomains);
    this.#probeName = `${Math.floor(options.random() * 2 ** 48).toString(16)}.coracle-loop`;
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
      this.#reading = this.#read().then(
        (servers) => {
          this.#current = servers;
        },
        (err: unknown) =>
          this.#options.log.warn('the resolvers of this host cannot be read', { err: describeError(err) }),
      );
    }
    // Clients ask for both families at once: the second question must not find nobody because the first is still looking.
    await this.#reading;
    return this.#current.filter((server) => !this.#looping.has(nameOf(server)));
  }

  async #read(): Promise<readonly UpstreamServer[]> {
    const { host, own: ownAddresses, upstreams } = this.#options;
    const named = upstreams.length > 0 ? upstreams : (await host.resolvConf()).servers;
    const own = new Set(ownAddresses);
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
