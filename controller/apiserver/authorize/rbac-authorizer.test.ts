import { beforeEach, describe, expect, it } from 'vitest';
import type { AuthorizationAttributes, UserInfo } from '../chain/request-context.ts';
import { SeededStore } from '../testing/seeded-store.ts';
import { denied, resourceAttributes } from './attributes.ts';
import { createRbacAuthorizer, type RbacAuthorizer } from './rbac-authorizer.ts';
import type { PolicyRule } from './rule-resolver.ts';
import { compileRule, uncoveredRules } from './rule-resolver.ts';

const user = (name: string, ...groups: string[]): UserInfo => ({ name, groups: [...groups, 'system:authenticated'] });
const roleRef = (kind: string, name: string) => ({ apiGroup: 'rbac.authorization.k8s.io', kind, name });

let seeded: SeededStore;
let rbac: RbacAuthorizer;

async function grant(name: string, rules: PolicyRule[], subject: object, namespace?: string) {
  await seeded.put(`/registry/clusterroles/${name}`, { metadata: { name }, rules });
  const binding = { roleRef: roleRef('ClusterRole', name), subjects: [subject] };
  await (namespace === undefined
    ? seeded.put(`/registry/clusterrolebindings/${name}`, { metadata: { name }, ...binding })
    : seeded.put(`/registry/rolebindings/${namespace}/${name}`, { metadata: { name, namespace }, ...binding }));
}

beforeEach(() => {
  seeded = new SeededStore();
  rbac = createRbacAuthorizer(seeded.store);
});

const ask = (who: UserInfo, verb: string, resource: string, more: Partial<AuthorizationAttributes> = {}) =>
  rbac.authorize({ ...resourceAttributes(who, { verb, group: '', resource }), ...more }).decision;

const pods = (rule: Partial<PolicyRule> = {}): PolicyRule[] => [
  { verbs: ['get', 'list'], apiGroups: [''], resources: ['pods'], ...rule },
];
const ann = { kind: 'User', name: 'ann' };

describe('the reason of an allowance', () => {
  const binding = (kind: string, ref: string, subject: object, place: object = {}) => ({
    metadata: { name: 'b', ...place },
    roleRef: roleRef(kind, ref),
    subjects: [{ kind: 'User', name: 'somebody else' }, subject],
  });
  const bot = { kind: 'ServiceAccount', name: 'bot' };
  const botUser = user('system:serviceaccount:n:bot');

  it.each<[string, string, ReturnType<typeof binding>, UserInfo, string]>([
    [
      'a user',
      'clusterrolebindings/b',
      binding('ClusterRole', 'r', ann),
      user('ann'),
      'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "r" to User "ann"',
    ],
    [
      'a group',
      'clusterrolebindings/b',
      binding('ClusterRole', 'r', { kind: 'Group', name: 'devs' }),
      user('ann', 'devs'),
      'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "r" to Group "devs"',
    ],
    [
      'a service account in its namespace',
      'rolebindings/n/b',
      binding('Role', 'r', bot, { namespace: 'n' }),
      botUser,
      'RBAC: allowed by RoleBinding "b/n" of Role "r" to ServiceAccount "bot/n"',
    ],
    [
      'a cluster role in a namespace',
      'rolebindings/n/b',
      binding('ClusterRole', 'r', { ...bot, namespace: 'n' }, { namespace: 'n' }),
      botUser,
      'RBAC: allowed by RoleBinding "b/n" of ClusterRole "r" to ServiceAccount "bot/n"',
    ],
  ])('names the binding of %s', async (_, key, object, who, reason) => {
    await seeded.put('/registry/clusterroles/r', { metadata: { name: 'r' }, rules: pods() });
    await seeded.put('/registry/roles/n/r', { metadata: { name: 'r', namespace: 'n' }, rules: pods() });
    await seeded.put(`/registry/${key}`, object);
    const question = { verb: 'get', group: '', resource: 'pods', namespace: 'n' };
    expect(rbac.authorize(resourceAttributes(who, question))).toMatchObject({ decision: 'allow', reason });
    expect(rbac.authorize(resourceAttributes(user('nobody'), question)).reason).toBe('');
  });
});

