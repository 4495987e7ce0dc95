import { allow, EVENTS, READ } from './bootstrap-rules.ts';
import type { PolicyRule } from './rule-resolver.ts';

/**
 * What every node may do whatever runs on it. Objects that belong to pods (Secrets, ConfigMaps, claims, tokens), its own Node, Lease and
 * CSINode and the list of its pods are decided by the Node authorizer instead, object by object.
 */
export const NODE_COMMON_RULES: readonly PolicyRule[] = [
  allow('create', 'authentication.k8s.io', 'tokenreviews'),
  allow('create', 'authorization.k8s.io', 'localsubjectaccessreviews subjectaccessreviews'),
  allow(READ, 'core', 'services'),
  EVENTS,
  allow('create get list watch', 'certificates.k8s.io', 'certificatesigningrequests'),
  allow('get', 'storage.k8s.io', 'volumeattachments'),
  allow(READ, 'storage.k8s.io', 'csidrivers'),
  allow(READ, 'node.k8s.io', 'runtimeclasses'),
];

/** The ClusterRole `system:node` as Kubernetes ships it: bound to nobody, kept for clusters that bind nodes through RBAC. */
export const SYSTEM_NODE_RULES: readonly PolicyRule[] = [
  ...NODE_COMMON_RULES,
  allow('create get list watch', 'core', 'nodes'),
  allow('patch update', 'core', 'nodes nodes/status'),
  allow(`${READ} create delete`, 'core', 'pods'),
  allow('patch update', 'core', 'pods/status'),
  allow('create', 'core', 'pods/eviction serviceaccounts/token'),
  allow(READ, 'core', 'configmaps secrets'),
  allow('get', 'core', 'endpoints persistentvolumeclaims persistentvolumes serviceaccounts'),
  allow('get patch update', 'core', 'persistentvolumeclaims/status'),
  allow('create delete get patch update', 'coordination.k8s.io', 'leases'),
  allow('create delete get patch update', 'storage.k8s.io', 'csinodes'),
  allow('get', 'resource.k8s.io', 'resourceclaims'),
  allow('deletecollection', 'resource.k8s.io', 'resourceslices'),
];
