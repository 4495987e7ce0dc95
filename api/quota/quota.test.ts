import { describe, expect, it } from 'vitest';
import type { Pod } from '../object/kinds.ts';
import type { KubeObject } from '../object/kube-object.ts';
import { addAmounts, exceedingAmounts, parseAmounts, printAmounts, renderAmounts } from './amounts.ts';
import { evaluatorFor, kindCountedBy } from './evaluators.ts';
import { missingRequirements } from './pod-usage.ts';
import { isInScope, type ResourceQuota, sumUsage } from './quota.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const core = (resource: string) => evaluatorFor({ group: '', resource });
const usageOf = (resource: string, object: object, group = '') =>
  renderAmounts(evaluatorFor({ group, resource }).usage(object as KubeObject, NOW));

const container = (requests: object = {}, limits: object = {}) => ({ name: 'c', resources: { requests, limits } });
const pod = (spec: object, rest: object = {}) => ({ metadata: { name: 'p' }, spec, ...rest });

describe('what an object uses of a quota', () => {
  it('counts a pod, its requests and limits under all their names', () => {
    const spec = {
      containers: [
        container({ cpu: '1', memory: '1Gi', 'example.com/gpu': '2', 'hugepages-2Mi': '4Mi' }, { cpu: '2' }),
        container({ cpu: '500m' }, { cpu: '1' }),
      ],
    };
    expect(usageOf('pods', pod(spec))).toEqual({
      'count/pods': '1',
      cpu: '1500m',
      'hugepages-2Mi': '4Mi',
      'limits.cpu': '3',
      memory: '1Gi',
      pods: '1',
      'requests.cpu': '1500m',
      'requests.example.com/gpu': '2',
      'requests.hugepages-2Mi': '4Mi',
      'requests.memory': '1Gi',
    });
  });

  it.each<[string, object, boolean]>([
    ['runs', { status: { phase: 'Running' } }, true],
    ['has succeeded', { status: { phase: 'Succeeded' } }, false],
    ['has failed', { status: { phase: 'Failed' } }, false],
    [
      'has time to end',
      { metadata: { deletionTimestamp: '2025-12-31T23:59:50Z', deletionGracePeriodSeconds: 30 } },
      true,
    ],
    [
      'should have ended',
      { metadata: { deletionTimestamp: '2025-12-31T23:59:00Z', deletionGracePeriodSeconds: 30 } },
      false,
    ],
  ])('of a pod that %s counts at least the object', (_, rest, isAlive) => {
    const usage = usageOf('pods', pod({ containers: [container({ cpu: '1' })] }, rest));
    expect(usage).toEqual(
      isAlive ? { 'count/pods': '1', cpu: '1', pods: '1', 'requests.cpu': '1' } : { 'count/pods': '1' },
    );
  });

  it.each<[string, object, object]>([
    ['ClusterIP', { ports: [{ port: 1 }] }, {}],
    ['NodePort', { type: 'NodePort', ports: [{ port: 1 }, { port: 2 }] }, { 'services.nodeports': '2' }],
    [
      'LoadBalancer',
      { type: 'LoadBalancer', ports: [{ port: 1 }] },
      { 'services.loadbalancers': '1', 'services.nodeports': '1' },
    ],
    [
      'LoadBalancer without node ports but one',
      {
        type: 'LoadBalancer',
        allocateLoadBalancerNodePorts: false,
        ports: [{ port: 1 }, { port: 2, nodePort: 30000 }],
      },
      { 'services.loadbalancers': '1', 'services.nodeports': '1' },
    ],
  ])('of a Service: %s', (_, spec, extra) => {
    expect(usageOf('services', { metadata: {}, spec })).toEqual({ 'count/services': '1', services: '1', ...extra });
  });

  it('counts a claim by its class too', () => {
    const claim = { metadata: {}, spec: { storageClassName: 'fast', resources: { requests: { storage: '5Gi' } } } };
    expect(usageOf('persistentvolumeclaims', claim)).toEqual({
      'count/persistentvolumeclaims': '1',
      'fast.storageclass.storage.k8s.io/persistentvolumeclaims': '1',
      'fast.storageclass.storage.k8s.io/requests.storage': '5Gi',
      persistentvolumeclaims: '1',
      'requests.storage': '5Gi',
    });
  });

  it('counts all other kinds by name', () => {
    expect(usageOf('configmaps', {})).toEqual({ configmaps: '1', 'count/configmaps': '1' });
    expect(usageOf('deployments', {}, 'apps')).toEqual({ 'count/deployments.apps': '1' });
    expect(usageOf('widgets', {}, 'example.com')).toEqual({ 'count/widgets.example.com': '1' });
  });
});

