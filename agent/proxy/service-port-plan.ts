import { type IpFamily, parseCidr, parseIp, rangeContains } from '#api/meta/ip-address.ts';

/** What a Service port needs of the kernel, with nothing of iptables or nftables in it: computed by `plan.ts`, rendered by a backend. */

export type Protocol = 'TCP' | 'UDP' | 'SCTP';

/** `namespace/name:port`, or `namespace/name` for an unnamed port; unique together with protocol and family. */
export type ServicePortId = string & { readonly __brand: 'ServicePortId' };

export interface EndpointTarget {
  readonly address: string;
  readonly port: number;
  /** Runs on this node. */
  readonly isLocal: boolean;
}

export interface ServicePortPlan {
  readonly id: ServicePortId;
  readonly protocol: Protocol;
  /** A dual-stack Service has one plan per family; all addresses of a plan are of this one. */
  readonly family: IpFamily;
  readonly clusterIp: string;
  readonly port: number;
  readonly externalIps: readonly string[];
  /** Addresses that a load balancer delivers unchanged (ipMode VIP), with the client ranges they admit ([] = everyone). */
  readonly loadBalancerIps: readonly string[];
  readonly loadBalancerSourceRanges: readonly string[];
  /** 0 = none. */
  readonly nodePort: number;
  /** Endpoints of the whole cluster, those near this node where hints say so. */
  readonly clusterEndpoints: readonly EndpointTarget[];
  /** Endpoints on this node. */
  readonly localEndpoints: readonly EndpointTarget[];
  /** internalTrafficPolicy Local: traffic to the cluster IP stays on the node. */
  readonly internalLocal: boolean;
  /** externalTrafficPolicy Local: the client's address is kept, nodes without an endpoint drop. */
  readonly externalLocal: boolean;
  /** Some node has an endpoint, perhaps not this one: decides between REJECT (nowhere) and DROP (not here). */
  readonly hasAnyEndpoint: boolean;
  /** Where load balancers ask whether this node has an endpoint (LoadBalancer with externalTrafficPolicy Local); 0 = none. */
  readonly healthCheckNodePort: number;
  /** ClientIP affinity; 0 = none. */
  readonly affinitySeconds: number;
}

export function isExternallyReachable(plan: ServicePortPlan): boolean {
  return plan.nodePort !== 0 || plan.externalIps.length > 0 || plan.loadBalancerIps.length > 0;
}

export const internalEndpoints = (plan: ServicePortPlan): readonly EndpointTarget[] =>
  plan.internalLocal ? plan.localEndpoints : plan.clusterEndpoints;

export const externalEndpoints = (plan: ServicePortPlan): readonly EndpointTarget[] =>
  plan.externalLocal ? plan.localEndpoints : plan.clusterEndpoints;

/** Somebody is sent to endpoints of the whole cluster: pods and the node itself too, where they use an external address of policy Local. */
export const usesClusterEndpoints = (plan: ServicePortPlan): boolean =>
  plan.clusterEndpoints.length > 0 && (!plan.internalLocal || isExternallyReachable(plan));

export const usesLocalEndpoints = (plan: ServicePortPlan): boolean =>
  plan.localEndpoints.length > 0 && (plan.internalLocal || (plan.externalLocal && isExternallyReachable(plan)));

/**
 * Ranges that may use the load-balancer addresses. Where such an address is the node's own (many balancers bind it there), what the node itself
 * sends to it comes from it: let in where the node is (`nodeIps`), as in kube-proxy.
 */
export function admittedSources(plan: ServicePortPlan, nodeIps: readonly string[]): readonly string[] {
  const { loadBalancerSourceRanges: ranges, loadBalancerIps, family } = plan;
  const isNodeIn = ranges.some((text) => {
    const range = parseCidr(text);
    return nodeIps.some((nodeIp) => {
      const ip = parseIp(nodeIp);
      return range !== undefined && ip !== undefined && rangeContains(range, ip);
    });
  });
  return isNodeIn ? [...ranges, ...loadBalancerIps.map((ip) => `${ip}/${family === 'IPv6' ? 128 : 32}`)] : ranges;
}
