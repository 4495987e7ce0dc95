import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KubeClient } from '#api/client/client.ts';
import { generateKey, renderSigningRequest } from '#api/client/signing-request.ts';
import { type Pod, resources } from '#api/object/kinds.ts';
import { bootstrapTokenSecret } from './authenticate/bootstrap-token.ts';
import {
  asCertificate,
  asComponent,
  type Credentials,
  createSecuredServer,
  type SecuredServer,
} from './testing/secured-server.ts';

/*
 * Every rule of who may do what, stated as somebody's attempt to break it. Each must be refused, and leave a line in the audit log.
 */

let api: SecuredServer;
let admin: KubeClient;
let podUid = '';

const ADMIN = asCertificate('kubernetes-admin', 'system:masters');
const NODE_A = asCertificate('system:node:a', 'system:nodes');
/** An account that may write pods, roles and bindings in its namespace, which is the most that people hand out without thinking. */
const WEAK = asComponent('system:serviceaccount:default:weak');
const ANYBODY = asCertificate('anybody');
/** Somebody who only joins. */
const JOINER: Credentials = { token: 'cccccc.0123456789abcdef' };

const RBAC = 'rbac.authorization.k8s.io';
const rules = [
  { verbs: ['*'], apiGroups: [''], resources: ['pods', 'pods/status', 'configmaps'] },
  { verbs: ['*'], apiGroups: [RBAC], resources: ['roles', 'rolebindings'] },
  { verbs: ['create', 'get'], apiGroups: ['certificates.k8s.io'], resources: ['certificatesigningrequests'] },
].map((rule) => ({
  ...rule,
  verbs: rule.verbs[0] === '*' ? ['create', 'get', 'update', 'patch', 'delete', 'list'] : rule.verbs,
}));
const CLUSTER_RULES = [
  { verbs: ['create', 'update', 'get'], apiGroups: [RBAC], resources: ['clusterroles', 'clusterrolebindings'] },
  { verbs: ['create', 'get'], apiGroups: ['certificates.k8s.io'], resources: ['certificatesigningrequests'] },
];

const container = { name: 'c', image: 'i' };
const make = (client: KubeClient, info: Parameters<KubeClient['resource']>[0], object: object) =>
  client.resource(info).create(object as never);

async function renderRequest(commonName: string, organizations: string[] = []): Promise<string> {
  const { privateKey } = await generateKey();
  return Buffer.from(await renderSigningRequest(privateKey, { commonName, organizations })).toString('base64');
}

const signing = async (name: string, signerName: string, commonName: string, organizations: string[]) => ({
  apiVersion: 'certificates.k8s.io/v1',
  kind: 'CertificateSigningRequest',
  metadata: { name },
  spec: {
    signerName,
    request: await renderRequest(commonName, organizations),
    usages: [signerName.endsWith('serving') ? 'server auth' : 'client auth'],
  },
});

beforeAll(async () => {
  api = await createSecuredServer();
  admin = api.clientAs(ADMIN);
  for (const name of ['default', 'weak', 'strong']) {
    await make(admin, resources.serviceAccounts, { metadata: { name, namespace: 'default' } });
  }
  await make(admin, resources.roles, { metadata: { name: 'weak', namespace: 'default' }, rules });
  await make(admin, resources.clusterRoles, { metadata: { name: 'weak' }, rules: CLUSTER_RULES });
  const subjects = [{ kind: 'ServiceAccount', name: 'weak', namespace: 'default' }];
  const binding = (kind: string, namespace?: string) => ({
    metadata: { name: 'weak', ...(namespace === undefined ? {} : { namespace }) },
    roleRef: { apiGroup: RBAC, kind, name: 'weak' },
    subjects,
  });
  await make(admin, resources.roleBindings, binding('Role', 'default'));
  await make(admin, resources.clusterRoleBindings, binding('ClusterRole'));
  await make(admin, resources.roleBindings, {
    metadata: { name: 'strong', namespace: 'default' },
    roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name: 'admin' },
    subjects: [{ kind: 'ServiceAccount', name: 'strong', namespace: 'default' }],
  });
  for (const name of ['a', 'b']) {
    await make(admin, resources.nodes, {
      metadata: { name, labels: { 'node-restriction.kubernetes.io/kept': 'yes' } },
    });
    const metadata = { name: `of-${name}`, namespace: 'default' };
    await make(admin, resources.secrets, { metadata, type: 'Opaque' });
    const spec = {
      nodeName: name,
      containers: [container],
      serviceAccountName: name === 'b' ? 'strong' : 'weak',
      volumes: [{ name: 'v', secret: { secretName: `of-${name}` } }],
    };
    const pod = (await make(admin, resources.pods, { metadata, spec })) as Pod;
    if (name === 'b') podUid = pod.metadata.uid;
  }
  await make(admin, resources.secrets, bootstrapTokenSecret(JOINER.token!, { expiresAtMs: undefined }));
  await make(admin, resources.certificateSigningRequests, {
    ...(await signing('foreign', 'kubernetes.io/kubelet-serving', 'system:node:a', ['system:nodes'])),
  });
});
afterAll(() => api.stop());

