import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { RequestInfo, UserInfo } from '../chain/request-context.ts';
import { fakeInfo } from '../testing/fake-request.ts';
import { parseAuditPolicy } from './audit-policy.ts';

const HEAD = 'apiVersion: audit.k8s.io/v1\nkind: Policy\n';
const policyOf = (text: string) => parseAuditPolicy(parse(HEAD + text), 'policy.yaml');
const ann: UserInfo = { name: 'ann', groups: ['dev', 'system:authenticated'] };
const path = (url: string): Partial<RequestInfo> => ({
  isResourceRequest: false,
  path: url,
  resource: '',
  verb: 'get',
});

describe('an audit policy', () => {
  it.each<[string, string, Partial<RequestInfo>, boolean]>([
    ['everything', '{}', {}, true],
    ['a user', 'users: [ann]', {}, true],
    ['another user', 'users: [bob]', {}, false],
    ['a group', 'userGroups: [dev]', {}, true],
    ['another group', 'userGroups: [ops]', {}, false],
    ['a verb', 'verbs: [get]', {}, true],
    ['another verb', 'verbs: [list]', {}, false],
    ['a namespace', 'namespaces: [a]', { namespace: 'a' }, true],
    ['what is in no namespace', 'namespaces: [""]', {}, true],
    ['another namespace', 'namespaces: [a]', { namespace: 'b' }, false],
    ['resources, not paths', 'namespaces: [""]', path('/x'), false],
    ['a group of resources', 'resources: [{group: ""}]', {}, true],
    ['another group of resources', 'resources: [{group: apps}]', {}, false],
    ['a resource', 'resources: [{resources: [pods]}]', {}, true],
    ['a resource without its subresources', 'resources: [{resources: [pods]}]', { subresource: 'log' }, false],
    ['a subresource', 'resources: [{resources: [pods/log]}]', { subresource: 'log' }, true],
    ['all subresources', 'resources: [{resources: [pods/*]}]', { subresource: 'log' }, true],
    ['all subresources, not the resource', 'resources: [{resources: [pods/*]}]', {}, false],
    ['a subresource of any resource', 'resources: [{resources: ["*/log"]}]', { subresource: 'log' }, true],
    ['any resource', 'resources: [{resources: ["*"]}]', { subresource: 'log' }, true],
    ['a name', 'resources: [{resources: [pods], resourceNames: [x]}]', { name: 'x' }, true],
    ['another name', 'resources: [{resources: [pods], resourceNames: [x]}]', { name: 'y' }, false],
    ['a path', 'nonResourceURLs: [/healthz]', path('/healthz'), true],
    ['paths below', 'nonResourceURLs: ["/api*"]', path('/apis/x'), true],
    ['another path', 'nonResourceURLs: [/healthz]', path('/healthz/x'), false],
    ['paths, not resources', 'nonResourceURLs: ["*"]', {}, false],
  ])('matches %s', (_, rule, info, matches) => {
    const decide = policyOf(`rules: [${JSON.stringify({ level: 'Request', ...(parse(rule) as object) })}]`);
    expect(decide({ user: ann, info: fakeInfo(info) }).level).toBe(matches ? 'Request' : 'None');
  });

  it('lets the first rule decide', () => {
    const decide = policyOf('rules: [{level: None, users: [ann]}, {level: Metadata}]');
    expect(decide({ user: ann, info: fakeInfo() }).level).toBe('None');
    expect(decide({ user: { ...ann, name: 'bob' }, info: fakeInfo() }).level).toBe('Metadata');
  });

  it('adds the stages of the rule to those of the policy, and lets the rule overrule managed fields', () => {
    const decide = policyOf(`
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- {level: Request, verbs: [get], omitStages: [ResponseStarted], omitManagedFields: false}
- {level: Request}`);
    const first = decide({ user: ann, info: fakeInfo({ verb: 'get' }) });
    expect([[...first.omitStages], first.omitManagedFields]).toEqual([['RequestReceived', 'ResponseStarted'], false]);
    const second = decide({ user: ann, info: fakeInfo({ verb: 'list' }) });
    expect([[...second.omitStages], second.omitManagedFields]).toEqual([['RequestReceived'], true]);
  });

  it.each([
    ['rules: []', 'rules: a policy without rules would write nothing'],
    ['rules: [{level: All}]', 'rules[0].level: "All" is not one of None, Metadata, Request, RequestResponse'],
    ['rules: [{users: [a]}]', 'rules[0].level: "" is not one of'],
    ['rules: [{level: None, user: [a]}]', 'rules[0].user: unknown field'],
    ['rules: [{level: None, users: a}]', 'rules[0].users: expected a list of texts'],
    ['rules: [{level: None, omitStages: [Late]}]', 'rules[0].omitStages: "Late" is not one of'],
    ['omitStages: [Late]\nrules: [{level: None}]', 'omitStages: "Late" is not one of'],
    ['rules: [{level: None, nonResourceURLs: [x]}]', '"x" must begin with a \'/\''],
    ['rules: [{level: None, nonResourceURLs: ["/a*b"]}]', 'a wildcard may only stand at the end'],
    ['rules: [{level: None, nonResourceURLs: [/a], namespaces: [a]}]', 'cannot apply to both'],
    ['rules: [{level: None, resources: [{group: apps/v1}]}]', 'rules[0].resources[0].group: a group has no version'],
    ['rules: [{level: None, resources: [{resourceNames: [a]}]}]', 'requires at least one resource'],
  ])('refuses %j', (text, message) => {
    expect(() => policyOf(text)).toThrow(message);
  });

  it('refuses another kind', () => {
    expect(() => parseAuditPolicy({ apiVersion: 'v1', kind: 'Policy' }, 'f')).toThrow('expected kind Policy');
    expect(() => parseAuditPolicy('x', 'f')).toThrow('f: expected an audit policy');
  });
});
