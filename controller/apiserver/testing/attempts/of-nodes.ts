import { resources } from '#api/object/kinds.ts';
import { type Attempt, CSRS, PODS, patch, podBody, signing, tokenRequest } from './requests.ts';
import type { Scene } from './scene.ts';

export const attemptsOfNode = (scene: () => Scene): readonly Attempt[] => [
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
    what: 'make a shadow that leads it to a claim of devices',
    url: PODS,
    body: podBody(
      { nodeName: 'a', resourceClaims: [{ name: 'c', resourceClaimName: 'of-b' }] },
      { annotations: { 'kubernetes.io/config.mirror': 'x' } },
    ),
  },
  {
    what: 'name the claim of a pod elsewhere as that of its own',
    method: 'PATCH',
    url: `${PODS}/of-a/status`,
    headers: patch,
    body: { status: { extendedResourceClaimStatus: { resourceClaimName: 'of-b', requestMappings: [] } } },
  },
  {
    what: 'approve its own serving certificate with foreign names',
    method: 'PUT',
    url: `${CSRS}/foreign/approval`,
    body: async () => ({
      ...((await scene().admin.resource(resources.certificateSigningRequests).fetch('foreign')) as object),
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
      Promise.resolve(
        tokenRequest({ boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'of-b', uid: scene().podUid } }),
      ),
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
];