describe('the RBAC authorizer', () => {
  it.each<[string, PolicyRule[], [string, string, Partial<AuthorizationAttributes>?], string]>([
    ['a verb of the rule', pods(), ['get', 'pods'], 'allow'],
    ['another verb', pods(), ['delete', 'pods'], 'noOpinion'],
    ['another group', pods(), ['get', 'pods', { group: 'apps' }], 'noOpinion'],
    ['a subresource that is not named', pods(), ['get', 'pods', { subresource: 'log' }], 'noOpinion'],
    ['a named subresource', pods({ resources: ['pods/log'] }), ['get', 'pods', { subresource: 'log' }], 'allow'],
    [
      'a subresource of any resource',
      pods({ resources: ['*/scale'] }),
      ['get', 'x', { subresource: 'scale' }],
      'allow',
    ],
    ['any resource and subresource', pods({ resources: ['*'] }), ['get', 'pods', { subresource: 'log' }], 'allow'],
    ['a named object', pods({ resourceNames: ['a'] }), ['get', 'pods', { name: 'a' }], 'allow'],
    ['another object', pods({ resourceNames: ['a'] }), ['get', 'pods', { name: 'b' }], 'noOpinion'],
    ['a list under a rule for names', pods({ resourceNames: ['a'] }), ['list', 'pods'], 'noOpinion'],
    [
      'a path',
      [{ verbs: ['get'], nonResourceURLs: ['/metrics', '/logs/*'] }],
      ['get', '', { isResourceRequest: false, path: '/logs/a' }],
      'allow',
    ],
    [
      'a path below one that ends without star',
      [{ verbs: ['get'], nonResourceURLs: ['/metrics'] }],
      ['get', '', { isResourceRequest: false, path: '/metrics/x' }],
      'noOpinion',
    ],
  ])('judges %s', async (_, rules, [verb, resource, more], expected) => {
    await grant('r', rules, ann);
    expect(ask(user('ann'), verb, resource, more)).toBe(expected);
  });

  it('binds users, groups and ServiceAccounts, and nobody else', async () => {
    await grant('u', pods({ resources: ['a'] }), ann);
    await grant('g', pods({ resources: ['b'] }), { kind: 'Group', name: 'dev' });
    await grant('s', pods({ resources: ['c'] }), { kind: 'ServiceAccount', name: 'sa', namespace: 'n' });
    expect(['a', 'b', 'c'].map((r) => ask(user('ann'), 'get', r))).toEqual(['allow', 'noOpinion', 'noOpinion']);
    expect(['a', 'b', 'c'].map((r) => ask(user('x', 'dev'), 'get', r))).toEqual(['noOpinion', 'allow', 'noOpinion']);
    expect(ask(user('system:serviceaccount:n:sa'), 'get', 'c')).toBe('allow');
    expect(ask(user('sa'), 'get', 'c')).toBe('noOpinion');
  });

  it('keeps a RoleBinding within its namespace', async () => {
    await grant('r', pods(), ann, 'n');
    expect(ask(user('ann'), 'get', 'pods', { namespace: 'n' })).toBe('allow');
    expect(ask(user('ann'), 'get', 'pods', { namespace: 'm' })).toBe('noOpinion');
    expect(ask(user('ann'), 'get', 'pods')).toBe('noOpinion');
  });

  it('follows every change at once, for users it has already resolved', async () => {
    const who = user('ann');
    expect(ask(who, 'get', 'pods')).toBe('noOpinion');
    await grant('r', pods(), ann);
    expect(ask(who, 'get', 'pods')).toBe('allow');
    await seeded.put('/registry/clusterroles/r', { metadata: { name: 'r' }, rules: pods({ verbs: ['list'] }) });
    expect(ask(who, 'get', 'pods')).toBe('noOpinion');
    await seeded.put('/registry/clusterroles/r', { metadata: { name: 'r' }, rules: pods() });
    await seeded.remove('/registry/clusterrolebindings/r');
    expect(ask(who, 'get', 'pods')).toBe('noOpinion');
  });

  it('starts with what is in the store', async () => {
    await grant('r', pods(), ann, 'n');
    rbac = createRbacAuthorizer(seeded.store);
    expect(ask(user('ann'), 'list', 'pods', { namespace: 'n' })).toBe('allow');
  });
});

describe('uncoveredRules', () => {
  it.each<[string, PolicyRule[], PolicyRule[], number]>([
    ['the same rule', pods(), pods(), 0],
    ['a wider verb', pods(), pods({ verbs: ['get', 'delete'] }), 1],
    ['a star that covers all', pods({ verbs: ['*'], resources: ['*'] }), pods({ verbs: ['delete'] }), 0],
    ['a star that is wanted', pods({ verbs: ['get', 'list', 'watch'] }), pods({ verbs: ['*'] }), 1],
    ['one name of several', pods({ resourceNames: ['a', 'b'] }), pods({ verbs: ['get'], resourceNames: ['a'] }), 0],
    ['all names where one is held', pods({ resourceNames: ['a'] }), pods({ verbs: ['get'] }), 1],
    [
      'a path prefix',
      [{ verbs: ['get'], nonResourceURLs: ['/api/*'] }],
      [{ verbs: ['get'], nonResourceURLs: ['/api/v1', '/apis'] }],
      1,
    ],
  ])('compares %s', (_, owned, wanted, missing) => {
    expect(uncoveredRules(owned.map(compileRule), wanted)).toHaveLength(missing);
  });
});

describe('denied', () => {
  it.each<[string, Partial<AuthorizationAttributes>, string]>([
    [
      'a list in a namespace',
      { verb: 'list', resource: 'pods', namespace: 'y' },
      'pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "y"',
    ],
    [
      'a subresource of an object at the cluster scope',
      { verb: 'update', group: 'apps', resource: 'things', subresource: 'status', name: 'a' },
      'things.apps "a" is forbidden: User "x" cannot update resource "things/status" in API group "apps" at the cluster scope',
    ],
    ['a path', { verb: 'get', isResourceRequest: false, path: '/x' }, 'forbidden: User "x" cannot get path "/x"'],
  ])('words %s as Kubernetes does', (_, more, message) => {
    const error = denied({ ...resourceAttributes(user('x'), { verb: '', group: '', resource: '' }), ...more }, '');
    expect(error.message).toBe(message);
    expect(error.code).toBe(403);
  });
});