interface Attempt {
  readonly what: string;
  readonly method?: string;
  readonly url: string;
  readonly body?: object | (() => Promise<object>);
  readonly headers?: Readonly<Record<string, string>>;
  readonly code?: number;
}

const PODS = '/api/v1/namespaces/default/pods';
const CSRS = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
const ROLES = `/apis/${RBAC}/v1/namespaces/default/roles`;
const BINDINGS = `/apis/${RBAC}/v1/namespaces/default/rolebindings`;
const CLUSTER_BINDINGS = `/apis/${RBAC}/v1/clusterrolebindings`;
const ALL = [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }];
const role = (name: string, wanted: object[], kind = 'Role', more: object = {}) => ({
  apiVersion: `${RBAC}/v1`,
  kind,
  metadata: { name, ...more },
  rules: wanted,
});
const bind = (roleName: string, kind = 'RoleBinding', roleKind = 'ClusterRole') => ({
  apiVersion: `${RBAC}/v1`,
  kind,
  metadata: { name: 'mine' },
  roleRef: { apiGroup: RBAC, kind: roleKind, name: roleName },
  subjects: [{ kind: 'ServiceAccount', name: 'weak', namespace: 'default' }],
});
const tokenRequest = (spec: object = {}) => ({ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec });
const patch = { 'content-type': 'application/merge-patch+json' };
const apply = { 'content-type': 'application/apply-patch+yaml' };
const podBody = (spec: object, metadata: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'new', ...metadata },
  spec: { containers: [container], ...spec },
});

const identityOf = ({ peer, token }: Credentials) => ({
  username: peer?.certificate?.commonName ?? peer?.component ?? `system:bootstrap:${token?.split('.')[0]}`,
});

/** The same object, whose inner ones may hold more. */
const matching = (wanted: object): object =>
  Object.fromEntries(
    Object.entries(wanted).map(([key, value]) => [
      key,
      typeof value === 'object' ? expect.objectContaining(value) : value,
    ]),
  );

function describeAttempts(who: string, credentials: () => Credentials, attempts: readonly Attempt[]): void {
  describe(who, () => {
    it.each(attempts.map((attempt) => [attempt.what, attempt] as const))('does not %s', async (_, attempt) => {
      const before = api.auditLines.length;
      const { method = attempt.body === undefined ? 'GET' : 'POST', url, code = 403 } = attempt;
      const body = typeof attempt.body === 'function' ? await attempt.body() : attempt.body;
      const { peer, token } = credentials();
      const { status, body: answer } = await api.call({
        method,
        url,
        ...(body === undefined ? {} : { body }),
        ...(peer === undefined ? {} : { peer }),
        ...(token === undefined ? {} : { token }),
        headers: attempt.headers ?? {},
      });
      expect([status, answer]).toEqual([code, expect.objectContaining({ status: 'Failure' })]);
      const audited = api.auditLines.slice(before).map((line) => JSON.parse(line));
      // Who it was, not who they wanted to be; what they asked for, and what they got.
      const { username } = identityOf(credentials());
      const record = { user: { username }, requestURI: url, responseStatus: { code } };
      expect(audited).toContainEqual(expect.objectContaining(matching(record)));
    });
  });
}

