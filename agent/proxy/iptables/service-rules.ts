import {
  admittedSources,
  type EndpointTarget,
  externalEndpoints,
  internalEndpoints,
  isExternallyReachable,
  type ServicePortPlan,
  usesClusterEndpoints,
  usesLocalEndpoints,
} from '../service-port-plan.ts';
import { endpointChain, externalChain, firewallChain, localChain, serviceChain } from './chain-names.ts';

/** A rule without its `-A <chain>`, as iptables-restore reads it. */
export type Rule = string;

/** The nat chains that belong to one Service port alone. */
export type ServiceChains = ReadonlyMap<string, readonly Rule[]>;

/** The rules of one Service port in chains that all share. */
export interface DispatchRules {
  /** nat KUBE-SERVICES. */
  readonly services: readonly Rule[];
  /** nat KUBE-NODEPORTS. */
  readonly nodePorts: readonly Rule[];
  /** filter KUBE-SERVICES: refusals of internal traffic. */
  readonly internalRefusals: readonly Rule[];
  /** filter KUBE-EXTERNAL-SERVICES: refusals of external traffic. */
  readonly externalRefusals: readonly Rule[];
  /** filter KUBE-PROXY-FIREWALL: traffic to a load-balancer address that its source ranges did not admit. */
  readonly firewall: readonly Rule[];
}

export interface RuleOptions {
  /** Pod addresses of the cluster: traffic from elsewhere to a cluster IP is masqueraded so that answers find their way back. */
  readonly clusterCidr: string;
  /** Of this node. */
  readonly nodeIps?: readonly string[];
}

const comment = (text: string): string => `-m comment --comment "${text}"`;
const protocolOf = (plan: ServicePortPlan): string => plan.protocol.toLowerCase();
const host = (plan: ServicePortPlan, address: string): string => `${address}/${plan.family === 'IPv6' ? 128 : 32}`;
const to = (plan: ServicePortPlan, address: string, port: number): string =>
  `-d ${host(plan, address)} ${toPort(plan, port)}`;
const toPort = (plan: ServicePortPlan, port: number): string =>
  `-p ${protocolOf(plan)} -m ${protocolOf(plan)} --dport ${port}`;
const hasSourceRanges = (plan: ServicePortPlan): boolean =>
  plan.loadBalancerIps.length > 0 && plan.loadBalancerSourceRanges.length > 0;

/**
 * Chains of one Service port: SVC spreads over the cluster and SVL over this node, EXT decides on masquerade, FW on sources, SEP
 * translates.
 */
export function renderServiceChains(plan: ServicePortPlan, options: RuleOptions): ServiceChains {
  const { clusterCidr } = options;
  const chains = new Map<string, Rule[]>();
  const isCounted = plan.hasAnyEndpoint;
  if (isCounted && usesClusterEndpoints(plan))
    chains.set(serviceChain(plan), [...masqueradeStrangers(plan, clusterCidr), ...spread(plan, plan.clusterEndpoints)]);
  if (isCounted && usesLocalEndpoints(plan))
    chains.set(localChain(plan), [...masqueradeStrangers(plan, clusterCidr), ...spread(plan, plan.localEndpoints)]);
  if (isCounted && isExternallyReachable(plan)) addExternalChains(chains, plan, options);
  const targets = [
    ...(usesClusterEndpoints(plan) ? plan.clusterEndpoints : []),
    ...(usesLocalEndpoints(plan) ? plan.localEndpoints : []),
  ];
  for (const target of targets) chains.set(endpointChain(plan, target), endpointRules(plan, target));
  return chains;
}

/** The chain may be entered for external addresses too; only traffic to the cluster IP is judged here. */
function masqueradeStrangers(plan: ServicePortPlan, clusterCidr: string): Rule[] {
  return [
    `${comment(`${plan.id} cluster IP`)} ! -s ${clusterCidr} ${to(plan, plan.clusterIp, plan.port)} -j KUBE-MARK-MASQ`,
  ];
}

function addExternalChains(
  chains: Map<string, Rule[]>,
  plan: ServicePortPlan,
  { clusterCidr, nodeIps = [] }: RuleOptions,
): void {
  const rules: Rule[] = [];
  if (!plan.externalLocal) {
    rules.push(`${comment(`masquerade traffic for ${plan.id} external destinations`)} -j KUBE-MARK-MASQ`);
    if (plan.clusterEndpoints.length > 0) rules.push(`-j ${serviceChain(plan)}`);
  } else {
    if (plan.clusterEndpoints.length > 0) {
      // Pods reach an external address as if it were the cluster IP; so does the node itself, masqueraded.
      rules.push(
        `${comment(`pod traffic for ${plan.id} external destinations`)} -s ${clusterCidr} -j ${serviceChain(plan)}`,
        `${comment(`masquerade LOCAL traffic for ${plan.id} external destinations`)} -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ`,
        `${comment(`route LOCAL traffic for ${plan.id} external destinations`)} -m addrtype --src-type LOCAL -j ${serviceChain(plan)}`,
      );
    }
    if (plan.localEndpoints.length > 0) rules.push(`-j ${localChain(plan)}`);
  }
  chains.set(externalChain(plan), rules);
  if (hasSourceRanges(plan)) {
    chains.set(
      firewallChain(plan),
      admittedSources(plan, nodeIps).map(
        (range) => `${comment(`${plan.id} loadbalancer IP`)} -s ${range} -j ${externalChain(plan)}`,
      ),
    );
  }
}

