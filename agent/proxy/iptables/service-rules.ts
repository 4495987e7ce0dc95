import { type EndpointTarget, isExternallyReachable, type ServicePortPlan } from '../service-port-plan.ts';
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
}

export interface RuleOptions {
  /** Pod addresses of the cluster: traffic from elsewhere to a cluster IP is masqueraded so that answers find their way back. */
  readonly clusterCidr: string;
}

const comment = (text: string): string => `-m comment --comment "${text}"`;
const protocolOf = (plan: ServicePortPlan): string => plan.protocol.toLowerCase();
const to = (plan: ServicePortPlan, address: string, port: number): string => `-d ${address}/32 ${toPort(plan, port)}`;
const toPort = (plan: ServicePortPlan, port: number): string =>
  `-p ${protocolOf(plan)} -m ${protocolOf(plan)} --dport ${port}`;

/** Chains of one Service port: SVC and SVL spread, EXT decides on masquerade, FW on sources, SEP translates. */
export function renderServiceChains(plan: ServicePortPlan, { clusterCidr }: RuleOptions): ServiceChains {
  const chains = new Map<string, Rule[]>();
  if (plan.internalEndpoints.length > 0) {
    chains.set(serviceChain(plan), [
      `${comment(`${plan.id} cluster IP`)} ! -s ${clusterCidr} ${to(plan, plan.clusterIp, plan.port)} -j KUBE-MARK-MASQ`,
      ...spread(plan, plan.internalEndpoints),
    ]);
  }
  if (isExternallyReachable(plan) && plan.hasAnyEndpoint) addExternalChains(chains, plan, clusterCidr);
  for (const target of [...plan.internalEndpoints, ...plan.externalEndpoints]) {
    chains.set(endpointChain(plan, target), endpointRules(plan, target));
  }
  return chains;
}

function addExternalChains(chains: Map<string, Rule[]>, plan: ServicePortPlan, clusterCidr: string): void {
  if (!plan.keepsClientAddress) {
    const target = externalSpread(plan);
    // With internalTrafficPolicy Local the SVC chain holds local endpoints only, so external traffic needs a spread of its own.
    if (target === localChain(plan)) chains.set(target, spread(plan, plan.externalEndpoints));
    chains.set(externalChain(plan), [
      `${comment(`masquerade traffic for ${plan.id} external destinations`)} -j KUBE-MARK-MASQ`,
      `-j ${target}`,
    ]);
  } else {
    const rules: Rule[] = [];
    if (plan.internalEndpoints.length > 0) {
      // Pods reach an external address as if it were the cluster IP; so does the node itself, masqueraded.
      rules.push(
        `${comment(`pod traffic for ${plan.id} external destinations`)} -s ${clusterCidr} -j ${serviceChain(plan)}`,
        `${comment(`masquerade LOCAL traffic for ${plan.id} external destinations`)} -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ`,
        `${comment(`route LOCAL traffic for ${plan.id} external destinations`)} -m addrtype --src-type LOCAL -j ${serviceChain(plan)}`,
      );
    }
    if (plan.externalEndpoints.length > 0) {
      chains.set(localChain(plan), spread(plan, plan.externalEndpoints));
      rules.push(`-j ${localChain(plan)}`);
    }
    chains.set(externalChain(plan), rules);
  }
  if (plan.loadBalancerIps.length > 0 && plan.loadBalancerSourceRanges.length > 0) {
    chains.set(
      firewallChain(plan),
      plan.loadBalancerSourceRanges.map(
        (range) => `${comment(`${plan.id} loadbalancer IP`)} -s ${range} -j ${externalChain(plan)}`,
      ),
    );
  }
}

function externalSpread(plan: ServicePortPlan): string {
  const same = JSON.stringify(plan.internalEndpoints) === JSON.stringify(plan.externalEndpoints);
  return same ? serviceChain(plan) : localChain(plan);
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
  return [
    // Hairpin: a pod that reaches itself through its Service must see another source address, or it answers itself directly.
    `${comment(plan.id)} -s ${target.address}/32 -j KUBE-MARK-MASQ`,
    `${comment(plan.id)}${remember} -p ${protocolOf(plan)} -m ${protocolOf(plan)} -j DNAT --to-destination ${target.address}:${target.port}`,
  ];
}

/** What the shared chains must hold for this Service port. */
export function renderDispatch(plan: ServicePortPlan): DispatchRules {
  return plan.hasAnyEndpoint ? dispatchToEndpoints(plan) : refuse(plan);
}

function dispatchToEndpoints(plan: ServicePortPlan): DispatchRules {
  const external = externalChain(plan);
  const loadBalancer = plan.loadBalancerSourceRanges.length > 0 ? firewallChain(plan) : external;
  const noLocal = plan.internalEndpoints.length === 0;
  return {
    services: [
      ...(noLocal
        ? []
        : [`${comment(`${plan.id} cluster IP`)} ${to(plan, plan.clusterIp, plan.port)} -j ${serviceChain(plan)}`]),
      ...plan.externalIps.map((ip) => `${comment(`${plan.id} external IP`)} ${to(plan, ip, plan.port)} -j ${external}`),
      ...plan.loadBalancerIps.map(
        (ip) => `${comment(`${plan.id} loadbalancer IP`)} ${to(plan, ip, plan.port)} -j ${loadBalancer}`,
      ),
    ],
    nodePorts: plan.nodePort === 0 ? [] : [`${comment(plan.id)} ${toPort(plan, plan.nodePort)} -j ${external}`],
    // internalTrafficPolicy Local without a local endpoint drops: the cluster has endpoints, this node may not use them.
    internalRefusals: noLocal
      ? [`${comment(`${plan.id} has no local endpoints`)} ${to(plan, plan.clusterIp, plan.port)} -j DROP`]
      : [],
    externalRefusals:
      plan.keepsClientAddress && plan.externalEndpoints.length === 0
        ? externalMatches(plan).map((match) => `${comment(`${plan.id} has no local endpoints`)} ${match} -j DROP`)
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
  };
}

function externalMatches(plan: ServicePortPlan): string[] {
  return [
    ...[...plan.externalIps, ...plan.loadBalancerIps].map((ip) => to(plan, ip, plan.port)),
    ...(plan.nodePort === 0 ? [] : [`-m addrtype --dst-type LOCAL ${toPort(plan, plan.nodePort)}`]),
  ];
}