describeAttempts('a node', () => NODE_A, [
  { what: "read another node's Secret", url: '/api/v1/namespaces/default/secrets/of-b' },
  { what: 'list Secrets', url: '/api/v1/namespaces/default/secrets' },
  { what: 'read a Secret that no pod names', url: '/api/v1/namespaces/kube-system/secrets/bootstrap-token-cccccc' },
  { what: "read another node's pod", url: `${PODS}/of-b` },
  { what: "delete another node's pod", method: 'DELETE', url: `${PODS}/of-b` },
  {
    what: 'label itself into another role',
    method: 'PATCH',
    url: '/api/v1/nodes/a',
    headers: patch,
    body: { metadata: { labels: { 'node-role.kubernetes.io/control-plane': '' } } },
  },
  {
    what: 'label itself into an isolated pool',
    method: 'PATCH',
    url: '/api/v1/nodes/a',
    headers: patch,
    body: { metadata: { labels: { 'node-restriction.kubernetes.io/pool': 'prod' } } },
  },
  {
    what: 'label itself into another role by the way of its status',
    method: 'PATCH',
    url: '/api/v1/nodes/a/status',
    headers: patch,
    body: { metadata: { labels: { 'node-role.kubernetes.io/control-plane': '' } } },
  },
  {
    what: 'take a label off by which pods keep away from it',
    method: 'PATCH',
    url: '/api/v1/nodes/a',
    headers: patch,
    body: { metadata: { labels: { 'node-restriction.kubernetes.io/kept': null } } },
  },
  {
    what: 'come to life with the labels of another role',
    url: '/api/v1/nodes',
    body: {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: 'a', labels: { 'node-restriction.kubernetes.io/pool': 'prod' } },
    },
  },
  { what: 'read the account of a pod elsewhere', url: '/api/v1/namespaces/default/serviceaccounts/strong' },
  {
    what: "report the end of another node's pod",
    method: 'PATCH',
    url: `${PODS}/of-b/status`,
    headers: patch,
    body: { status: { phase: 'Failed' } },
  },
  {
    what: "evict another node's pod",
    url: `${PODS}/of-b/eviction`,
    body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'of-b', namespace: 'default' } },
  },
  {
    what: 'take its taints off',
    method: 'PATCH',
    url: '/api/v1/nodes/a',
    headers: patch,
    body: { spec: { taints: [{ key: 'k', effect: 'NoSchedule' }] } },
  },
  {
    what: 'write another node',
    method: 'PATCH',
    url: '/api/v1/nodes/b/status',
    headers: patch,
    body: { status: { phase: 'Running' } },
  },
  {
    what: 'bind pods',
    url: `${PODS}/of-b/binding`,
    body: { apiVersion: 'v1', kind: 'Binding', metadata: { name: 'of-b' }, target: { kind: 'Node', name: 'a' } },
  },
  { what: 'create a pod on another node', url: PODS, body: podBody({ nodeName: 'b' }) },
  { what: 'create a pod that is no shadow of a static one', url: PODS, body: podBody({ nodeName: 'a' }) },
  {
    what: 'make a shadow that leads it to a Secret',
    url: PODS,
    body: podBody(
      { nodeName: 'a', volumes: [{ name: 'v', secret: { secretName: 'of-b' } }] },
      { annotations: { 'kubernetes.io/config.mirror': 'x' } },
    ),
  },
  {
    what: 'approve its own serving certificate with foreign names',
    method: 'PUT',
    url: `${CSRS}/foreign/approval`,
    body: async () => ({
      ...((await admin.resource(resources.certificateSigningRequests).fetch('foreign')) as object),
      status: { conditions: [{ type: 'Approved', status: 'True', reason: 'Mine' }] },
    }),
  },
  {
    what: 'ask for the certificate of another node',
    url: CSRS,
    body: () => signing('other', 'kubernetes.io/kube-apiserver-client-kubelet', 'system:node:b', ['system:nodes']),
  },
  {
    what: 'ask for the serving certificate of another node',
    url: CSRS,
    body: () => signing('other', 'kubernetes.io/kubelet-serving', 'system:node:b', ['system:nodes']),
  },
  {
    what: 'ask for the network identity of another node',
    url: CSRS,
    body: () => signing('other', 'coracle.dev/netd', 'coracle:netd:b', ['coracle:netd']),
  },
  {
    what: "get a token for another node's pod",
    url: '/api/v1/namespaces/default/serviceaccounts/strong/token',
    body: () =>
      Promise.resolve(tokenRequest({ boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'of-b', uid: podUid } })),
  },
  {
    what: 'get a token that is bound to nothing',
    url: '/api/v1/namespaces/default/serviceaccounts/weak/token',
    body: tokenRequest(),
  },
  { what: "renew another node's lease", url: '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/b' },
  { what: 'reach other nodes through the API server', url: '/api/v1/nodes/b/proxy/pods' },
  {
    what: 'bind pods that wait to itself',
    url: '/api/v1/namespaces/default/bindings',
    body: { apiVersion: 'v1', kind: 'Binding', metadata: { name: 'of-b' }, target: { kind: 'Node', name: 'a' } },
  },
  { what: 'become somebody else', url: PODS, headers: { 'impersonate-user': 'kubernetes-admin' } },
]);

