import type { KubeClient } from '#api/client/client.ts';
import { type Pod, resources } from '#api/object/kinds.ts';
import { bootstrapTokenSecret } from '../../authenticate/bootstrap-token.ts';
import {
  asCertificate,
  asComponent,
  type Credentials,
  createSecuredServer,
  type SecuredServer,
} from '../secured-server.ts';
import { container, RBAC, signing } from './requests.ts';

const ADMIN = asCertificate('kubernetes-admin', 'system:masters');
export const NODE_A = asCertificate('system:node:a', 'system:nodes');
/** An account that may write pods, roles and bindings in its namespace, which is the most that people hand out without thinking. */
export const WEAK = asComponent('system:serviceaccount:default:weak');
export const ANYBODY = asCertificate('anybody');
/** Somebody who only joins. */
export const JOINER: Credentials = { token: 'cccccc.0123456789abcdef' };

/** What the weak account may in its namespace. */
export const RULES = [
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

export interface Scene {
  readonly api: SecuredServer;
  readonly admin: KubeClient;
  /** Of the pod on node b. */
  readonly podUid: string;
}

const make = (client: KubeClient, info: Parameters<KubeClient['resource']>[0], object: object) =>
  client.resource(info).create(object as never);

/** A server with two nodes and a pod of each, and with accounts that may something. */
export async function createScene(): Promise<Scene> {
  const api = await createSecuredServer();
  const admin = api.clientAs(ADMIN);
  for (const name of ['default', 'weak', 'strong']) {
    await make(admin, resources.serviceAccounts, { metadata: { name, namespace: 'default' } });
  }
  await make(admin, resources.roles, { metadata: { name: 'weak', namespace: 'default' }, rules: RULES });
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
  let podUid = '';
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
  return { api, admin, podUid };
}
