import { describe, expect, it } from 'vitest';
import { matchesRule, type RuleTarget, type WebhookRule } from './rule-matcher.ts';

const POD: RuleTarget = {
  operation: 'CREATE',
  group: '',
  version: 'v1',
  resource: 'pods',
  subresource: '',
  isNamespaced: true,
};
const EXEC: RuleTarget = { ...POD, operation: 'CONNECT', subresource: 'exec' };
const NODE: RuleTarget = { ...POD, resource: 'nodes', isNamespaced: false };
const ALL: WebhookRule = { operations: ['*'], apiGroups: ['*'], apiVersions: ['*'] };

describe('rules of webhooks', () => {
  it.each<[string, Partial<WebhookRule>, readonly RuleTarget[]]>([
    ['pods', { resources: ['pods'] }, [POD]],
    ['pods/exec', { resources: ['pods/exec'] }, [EXEC]],
    ['pods/*', { resources: ['pods/*'] }, [POD, EXEC]],
    ['*', { resources: ['*'] }, [POD, NODE]],
    ['*/exec', { resources: ['*/exec'] }, [EXEC]],
    ['*/*', { resources: ['*/*'] }, [POD, EXEC, NODE]],
    ['nothing', {}, []],
    ['several resources', { resources: ['nodes', 'pods/exec'] }, [EXEC, NODE]],
    ['one operation', { resources: ['*/*'], operations: ['CONNECT'] }, [EXEC]],
    ['another group', { resources: ['*/*'], apiGroups: ['apps'] }, []],
    ['the core group', { resources: ['pods'], apiGroups: [''] }, [POD]],
    ['another version', { resources: ['*/*'], apiVersions: ['v2'] }, []],
    ['cluster scope', { resources: ['*/*'], scope: 'Cluster' }, [NODE]],
    ['namespaces', { resources: ['*/*'], scope: 'Namespaced' }, [POD, EXEC]],
    ['any scope', { resources: ['*'], scope: '*' }, [POD, NODE]],
  ])('mean by %s', (_, rule, expected) => {
    expect([POD, EXEC, NODE].filter((target) => matchesRule({ ...ALL, ...rule }, target))).toEqual(expected);
  });
});