describeAttempts('a ServiceAccount', () => WEAK, [
  { what: 'bind itself to cluster-admin', url: CLUSTER_BINDINGS, body: bind('cluster-admin', 'ClusterRoleBinding') },
  { what: 'bind itself to admin in its namespace', url: BINDINGS, body: bind('admin') },
  { what: 'write a role with more rights', url: ROLES, body: role('more', ALL) },
  { what: 'add to its own role', method: 'PUT', url: `${ROLES}/weak`, body: role('weak', [...rules, ...ALL]) },
  {
    what: 'write a role with more rights by applying it',
    method: 'PATCH',
    url: `${ROLES}/applied?fieldManager=me`,
    headers: apply,
    body: role('applied', ALL),
  },
  {
    what: 'patch more into its own role',
    method: 'PATCH',
    url: `${ROLES}/weak`,
    headers: patch,
    body: { rules: ALL },
  },
  {
    what: 'join a binding of more rights',
    method: 'PATCH',
    url: `${BINDINGS}/strong`,
    headers: patch,
    body: { subjects: [{ kind: 'ServiceAccount', name: 'weak', namespace: 'default' }] },
  },
  {
    what: 'give more rights to others',
    url: BINDINGS,
    body: { ...bind('edit'), subjects: [{ kind: 'Group', apiGroup: RBAC, name: 'system:authenticated' }] },
  },
  {
    what: 'give itself the making of tokens',
    url: ROLES,
    body: role('x', [{ verbs: ['create'], apiGroups: [''], resources: ['serviceaccounts/token'] }]),
  },
  {
    what: 'give itself entry to pods',
    url: ROLES,
    body: role('x', [{ verbs: ['create'], apiGroups: [''], resources: ['pods/exec'] }]),
  },
  {
    what: 'give itself escalate',
    url: ROLES,
    body: role('x', [{ verbs: ['escalate', 'bind'], apiGroups: [RBAC], resources: ['roles'] }]),
  },
  {
    what: 'give itself impersonate',
    url: ROLES,
    body: role('x', [{ verbs: ['impersonate'], apiGroups: [''], resources: ['users'] }]),
  },
  {
    what: 'write a role that collects the rules of others',
    url: `/apis/${RBAC}/v1/clusterroles`,
    body: {
      ...role('collect', [], 'ClusterRole'),
      aggregationRule: { clusterRoleSelectors: [{ matchLabels: { 'kubernetes.io/bootstrapping': 'rbac-defaults' } }] },
    },
  },
  {
    what: 'slip rules into view',
    url: `/apis/${RBAC}/v1/clusterroles`,
    body: role('slip', ALL, 'ClusterRole', { labels: { [`${RBAC}/aggregate-to-view`]: 'true' } }),
  },
  { what: 'become the administrator', url: PODS, headers: { 'impersonate-user': 'kubernetes-admin' } },
  {
    what: 'join the superusers',
    url: PODS,
    headers: { 'impersonate-user': 'weak', 'impersonate-group': 'system:masters' },
  },
  {
    what: 'become another account',
    url: PODS,
    headers: { 'impersonate-user': 'system:serviceaccount:default:strong' },
  },
  {
    what: 'become a node',
    url: PODS,
    headers: { 'impersonate-user': 'system:node:a', 'impersonate-group': 'system:nodes' },
  },
  {
    what: 'become itself with the attributes of somebody else',
    url: PODS,
    headers: { 'impersonate-user': 'system:serviceaccount:default:weak', 'impersonate-extra-scopes': 'all' },
  },
  {
    what: 'put on the UID of another',
    url: PODS,
    headers: { 'impersonate-user': 'system:serviceaccount:default:weak', 'impersonate-uid': '1' },
  },
  { what: 'run as an account of another namespace', url: '/api/v1/namespaces/kube-system/pods', body: podBody({}) },
  {
    what: 'run as an account that is not there',
    url: PODS,
    body: podBody({ serviceAccountName: 'kube-system:admin' }),
  },
  {
    what: 'get a token for another account',
    url: '/api/v1/namespaces/default/serviceaccounts/strong/token',
    body: tokenRequest(),
  },
  {
    what: 'have a token Secret filled for another account',
    url: '/api/v1/namespaces/default/secrets',
    body: {
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'kubernetes.io/service-account-token',
      metadata: { name: 't', annotations: { 'kubernetes.io/service-account.name': 'strong' } },
    },
  },
  { what: 'enter the pods of others', url: `${PODS}/of-b/exec?command=sh&stdin=true&stdout=true` },
  { what: 'run a command in the pods of others', url: `${PODS}/of-b/exec?command=id&stdout=true`, body: {} },
  { what: 'reach the pods of others through the API server', url: `${PODS}/of-b/proxy/` },
  { what: 'reach Services through the API server', url: '/api/v1/namespaces/default/services/kubernetes/proxy/' },
  { what: 'attach to the pods of others', url: `${PODS}/of-b/attach?stdin=true` },
  { what: 'forward ports of others', url: `${PODS}/of-b/portforward?ports=80` },
  {
    what: 'add a container to the pods of others',
    method: 'PATCH',
    url: `${PODS}/of-b/ephemeralcontainers`,
    headers: { 'content-type': 'application/strategic-merge-patch+json' },
    body: { spec: { ephemeralContainers: [container] } },
  },
  {
    what: 'place pods past the scheduler',
    url: `${PODS}/of-b/binding`,
    body: { apiVersion: 'v1', kind: 'Binding', metadata: { name: 'of-b' }, target: { kind: 'Node', name: 'a' } },
  },
  { what: 'read the node API', url: '/api/v1/nodes/b/proxy/logs/' },
  {
    what: 'ask for a certificate of the superusers',
    url: CSRS,
    body: () => signing('masters', 'kubernetes.io/kube-apiserver-client', 'weak', ['system:masters']),
  },
  {
    what: 'approve a certificate',
    method: 'PUT',
    url: `${CSRS}/foreign/approval`,
    body: { apiVersion: 'certificates.k8s.io/v1', kind: 'CertificateSigningRequest', metadata: { name: 'foreign' } },
  },
  {
    what: 'see all requests by a webhook',
    url: '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations',
    body: {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingWebhookConfiguration',
      metadata: { name: 'w' },
    },
  },
  {
    what: 'answer for a group of the API',
    url: '/apis/apiregistration.k8s.io/v1/apiservices',
    body: { apiVersion: 'apiregistration.k8s.io/v1', kind: 'APIService', metadata: { name: 'v1.x' } },
  },
]);

