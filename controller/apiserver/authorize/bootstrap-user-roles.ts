import { allow, allowPaths, EVENTS, READ, READ_WRITE, WRITE } from './bootstrap-rules.ts';
import type { PolicyRule } from './rule-resolver.ts';

export interface BootstrapClusterRole {
  readonly name: string;
  readonly rules: readonly PolicyRule[];
  readonly labels?: Readonly<Record<string, string>>;
  /** The role's rules are the union of those of all roles with this label. */
  readonly aggregates?: string;
}

const AGGREGATE = 'rbac.authorization.k8s.io/aggregate-to-';
const aggregateTo = (role: string): Readonly<Record<string, string>> => ({ [`${AGGREGATE}${role}`]: 'true' });

const HEALTH_PATHS = '/healthz /livez /readyz /version /version/';

const WORKLOADS =
  'daemonsets deployments deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale';

/** A group that is served no more; Kubernetes keeps it in its roles, and so do we. */
const EXTENSIONS_WORKLOADS =
  'daemonsets deployments deployments/scale ingresses networkpolicies replicasets replicasets/scale replicationcontrollers/scale';

const EDIT_RULES: readonly PolicyRule[] = [
  allow(READ, 'core', 'pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy'),
  allow('impersonate', 'core', 'serviceaccounts'),
  allow(WRITE, 'core', 'pods pods/attach pods/exec pods/portforward pods/proxy'),
  allow('create', 'core', 'pods/eviction'),
  allow(
    WRITE,
    'core',
    'configmaps persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets serviceaccounts services services/proxy',
  ),
  allow(WRITE, 'core events.k8s.io', 'events'),
  allow('create', 'core', 'serviceaccounts/token'),
  allow(WRITE, 'apps', `${WORKLOADS} deployments/rollback`),
  allow(WRITE, 'extensions', `${EXTENSIONS_WORKLOADS} deployments/rollback`),
  allow(WRITE, 'autoscaling', 'horizontalpodautoscalers'),
  allow(WRITE, 'batch', 'cronjobs jobs'),
  allow(WRITE, 'policy', 'poddisruptionbudgets'),
  allow(WRITE, 'networking.k8s.io', 'ingresses networkpolicies'),
  allow(READ_WRITE, 'coordination.k8s.io', 'leases'),
  allow(WRITE, 'resource.k8s.io', 'resourceclaims resourceclaimtemplates'),
];

const VIEW_RULES: readonly PolicyRule[] = [
  allow(
    READ,
    'core',
    'configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status',
  ),
  allow(
    READ,
    'core',
    'bindings limitranges namespaces namespaces/status pods/log pods/status replicationcontrollers/status resourcequotas resourcequotas/status',
  ),
  allow(READ, 'core events.k8s.io', 'events'),
  allow(READ, 'discovery.k8s.io', 'endpointslices'),
  allow(
    READ,
    'extensions',
    `${EXTENSIONS_WORKLOADS} daemonsets/status deployments/status ingresses/status replicasets/status`,
  ),
  allow(
    READ,
    'apps',
    `controllerrevisions ${WORKLOADS} daemonsets/status deployments/status replicasets/status statefulsets/status`,
  ),
  allow(READ, 'autoscaling', 'horizontalpodautoscalers horizontalpodautoscalers/status'),
  allow(READ, 'batch', 'cronjobs cronjobs/status jobs jobs/status'),
  allow(READ, 'policy', 'poddisruptionbudgets poddisruptionbudgets/status'),
  allow(READ, 'networking.k8s.io', 'ingresses ingresses/status networkpolicies'),
  allow(READ, 'resource.k8s.io', 'resourceclaims resourceclaims/status resourceclaimtemplates'),
];

const approver = (role: string, signer: string): BootstrapClusterRole => ({
  name: `system:certificates.k8s.io:${role}`,
  rules: [allow('approve', 'certificates.k8s.io', 'signers', signer)],
});

