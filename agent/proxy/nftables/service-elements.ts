import { createHash } from 'node:crypto';
import {
  admittedSources,
  type EndpointTarget,
  internalEndpoints,
  isExternallyReachable,
  type ServicePortPlan,
  usesClusterEndpoints,
  usesLocalEndpoints,
} from '../service-port-plan.ts';
import { endpointMap, type NftOptions, nftFamily, type Spread, type SpreadKind, spreadChain } from './table-layout.ts';

/** What one Service port holds in our table. */
export interface ServiceElements {
  /** Map -> key -> value. */
  readonly elements: ReadonlyMap<string, ReadonlyMap<string, string>>;
  /** The spreads that its elements need. */
  readonly spreads: readonly Spread[];
  /** Chains of its own, endpoints first: a rule may only jump to what is there. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  /** Sets that remember clients -> seconds. */
  readonly affinitySets: ReadonlyMap<string, number>;
  /** Set -> keys that other Service ports may want too. */
  readonly shared: ReadonlyMap<SharedSet, readonly string[]>;
}

/** Several ports of a Service have one address, several Services may have one endpoint. */
export type SharedSet = 'hairpin-connections' | 'cluster-ips';

const HASH_CHARACTERS = 8;
/** The kernel takes 255. */
const MAX_NAME = 200;

class Collector {
  readonly elements = new Map<string, Map<string, string>>();
  readonly spreads = new Map<string, Spread>();
  readonly chains = new Map<string, readonly string[]>();
  readonly affinitySets = new Map<string, number>();

  put(map: string, key: string, value: string): void {
    const entries = this.elements.get(map) ?? new Map<string, string>();
    this.elements.set(map, entries);
    // Two Services may claim one external address: the first has it, as with the first of two iptables rules.
    if (!entries.has(key)) entries.set(key, value);
  }

  /** Sends `address` (a node port's: undefined) to the endpoints through the chain that all Services of as many share. */
  spread(
    kind: SpreadKind,
    plan: ServicePortPlan,
    address: string | undefined,
    targets: readonly EndpointTarget[],
  ): void {
    const protocol = protocolOf(plan);
    const spread = { kind, protocol, count: targets.length };
    this.spreads.set(spreadChain(spread), spread);
    if (address === undefined) this.put('service-nodeports', portKey(plan), `jump ${spreadChain(spread)}`);
    else this.put('service-ips', keyOf(plan, address), `jump ${spreadChain(spread)}`);
    const key = address === undefined ? `${plan.nodePort}` : `${address} . ${plan.port}`;
    targets.forEach((target, index) => {
      this.put(endpointMap(spread), `${key} . ${index}`, `${target.address} . ${target.port}`);
    });
  }
}

/**
 * Most Services are map elements alone, so that a change of one is a few elements and a packet needs two look-ups however many there are.
 * Session affinity and externalTrafficPolicy Local ask more than a map can say: such Services get chains of their own.
 */
export function renderServiceElements(plan: ServicePortPlan, options: NftOptions): ServiceElements {
  const into = new Collector();
  const addresses = [...plan.externalIps, ...plan.loadBalancerIps];
  if (!plan.hasAnyEndpoint) {
    for (const address of [plan.clusterIp, ...addresses])
      into.put('no-endpoint-services', keyOf(plan, address), 'goto reject-chain');
    if (plan.nodePort !== 0) into.put('no-endpoint-nodeports', portKey(plan), 'goto reject-chain');
    return finish(into, plan);
  }
  if (internalEndpoints(plan).length === 0) into.put('no-endpoint-services', keyOf(plan, plan.clusterIp), 'drop');
  const isOwnChain = plan.affinitySeconds > 0 || (plan.externalLocal && isExternallyReachable(plan));
  if (isOwnChain) dispatchToOwnChains(into, plan, addresses, options);
  else dispatchToSpreads(into, plan, addresses);
  addFirewall(into, plan, options);
  return finish(into, plan);
}

function finish({ elements, spreads, chains, affinitySets }: Collector, plan: ServicePortPlan): ServiceElements {
  const shared = new Map<SharedSet, readonly string[]>([
    ['cluster-ips', [plan.clusterIp]],
    ['hairpin-connections', plan.localEndpoints.map(({ address }) => `${address} . ${address}`)],
  ]);
  return { elements, spreads: [...spreads.values()], chains, affinitySets, shared };
}

function dispatchToSpreads(into: Collector, plan: ServicePortPlan, addresses: readonly string[]): void {
  const internal = internalEndpoints(plan);
  if (internal.length > 0) into.spread('cluster', plan, plan.clusterIp, internal);
  if (plan.clusterEndpoints.length === 0) return;
  for (const address of addresses) into.spread('external', plan, address, plan.clusterEndpoints);
  if (plan.nodePort !== 0) into.spread('nodeport', plan, undefined, plan.clusterEndpoints);
}

