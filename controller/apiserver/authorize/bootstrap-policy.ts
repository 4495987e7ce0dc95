import type { ISubject } from 'kubernetes-models/rbac.authorization.k8s.io/v1/Subject';
import { LAPSED_NODES } from '../authenticate/lapsed-node.ts';
import { COMPONENT_ROLES } from './bootstrap-component-roles.ts';
import { CONTROLLER_RULES } from './bootstrap-controller-roles.ts';
import { allow, EVENTS } from './bootstrap-rules.ts';
import { type BootstrapClusterRole, USER_ROLES } from './bootstrap-user-roles.ts';
import type { PolicyRule } from './rule-resolver.ts';

export interface BootstrapBinding {
  readonly name: string;
  readonly roleKind: 'ClusterRole' | 'Role';
  readonly role: string;
  readonly subjects: readonly ISubject[];
}

export interface BootstrapRole {
  readonly namespace: string;
  readonly name: string;
  readonly rules: readonly PolicyRule[];
}

const RBAC_GROUP = 'rbac.authorization.k8s.io';
const group = (name: string): ISubject => ({ apiGroup: RBAC_GROUP, kind: 'Group', name });
const user = (name: string): ISubject => ({ apiGroup: RBAC_GROUP, kind: 'User', name });
const account = (name: string): ISubject => ({ kind: 'ServiceAccount', name, namespace: 'kube-system' });

const bind = (role: string, subjects: readonly ISubject[], name = role): BootstrapBinding => ({
  name,
  roleKind: 'ClusterRole',
  role,
  subjects,
});

/** Group of the tokens that `coracle token create` makes. */
const AGENT_BOOTSTRAP_GROUP = 'system:bootstrappers:coracle:agents';
const NODE_CLIENT = 'system:certificates.k8s.io:certificatesigningrequests:nodeclient';
const SELF_NODE_CLIENT = 'system:certificates.k8s.io:certificatesigningrequests:selfnodeclient';

export const BOOTSTRAP_CLUSTER_ROLES: readonly BootstrapClusterRole[] = [
  ...USER_ROLES,
  ...COMPONENT_ROLES,
  ...Object.entries(CONTROLLER_RULES).map(([name, rules]) => ({ name: `system:controller:${name}`, rules })),
];

export const BOOTSTRAP_CLUSTER_ROLE_BINDINGS: readonly BootstrapBinding[] = [
  bind('cluster-admin', [group('system:masters')]),
  bind('system:monitoring', [group('system:monitoring')]),
  bind('system:discovery', [group('system:authenticated')]),
  bind('system:basic-user', [group('system:authenticated')]),
  bind('system:public-info-viewer', [group('system:authenticated'), group('system:unauthenticated')]),
  bind('system:node', []),
  bind('system:node-proxier', [user('system:kube-proxy')]),
  bind('system:kube-controller-manager', [user('system:kube-controller-manager')]),
  bind('system:kube-scheduler', [user('system:kube-scheduler')]),
  bind('system:volume-scheduler', [user('system:kube-scheduler')]),
  bind('system:kube-dns', [account('kube-dns')]),
  bind('system:service-account-issuer-discovery', [group('system:serviceaccounts')]),
  bind('system:node-bootstrapper', [group(AGENT_BOOTSTRAP_GROUP)], 'coracle:agent-bootstrap'),
  bind(NODE_CLIENT, [group(AGENT_BOOTSTRAP_GROUP)], 'coracle:agent-approve-bootstrap'),
  bind(SELF_NODE_CLIENT, [group('system:nodes')], 'coracle:agent-approve-renewal'),
  bind('system:node-bootstrapper', [group(LAPSED_NODES)], 'coracle:lapsed-node'),
  bind(SELF_NODE_CLIENT, [group(LAPSED_NODES)], 'coracle:lapsed-node-approve-renewal'),
  bind('coracle:netd', [group('coracle:netd')]),
  bind('system:kubelet-api-admin', [user('kube-apiserver-kubelet-client')], 'coracle:apiserver-kubelet-client'),
  bind('coracle:component-renewal', ['system:kube-scheduler', 'system:kube-controller-manager'].map(user)),
  ...Object.keys(CONTROLLER_RULES).map((name) => bind(`system:controller:${name}`, [account(name)])),
];

interface BoundRole extends BootstrapRole {
  readonly subjects: readonly ISubject[];
  /** Where it is not the role's own. */
  readonly bindingName?: string;
}

const leaderLocking = (component: string): BoundRole => ({
  namespace: 'kube-system',
  name: `system::leader-locking-${component}`,
  rules: [allow('watch', 'core', 'configmaps'), allow('get update', 'core', 'configmaps', component)],
  subjects: [user(`system:${component}`), account(component)],
});

/** Roles of one namespace, each with its one binding. */
const BOUND_ROLES: readonly BoundRole[] = [
  {
    namespace: 'kube-system',
    name: 'extension-apiserver-authentication-reader',
    rules: [allow('get list watch', 'core', 'configmaps', 'extension-apiserver-authentication')],
    subjects: [user('system:kube-controller-manager'), user('system:kube-scheduler')],
    bindingName: 'system::extension-apiserver-authentication-reader',
  },
  leaderLocking('kube-controller-manager'),
  leaderLocking('kube-scheduler'),
  {
    namespace: 'kube-system',
    name: 'system:controller:bootstrap-signer',
    rules: [allow('get list watch', 'core', 'secrets')],
    subjects: [account('bootstrap-signer')],
  },
  {
    namespace: 'kube-public',
    name: 'system:controller:bootstrap-signer',
    rules: [
      allow('get list watch', 'core', 'configmaps'),
      allow('update', 'core', 'configmaps', 'cluster-info'),
      EVENTS,
    ],
    subjects: [account('bootstrap-signer')],
  },
  {
    namespace: 'kube-system',
    name: 'system:controller:cloud-provider',
    rules: [allow('create get list watch', 'core', 'configmaps')],
    subjects: [account('cloud-provider')],
  },
  {
    namespace: 'kube-system',
    name: 'system:controller:token-cleaner',
    rules: [allow('delete get list watch', 'core', 'secrets'), EVENTS],
    subjects: [account('token-cleaner')],
  },
];

export const BOOTSTRAP_ROLES: readonly BootstrapRole[] = BOUND_ROLES.map(({ namespace, name, rules }) => ({
  namespace,
  name,
  rules,
}));

export const BOOTSTRAP_ROLE_BINDINGS: readonly (BootstrapBinding & { readonly namespace: string })[] = [
  {
    // Which CAs to trust: agents follow a rotation.
    namespace: 'kube-system',
    name: 'coracle:netd:extension-apiserver-authentication-reader',
    roleKind: 'Role',
    role: 'extension-apiserver-authentication-reader',
    subjects: [group('coracle:netd')],
  },
  ...BOUND_ROLES.map(({ namespace, name, bindingName = name, subjects }) => ({
    namespace,
    name: bindingName,
    roleKind: 'Role' as const,
    role: name,
    subjects,
  })),
];
