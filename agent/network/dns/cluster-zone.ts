import { formatIp, parseIp } from '#api/meta/ip-address.ts';
import { type ObjectKey, objectKey } from '#api/object/kube-object.ts';
import type { Endpoint, NamedPort, NamesChange, ServiceNames } from './service-names.ts';

/** Resource record types that a cluster has. */
export type RecordType = 'A' | 'AAAA' | 'CNAME' | 'NS' | 'PTR' | 'SOA' | 'SRV' | 'TXT';

export interface SrvData {
  readonly priority: number;
  readonly weight: number;
  readonly port: number;
  readonly target: string;
}

export interface SoaData {
  readonly mname: string;
  readonly rname: string;
  readonly serial: number;
  readonly refresh: number;
  readonly retry: number;
  readonly expire: number;
  readonly minimum: number;
}

export interface DnsRecord {
  readonly name: string;
  readonly type: RecordType;
  readonly ttl: number;
  readonly data: string | SrvData | SoaData;
}

export type ZoneAnswer =
  /** Found. `additionals` are the addresses of what `answers` name. */
  | { readonly kind: 'records'; readonly answers: readonly DnsRecord[]; readonly additionals: readonly DnsRecord[] }
  /** The name exists, but not with this type. */
  | { readonly kind: 'no-data' }
  | { readonly kind: 'no-name' }
  /** An ExternalName Service: `answers` hold its CNAME, the rest is to be asked for `target`. */
  | { readonly kind: 'alias'; readonly answers: readonly DnsRecord[]; readonly target: string }
  /** Not a name of the cluster. */
  | { readonly kind: 'elsewhere' };

/** Of the specification that this follows: kubernetes/dns, docs/specification.md. */
const SPECIFICATION = '1.1.0';
const CLUSTER_TTL_SECONDS = 30;
const NEGATIVE_TTL_SECONDS = 5;
const SRV_WEIGHT = 100;

/**
 * Every name of the cluster, from what its Services' names lead to, after Kubernetes' DNS specification. Pods are answered by their address
 * alone (`10-244-1-5.ns.pod`), without asking whether there is such a pod, as CoreDNS does by default.
 */
export class ClusterZone {
  readonly domain: string;
  readonly #names = new Map<ObjectKey, ServiceNames>();
  readonly #namespaces = new Map<string, number>();
  /** Address -> service -> its name there. */
  readonly #reverse = new Map<string, Map<ObjectKey, string>>();
  #serial = 1;
  /** Turns the order of addresses, so that clients that take the first spread. */
  #turn = 0;

  /** `domain` without dots at its ends, e.g. `cluster.local`. */
  constructor(domain: string) {
    this.domain = domain.toLowerCase();
  }

  onNames({ namespace, name, names }: NamesChange): void {
    this.#serial += 1;
    const key = objectKey(namespace, name);
    const before = this.#names.get(key);
    for (const address of before === undefined ? [] : allAddresses(before)) this.#forget(address, key);
    this.#count(namespace, Number(names !== undefined) - Number(before !== undefined));
    if (names === undefined) {
      this.#names.delete(key);
      return;
    }
    this.#names.set(key, names);
    const base = `${name}.${namespace}.svc.${this.domain}`;
    const remember = (address: string, text: string) => {
      const known = this.#reverse.get(address) ?? new Map<ObjectKey, string>();
      known.set(key, text);
      this.#reverse.set(address, known);
    };
    for (const address of names.clusterIps) remember(address, base);
    for (const { hostname, addresses } of names.endpoints)
      for (const address of addresses) remember(address, `${hostname}.${base}`);
  }

