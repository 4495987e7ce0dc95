import { generateKey, renderSigningRequest } from '#api/client/signing-request.ts';

/*
 * What attempts ask for: where, and with which bodies.
 */

export const RBAC = 'rbac.authorization.k8s.io';

export interface Attempt {
  readonly what: string;
  readonly method?: string;
  readonly url: string;
  readonly body?: object | (() => Promise<object>);
  readonly headers?: Readonly<Record<string, string>>;
  readonly code?: number;
}

export const PODS = '/api/v1/namespaces/default/pods';
export const CSRS = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
export const ROLES = `/apis/${RBAC}/v1/namespaces/default/roles`;
export const BINDINGS = `/apis/${RBAC}/v1/namespaces/default/rolebindings`;
export const CLUSTER_BINDINGS = `/apis/${RBAC}/v1/clusterrolebindings`;
export const ALL = [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }];
export const role = (name: string, wanted: object[], kind = 'Role', more: object = {}) => ({
  apiVersion: `${RBAC}/v1`,
  kind,
  metadata: { name, ...more },
  rules: wanted,
});
export const bind = (roleName: string, kind = 'RoleBinding', roleKind = 'ClusterRole') => ({
  apiVersion: `${RBAC}/v1`,
  kind,
  metadata: { name: 'mine' },
  roleRef: { apiGroup: RBAC, kind: roleKind, name: roleName },
  subjects: [{ kind: 'ServiceAccount', name: 'weak', namespace: 'default' }],
});
export const tokenRequest = (spec: object = {}) => ({
  apiVersion: 'authentication.k8s.io/v1',
  kind: 'TokenRequest',
  spec,
});
export const patch = { 'content-type': 'application/merge-patch+json' };
export const apply = { 'content-type': 'application/apply-patch+yaml' };
export const podBody = (spec: object, metadata: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'new', ...metadata },
  spec: { containers: [container], ...spec },
});

export const container = { name: 'c', image: 'i' };

async function renderRequest(commonName: string, organizations: string[] = []): Promise<string> {
  const { privateKey } = await generateKey();
  return Buffer.from(await renderSigningRequest(privateKey, { commonName, organizations })).toString('base64');
}

export const signing = async (name: string, signerName: string, commonName: string, organizations: string[]) => ({
  apiVersion: 'certificates.k8s.io/v1',
  kind: 'CertificateSigningRequest',
  metadata: { name },
  spec: {
    signerName,
    request: await renderRequest(commonName, organizations),
    usages: [signerName.endsWith('serving') ? 'server auth' : 'client auth'],
  },
});
