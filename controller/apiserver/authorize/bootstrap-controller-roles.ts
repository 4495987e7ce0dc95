import { allow, EVENTS, READ } from './bootstrap-rules.ts';
import type { PolicyRule } from './rule-resolver.ts';

const OUR_SIGNERS =
  'coracle.dev/netd kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet kubernetes.io/kubelet-serving';

/** Groups of the workloads: the second is served no more, and still in Kubernetes' roles. */
const APPS = 'apps extensions';

const PODS_OF_WORKLOADS = allow('create delete list patch watch', 'core', 'pods');

/**
 * Rules of each controller's own ServiceAccount, `system:controller:<name>` bound to `kube-system/<name>`. Reads of shared informers run as
 * system:kube-controller-manager and need no rule here.
 */
export const CONTROLLER_RULES: Readonly<Record<string, readonly PolicyRule[]>> = {
  // Kubernetes ships the roles of all its controllers; those that do not run here may be brought along.
  'attachdetach-controller': [
    allow('list watch', 'core', 'persistentvolumeclaims persistentvolumes pods'),
    allow(READ, 'core', 'nodes'),
    allow('patch update', 'core', 'nodes/status'),
    allow('create delete get list watch', 'storage.k8s.io', 'volumeattachments'),
    allow(READ, 'storage.k8s.io', 'csidrivers csinodes'),
    EVENTS,
  ],
  'certificate-controller': [
    allow(`${READ} delete`, 'certificates.k8s.io', 'certificatesigningrequests'),
    allow('update', 'certificates.k8s.io', 'certificatesigningrequests/approval certificatesigningrequests/status'),
    allow('approve', 'certificates.k8s.io', 'signers', OUR_SIGNERS),
    allow('sign', 'certificates.k8s.io', 'signers', `${OUR_SIGNERS} kubernetes.io/legacy-unknown`),
    allow('create', 'authorization.k8s.io', 'subjectaccessreviews'),
    EVENTS,
  ],
  'clusterrole-aggregation-controller': [
    allow(`${READ} escalate patch update`, 'rbac.authorization.k8s.io', 'clusterroles'),
  ],
  'cronjob-controller': [
    allow(`${READ} update`, 'batch', 'cronjobs'),
    allow(`${READ} create delete patch update`, 'batch', 'jobs'),
    allow('update', 'batch', 'cronjobs/finalizers cronjobs/status'),
    allow('delete list watch', 'core', 'pods'),
    EVENTS,
  ],
  'daemon-set-controller': [
    allow(READ, APPS, 'daemonsets'),
    allow('update', APPS, 'daemonsets/finalizers daemonsets/status'),
    allow('list watch', 'core', 'nodes'),
    PODS_OF_WORKLOADS,
    allow('create', 'core', 'pods/binding'),
    allow(`${READ} create delete patch update`, 'apps', 'controllerrevisions'),
    EVENTS,
  ],
  'deployment-controller': [
    allow(`${READ} update`, APPS, 'deployments'),
    allow('update', APPS, 'deployments/finalizers deployments/status'),
    allow(`${READ} create delete patch update`, APPS, 'replicasets'),
    allow(`${READ} update`, 'core', 'pods'),
    EVENTS,
  ],
  'device-taint-eviction-controller': [
    allow(`${READ} delete`, 'core', 'pods'),
    allow('patch update', 'core', 'pods/status'),
    allow(READ, 'resource.k8s.io', 'deviceclasses resourceclaims resourceslices'),
    EVENTS,
  ],
  'disruption-controller': [
    allow(READ, APPS, 'deployments replicasets'),
    allow(READ, 'apps', 'statefulsets'),
    allow(READ, 'core', 'replicationcontrollers'),
    allow(READ, 'policy', 'poddisruptionbudgets'),
    allow('update', 'policy', 'poddisruptionbudgets/status'),
    allow('patch update', 'core', 'pods/status'),
    allow('get', '*', '*/scale'),
    EVENTS,
  ],
  'endpoint-controller': [
    allow(READ, 'core', 'pods services'),
    allow(`${READ} create delete update`, 'core', 'endpoints'),
    allow('create', 'core', 'endpoints/restricted'),
    EVENTS,
  ],
  'endpointslice-controller': [
    allow(READ, 'core', 'nodes pods services'),
    allow('update', 'core', 'services/finalizers'),
    allow(`${READ} create delete update`, 'discovery.k8s.io', 'endpointslices'),
    EVENTS,
  ],
  'endpointslicemirroring-controller': [
    allow(READ, 'core', 'endpoints services'),
    allow('update', 'core', 'endpoints/finalizers services/finalizers'),
    allow(`${READ} create delete update`, 'discovery.k8s.io', 'endpointslices'),
    EVENTS,
  ],
  'ephemeral-volume-controller': [
    allow(READ, 'core', 'pods'),
    allow('update', 'core', 'pods/finalizers'),
    allow(`${READ} create`, 'core', 'persistentvolumeclaims'),
    EVENTS,
  ],
  'expand-controller': [
    allow(`${READ} patch update`, 'core', 'persistentvolumes'),
    allow('patch update', 'core', 'persistentvolumeclaims/status'),
    allow(READ, 'core', 'persistentvolumeclaims'),
    EVENTS,
  ],
  'generic-garbage-collector': [allow(`${READ} delete patch update`, '*', '*'), EVENTS],
  'horizontal-pod-autoscaler': [
    allow(READ, 'autoscaling', 'horizontalpodautoscalers'),
    allow('update', 'autoscaling', 'horizontalpodautoscalers/status'),
    allow('get update', '*', '*/scale'),
    allow('list watch', 'core metrics.k8s.io', 'pods'),
    allow(READ, 'custom.metrics.k8s.io external.metrics.k8s.io', '*'),
    EVENTS,
  ],
  'job-controller': [
    allow(`${READ} patch update`, 'batch', 'jobs'),
    allow('update', 'batch', 'jobs/finalizers jobs/status'),
    PODS_OF_WORKLOADS,
    EVENTS,
  ],
  'legacy-service-account-token-cleaner': [
    allow('get', 'core', 'configmaps', 'kube-apiserver-legacy-service-account-token-tracking'),
    allow('delete patch', 'core', 'secrets'),
  ],
  'namespace-controller': [
    allow(`${READ} delete`, 'core', 'namespaces'),
    allow('update', 'core', 'namespaces/finalize namespaces/status'),
    allow(`${READ} delete deletecollection`, '*', '*'),
  ],
  'network-policy-controller': [allow('create delete update', 'core', 'configmaps')],
  'node-controller': [
    allow(`${READ} delete patch update`, 'core', 'nodes'),
    allow('patch update', 'core', 'nodes/status'),
    allow(`${READ} delete`, 'core', 'pods'),
    allow('patch update', 'core', 'pods/status'),
    EVENTS,
  ],
  'persistent-volume-binder': [
    allow(`${READ} create delete update`, 'core', 'persistentvolumes'),
    allow(`${READ} update`, 'core', 'persistentvolumeclaims'),
    allow('update', 'core', 'persistentvolumeclaims/status persistentvolumes/status'),
    allow('create delete get list watch', 'core', 'pods'),
    allow(READ, 'storage.k8s.io', 'storageclasses'),
    allow('list watch', 'core', 'nodes'),
    allow('watch', 'core', 'events'),
    EVENTS,
  ],
  'pod-garbage-collector': [
    allow('delete list watch', 'core', 'pods'),
    allow(READ, 'core', 'nodes'),
    allow('patch', 'core', 'pods/status'),
  ],
  'pv-protection-controller': [allow(`${READ} update`, 'core', 'persistentvolumes'), EVENTS],
  'pvc-protection-controller': [
    allow(`${READ} update`, 'core', 'persistentvolumeclaims'),
    allow(READ, 'core', 'pods'),
    EVENTS,
  ],
  'replicaset-controller': [
    allow(`${READ} update`, APPS, 'replicasets'),
    allow('update', APPS, 'replicasets/finalizers replicasets/status'),
    PODS_OF_WORKLOADS,
    EVENTS,
  ],
  'replication-controller': [
    allow(`${READ} update`, 'core', 'replicationcontrollers'),
    allow('update', 'core', 'replicationcontrollers/finalizers replicationcontrollers/status'),
    PODS_OF_WORKLOADS,
    EVENTS,
  ],
  'resource-claim-controller': [
    allow(READ, 'core', 'pods'),
    allow('update', 'core', 'pods/finalizers'),
    allow('patch update', 'core', 'pods/status'),
    allow(`${READ} create delete`, 'resource.k8s.io', 'resourceclaims'),
    allow('patch update', 'resource.k8s.io', 'resourceclaims resourceclaims/binding resourceclaims/status'),
    EVENTS,
  ],
  'resourcequota-controller': [allow('list watch', '*', '*'), allow('update', 'core', 'resourcequotas/status'), EVENTS],
  'root-ca-cert-publisher': [allow('create update', 'core', 'configmaps'), EVENTS],
  'route-controller': [allow('list watch', 'core', 'nodes'), allow('patch', 'core', 'nodes/status'), EVENTS],
  'selinux-warning-controller': [
    allow(READ, 'core', 'persistentvolumeclaims persistentvolumes pods'),
    allow(READ, 'storage.k8s.io', 'csidrivers'),
    EVENTS,
  ],
  'service-account-controller': [allow('create', 'core', 'serviceaccounts'), EVENTS],
  'service-cidrs-controller': [
    allow(`${READ} patch update`, 'networking.k8s.io', 'servicecidrs'),
    allow('patch update', 'networking.k8s.io', 'servicecidrs/finalizers servicecidrs/status'),
    allow(READ, 'networking.k8s.io', 'ipaddresses'),
    EVENTS,
  ],
  'service-controller': [
    allow(READ, 'core', 'services'),
    allow('patch update', 'core', 'services/status'),
    allow('list watch', 'core', 'nodes'),
    EVENTS,
  ],
  'statefulset-controller': [
    allow(READ, 'apps', 'statefulsets'),
    allow('update', 'apps', 'statefulsets/finalizers statefulsets/status'),
    allow(`${READ} create delete patch update`, 'core', 'pods'),
    allow('update', 'core', 'pods/finalizers'),
    allow(`${READ} create delete patch update`, 'apps', 'controllerrevisions'),
    allow(`${READ} create delete update`, 'core', 'persistentvolumeclaims'),
    EVENTS,
  ],
  // Kubernetes lets it act as the node controller; a role of its own can be this small.
  'taint-eviction-controller': [
    allow('delete', 'core', 'pods'),
    allow('patch', 'core', 'pods/status'),
    allow('create patch', 'core', 'events'),
  ],
  'ttl-after-finished-controller': [allow(`${READ} delete`, 'batch', 'jobs'), EVENTS],
  'ttl-controller': [allow('list patch update watch', 'core', 'nodes'), EVENTS],
  'validatingadmissionpolicy-status-controller': [
    allow(READ, 'admissionregistration.k8s.io', 'validatingadmissionpolicies'),
    allow('get patch update', 'admissionregistration.k8s.io', 'validatingadmissionpolicies/status'),
    EVENTS,
  ],
  'volumeattributesclass-protection-controller': [
    allow(READ, 'core', 'persistentvolumeclaims persistentvolumes'),
    allow(`${READ} update`, 'storage.k8s.io', 'volumeattributesclasses'),
    EVENTS,
  ],
};