  /** `name` in lower case without its last dot. `type` as `A`, `SRV` ... */
  resolve(name: string, type: string): ZoneAnswer {
    if (name.endsWith('.in-addr.arpa') || name.endsWith('.ip6.arpa')) return this.#resolveReverse(name, type);
    if (name === this.domain) return this.#resolveApex(type);
    if (!name.endsWith(`.${this.domain}`)) return { kind: 'elsewhere' };
    const labels = name.slice(0, -this.domain.length - 1).split('.');
    const kind = labels.at(-1);
    if (kind === 'svc') return this.#resolveService(name, labels.slice(0, -1), type);
    if (kind === 'pod') return this.#resolvePod(name, labels.slice(0, -1), type);
    if (name === `dns-version.${this.domain}`) return ofType(type, 'TXT', name, [SPECIFICATION]);
    if (name === `ns.dns.${this.domain}`) return this.#addresses(name, type, this.#dnsAddresses());
    return name === `dns.${this.domain}` ? { kind: 'no-data' } : { kind: 'no-name' };
  }

  /** Goes with every negative answer; its last field says how long to remember it. */
  soa(): DnsRecord {
    const data = {
      mname: `ns.dns.${this.domain}`,
      rname: `hostmaster.${this.domain}`,
      serial: this.#serial,
      refresh: 7_200,
      retry: 1_800,
      expire: 86_400,
      minimum: NEGATIVE_TTL_SECONDS,
    };
    return { name: this.domain, type: 'SOA', ttl: NEGATIVE_TTL_SECONDS, data };
  }

  #resolveApex(type: string): ZoneAnswer {
    if (type === 'SOA') return { kind: 'records', answers: [this.soa()], additionals: [] };
    const ns = `ns.dns.${this.domain}`;
    const found = ofType(type, 'NS', this.domain, [ns]);
    return found.kind === 'records' ? { ...found, additionals: addressRecords(ns, this.#dnsAddresses()) } : found;
  }

  #dnsAddresses(): readonly string[] {
    return this.#names.get(objectKey('kube-system', 'kube-dns'))?.clusterIps ?? [];
  }

  #resolveService(name: string, labels: readonly string[], type: string): ZoneAnswer {
    const [namespace, service, ...rest] = labels.toReversed();
    if (namespace === undefined) return { kind: 'no-data' };
    if (service === undefined) return this.#namespaces.has(namespace) ? { kind: 'no-data' } : { kind: 'no-name' };
    const names = this.#names.get(objectKey(namespace, service));
    if (names === undefined) return { kind: 'no-name' };
    const base = `${service}.${namespace}.svc.${this.domain}`;
    if (names.externalName !== undefined)
      return rest.length === 0 ? alias(name, names.externalName) : { kind: 'no-name' };
    if (rest.length === 0)
      return type === 'SRV'
        ? this.#srv(name, base, names, names.ports)
        : this.#addresses(name, type, allAddresses(names));
    const [first, second] = rest;
    if (rest.length === 1) return this.#resolveBelow(name, first!, names, type);
    if (rest.length > 2 || !first!.startsWith('_') || !second!.startsWith('_')) return { kind: 'no-name' };
    const ports = names.ports.filter((port) => `_${port.protocol}` === first && `_${port.name}` === second);
    if (ports.length === 0) return { kind: 'no-name' };
    return type === 'SRV' ? this.#srv(name, base, names, ports) : { kind: 'no-data' };
  }

  /** One label before the Service: a protocol of its ports, or the host name of an endpoint. */
  #resolveBelow(name: string, label: string, names: ServiceNames, type: string): ZoneAnswer {
    if (names.ports.some(({ protocol }) => `_${protocol}` === label)) return { kind: 'no-data' };
    const addresses = names.endpoints.filter(({ hostname }) => hostname === label).flatMap((one) => one.addresses);
    return addresses.length === 0 ? { kind: 'no-name' } : this.#addresses(name, type, addresses);
  }

  #srv(name: string, base: string, names: ServiceNames, ports: readonly NamedPort[]): ZoneAnswer {
    const targets: readonly Endpoint[] =
      names.clusterIps.length > 0 ? [{ hostname: '', addresses: names.clusterIps }] : names.endpoints;
    const nameOf = ({ hostname }: Endpoint) => (hostname === '' ? base : `${hostname}.${base}`);
    const weight = Math.max(1, Math.floor(SRV_WEIGHT / Math.max(1, targets.length)));
    const unique = [...new Map(targets.map((target) => [nameOf(target), target])).values()];
    const answers = ports.flatMap(({ port }) =>
      unique.map((target): DnsRecord => {
        const data = { priority: 0, weight, port, target: nameOf(target) };
        return { name, type: 'SRV', ttl: CLUSTER_TTL_SECONDS, data };
      }),
    );
    if (answers.length === 0) return { kind: 'no-data' };
    const additionals = targets.flatMap((target) => addressRecords(nameOf(target), target.addresses));
    return { kind: 'records', answers, additionals };
  }

  #resolvePod(name: string, labels: readonly string[], type: string): ZoneAnswer {
    const [namespace, dashed, ...rest] = labels.toReversed();
    if (namespace === undefined) return { kind: 'no-data' };
    if (!this.#namespaces.has(namespace)) return { kind: 'no-name' };
    if (dashed === undefined) return { kind: 'no-data' };
    const address = parseIp(dashed.replaceAll('-', '.')) ?? parseIp(dashed.replaceAll('-', ':'));
    if (rest.length > 0 || address === undefined) return { kind: 'no-name' };
    return this.#addresses(name, type, [formatIp(address)]);
  }

  #resolveReverse(name: string, type: string): ZoneAnswer {
    const address = addressOfReverse(name);
    const names = address === undefined ? undefined : this.#reverse.get(address);
    // Other addresses are the business of the host's resolvers.
    if (names === undefined) return { kind: 'elsewhere' };
    return ofType(type, 'PTR', name, [...new Set(names.values())]);
  }

  #addresses(name: string, type: string, addresses: readonly string[]): ZoneAnswer {
    const wanted = addressRecords(name, addresses).filter((record) => record.type === type);
    if (wanted.length === 0) return { kind: 'no-data' };
    const start = wanted.length === 1 ? 0 : this.#turn++ % wanted.length;
    return { kind: 'records', answers: [...wanted.slice(start), ...wanted.slice(0, start)], additionals: [] };
  }

  #forget(address: string, key: ObjectKey): void {
    const names = this.#reverse.get(address);
    names?.delete(key);
    if (names?.size === 0) this.#reverse.delete(address);
  }

  /** A namespace exists, as far as names go, while it has a Service. */
  #count(namespace: string, more: number): void {
    const services = (this.#namespaces.get(namespace) ?? 0) + more;
    if (services === 0) this.#namespaces.delete(namespace);
    else this.#namespaces.set(namespace, services);
  }
}

