import type { Informer } from '#api/client/informer.ts';
import { type IpFamily, parseIp } from '#api/meta/ip-address.ts';
import type { EndpointSlice, Service } from '#api/object/kinds.ts';
import type { ObjectKey } from '#api/object/kube-object.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Host } from '../../host/host.ts';
import { hostRange } from '../paths/vxlan.ts';
import type { FromResolver, ResolverSettings, ResolverThread, ToResolver } from './resolver-messages.ts';
import { NamesFeed } from './service-names.ts';

/**
 * Of the node itself, on its loopback: stay when other addresses change, and are nobody else's. Link-local ones of IPv6 belong to one link
 * each, so that of IPv6 is from the ranges for private use.
 */
const DNS_ADDRESSES: Readonly<Record<IpFamily, string>> = {
  IPv4: '169.254.10.53',
  IPv6: 'fd63:6f72:6163:6c65::53',
};

type AddressByFamily = Readonly<Partial<Record<IpFamily, string>>>;

export interface DnsServerOptions extends Omit<ResolverSettings, 'addresses'> {
  readonly host: Pick<Host, 'exec'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly services: Informer<Service>;
  readonly endpointSlices: Informer<EndpointSlice>;
  readonly launch: (settings: ResolverSettings) => ResolverThread;
}

export interface DnsServer {
  readonly addresses: AddressByFamily;
  readonly port: number;
  /** In Prometheus' text format; empty while the resolver does not answer. */
  renderMetrics(): Promise<string>;
}

const RESTART_MS = 1_000;
const METRICS_TIMEOUT_MS = 1_000;
/** One message holds no more, so that the resolver answers in between while it takes in a large cluster. */
const MAX_CHANGES = 200;

/**
 * Runs the resolver until aborted, in a thread of its own: what else this agent does must not keep the names of pods waiting. It is told
 * names from the informers, which go on while the controller is away. Rejects when it cannot listen.
 */
export async function startDnsServer(options: DnsServerOptions, signal: AbortSignal): Promise<DnsServer> {
  const addresses = resolverAddresses(options.clusterDns);
  for (const address of Object.values(addresses))
    await options.host.exec.run(['ip', 'address', 'replace', hostRange(address), 'dev', 'lo']);
  const keeper = new ResolverKeeper(options, signal);
  const port = await keeper.start(options.port);
  options.log.info('cluster DNS answers on this node', { addresses: Object.values(addresses), port });
  return { addresses, port, renderMetrics: () => keeper.renderMetrics() };
}

/** Takes back what starting put into the host. */
export async function removeDnsAddress({ exec }: Host): Promise<void> {
  const { stdout } = await exec.run(['ip', 'address', 'show', 'dev', 'lo']);
  for (const range of Object.values(DNS_ADDRESSES).map(hostRange))
    if (stdout.includes(range)) await exec.run(['ip', 'address', 'del', range, 'dev', 'lo']);
}

/** One for each family that the cluster DNS has, as pods see it. */
export function resolverAddresses(clusterDns: readonly string[]): AddressByFamily {
  const families = clusterDns.flatMap((address) => parseIp(address)?.family ?? []);
  return Object.fromEntries(families.map((family) => [family, DNS_ADDRESSES[family]]));
}

class ResolverKeeper {
  readonly #options: DnsServerOptions;
  readonly #signal: AbortSignal;
  readonly #feed = new NamesFeed((service) => this.#onChange(service));
  #thread: ResolverThread | undefined;
  /** Services that changed: those of many slices once, not once for each. */
  readonly #waiting = new Set<ObjectKey>();
  #isSynced = false;
  #onMetrics: ((text: string) => void)[] = [];

  constructor(options: DnsServerOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
  }

  /** Answers the port. What ends the thread later is cured by another one on the same port. */
  async start(port: number): Promise<number> {
    const bound = await this.#launch(port);
    this.#follow();
    return bound;
  }

