import { describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import type { RequestInfo, UserInfo } from '../chain/request-context.ts';
import { fakeInfo } from '../testing/fake-request.ts';
import type { FlowSchemaSpec, FlowSubject } from './configuration.ts';
import { FlowController, flowName } from './flow-controller.ts';
import { FlowMetrics } from './flow-metrics.ts';
import { matchesSubject, sortSchemas } from './match-schema.ts';
import { dealHand, hashFlow } from './shuffle-shard.ts';

const user = (name: string, ...groups: string[]): UserInfo => ({ name, groups: [...groups, 'system:authenticated'] });
const account = (namespace: string, name: string) =>
  user(`system:serviceaccount:${namespace}:${name}`, 'system:serviceaccounts', `system:serviceaccounts:${namespace}`);
const node = user('system:node:n1', 'system:nodes');
const path = (url: string): Partial<RequestInfo> => ({
  isResourceRequest: false,
  path: url,
  resource: '',
  verb: 'get',
});
const leases = { group: 'coordination.k8s.io', resource: 'leases', namespace: 'x', verb: 'update' };

describe('the bootstrap configuration', () => {
  const controller = new FlowController({ clock: new FakeClock(), metrics: new FlowMetrics(), totalSeats: 600 });

  it.each<[string, UserInfo, Partial<RequestInfo>, string, string]>([
    ['an administrator', user('root', 'system:masters'), {}, 'exempt', 'exempt'],
    ['a probe', user('ann'), path('/readyz'), 'probes', 'exempt'],
    ['one check of a probe', user('ann'), path('/livez/ping'), 'probes', 'exempt'],
    ["an administrator's probe", user('root', 'system:masters'), path('/readyz'), 'exempt', 'exempt'],
    ["the scheduler's lease", user('system:kube-scheduler'), leases, 'system-leader-election', 'leader-election'],
    ["a controller's lease", account('kube-system', 'x'), leases, 'system-leader-election', 'leader-election'],
    [
      'endpoints of their controller',
      account('kube-system', 'endpoint-controller'),
      { resource: 'endpoints', namespace: 'x', verb: 'update' },
      'endpoint-controller',
      'workload-high',
    ],
    ['a heartbeat', node, leases, 'system-node-high', 'node-high'],
    [
      "a node's status",
      node,
      { resource: 'nodes', subresource: 'status', verb: 'patch' },
      'system-node-high',
      'node-high',
    ],
    ["a node's pods", node, { namespace: 'x' }, 'system-nodes', 'system'],
    ['the network of a node', user('coracle:netd:n1', 'coracle:netd'), {}, 'coracle-node-network', 'system'],
    ['the scheduler', user('system:kube-scheduler'), { namespace: 'x' }, 'kube-scheduler', 'workload-high'],
    ['a controller', account('kube-system', 'x'), {}, 'kube-system-service-accounts', 'workload-high'],
    ['a workload', account('shop', 'x'), {}, 'service-accounts', 'workload-low'],
    ["a workload's lease", account('shop', 'x'), leases, 'service-accounts', 'workload-low'],
    ['a person', user('ann'), {}, 'global-default', 'global-default'],
    ['discovery', user('ann'), path('/apis'), 'global-default', 'global-default'],
    ['nobody in particular', { name: 'x', groups: [] }, {}, 'catch-all', 'catch-all'],
  ])('puts %s where it belongs', (_, who, info, schema, level) => {
    const flow = controller.classify({ user: who, info: fakeInfo(info) });
    expect([flow.schema.name, flow.level.name]).toEqual([schema, level]);
  });

  it('has the seats of Kubernetes', () => {
    const seats = [...controller.levels].map(({ name, limits }) => [name, limits.nominal, limits.min]);
    expect(Object.fromEntries(seats.map(([name, ...rest]) => [name, rest]))).toEqual({
      exempt: [0, 0],
      'catch-all': [13, 13],
      system: [74, 50],
      'node-high': [98, 73],
      'leader-election': [25, 25],
      'workload-high': [98, 49],
      'workload-low': [245, 24],
      'global-default': [49, 24],
    });
  });

  it('tells flows apart as the schema says', () => {
    const name = (who: UserInfo, info: Partial<RequestInfo>) =>
      flowName(controller.classify({ user: who, info: fakeInfo(info) }), who, fakeInfo(info));
    expect(name(user('ann'), { namespace: 'x' })).toBe('global-default/ann');
    expect(name(account('kube-system', 'c'), { namespace: 'x' })).toBe('kube-system-service-accounts/x');
  });

  it('looks at the groups, not at the name alone', () => {
    const info = fakeInfo();
    expect(controller.classify({ user: user('x'), info }).schema.name).toBe('global-default');
    expect(controller.classify({ user: user('x', 'system:masters'), info }).schema.name).toBe('exempt');
    expect(controller.classify({ user: user('x'), info }).schema.name).toBe('global-default');
  });
});

describe('schemas', () => {
  const spec = (precedence: number, level: string, rule: object): FlowSchemaSpec => ({
    priorityLevelConfiguration: { name: level },
    matchingPrecedence: precedence,
    rules: [{ subjects: [{ kind: 'User', user: { name: '*' } }], ...rule }],
  });
  const classify = (schemas: Record<string, FlowSchemaSpec>, info: Partial<RequestInfo>) => {
    const controller = new FlowController({ clock: new FakeClock(), metrics: new FlowMetrics(), totalSeats: 10 });
    controller.configure(
      [],
      Object.entries(schemas).map(([name, one]) => ({ name, uid: '', spec: one })),
    );
    return controller.classify({ user: user('ann'), info: fakeInfo(info) }).schema.name;
  };
  const pods = { verbs: ['get'], apiGroups: [''], resources: ['pods', 'pods/log'] };

  it.each<[string, object, Partial<RequestInfo>, boolean]>([
    ['a namespace that is named', { ...pods, namespaces: ['a'] }, { namespace: 'a' }, true],
    ['another namespace', { ...pods, namespaces: ['a'] }, { namespace: 'b' }, false],
    ['the cluster scope unless it is meant', { ...pods, namespaces: ['*'] }, {}, false],
    ['the cluster scope', { ...pods, clusterScope: true }, {}, true],
    ['namespaces unless they are meant', { ...pods, clusterScope: true }, { namespace: 'a' }, false],
    ['another verb', { ...pods, namespaces: ['*'] }, { namespace: 'a', verb: 'list' }, false],
    ['another group', { ...pods, namespaces: ['*'] }, { namespace: 'a', group: 'x' }, false],
    ['a subresource that is named', { ...pods, namespaces: ['*'] }, { namespace: 'a', subresource: 'log' }, true],
    ['another subresource', { ...pods, namespaces: ['*'] }, { namespace: 'a', subresource: 'status' }, false],
  ])('of resources: %s', (_, rule, info, matches) => {
    const schemas = { mine: spec(10, 'catch-all', { resourceRules: [rule] }) };
    expect(classify(schemas, info)).toBe(matches ? 'mine' : 'catch-all');
  });

  it.each<[string, string, boolean]>([
    ['/a', '/a', true],
    ['/a', '/a/b', true],
    ['/a', '/ab', false],
    ['/a/*', '/a/b', true],
    ['/a/*', '/a', false],
    ['*', '/x', true],
  ])('of paths: %s and %s', (url, asked, matches) => {
    const schemas = { mine: spec(10, 'catch-all', { nonResourceRules: [{ verbs: ['get'], nonResourceURLs: [url] }] }) };
    expect(classify(schemas, path(asked))).toBe(matches ? 'mine' : 'catch-all');
  });

  it('without their level match nothing', () => {
    const rule = { resourceRules: [{ ...pods, clusterScope: true }] };
    expect(classify({ mine: spec(10, 'absent', rule) }, {})).toBe('catch-all');
  });

  it('are asked by precedence, then by name', () => {
    const make = (name: string, precedence: number) => ({ name, uid: '', spec: spec(precedence, 'x', {}) });
    const names = sortSchemas([make('b', 5), make('c', 1), make('a', 5)]).map(({ name }) => name);
    expect(names).toEqual(['c', 'a', 'b']);
  });
});

describe('matchesSubject', () => {
  const serviceAccount = (namespace: string, name: string): FlowSubject => ({
    kind: 'ServiceAccount',
    serviceAccount: { namespace, name },
  });
  it.each<[FlowSubject, UserInfo, boolean]>([
    [{ kind: 'User', user: { name: 'ann' } }, user('ann'), true],
    [{ kind: 'User', user: { name: 'ann' } }, user('bob'), false],
    [{ kind: 'Group', group: { name: '*' } }, { name: 'x', groups: [] }, true],
    [{ kind: 'Group', group: { name: 'dev' } }, user('x', 'dev'), true],
    [serviceAccount('a', 'x'), account('a', 'x'), true],
    [serviceAccount('a', '*'), account('a', 'x'), true],
    [serviceAccount('a', '*'), account('ab', 'x'), false],
    [serviceAccount('a', 'x'), account('b', 'x'), false],
  ])('%j and %j', (subject, who, matches) => {
    expect(matchesSubject(who, subject)).toBe(matches);
  });
});

describe('shuffle sharding', () => {
  it('deals different queues of the deck, the same for the same flow', () => {
    const hand = dealHand(hashFlow('global-default/ann'), 128, 6);
    expect(new Set(hand).size).toBe(6);
    expect(hand.every((card) => card >= 0 && card < 128)).toBe(true);
    expect(dealHand(hashFlow('global-default/ann'), 128, 6)).toEqual(hand);
  });

  it('deals every queue, and hardly ever the same hand to two flows', () => {
    const hands = Array.from({ length: 2000 }, (_, i) => dealHand(hashFlow(`service-accounts/user-${i}`), 128, 6));
    const uses = new Array<number>(128).fill(0);
    for (const card of hands.flat()) uses[card]!++;
    // 94 on average.
    expect(Math.min(...uses)).toBeGreaterThan(50);
    expect(Math.max(...uses)).toBeLessThan(150);
    expect(new Set(hands.map((hand) => [...hand].sort().join())).size).toBeGreaterThan(1995);
  });

  it('deals the whole deck', () => {
    expect(dealHand(hashFlow('x'), 4, 4).sort()).toEqual([0, 1, 2, 3]);
  });
});
