import { describe, expect, it } from 'vitest';
import type { JsonObject } from '#api/object/json.ts';
import { defineResource } from '../../registry/define-resource.ts';
import { fakeContext } from '../../testing/fake-request.ts';
import { webhookConditions } from './match-conditions.ts';

const PODS = defineResource({ group: '', version: 'v1', resource: 'pods', kind: 'Pod', namespaced: true });
const OBJECT = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', labels: { app: 'x' } } };

const check = webhookConditions({
  name: 'test',
  authorize: ({ verb, name }) => ({
    decision: verb === 'breakglass' && name === 'p' ? 'allow' : 'noOpinion',
    reason: '',
  }),
});

function verdictOf(...expressions: readonly string[]) {
  const request = {
    operation: 'CREATE' as const,
    resource: PODS,
    subresource: '',
    namespace: 'n',
    name: 'p',
    user: { name: 'ann', groups: ['system:masters'] },
    object: OBJECT,
    oldObject: undefined,
    dryRun: false,
    context: fakeContext(),
  };
  const review: JsonObject = {
    uid: 'u',
    operation: 'CREATE',
    userInfo: { username: 'ann', groups: ['system:masters'] },
  };
  const conditions = expressions.map((expression, index) => ({ name: `c${index}`, expression }));
  return check(conditions, { request, review, object: OBJECT, oldObject: undefined });
}

const MISSING = 'object.metadata.annotations.a == "b"';
const WHY = (expression: string) => `expression '${expression}' resulted in error: no such key: annotations`;

describe('webhookConditions', () => {
  it.each<[string, readonly string[], object]>([
    ['none', [], { matches: true }],
    [
      'all true',
      ['object.metadata.name == "p"', 'oldObject == null', '"system:masters" in request.userInfo.groups'],
      { matches: true },
    ],
    ['one false', ['true', 'object.metadata.labels.app != "x"'], { matches: false }],
    ['a question to the authorizer', ['authorizer.requestResource.check("breakglass").allowed()'], { matches: true }],
    ['an error beside a true one', ['true', MISSING], { error: WHY(MISSING) }],
    ['two errors', [MISSING, MISSING], { error: `[${WHY(MISSING)}, ${WHY(MISSING)}]` }],
    ['an error beside a false one', [MISSING, 'false'], { matches: false }],
    [
      'one that does not compile',
      ['object.metadata.name'],
      { error: 'compilation error: must evaluate to bool but got dyn' },
    ],
  ])('answers for %s', (_, expressions, verdict) => {
    expect(verdictOf(...expressions)).toEqual(verdict);
  });
});