describeAttempts('a host that has nothing but a join token', () => JOINER, [
  { what: 'read Secrets', url: '/api/v1/namespaces/kube-system/secrets' },
  {
    what: 'register a node',
    url: '/api/v1/nodes',
    body: { apiVersion: 'v1', kind: 'Node', metadata: { name: 'new' } },
  },
  {
    what: "ask for a superuser's certificate",
    url: CSRS,
    body: () => signing('masters', 'kubernetes.io/kube-apiserver-client', 'x', ['system:masters']),
  },
  {
    what: 'approve its own request',
    method: 'PUT',
    url: `${CSRS}/foreign/approval`,
    body: { apiVersion: 'certificates.k8s.io/v1', kind: 'CertificateSigningRequest', metadata: { name: 'foreign' } },
  },
]);

describeAttempts('somebody with a certificate and no role', () => ANYBODY, [
  { what: 'read pods', url: PODS },
  { what: 'read metrics', url: '/metrics' },
  {
    what: 'speak for a front proxy',
    url: PODS,
    headers: { 'x-remote-user': 'kubernetes-admin', 'x-remote-group': 'system:masters' },
  },
  {
    what: 'review tokens',
    url: '/apis/authentication.k8s.io/v1/tokenreviews',
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token: 'x' } },
  },
  {
    what: 'ask about the rights of others',
    url: '/apis/authorization.k8s.io/v1/subjectaccessreviews',
    body: {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      spec: { user: 'x', resourceAttributes: {} },
    },
  },
  {
    what: 'write policies that read Secrets',
    url: '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies',
    body: { apiVersion: 'admissionregistration.k8s.io/v1', kind: 'ValidatingAdmissionPolicy', metadata: { name: 'p' } },
  },
]);
