/** What a Service port needs of the kernel, with nothing of iptables or nftables in it: computed by `plan.ts`, rendered by a backend. */

export type Protocol = 'TCP' | 'UDP' | 'SCTP';

/** `namespace/name:port`, or `namespace/name` for an unnamed port; unique together with the protocol. */
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
  readonly clusterIp: string;
  readonly port: number;
  readonly externalIps: readonly string[];
  /** Addresses that a load balancer delivers unchanged (ipMode VIP), with the client ranges they admit ([] = everyone). */
  readonly loadBalancerIps: readonly string[];
  readonly loadBalancerSourceRanges: readonly string[];
  /** 0 = none. */
  readonly nodePort: number;
  /** What internal traffic is spread over; honours internalTrafficPolicy. */
  readonly internalEndpoints: readonly EndpointTarget[];
  /** What external traffic is spread over; honours externalTrafficPolicy. */
  readonly externalEndpoints: readonly EndpointTarget[];
  /** externalTrafficPolicy Local: the client's address is kept, nodes without an endpoint drop. */
  readonly keepsClientAddress: boolean;
  /** Some node has an endpoint, perhaps not this one: decides between REJECT (nowhere) and DROP (not here). */
  readonly hasAnyEndpoint: boolean;
  /** ClientIP affinity; 0 = none. */
  readonly affinitySeconds: number;
}

export function isExternallyReachable(plan: ServicePortPlan): boolean {
  return plan.nodePort !== 0 || plan.externalIps.length > 0 || plan.loadBalancerIps.length > 0;
}
