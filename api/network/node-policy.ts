/**
 * What the controller tells a node of NetworkPolicies: addresses and ports, no foreign pods. It travels as JSON in a ConfigMap of
 * kube-system, one per node, which that node alone may read besides administrators.
 */

export const NODE_POLICY_NAMESPACE = 'kube-system';
export const NODE_POLICY_KEY = 'policy.json';
export const NODE_POLICY_LABEL = 'coracle.dev/network-policy';

export const nodePolicyName = (nodeName: string): string => `coracle-network-policy-${nodeName}`;

/** Stands in peer sets for the cluster DNS, which each node answers itself. */
export const CLUSTER_DNS_PEER = 'cluster-dns';

export interface PolicyPorts {
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  /** Undefined: every port of the protocol. */
  readonly port?: number;
  /** Last of a range. */
  readonly endPort?: number;
}

export interface PolicyBlock {
  readonly cidr: string;
  readonly except: readonly string[];
}

export interface PolicyRule {
  /** Keys of `sets`, and blocks; both undefined: everybody. */
  readonly sets?: readonly string[];
  readonly blocks?: readonly PolicyBlock[];
  /** Undefined: every port. */
  readonly ports?: readonly PolicyPorts[];
}

/** Pods of the node to which the same policies apply. */
export interface PolicyGroup {
  /** Addresses of both families. */
  readonly pods: readonly string[];
  /** Undefined: not isolated in this direction. Empty: nothing may pass. */
  readonly ingress?: readonly PolicyRule[];
  readonly egress?: readonly PolicyRule[];
}

export interface NodePolicy {
  /** Key -> addresses of pods of the whole cluster, and CLUSTER_DNS_PEER. */
  readonly sets: Readonly<Record<string, readonly string[]>>;
  readonly groups: readonly PolicyGroup[];
}