function dispatchToOwnChains(
  into: Collector,
  plan: ServicePortPlan,
  addresses: readonly string[],
  options: NftOptions,
): void {
  const f = nftFamily(options.family);
  const cluster = chainName('service', plan);
  const local = chainName('local', plan);
  const stranger = `${f} daddr ${plan.clusterIp} ${f} saddr != ${options.clusterCidr} jump mark-for-masquerade`;
  if (usesClusterEndpoints(plan)) addSpreadChain(into, plan, cluster, plan.clusterEndpoints, stranger);
  if (usesLocalEndpoints(plan)) addSpreadChain(into, plan, local, plan.localEndpoints, stranger);
  if (internalEndpoints(plan).length > 0)
    into.put('service-ips', keyOf(plan, plan.clusterIp), `jump ${plan.internalLocal ? local : cluster}`);
  if (!isExternallyReachable(plan)) return;
  const external = chainName('external', plan);
  into.chains.set(external, externalRules(plan, cluster, local, options));
  for (const address of addresses) into.put('service-ips', keyOf(plan, address), `jump ${external}`);
  if (plan.nodePort !== 0) into.put('service-nodeports', portKey(plan), `jump ${external}`);
  if (!plan.externalLocal || plan.localEndpoints.length > 0) return;
  for (const address of addresses) into.put('no-endpoint-services', keyOf(plan, address), 'drop');
  if (plan.nodePort !== 0) into.put('no-endpoint-nodeports', portKey(plan), 'drop');
}

function externalRules(plan: ServicePortPlan, cluster: string, local: string, options: NftOptions): string[] {
  const f = nftFamily(options.family);
  const hasCluster = plan.clusterEndpoints.length > 0;
  if (!plan.externalLocal) return ['jump mark-for-masquerade', ...(hasCluster ? [`goto ${cluster}`] : [])];
  return [
    // Pods reach an external address as if it were the cluster IP; so does the node itself, masqueraded.
    ...(hasCluster
      ? [
          `${f} saddr ${options.clusterCidr} goto ${cluster}`,
          'fib saddr type local jump mark-for-masquerade',
          `fib saddr type local goto ${cluster}`,
        ]
      : []),
    ...(plan.localEndpoints.length > 0 ? [`goto ${local}`] : []),
  ];
}

function addSpreadChain(
  into: Collector,
  plan: ServicePortPlan,
  name: string,
  targets: readonly EndpointTarget[],
  stranger: string,
): void {
  const f = plan.family === 'IPv6' ? 'ip6' : 'ip';
  const protocol = protocolOf(plan);
  if (plan.affinitySeconds === 0) {
    const choices = targets.map(({ address, port }, index) => `${index} : ${address} . ${port}`);
    into.chains.set(name, [
      stranger,
      `meta l4proto ${protocol} dnat ${f} to numgen random mod ${targets.length} map { ${choices.join(', ')} }`,
    ]);
    return;
  }
  const remembered: string[] = [];
  const choices: string[] = [];
  targets.forEach((target, index) => {
    const endpoint = endpointChainName(plan, target);
    // The time-out is in the name: the kernel changes none of a set that stands.
    const set = `affinity-${hash(endpoint)}-${plan.affinitySeconds}`;
    const destination = plan.family === 'IPv6' ? `[${target.address}]` : target.address;
    into.affinitySets.set(set, plan.affinitySeconds);
    into.chains.set(endpoint, [
      `update @${set} { ${f} saddr } meta l4proto ${protocol} dnat to ${destination}:${target.port}`,
    ]);
    remembered.push(`${f} saddr @${set} goto ${endpoint}`);
    choices.push(`${index} : goto ${endpoint}`);
  });
  into.chains.set(name, [
    stranger,
    ...remembered,
    `numgen random mod ${targets.length} vmap { ${choices.join(', ')} }`,
  ]);
}

function addFirewall(into: Collector, plan: ServicePortPlan, options: NftOptions): void {
  if (plan.loadBalancerIps.length === 0 || plan.loadBalancerSourceRanges.length === 0) return;
  const name = chainName('firewall', plan);
  const sources = admittedSources(plan, options.nodeIps ?? []);
  const ranges = sources.map((range) => `${nftFamily(options.family)} saddr ${range} return`);
  into.chains.set(name, [...ranges, 'drop']);
  for (const ip of plan.loadBalancerIps) into.put('firewall-ips', keyOf(plan, ip), `goto ${name}`);
}

const protocolOf = (plan: ServicePortPlan) => plan.protocol.toLowerCase() as 'tcp' | 'udp' | 'sctp';
const keyOf = (plan: ServicePortPlan, address: string): string => `${address} . ${protocolOf(plan)} . ${plan.port}`;
const portKey = (plan: ServicePortPlan): string => `${protocolOf(plan)} . ${plan.nodePort}`;

/** `service-ULMVA6XW-ns/name/tcp/http`, as kube-proxy names them. */
function chainName(kind: 'service' | 'local' | 'external' | 'firewall', plan: ServicePortPlan): string {
  const text = portText(plan);
  return `${kind}-${hash(text)}-${text}`.slice(0, MAX_NAME);
}

function endpointChainName(plan: ServicePortPlan, { address, port }: EndpointTarget): string {
  const text = `${portText(plan)}__${address.replaceAll(':', '.')}/${port}`;
  return `endpoint-${hash(text)}-${text}`.slice(0, MAX_NAME);
}

function portText({ id, protocol }: ServicePortPlan): string {
  const [service = '', port = ''] = id.split(':');
  return `${service}/${protocol.toLowerCase()}/${port}`;
}

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const hash = (text: string): string =>
  [...createHash('sha256').update(text).digest().subarray(0, HASH_CHARACTERS)]
    .map((byte) => BASE32[byte & 31])
    .join('');
