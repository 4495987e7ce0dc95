import { beforeEach, expect, test } from 'vitest';
import type { TestServer } from '../server/testing/test-server.ts';
import { createResourceServer } from './testing/resource-server.ts';

let api: TestServer;
beforeEach(() => {
  api = createResourceServer();
});

const KINDS = {
  quota: { url: '/api/v1/namespaces/a/resourcequotas', apiVersion: 'v1', kind: 'ResourceQuota' },
  limits: { url: '/api/v1/namespaces/a/limitranges', apiVersion: 'v1', kind: 'LimitRange' },
  budget: {
    url: '/apis/policy/v1/namespaces/a/poddisruptionbudgets',
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
  },
  ingress: {
    url: '/apis/networking.k8s.io/v1/namespaces/a/ingresses',
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
  },
  policy: {
    url: '/apis/networking.k8s.io/v1/namespaces/a/networkpolicies',
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
  },
} as const;
type Name = keyof typeof KINDS;

const object = (name: Name, spec: object, metadata: object = {}) => {
  const { apiVersion, kind } = KINDS[name];
  return { apiVersion, kind, metadata: { name: 'x', ...metadata }, spec };
};

const scopes = (hard: object, ...names: string[]) => ({ hard, scopes: names });
const expression = (requirement: object) => ({ scopeSelector: { matchExpressions: [requirement] } });
const limit = (item: object) => ({ limits: [{ type: 'Container', ...item }] });
const service = { service: { name: 's', port: { number: 80 } } };
const path = (more: object) => ({
  rules: [{ http: { paths: [{ path: '/', pathType: 'Prefix', backend: service, ...more }] } }],
});
const labels = { matchLabels: { app: 'x' } };