  renderMetrics(): Promise<string> {
    return new Promise((resolve) => {
      const settle = (text: string) => {
        cancel();
        resolve(text);
      };
      const cancel = this.#options.clock.after(METRICS_TIMEOUT_MS, () => {
        this.#onMetrics = this.#onMetrics.filter((other) => other !== settle);
        settle('');
      });
      this.#onMetrics.push(settle);
      this.#post({ kind: 'render-metrics' });
    });
  }

  #launch(port: number): Promise<number> {
    const { clusterDomain, clusterDns, clusterCidrs, upstreams, stubDomains, launch } = this.#options;
    const settings = { clusterDomain, clusterDns, clusterCidrs, upstreams, stubDomains };
    const thread = launch({ ...settings, addresses: Object.values(resolverAddresses(clusterDns)), port });
    const onAbort = () => thread.end();
    this.#signal.addEventListener('abort', onAbort, { once: true });
    return new Promise((resolve, reject) => {
      let bound: number | undefined;
      thread.onMessage((message) => {
        if (message.kind === 'listening') {
          bound = message.port;
          this.#thread = thread;
          resolve(bound);
        } else if (message.kind === 'failed') reject(new Error(message.message));
        else this.#onMessage(message);
      });
      thread.onEnd((reason) => {
        this.#signal.removeEventListener('abort', onAbort);
        reject(new Error(reason));
        if (this.#thread !== thread || this.#signal.aborted) return;
        this.#thread = undefined;
        this.#options.log.error('the cluster DNS of this node failed; starting it anew', { reason });
        void this.#relaunch(bound ?? port);
      });
    });
  }

  async #relaunch(port: number): Promise<void> {
    const { clock, log } = this.#options;
    while (!this.#signal.aborted) {
      await delay(clock, RESTART_MS, this.#signal).catch(() => {});
      if (this.#signal.aborted) return;
      try {
        await this.#launch(port);
        this.#waiting.clear();
        this.#feed.replay();
        this.#flush();
        if (this.#isSynced) this.#post({ kind: 'synced' });
        return;
      } catch (err) {
        log.error('the cluster DNS cannot answer on this node', { err: describeError(err) });
      }
    }
  }

  #onMessage(message: FromResolver): void {
    if (message.kind === 'log') this.#options.log[message.level](message.message, message.fields);
    // Whoever asks gets the next answer; each is a whole one.
    if (message.kind === 'metrics') for (const settle of this.#onMetrics.splice(0)) settle(message.text);
  }

  #follow(): void {
    const { services, endpointSlices } = this.#options;
    services.addHandler({
      onAdd: (service) => this.#feed.onService(service),
      onUpdate: (_, service) => this.#feed.onService(service),
      onDelete: (service) => this.#feed.onServiceDeleted(service),
    });
    endpointSlices.addHandler({
      onAdd: (slice) => this.#feed.onSlice(slice),
      onUpdate: (_, slice) => this.#feed.onSlice(slice),
      onDelete: (slice) => this.#feed.onSliceDeleted(slice),
    });
    Promise.all([services.waitForSync(this.#signal), endpointSlices.waitForSync(this.#signal)]).then(
      () => {
        this.#isSynced = true;
        this.#flush();
        this.#post({ kind: 'synced' });
      },
      () => {},
    );
  }

  #onChange(service: ObjectKey): void {
    // Those of one list come in one turn and travel together.
    if (this.#waiting.size === 0) queueMicrotask(() => this.#flush());
    this.#waiting.add(service);
    if (this.#waiting.size >= MAX_CHANGES) this.#flush();
  }

  #flush(): void {
    if (this.#waiting.size === 0) return;
    const changes = [...this.#waiting].map((service) => this.#feed.changeOf(service));
    this.#waiting.clear();
    this.#post({ kind: 'names', changes });
  }

  /** Nobody there: a new thread is told everything anyway. */
  #post(message: ToResolver): void {
    this.#thread?.post(message);
  }
}