/** Jumps to the endpoints: first those that the client used before, then each with the same chance. */
function spread(plan: ServicePortPlan, targets: readonly EndpointTarget[]): Rule[] {
  const rules: Rule[] = [];
  if (plan.affinitySeconds > 0) {
    for (const target of targets) {
      const chain = endpointChain(plan, target);
      rules.push(
        `${comment(`${plan.id} -> ${target.address}:${target.port}`)} -m recent --name ${chain} --rcheck --seconds ${plan.affinitySeconds} --reap -j ${chain}`,
      );
    }
  }
  targets.forEach((target, index) => {
    // The k-th of n rules is asked only when the k-1 before it declined, so it must take one in n-k+1.
    const left = targets.length - index;
    const chance = left === 1 ? '' : ` -m statistic --mode random --probability ${(1 / left).toFixed(10)}`;
    rules.push(
      `${comment(`${plan.id} -> ${target.address}:${target.port}`)}${chance} -j ${endpointChain(plan, target)}`,
    );
  });
  return rules;
}

function endpointRules(plan: ServicePortPlan, target: EndpointTarget): Rule[] {
  const chain = endpointChain(plan, target);
  const remember = plan.affinitySeconds > 0 ? ` -m recent --name ${chain} --set` : '';
  const destination = plan.family === 'IPv6' ? `[${target.address}]` : target.address;
  return [
    // Hairpin: a pod that reaches itself through its Service must see another source address, or it answers itself directly.
    `${comment(plan.id)} -s ${host(plan, target.address)} -j KUBE-MARK-MASQ`,
    `${comment(plan.id)}${remember} -p ${protocolOf(plan)} -m ${protocolOf(plan)} -j DNAT --to-destination ${destination}:${target.port}`,
  ];
}

/** What the shared chains must hold for this Service port. */
export function renderDispatch(plan: ServicePortPlan): DispatchRules {
  return plan.hasAnyEndpoint ? dispatchToEndpoints(plan) : refuse(plan);
}

function dispatchToEndpoints(plan: ServicePortPlan): DispatchRules {
  const external = externalChain(plan);
  const internal = plan.internalLocal ? localChain(plan) : serviceChain(plan);
  const loadBalancer = hasSourceRanges(plan) ? firewallChain(plan) : external;
  const noInternal = internalEndpoints(plan).length === 0;
  return {
    services: [
      ...(noInternal
        ? []
        : [`${comment(`${plan.id} cluster IP`)} ${to(plan, plan.clusterIp, plan.port)} -j ${internal}`]),
      ...plan.externalIps.map((ip) => `${comment(`${plan.id} external IP`)} ${to(plan, ip, plan.port)} -j ${external}`),
      ...plan.loadBalancerIps.map(
        (ip) => `${comment(`${plan.id} loadbalancer IP`)} ${to(plan, ip, plan.port)} -j ${loadBalancer}`,
      ),
    ],
    nodePorts: plan.nodePort === 0 ? [] : [`${comment(plan.id)} ${toPort(plan, plan.nodePort)} -j ${external}`],
    // internalTrafficPolicy Local without a local endpoint drops: the cluster has endpoints, this node may not use them.
    internalRefusals: noInternal
      ? [`${comment(`${plan.id} has no local endpoints`)} ${to(plan, plan.clusterIp, plan.port)} -j DROP`]
      : [],
    externalRefusals:
      plan.externalLocal && externalEndpoints(plan).length === 0
        ? externalMatches(plan).map((match) => `${comment(`${plan.id} has no local endpoints`)} ${match} -j DROP`)
        : [],
    firewall: hasSourceRanges(plan)
      ? plan.loadBalancerIps.map(
          (ip) =>
            `${comment(`${plan.id} traffic not accepted by ${firewallChain(plan)}`)} ${to(plan, ip, plan.port)} -j DROP`,
        )
      : [],
  };
}

function refuse(plan: ServicePortPlan): DispatchRules {
  const why = comment(`${plan.id} has no endpoints`);
  return {
    services: [],
    nodePorts: [],
    internalRefusals: [`${why} ${to(plan, plan.clusterIp, plan.port)} -j REJECT`],
    externalRefusals: externalMatches(plan).map((match) => `${why} ${match} -j REJECT`),
    firewall: [],
  };
}

function externalMatches(plan: ServicePortPlan): string[] {
  return [
    ...[...plan.externalIps, ...plan.loadBalancerIps].map((ip) => to(plan, ip, plan.port)),
    ...(plan.nodePort === 0 ? [] : [`-m addrtype --dst-type LOCAL ${toPort(plan, plan.nodePort)}`]),
  ];
}