test.each<[kind: Name, why: string, spec: object, finding: string]>([
  [
    'quota',
    'an unknown resource',
    { hard: { gpus: '1' } },
    'spec.hard[gpus]: Invalid value: "gpus": must be a standard resource for quota',
  ],
  ['quota', 'half a pod', { hard: { pods: '500m' } }, 'spec.hard[pods]: Invalid value: "500m": must be an integer'],
  [
    'quota',
    'less than nothing',
    { hard: { cpu: '-1' } },
    'spec.hard[cpu]: Invalid value: "-1": must be greater than or equal to 0',
  ],
  [
    'quota',
    'an unknown scope',
    scopes({ pods: '1' }, 'Lazy'),
    'spec.scopes: Invalid value: ["Lazy"]: unsupported scope',
  ],
  [
    'quota',
    'a scope of other things',
    scopes({ services: '1' }, 'Terminating'),
    'unsupported scope applied to resource',
  ],
  [
    'quota',
    'amounts of pods that ask for none',
    scopes({ cpu: '1' }, 'BestEffort'),
    'unsupported scope applied to resource',
  ],
  [
    'quota',
    'scopes that exclude each other',
    scopes({ pods: '1' }, 'BestEffort', 'NotBestEffort'),
    'conflicting scopes',
  ],
  [
    'quota',
    'a comparison with what is or is not',
    expression({ scopeName: 'Terminating', operator: 'In', values: ['a'] }),
    'spec.scopeSelector.matchExpressions[0].operator: Invalid value: "In": must be \'Exist\' when scope is any of',
  ],
  [
    'quota',
    'a comparison with nothing',
    expression({ scopeName: 'PriorityClass', operator: 'In' }),
    'spec.scopeSelector.matchExpressions[0].values: Required value',
  ],
  ['limits', 'no type', { limits: [{ type: '' }] }, 'spec.limits[0].type: Required value'],
  [
    'limits',
    'a type twice',
    { limits: [{ type: 'Pod' }, { type: 'Pod' }] },
    'spec.limits[1].type: Duplicate value: "Pod"',
  ],
  [
    'limits',
    'an unknown resource',
    limit({ max: { gpus: '1' } }),
    'spec.limits[0].max[gpus]: Invalid value: "gpus": must be a standard limit type or fully qualified',
  ],
  [
    'limits',
    'defaults of pods',
    { limits: [{ type: 'Pod', default: { cpu: '1' } }] },
    "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
  ],
  [
    'limits',
    'claims without a size',
    { limits: [{ type: 'PersistentVolumeClaim' }] },
    'spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided',
  ],
  ['limits', 'a ratio below one', limit({ maxLimitRequestRatio: { cpu: '500m' } }), 'ratio 500m is less than 1'],
  [
    'limits',
    'a ratio that cannot be',
    limit({ min: { cpu: '1' }, max: { cpu: '2' }, maxLimitRequestRatio: { cpu: '4' } }),
    'spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "4": ratio 4 is greater than max/min = 2.000000',
  ],
  [
    'limits',
    'a floor above the ceiling',
    limit({ min: { cpu: '2' }, max: { cpu: '1' } }),
    'min value 2 is greater than max value 1',
  ],
  [
    'budget',
    'two bounds',
    { selector: labels, minAvailable: 1, maxUnavailable: 1 },
    'minAvailable and maxUnavailable cannot be both set',
  ],
  [
    'budget',
    'more than all',
    { selector: labels, minAvailable: '101%' },
    'spec.minAvailable: Invalid value: "101%": must not be greater than 100%',
  ],
  ['ingress', 'nothing to do', {}, 'spec: Invalid value: {}: either `defaultBackend` or `rules` must be specified'],
  [
    'ingress',
    'an address as host',
    { rules: [{ host: '1.2.3.4' }] },
    'spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address',
  ],
  [
    'ingress',
    'a path that is read in many ways',
    path({ path: '/a//b' }),
    'spec.rules[0].http.paths[0].path: Invalid value: "/a//b": must not contain \'//\'',
  ],
  [
    'ingress',
    'a path that ends above',
    path({ path: '/a/..' }),
    'spec.rules[0].http.paths[0].path: Invalid value: "/a/..": cannot end with \'/..\'',
  ],
  [
    'ingress',
    'no type of path',
    path({ pathType: '' }),
    'spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified',
  ],
  [
    'ingress',
    'an object without a kind',
    { defaultBackend: { resource: { name: 'b', kind: '' } } },
    'spec.defaultBackend.resource.kind: Required value',
  ],
  [
    'ingress',
    'a bad TLS host',
    { defaultBackend: service, tls: [{ hosts: ['A_b'] }] },
    'spec.tls[0].hosts[0]: Invalid value: "A_b"',
  ],
  [
    'policy',
    'three types',
    { podSelector: {}, policyTypes: ['Ingress', 'Egress', 'Ingress'] },
    'spec.policyTypes: Invalid value: ["Ingress","Egress","Ingress"]: may not specify more than two policyTypes',
  ],
])('%s is refused with %s', async (name, _why, spec, finding) => {
  const status = await api.expect(422, 'POST', KINDS[name].url, object(name, spec));
  expect(status.message).toContain(finding);
});

test('a new Ingress names its class in one way', async () => {
  const spec = { defaultBackend: service, ingressClassName: 'nginx' };
  const annotated = { annotations: { 'kubernetes.io/ingress.class': 'nginx' } };
  const status = await api.expect(422, 'POST', KINDS.ingress.url, object('ingress', spec, annotated));
  expect(status.message).toContain('can not be set when the class field is also set');
  const old = await api.call('POST', KINDS.ingress.url, object('ingress', { defaultBackend: service }, annotated));
  expect([old.status, String(old.headers.warning)]).toEqual([
    201,
    expect.stringContaining("is deprecated, please use 'spec.ingressClassName' instead"),
  ]);
});

test('bounds of quotas stay with their scopes', async () => {
  const created = await api.expect(201, 'POST', KINDS.quota.url, object('quota', scopes({ pods: '3' }, 'BestEffort')));
  const changed = { ...created, spec: { hard: { pods: '3' } } };
  const status = await api.expect(422, 'PUT', `${KINDS.quota.url}/x`, changed);
  expect(status.message).toContain('spec.scopes: Invalid value: null: field is immutable');
});
