import { allow, EVENTS, READ, READ_WRITE } from '#controller/apiserver/authorize/bootstrap-rules.ts';
import type { UnusedRights } from '#test/kit/role-usage.ts';

const COMPATIBLE = 'as Kubernetes ships the role, for its own component in place of ours; ours does without';
const OWN_READS = 'as Kubernetes ships the role; our controllers read the caches of system:kube-controller-manager';
const LEADERS = 'as Kubernetes ships the role, from when leaders were found by ConfigMaps; ours by Leases';
const RARE = 'needed in a situation that takes longer to come than this test';

/** The one rule that every role carries: events of both groups. Ours report through the core group, and never write one anew. */
const OTHER_EVENTS: UnusedRights = {
  why: COMPATIBLE,
  rules: [allow('update', 'core', 'events'), allow('create patch update', 'events.k8s.io', 'events')],
};
const REPEATED_EVENTS: UnusedRights = {
  why: 'an event that repeats is patched, and whether one does is a matter of timing',
  rules: [allow('patch', 'core', 'events')],
  sometimes: true,
};
const REPORTS: readonly UnusedRights[] = [OTHER_EVENTS, REPEATED_EVENTS];
const REPORTS_TROUBLE: readonly UnusedRights[] = [
  OTHER_EVENTS,
  { why: RARE, rules: [allow('create patch', 'core', 'events')], sometimes: true },
];
const REPORTS_NOTHING: UnusedRights = { why: COMPATIBLE, rules: [EVENTS] };