it.each([
  ['requests.cpu', 'pods'],
  ['requests.nvidia.com/gpu', 'pods'],
  ['services.nodeports', 'services'],
  ['requests.storage', 'persistentvolumeclaims'],
  ['gold.storageclass.storage.k8s.io/requests.storage', 'persistentvolumeclaims'],
  ['secrets', 'secrets'],
  ['count/jobs.batch', 'jobs.batch'],
  ['count/widgets.example.com', 'widgets.example.com'],
  ['nonsense', undefined],
])('%s is counted by %s', (name, expected) => {
  const kind = kindCountedBy(name);
  expect(kind && (kind.group === '' ? kind.resource : `${kind.resource}.${kind.group}`)).toBe(expected);
});

describe('scopes', () => {
  const quota = (spec: object) => ({ metadata: { name: 'q' }, spec }) as unknown as ResourceQuota;
  const isIn = (spec: object, podSpec: object) =>
    isInScope(quota(spec), core('pods'), pod({ containers: [container()], ...podSpec }) as unknown as KubeObject);
  const selector = (scopeName: string, operator: string, ...values: string[]) => ({
    scopeSelector: { matchExpressions: [{ scopeName, operator, values }] },
  });
  const burstable = { containers: [container({ cpu: '1' })] };
  const abroad = {
    affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ namespaces: ['other'] }] } },
  };

  it.each<[string, object, object, boolean]>([
    ['without any', {}, {}, true],
    ['Terminating, with a deadline', { scopes: ['Terminating'] }, { activeDeadlineSeconds: 0 }, true],
    ['Terminating, without', { scopes: ['Terminating'] }, {}, false],
    ['NotTerminating', { scopes: ['NotTerminating'] }, {}, true],
    ['BestEffort', { scopes: ['BestEffort'] }, {}, true],
    ['BestEffort, burstable', { scopes: ['BestEffort'] }, burstable, false],
    ['both must hold', { scopes: ['NotBestEffort', 'Terminating'] }, burstable, false],
    ['a class of its own', selector('PriorityClass', 'In', 'high'), { priorityClassName: 'high' }, true],
    ['another class', selector('PriorityClass', 'In', 'high'), { priorityClassName: 'low' }, false],
    ['no class', selector('PriorityClass', 'Exists'), {}, false],
    ['no class wanted', selector('PriorityClass', 'DoesNotExist'), {}, true],
    ['not one of these', selector('PriorityClass', 'NotIn', 'high'), {}, true],
    ['affinity abroad', { scopes: ['CrossNamespacePodAffinity'] }, abroad, true],
    ['affinity at home', { scopes: ['CrossNamespacePodAffinity'] }, {}, false],
  ])('%s', (_, spec, podSpec, expected) => {
    expect(isIn(spec, podSpec)).toBe(expected);
  });

  it('sum up only what the quota bounds', () => {
    const pods = [pod({ containers: [container({ cpu: '1' })] }), pod(burstable)] as unknown as KubeObject[];
    const sum = sumUsage(quota({ hard: { cpu: '4', pods: '9' } }), core('pods'), pods, NOW);
    expect(renderAmounts(sum)).toEqual({ cpu: '2', pods: '2' });
  });
});

it('names every container that does not say what a quota of CPU or memory needs', () => {
  const wanting = pod({
    containers: [
      { ...container({ cpu: '1' }), name: 'b' },
      { ...container(), name: 'a' },
    ],
    initContainers: [{ ...container(), name: 'i' }],
  }) as unknown as Pod;
  const required = ['limits.memory', 'requests.cpu', 'pods', 'ephemeral-storage'];
  expect(missingRequirements(wanting, required)).toBe('must specify limits.memory for: a,b,i; requests.cpu for: a,i');
  expect(
    missingRequirements(pod({ containers: [container()], resources: { limits: { cpu: '1' } } }) as never, required),
  ).toBeUndefined();
});

it('adds, takes away to zero and prints amounts in order', () => {
  const sum = addAmounts(parseAmounts({ pods: '1', cpu: '500m' }), parseAmounts({ cpu: '1' }));
  expect(printAmounts(sum)).toBe('cpu=1500m,pods=1');
  expect(printAmounts(exceedingAmounts(sum, parseAmounts({ cpu: '2', pods: '0' })))).toBe('cpu=0,pods=1');
});