const allAddresses = ({ clusterIps, endpoints }: ServiceNames): string[] => [
  ...new Set([...clusterIps, ...endpoints.flatMap(({ addresses }) => addresses)]),
];

function addressRecords(name: string, addresses: readonly string[]): DnsRecord[] {
  return addresses.map((address) => ({
    name,
    type: address.includes(':') ? 'AAAA' : 'A',
    ttl: CLUSTER_TTL_SECONDS,
    data: address,
  }));
}

function alias(name: string, target: string): ZoneAnswer {
  return { kind: 'alias', target, answers: [{ name, type: 'CNAME', ttl: CLUSTER_TTL_SECONDS, data: target }] };
}

function ofType(asked: string, type: RecordType, name: string, data: readonly string[]): ZoneAnswer {
  if (asked !== type) return { kind: 'no-data' };
  const answers = data.map((one): DnsRecord => ({ name, type, ttl: CLUSTER_TTL_SECONDS, data: one }));
  return { kind: 'records', answers, additionals: [] };
}

/** `5.1.244.10.in-addr.arpa` -> `10.244.1.5`; undefined for parts of an address and nonsense. */
export function addressOfReverse(name: string): string | undefined {
  const v4 = /^((?:\d{1,3}\.){4})in-addr\.arpa$/.exec(name);
  if (v4 !== null) {
    const ip = parseIp(v4[1]!.slice(0, -1).split('.').reverse().join('.'));
    return ip && formatIp(ip);
  }
  const v6 = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name);
  if (v6 === null) return undefined;
  const digits = v6[1]!.replaceAll('.', '').split('').reverse().join('');
  const ip = parseIp(digits.match(/.{4}/g)!.join(':'));
  return ip && formatIp(ip);
}
