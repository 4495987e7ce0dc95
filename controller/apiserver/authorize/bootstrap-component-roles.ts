import { allow, EVENTS, READ, READ_WRITE } from './bootstrap-rules.ts';
import type { BootstrapClusterRole } from './bootstrap-user-roles.ts';
import { SYSTEM_NODE_RULES } from './node-rules.ts';
import type { PolicyRule } from './rule-resolver.ts';

const leaderElection = (lease: string): readonly PolicyRule[] => [
  allow('create', 'coordination.k8s.io', 'leases'),
  allow('get update', 'coordination.k8s.io', 'leases', lease),
];

const delegatedReviews: readonly PolicyRule[] = [
  allow('create', 'authentication.k8s.io', 'tokenreviews'),
  allow('create', 'authorization.k8s.io', 'subjectaccessreviews'),
];

/** Roles of the machinery itself: scheduler, controller manager, nodes, proxies. */
export const COMPONENT_ROLES: readonly BootstrapClusterRole[] = [
  { name: 'system:node', rules: SYSTEM_NODE_RULES },
  {
    name: 'system:node-problem-detector',
    rules: [allow('get', 'core', 'nodes'), allow('patch', 'core', 'nodes/status'), EVENTS],
  },
  {
    name: 'system:node-proxier',
    rules: [
      allow('list watch', 'core', 'endpoints services'),
      allow(READ, 'core', 'nodes'),
      allow('list watch', 'discovery.k8s.io', 'endpointslices'),
      allow('list watch', 'networking.k8s.io', 'servicecidrs'),
      EVENTS,
    ],
  },
  {
    // Our own proxy, the other identity of an agent. Where the API server has no watch lists (an old etcd), it lists first.
    name: 'coracle:netd',
    rules: [allow('list watch', 'core', 'nodes services'), allow('list watch', 'discovery.k8s.io', 'endpointslices')],
  },
  {
    name: 'system:node-bootstrapper',
    rules: [allow('create get list watch', 'certificates.k8s.io', 'certificatesigningrequests')],
  },
  {
    name: 'system:certificates.k8s.io:certificatesigningrequests:nodeclient',
    rules: [allow('create', 'certificates.k8s.io', 'certificatesigningrequests/nodeclient')],
  },
  {
    name: 'system:certificates.k8s.io:certificatesigningrequests:selfnodeclient',
    rules: [allow('create', 'certificates.k8s.io', 'certificatesigningrequests/selfnodeclient')],
  },
  {
    name: 'system:kube-scheduler',
    rules: [
      EVENTS,
      ...leaderElection('kube-scheduler'),
      allow('list watch', 'coordination.k8s.io', 'leases', 'kube-scheduler'),
      allow(READ_WRITE, 'coordination.k8s.io', 'leasecandidates'),
      ...delegatedReviews,
      allow(READ, 'core', 'namespaces nodes persistentvolumeclaims persistentvolumes replicationcontrollers services'),
      allow(`${READ} delete`, 'core', 'pods'),
      allow('create', 'core', 'bindings pods/binding'),
      allow('patch update', 'core', 'pods/status'),
      allow(READ, 'apps', 'replicasets statefulsets'),
      allow(READ, 'extensions', 'replicasets'),
      allow(READ, 'policy', 'poddisruptionbudgets'),
      allow(READ, 'storage.k8s.io', 'csidrivers csinodes csistoragecapacities volumeattachments'),
      allow(READ, 'resource.k8s.io', 'deviceclasses resourceslices'),
      allow(`${READ} create delete patch update`, 'resource.k8s.io', 'resourceclaims'),
      allow(`${READ} patch update`, 'resource.k8s.io', 'resourceclaims/status'),
      allow('patch update', 'resource.k8s.io', 'resourceclaims/binding'),
      allow('update', 'core', 'pods/finalizers'),
    ],
  },
  {
    name: 'system:volume-scheduler',
    rules: [
      allow(`${READ} patch update`, 'core', 'persistentvolumeclaims persistentvolumes'),
      allow(READ, 'storage.k8s.io', 'storageclasses'),
    ],
  },
  {
    name: 'system:kube-controller-manager',
    rules: [
      EVENTS,
      ...leaderElection('kube-controller-manager'),
      ...delegatedReviews,
      allow('create get update', 'core', 'secrets serviceaccounts'),
      allow('delete', 'core', 'secrets'),
      allow('get', 'core', 'configmaps namespaces'),
      allow('create', 'core', 'serviceaccounts/token'),
      // The shared informers of all controllers run as this user.
      allow('list watch', '*', '*'),
    ],
  },
  {
    // In a process without an API server they hold certificates, which they renew by themselves.
    name: 'coracle:component-renewal',
    rules: [allow('create get', 'certificates.k8s.io', 'certificatesigningrequests')],
  },
  { name: 'system:kube-dns', rules: [allow('list watch', 'core', 'endpoints services')] },
];