/** Roles that people and add-ons are bound to. */
export const USER_ROLES: readonly BootstrapClusterRole[] = [
  { name: 'cluster-admin', rules: [allow('*', '*', '*'), allowPaths('*', '*')] },
  { name: 'admin', rules: [], aggregates: `${AGGREGATE}admin` },
  { name: 'edit', rules: [], aggregates: `${AGGREGATE}edit`, labels: aggregateTo('admin') },
  { name: 'view', rules: [], aggregates: `${AGGREGATE}view`, labels: aggregateTo('edit') },
  {
    name: 'system:aggregate-to-admin',
    labels: aggregateTo('admin'),
    rules: [
      allow('create', 'authorization.k8s.io', 'localsubjectaccessreviews'),
      allow(READ_WRITE, 'rbac.authorization.k8s.io', 'rolebindings roles'),
    ],
  },
  { name: 'system:aggregate-to-edit', labels: aggregateTo('edit'), rules: EDIT_RULES },
  { name: 'system:aggregate-to-view', labels: aggregateTo('view'), rules: VIEW_RULES },
  // As metrics-server brings it along: whoever may look at pods may see what they use.
  {
    name: 'system:aggregated-metrics-reader',
    labels: { ...aggregateTo('view'), ...aggregateTo('edit'), ...aggregateTo('admin') },
    rules: [allow('get list watch', 'metrics.k8s.io', 'pods nodes')],
  },
  {
    name: 'system:discovery',
    rules: [allowPaths('get', `${HEALTH_PATHS} /api /api/* /apis /apis/* /openapi /openapi/*`)],
  },
  { name: 'system:public-info-viewer', rules: [allowPaths('get', HEALTH_PATHS)] },
  {
    name: 'system:monitoring',
    rules: [
      allowPaths('get', '/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/* /flagz /statusz'),
      allow('get', 'core', 'nodes/metrics'),
    ],
  },
  {
    name: 'system:basic-user',
    rules: [
      allow('create', 'authorization.k8s.io', 'selfsubjectaccessreviews selfsubjectrulesreviews'),
      allow('create', 'authentication.k8s.io', 'selfsubjectreviews'),
    ],
  },
  {
    name: 'system:auth-delegator',
    rules: [
      allow('create', 'authentication.k8s.io', 'tokenreviews'),
      allow('create', 'authorization.k8s.io', 'subjectaccessreviews'),
    ],
  },
  {
    name: 'system:heapster',
    rules: [allow(READ, 'core', 'events namespaces nodes pods'), allow(READ, 'extensions', 'deployments')],
  },
  {
    name: 'system:persistent-volume-provisioner',
    rules: [
      allow(`${READ} create delete`, 'core', 'persistentvolumes'),
      allow(`${READ} update`, 'core', 'persistentvolumeclaims'),
      allow(READ, 'storage.k8s.io', 'storageclasses'),
      allow('watch', 'core', 'events'),
      EVENTS,
    ],
  },
  { name: 'system:kube-aggregator', rules: [allow(READ, 'core', 'endpoints services')] },
  {
    name: 'system:kubelet-api-admin',
    rules: [
      allow(READ, 'core', 'nodes'),
      allow('proxy', 'core', 'nodes'),
      allow('*', 'core', 'nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/stats'),
    ],
  },
  {
    name: 'system:service-account-issuer-discovery',
    rules: [
      allowPaths(
        'get',
        '/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/',
      ),
    ],
  },
  approver('kube-apiserver-client-approver', 'kubernetes.io/kube-apiserver-client'),
  approver('kube-apiserver-client-kubelet-approver', 'kubernetes.io/kube-apiserver-client-kubelet'),
  approver('kubelet-serving-approver', 'kubernetes.io/kubelet-serving'),
  approver('legacy-unknown-approver', 'kubernetes.io/legacy-unknown'),
];
