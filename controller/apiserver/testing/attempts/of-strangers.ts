import { type Attempt, CSRS, PODS, signing } from './requests.ts';

/** Of somebody who may join, and nothing else. */
export const ATTEMPTS_OF_JOINER: readonly Attempt[] = [
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
];

/** Of somebody with a certificate and no role. */
export const ATTEMPTS_OF_ANYBODY: readonly Attempt[] = [
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
];