/** By role. This list only shrinks: a new right needs a request that uses it. */
export const UNUSED_RIGHTS: Readonly<Record<string, readonly UnusedRights[]>> = {
  'coracle:netd': [
    {
      why: 'agents list where the API server has no watch lists: over an etcd older than 3.4.31 or 3.5.13',
      rules: [allow('list', 'core', 'nodes services'), allow('list', 'discovery.k8s.io', 'endpointslices')],
    },
  ],
  'coracle:component-renewal': [
    {
      why: 'for components in processes of their own, whose certificates live for a year',
      rules: [allow('create get', 'certificates.k8s.io', 'certificatesigningrequests')],
    },
  ],
  'system:kube-scheduler': [
    ...REPORTS,
    {
      why: 'as Kubernetes ships the role, for preemption, which our scheduler does not do',
      rules: [allow('delete', 'core', 'pods')],
    },
    {
      why: COMPATIBLE,
      rules: [
        allow('create', 'core', 'bindings'),
        allow('list watch', 'coordination.k8s.io', 'leases', 'kube-scheduler'),
        allow(READ_WRITE, 'coordination.k8s.io', 'leasecandidates'),
        allow('update', 'core', 'pods/status'),
        allow('create', 'authentication.k8s.io', 'tokenreviews'),
        allow('create', 'authorization.k8s.io', 'subjectaccessreviews'),
        allow('get list', 'core', 'namespaces nodes persistentvolumeclaims persistentvolumes pods services'),
        allow('get list', 'storage.k8s.io', 'csidrivers csinodes csistoragecapacities volumeattachments'),
        allow('get list', 'apps', 'replicasets'),
        allow(READ, 'core', 'replicationcontrollers'),
        allow(READ, 'apps', 'statefulsets'),
        allow(READ, 'policy', 'poddisruptionbudgets'),
      ],
    },
    {
      why: COMPATIBLE,
      rules: [
        allow('get list', 'resource.k8s.io', 'deviceclasses resourceslices'),
        allow('list patch', 'resource.k8s.io', 'resourceclaims'),
        allow(`${READ} patch`, 'resource.k8s.io', 'resourceclaims/status'),
        allow('patch update', 'resource.k8s.io', 'resourceclaims/binding'),
        allow('update', 'core', 'pods/finalizers'),
      ],
    },
    { why: RARE, rules: [allow('get delete', 'resource.k8s.io', 'resourceclaims')], sometimes: true },
  ],
  'system:volume-scheduler': [
    {
      why: COMPATIBLE,
      rules: [
        allow('get list patch', 'core', 'persistentvolumeclaims persistentvolumes'),
        allow('get list', 'storage.k8s.io', 'storageclasses'),
      ],
    },
  ],
  'extension-apiserver-authentication-reader': [
    {
      why: 'components that answer requests themselves learn here whom to trust; agents list and watch it',
      rules: [allow('get', 'core', 'configmaps', 'extension-apiserver-authentication')],
    },
  ],
  'system::leader-locking-kube-scheduler': [
    {
      why: LEADERS,
      rules: [allow('watch', 'core', 'configmaps'), allow('get update', 'core', 'configmaps', 'kube-scheduler')],
    },
  ],
  'system::leader-locking-kube-controller-manager': [
    { why: LEADERS, rules: [allow('get update', 'core', 'configmaps', 'kube-controller-manager')] },
  ],
  'system:kube-controller-manager': [
    REPORTS_NOTHING,
    { why: 'informers list where a server has no watch lists; ours has', rules: [allow('list', '*', '*')] },
    {
      why: 'Kubernetes makes the identities of its controllers with these; ours are vouched for by the process they run in',
      rules: [
        allow('create get', 'core', 'secrets serviceaccounts'),
        allow('update', 'core', 'serviceaccounts'),
        allow('get', 'core', 'configmaps namespaces'),
        allow('create', 'core', 'serviceaccounts/token'),
        allow('create', 'authentication.k8s.io', 'tokenreviews'),
        allow('create', 'authorization.k8s.io', 'subjectaccessreviews'),
      ],
    },
  ],
  'system:node': [
    { why: REPEATED_EVENTS.why, rules: [allow('patch', 'core', 'events')], sometimes: true },
    {
      why: 'a node that joins anew, or finds its objects there, reads and corrects them; a lost watch lists again',
      rules: [
        allow('get patch', 'core', 'nodes'),
        allow('get', 'core', 'pods'),
        allow('list', 'core', 'configmaps secrets'),
      ],
      sometimes: true,
    },
    {
      why: 'for pods with claims of devices, and 30 s after an agent has started',
      rules: [
        allow('get', 'resource.k8s.io', 'resourceclaims'),
        allow('deletecollection', 'resource.k8s.io', 'resourceslices'),
      ],
      sometimes: true,
    },
    {
      why: 'what a kubelet needs beyond our agent: mirror pods, webhook authorization, evictions, writes by update',
      rules: [
        allow('create', 'core', 'pods pods/eviction'),
        allow('create', 'authentication.k8s.io', 'tokenreviews'),
        allow('create', 'authorization.k8s.io', 'localsubjectaccessreviews subjectaccessreviews'),
        allow('list', 'core', 'nodes pods'),
        allow('get list', 'core', 'services'),
        allow('get', 'core', 'endpoints'),
        allow('get', 'core', 'serviceaccounts'),
        allow('create patch update', 'events.k8s.io', 'events'),
        allow('update', 'core', 'events nodes nodes/status pods/status'),
        allow('list', 'certificates.k8s.io', 'certificatesigningrequests'),
        allow('delete patch', 'coordination.k8s.io', 'leases'),
        allow(READ, 'node.k8s.io', 'runtimeclasses'),
      ],
    },
    {
      why: 'for volumes and drivers, which this test does not use: csi.test.ts does',
      rules: [
        allow('get patch update', 'core', 'persistentvolumeclaims/status'),
        allow('delete patch update', 'storage.k8s.io', 'csinodes'),
        allow(READ, 'storage.k8s.io', 'csidrivers'),
        allow('get', 'storage.k8s.io', 'volumeattachments'),
      ],
    },
  ],
  'system:node-bootstrapper': [
    { why: COMPATIBLE, rules: [allow('list', 'certificates.k8s.io', 'certificatesigningrequests')] },
  ],
  'system:controller:attachdetach-controller': [
    ...REPORTS,
    {
      why: OWN_READS,
      rules: [
        allow('list watch', 'core', 'persistentvolumeclaims persistentvolumes pods'),
        allow(READ, 'core', 'nodes'),
        allow(READ, 'storage.k8s.io', 'csidrivers csinodes volumeattachments'),
      ],
    },
    { why: COMPATIBLE, rules: [allow('update', 'core', 'nodes/status')] },
  ],
  'system:controller:certificate-controller': [
    ...REPORTS_TROUBLE,
    {
      why: 'for controllers on other machines that renew the certificates of their components, months after they joined',
      rules: [allow('approve', 'certificates.k8s.io', 'signers', 'kubernetes.io/kube-apiserver-client')],
    },
    { why: RARE, rules: [allow('delete', 'certificates.k8s.io', 'certificatesigningrequests')] },
    { why: COMPATIBLE, rules: [allow('sign', 'certificates.k8s.io', 'signers', 'kubernetes.io/legacy-unknown')] },
    { why: OWN_READS, rules: [allow(READ, 'certificates.k8s.io', 'certificatesigningrequests')] },
  ],
  'system:controller:clusterrole-aggregation-controller': [
    {
      why: 'as Kubernetes ships the role; ours works beside the store and reads it there, and updates',
      rules: [allow(`${READ} patch`, 'rbac.authorization.k8s.io', 'clusterroles')],
    },
  ],
  'system:controller:deployment-controller': [
    ...REPORTS,
    {
      why: OWN_READS,
      rules: [
        allow('list watch', 'apps', 'deployments'),
        allow(READ, 'apps', 'replicasets'),
        allow(READ, 'core', 'pods'),
      ],
    },
    {
      why: COMPATIBLE,
      rules: [allow('update', 'apps', 'deployments/finalizers'), allow('update', 'core', 'pods')],
    },
  ],
  'system:controller:disruption-controller': [
    ...REPORTS,
    {
      why: OWN_READS,
      rules: [
        allow(READ, 'apps', 'deployments replicasets statefulsets'),
        allow(READ, 'core', 'replicationcontrollers'),
        allow(READ, 'policy', 'poddisruptionbudgets'),
      ],
    },
    { why: COMPATIBLE, rules: [allow('update', 'core', 'pods/status')] },
    {
      why: 'for pods that stay although they were evicted, and for shares of controllers other than Deployments',
      rules: [allow('patch', 'core', 'pods/status'), allow('get', '*', '*/scale')],
    },
  ],
  'system:controller:endpoint-controller': [
    ...REPORTS_TROUBLE,
    { why: OWN_READS, rules: [allow(READ, 'core', 'pods services'), allow(READ, 'core', 'endpoints')] },
    { why: COMPATIBLE, rules: [allow('create', 'core', 'endpoints/restricted')] },
  ],
  'system:controller:endpointslice-controller': [
    ...REPORTS_TROUBLE,
    {
      why: OWN_READS,
      rules: [allow(READ, 'core', 'nodes pods services'), allow(READ, 'discovery.k8s.io', 'endpointslices')],
    },
    { why: COMPATIBLE, rules: [allow('update', 'core', 'services/finalizers')] },
  ],
  'system:controller:endpointslicemirroring-controller': [
    ...REPORTS_TROUBLE,
    {
      why: OWN_READS,
      rules: [allow(READ, 'core', 'endpoints services'), allow(READ, 'discovery.k8s.io', 'endpointslices')],
    },
    { why: COMPATIBLE, rules: [allow('update', 'core', 'endpoints/finalizers services/finalizers')] },
  ],
  'system:controller:ephemeral-volume-controller': [
    REPORTS_NOTHING,
    { why: OWN_READS, rules: [allow(READ, 'core', 'persistentvolumeclaims pods')] },
    { why: COMPATIBLE, rules: [allow('update', 'core', 'pods/finalizers')] },
  ],
  'system:controller:expand-controller': [
    ...REPORTS,
    { why: OWN_READS, rules: [allow(READ, 'core', 'persistentvolumeclaims persistentvolumes')] },
    {
      why: 'as Kubernetes ships the role, for volumes that it makes larger itself',
      rules: [
        allow('patch update', 'core', 'persistentvolumes'),
        allow('patch update', 'core', 'persistentvolumeclaims/status'),
      ],
    },
  ],
  'system:controller:generic-garbage-collector': [
    ...REPORTS,
    { why: 'informers list where a server has no watch lists; ours has', rules: [allow('list', '*', '*')] },
    { why: COMPATIBLE, rules: [allow('update', '*', '*')] },
  ],
  'system:controller:namespace-controller': [
    { why: 'for kinds that cannot be deleted as a collection; all of ours can', rules: [allow('delete', '*', '*')] },
    { why: COMPATIBLE, rules: [allow('delete', 'core', 'namespaces'), allow('watch', '*', '*')] },
    { why: OWN_READS, rules: [allow('list watch', 'core', 'namespaces')] },
  ],
  'system:controller:node-controller': [
    ...REPORTS,
    { why: OWN_READS, rules: [allow(READ, 'core', 'nodes pods')] },
    {
      why: COMPATIBLE,
      rules: [
        allow('delete update', 'core', 'nodes'),
        allow('update', 'core', 'nodes/status pods/status'),
        allow('delete', 'core', 'pods'),
      ],
    },
  ],
  'system:controller:persistent-volume-binder': [
    ...REPORTS,
    {
      why: OWN_READS,
      rules: [
        allow('list watch', 'core', 'persistentvolumes persistentvolumeclaims'),
        allow(READ, 'storage.k8s.io', 'storageclasses'),
        allow('get list watch', 'core', 'pods'),
        allow('list watch', 'core', 'nodes'),
      ],
    },
    {
      why: 'as Kubernetes ships the role, for volumes that it makes itself and for pods that recycle them; ours does neither',
      rules: [
        allow('create', 'core', 'persistentvolumes'),
        allow('create delete', 'core', 'pods'),
        allow('watch', 'core', 'events'),
      ],
    },
  ],
  'system:controller:pod-garbage-collector': [
    { why: OWN_READS, rules: [allow('list watch', 'core', 'pods'), allow('list watch', 'core', 'nodes')] },
  ],
  'system:controller:pv-protection-controller': [
    REPORTS_NOTHING,
    { why: OWN_READS, rules: [allow(READ, 'core', 'persistentvolumes')] },
  ],
  'system:controller:resource-claim-controller': [
    ...REPORTS_TROUBLE,
    {
      why: OWN_READS,
      rules: [allow('list watch', 'core', 'pods'), allow(READ, 'resource.k8s.io', 'resourceclaims')],
    },
    { why: RARE, rules: [allow('get', 'core', 'pods')], sometimes: true },
    {
      why: 'as Kubernetes ships the role; ours writes claims whole, and the status of pods alone',
      rules: [
        allow('update', 'core', 'pods/finalizers pods/status'),
        allow('patch', 'resource.k8s.io', 'resourceclaims resourceclaims/status'),
        allow('patch update', 'resource.k8s.io', 'resourceclaims/binding'),
      ],
    },
  ],
  'system:controller:pvc-protection-controller': [
    REPORTS_NOTHING,
    {
      why: OWN_READS,
      rules: [allow(READ, 'core', 'persistentvolumeclaims'), allow('get watch', 'core', 'pods')],
    },
  ],
  'system:controller:resourcequota-controller': [
    REPORTS_NOTHING,
    { why: OWN_READS, rules: [allow('list watch', '*', '*')] },
  ],
  'system:controller:replicaset-controller': [
    ...REPORTS,
    { why: OWN_READS, rules: [allow('list watch', 'apps', 'replicasets'), allow('list watch', 'core', 'pods')] },
    { why: COMPATIBLE, rules: [allow('update', 'apps', 'replicasets replicasets/finalizers')] },
  ],
  'system:controller:root-ca-cert-publisher': [REPORTS_NOTHING],
  'system:controller:service-account-controller': [REPORTS_NOTHING],
  'system:controller:taint-eviction-controller': [REPEATED_EVENTS],
  'system:controller:device-taint-eviction-controller': [
    ...REPORTS,
    {
      why: OWN_READS,
      rules: [
        allow(READ, 'core', 'pods'),
        allow(READ, 'resource.k8s.io', 'deviceclasses resourceclaims resourceslices'),
      ],
    },
    { why: COMPATIBLE, rules: [allow('update', 'core', 'pods/status')] },
  ],
  'system:controller:token-cleaner': [REPORTS_NOTHING, { why: OWN_READS, rules: [allow(READ, 'core', 'secrets')] }],
  'system:controller:volumeattributesclass-protection-controller': [
    REPORTS_NOTHING,
    {
      why: OWN_READS,
      rules: [
        allow(READ, 'core', 'persistentvolumeclaims persistentvolumes'),
        allow(READ, 'storage.k8s.io', 'volumeattributesclasses'),
      ],
    },
  ],
};
