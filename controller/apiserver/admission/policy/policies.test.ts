import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Authorizer, RequestContext } from '../../chain/request-context.ts';
import { builtinResources } from '../../resources/builtin-resources.ts';
import { type Answer, createTestServer, type TestServer } from '../../server/testing/test-server.ts';
import { type AdmissionPolicies, createAdmissionPolicies } from './admission-policies.ts';
import { checkExpressions } from './check-expressions.ts';

let api: TestServer;
let policies: AdmissionPolicies;
/** The context of the last request, as audit sees it. */
let context: RequestContext;

/** Anonymous users may `bless` ConfigMaps of namespace `n`. */
const AUTHORIZER: Authorizer = {
  name: 'test',
  authorize: ({ verb, resource, namespace }) => ({
    decision: verb === 'bless' && resource === 'configmaps' && namespace === 'n' ? 'allow' : 'noOpinion',
    reason: '',
  }),
};

beforeEach(async () => {
  api = createTestServer({
    definitions: builtinResources({
      podSubresources: [],
      nodeSubresources: [],
      serviceSubresources: [],
      serviceCidr: '10.96.0.0/16',
      nodePortRange: { from: 30_000, to: 32_767 },
      checkExpressions,
    }),
    admission: ({ store }) => {
      policies = createAdmissionPolicies({ store, authorizer: AUTHORIZER });
      return [policies.mutating, policies.validating];
    },
    filters: [
      {
        name: 'audit',
        run(seen, next) {
          context = seen;
          return next();
        },
      },
    ],
  });
  for (const [name, labels] of [
    ['n', { environment: 'test' }],
    ['other', {}],
  ] as const) {
    await api.expect(201, 'POST', '/api/v1/namespaces', { metadata: { name, labels } });
  }
});
afterEach(() => policies.stop());

const GROUP = '/apis/admissionregistration.k8s.io/v1';
const CONFIGMAPS = '/api/v1/namespaces/n/configmaps';
const RULE = {
  apiGroups: [''],
  apiVersions: ['v1'],
  operations: ['CREATE', 'UPDATE', 'DELETE'],
  resources: ['configmaps'],
};
const MATCH = { resourceRules: [RULE] };
const configMap = (name: string, data: object = {}, metadata: object = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, ...metadata },
  data,
});

async function validating(spec: object, binding: object = {}): Promise<void> {
  await api.expect(201, 'POST', `${GROUP}/validatingadmissionpolicies`, {
    metadata: { name: 'p' },
    spec: { matchConstraints: MATCH, ...spec },
  });
  await api.expect(201, 'POST', `${GROUP}/validatingadmissionpolicybindings`, {
    metadata: { name: 'b' },
    spec: { policyName: 'p', validationActions: ['Deny'], ...binding },
  });
}

async function mutating(
  name: string,
  mutations: readonly object[],
  spec: object = {},
  binding: object = {},
): Promise<void> {
  const match = { resourceRules: [{ ...RULE, operations: ['CREATE', 'UPDATE'] }] };
  await api.expect(201, 'POST', `${GROUP}/mutatingadmissionpolicies`, {
    metadata: { name },
    spec: { matchConstraints: match, reinvocationPolicy: 'Never', mutations, ...spec },
  });
  await api.expect(201, 'POST', `${GROUP}/mutatingadmissionpolicybindings`, {
    metadata: { name },
    spec: { policyName: name, ...binding },
  });
}

const validation = (expression: string, rest: object = {}) => ({ validations: [{ expression, ...rest }] });
const apply = (expression: string) => ({ patchType: 'ApplyConfiguration', applyConfiguration: { expression } });
const jsonPatch = (expression: string) => ({ patchType: 'JSONPatch', jsonPatch: { expression } });
const post = (object: object, code = 201): Promise<Answer> => api.expect(code, 'POST', CONFIGMAPS, object);

describe('ValidatingAdmissionPolicy', () => {
  it('refuses in the words of Kubernetes', async () => {
    await validating(validation('size(object.data) <= 1'));
    await post(configMap('a', { x: '1' }));
    const message =
      "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: failed expression: size(object.data) <= 1";
    expect(await post(configMap('b', { x: '1', y: '2' }), 422)).toMatchObject({
      reason: 'Invalid',
      message: `configmaps "b" is forbidden: ${message}`,
      details: { kind: 'configmaps', name: 'b', causes: [{ message }] },
    });
  });

  it.each<[name: string, spec: object, message: string | undefined]>([
    ['true', validation('true'), undefined],
    ['a message', validation('false', { message: ' fixed ' }), 'fixed'],
    [
      'a messageExpression',
      validation('false', { message: 'fixed', messageExpression: "'saw ' + object.metadata.name" }),
      'saw a',
    ],
    [
      'a messageExpression that fails',
      validation('false', { message: 'fixed', messageExpression: 'string(object.q)' }),
      'fixed',
    ],
    [
      'a messageExpression with two lines',
      validation('false', { message: 'fixed', messageExpression: "'a\\nb'" }),
      'fixed',
    ],
    [
      'an error',
      validation("object.data.q == ''"),
      "expression 'object.data.q == ''' resulted in error: no such key: q",
    ],
    ['an error that is ignored', { ...validation("object.data.q == ''"), failurePolicy: 'Ignore' }, undefined],
    [
      'a condition that is false',
      { ...validation('false'), matchConditions: [{ name: 'c', expression: "object.metadata.name == 'q'" }] },
      undefined,
    ],
    [
      'a condition that fails',
      { ...validation('true'), matchConditions: [{ name: 'c', expression: 'object.data.q == object.data.q' }] },
      "expression 'object.data.q == object.data.q' resulted in error: no such key: q",
    ],
    [
      'variables, each of those before it',
      {
        ...validation('variables.b > 10', { messageExpression: "'b is ' + string(variables.b)" }),
        variables: [
          { name: 'a', expression: 'size(object.data)' },
          { name: 'b', expression: 'variables.a * 2' },
        ],
      },
      'b is 2',
    ],
    [
      'a variable that fails',
      { ...validation('variables.a > 1'), variables: [{ name: 'a', expression: 'int(object.data.q)' }] },
      'expression \'variables.a > 1\' resulted in error: composited variable "a" fails to evaluate: no such key: q',
    ],
    [
      'the request',
      validation(
        "request.operation == 'CREATE' && request.kind.kind == 'ConfigMap' && request.resource.resource == 'configmaps' && " +
          "request.namespace == 'n' && request.userInfo.username == 'system:anonymous' && !request.dryRun && oldObject == null",
      ),
      undefined,
    ],
    ['the namespace', validation("namespaceObject.metadata.labels.environment == 'test'"), undefined],
    [
      'the authorizer',
      validation("authorizer.group('').resource('configmaps').namespace('n').check('bless').allowed()"),
      undefined,
    ],
    ['the authorizer of the request', validation("authorizer.requestResource.check('bless').allowed()"), undefined],
    [
      'the authorizer of the request, refusing',
      validation("authorizer.requestResource.check('curse').allowed()"),
      "failed expression: authorizer.requestResource.check('curse').allowed()",
    ],
  ])('judges by %s', async (_, spec, message) => {
    await validating(spec);
    const answer = await post(configMap('a', { x: '1' }), message === undefined ? 201 : 422);
    if (message !== undefined) {
      expect(answer.message).toBe(
        `configmaps "a" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: ${message}`,
      );
    }
  });

  it('answers with its reason', async () => {
    await validating(validation('false', { reason: 'Forbidden' }));
    expect(await post(configMap('a'), 403)).toMatchObject({ reason: 'Forbidden' });
  });

  it('sees updates and deletions with both states', async () => {
    await validating(
      validation(
        "request.operation == 'CREATE' || (request.operation == 'DELETE' ? object == null && oldObject.data.x == '2' : oldObject.data.x < object.data.x)",
      ),
    );
    await post(configMap('a', { x: '1' }));
    await api.expect(200, 'PUT', `${CONFIGMAPS}/a`, configMap('a', { x: '2' }));
    await api.expect(422, 'PUT', `${CONFIGMAPS}/a`, configMap('a', { x: '0' }));
    await api.expect(200, 'DELETE', `${CONFIGMAPS}/a`);
  });

  it('warns and notes instead of refusing', async () => {
    await validating(
      {
        ...validation('false', { message: 'no' }),
        auditAnnotations: [
          { key: 'name', valueExpression: "'of ' + object.metadata.name" },
          { key: 'none', valueExpression: 'null' },
        ],
      },
      { validationActions: ['Warn', 'Audit'] },
    );
    const response = await api.call('POST', CONFIGMAPS, JSON.stringify(configMap('a')));
    expect(response.status).toBe(201);
    expect(context.warnings).toEqual(["Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': no"]);
    expect(context.auditAnnotations).toEqual({
      'p/name': 'of a',
      'validation.policy.admission.k8s.io/validation_failure': JSON.stringify([
        { message: 'no', policy: 'p', binding: 'b', expressionIndex: 0, validationActions: ['Warn', 'Audit'] },
      ]),
    });
  });

  it.each<[name: string, constraints: object, binding: object, code: number]>([
    ['another namespace', { namespaceSelector: { matchLabels: { environment: 'prod' } } }, {}, 201],
    ['the namespace', { namespaceSelector: { matchLabels: { environment: 'test' } } }, {}, 422],
    ['other labels', { objectSelector: { matchLabels: { app: 'q' } } }, {}, 201],
    ['other labels of the binding', {}, { matchResources: { objectSelector: { matchLabels: { app: 'q' } } } }, 201],
    ['its labels', { objectSelector: { matchLabels: { app: 'x' } } }, {}, 422],
    ['another name', { resourceRules: [{ ...RULE, resourceNames: ['b'] }] }, {}, 201],
    ['its name', { resourceRules: [{ ...RULE, resourceNames: ['b', 'a'] }] }, {}, 422],
    ['rules that except it', { excludeResourceRules: [RULE] }, {}, 201],
    ['rules of the binding', {}, { matchResources: { resourceRules: [{ ...RULE, resources: ['secrets'] }] } }, 201],
    ['other operations', { resourceRules: [{ ...RULE, operations: ['UPDATE'] }] }, {}, 201],
  ])('is asked by %s', async (_, constraints, binding, code) => {
    await validating({ ...validation('false'), matchConstraints: { ...MATCH, ...constraints } }, binding);
    await post(configMap('a', {}, { labels: { app: 'x' } }), code);
  });

  it('does not judge policies, bindings and webhook configurations', async () => {
    const rule = { apiGroups: ['*'], apiVersions: ['*'], operations: ['*'], resources: ['*/*'] };
    await validating({ ...validation('false'), matchConstraints: { resourceRules: [rule] } });
    await api.expect(422, 'POST', '/api/v1/namespaces/n/secrets', { metadata: { name: 's' } });
    await api.expect(200, 'DELETE', `${GROUP}/validatingadmissionpolicybindings/b`);
    await api.expect(201, 'POST', '/api/v1/namespaces/n/secrets', { metadata: { name: 's' } });
  });

  it('stops what costs too much', async () => {
    const nested = "['a','b','c','d','e','f','g','h','i','j']";
    const loop = (depth: number): string => (depth === 0 ? 'true' : `${nested}.all(v${depth}, ${loop(depth - 1)})`);
    await validating(validation(loop(8)));
    const { message } = await post(configMap('a'), 422);
    expect(message).toContain('resulted in error: operation cancelled: actual cost limit exceeded');
  });

  describe('with params', () => {
    const SPEC = {
      ...validation('size(object.data) <= int(params.data.max)'),
      paramKind: { apiVersion: 'v1', kind: 'ConfigMap' },
    };
    const LIMITS = '/api/v1/namespaces/other/configmaps';
    const only = (name: string) => ({ ...MATCH, resourceRules: [{ ...RULE, resourceNames: [name] }] });

    it('takes one by its name', async () => {
      await api.expect(201, 'POST', LIMITS, configMap('limit', { max: '1' }));
      await validating(
        { ...SPEC, matchConstraints: only('a') },
        { paramRef: { name: 'limit', namespace: 'other', parameterNotFoundAction: 'Deny' } },
      );
      await post(configMap('a', { x: '1', y: '2' }), 422);
      await post(configMap('a', { x: '1' }));
    });

    it('takes all that a selector means, in the namespace of the object', async () => {
      for (const [name, max] of [
        ['l1', '3'],
        ['l2', '2'],
      ] as const) {
        await post(configMap(name, { max }, { labels: { limit: 'yes' } }));
      }
      await post(configMap('l3', { max: '0' }));
      await validating(
        { ...SPEC, matchConstraints: only('a') },
        { paramRef: { selector: { matchLabels: { limit: 'yes' } }, parameterNotFoundAction: 'Deny' } },
      );
      await post(configMap('a', { x: '1', y: '2', z: '3' }), 422);
      await post(configMap('a', { x: '1', y: '2' }));
    });

    it.each([
      [
        'Deny',
        422,
        'failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction',
      ],
      ['Allow', 201, undefined],
    ] as const)('that are missing and %s', async (parameterNotFoundAction, code, message) => {
      await validating({ ...SPEC, matchConstraints: only('a') }, { paramRef: { name: 'q', parameterNotFoundAction } });
      const answer = await post(configMap('a', { x: '1' }), code);
      if (message !== undefined) expect(answer.message).toContain(message);
    });

    it('of a kind that nobody knows', async () => {
      const paramKind = { apiVersion: 'example.com/v1', kind: 'Limit' };
      await validating({ ...SPEC, paramKind }, { paramRef: { name: 'q', parameterNotFoundAction: 'Allow' } });
      expect((await post(configMap('a', {}), 422)).message).toContain(
        'failed to configure binding: paramKind kind `&ParamKind{APIVersion:example.com/v1,Kind:Limit,}` not known',
      );
    });
  });

  it('is not stored when it cannot be compiled', async () => {
    const answer = await api.expect(422, 'POST', `${GROUP}/validatingadmissionpolicies`, {
      metadata: { name: 'p' },
      spec: {
        matchConstraints: MATCH,
        variables: [{ name: 'count', expression: 'size(object.data)' }],
        validations: [{ expression: 'variables.count == "a"' }, { expression: 'variables.other' }, { expression: '1' }],
      },
    });
    expect(answer.details.causes.map(({ field, message }: Answer) => [field, message])).toEqual([
      ['spec.validations[0].expression', expect.stringContaining("applied to '(int, string)'")],
      ['spec.validations[1].expression', expect.stringContaining("undefined field 'other'")],
      ['spec.validations[2].expression', expect.stringContaining('must evaluate to bool but got int')],
    ]);
  });
});

describe('MutatingAdmissionPolicy', () => {
  it('merges an apply configuration', async () => {
    await mutating('m', [apply("Object{metadata: Object.metadata{labels: {'team': 'a'}}, data: {'x': 'y'}}")]);
    const made = await post(configMap('a', { given: '1' }, { labels: { own: 'o' } }));
    expect(made).toMatchObject({ metadata: { labels: { own: 'o', team: 'a' } }, data: { given: '1', x: 'y' } });
  });

  it('merges into lists by their keys', async () => {
    const match = { resourceRules: [{ ...RULE, operations: ['CREATE'], resources: ['pods'] }] };
    const sidecar =
      "Object{spec: Object.spec{initContainers: [Object.spec.initContainers{name: 'proxy', image: 'p:1', restartPolicy: 'Always'}]}}";
    await mutating('m', [apply(sidecar)], { matchConstraints: match });
    const pod = {
      metadata: { name: 'p' },
      spec: { initContainers: [{ name: 'init', image: 'i' }], containers: [{ name: 'c', image: 'c' }] },
    };
    const { spec } = await api.expect(201, 'POST', '/api/v1/namespaces/n/pods', pod);
    expect(
      spec.initContainers.map(({ name, restartPolicy, terminationMessagePath }: Answer) => [
        name,
        restartPolicy,
        terminationMessagePath,
      ]),
    ).toEqual([
      ['init', undefined, '/dev/termination-log'],
      ['proxy', 'Always', '/dev/termination-log'],
    ]);
  });

  it('applies a JSON patch', async () => {
    const source =
      "[JSONPatch{op: 'test', path: '/data/given', value: '1'}, JSONPatch{op: 'add', path: '/metadata/annotations', value: {'e.com/b': '1'}}," +
      " JSONPatch{op: 'replace', path: '/metadata/annotations/' + jsonpatch.escapeKey('e.com/b'), value: 'z'}," +
      " JSONPatch{op: 'add', path: '/metadata/labels', value: {'a': 'b'}}]";
    await mutating('m', [jsonPatch(source)]);
    expect(await post(configMap('a', { given: '1' }))).toMatchObject({
      metadata: { labels: { a: 'b' }, annotations: { 'e.com/b': 'z' } },
    });
    // A test that does not hold leaves the object as it is.
    expect((await post(configMap('b', { given: '2' }))).data).toEqual({ given: '2' });
  });

  it('sees what those before it made, variables and params included', async () => {
    await mutating('m1', [apply("Object{data: {'one': '1'}}"), apply("Object{data: {'two': object.data.one + '2'}}")]);
    await mutating(
      'm2',
      [apply("Object{data: {'three': variables.v + params.data.suffix}}")],
      {
        variables: [{ name: 'v', expression: "object.data.two + '3'" }],
        paramKind: { apiVersion: 'v1', kind: 'ConfigMap' },
        matchConditions: [{ name: 'not-the-params', expression: "object.metadata.name != 'suffix'" }],
      },
      { paramRef: { name: 'suffix', parameterNotFoundAction: 'Deny' } },
    );
    await api.expect(200, 'DELETE', `${GROUP}/mutatingadmissionpolicybindings/m2`);
    await post(configMap('suffix', { suffix: '!' }));
    await api.expect(201, 'POST', `${GROUP}/mutatingadmissionpolicybindings`, {
      metadata: { name: 'm2' },
      spec: { policyName: 'm2', paramRef: { name: 'suffix', parameterNotFoundAction: 'Deny' } },
    });
    expect((await post(configMap('a'))).data).toEqual({ one: '1', two: '12', three: '123!' });
  });

  it('is asked again when the object changed behind it, if it says so', async () => {
    const count = jsonPatch(
      "[JSONPatch{op: 'add', path: '/data/n', value: string(int(has(object.data.n) ? object.data.n : '0') + 1)}]",
    );
    await mutating('m1', [count], { reinvocationPolicy: 'IfNeeded' });
    await mutating('m2', [apply("Object{data: {'x': 'y'}}")]);
    expect((await post(configMap('a', { given: '1' }))).data).toMatchObject({ n: '2', x: 'y' });
  });

  it.each([
    [
      apply("Object{data: Object.spec{x: 'y'}}"),
      'type mismatch: unexpected type name "Object.spec", expected "Object.data", which matches field name path from root Object type',
    ],
    [
      apply('Object{metadata: Object.metadata{finalizers: object.q}}'),
      "expression 'Object{metadata: Object.metadata{finalizers: object.q}}' resulted in error: no such key: q",
    ],
    [jsonPatch("[JSONPatch{op: 'remove', path: '/data/q'}]"), 'JSONPath: '],
  ])('refuses what it cannot do: %j', async (mutation, message) => {
    await mutating('m', [mutation]);
    const answer = await post(configMap('a', { x: '1' }), 403);
    expect(answer).toMatchObject({ reason: 'Invalid' });
    expect(answer.message).toContain(`policy 'm' with binding 'm' denied request: ${message}`);
  });

  it('does not touch lists that are replaced as a whole', async () => {
    const match = { resourceRules: [{ ...RULE, operations: ['CREATE'], resources: ['pods'] }] };
    const source = "Object{spec: Object.spec{containers: [Object.spec.containers{name: 'c', args: ['x']}]}}";
    await mutating('m', [apply(source)], { matchConstraints: match });
    const pod = { metadata: { name: 'p' }, spec: { containers: [{ name: 'c', image: 'c' }] } };
    const answer = await api.expect(403, 'POST', '/api/v1/namespaces/n/pods', pod);
    expect(answer.message).toContain('may not mutate atomic arrays, maps or structs: .spec.containers[0].args');
  });

  it('lets failures pass where the policy says so', async () => {
    await mutating('m', [apply("Object{data: {'x': object.q}}")], { failurePolicy: 'Ignore' });
    expect((await post(configMap('a', { given: '1' }))).data).toEqual({ given: '1' });
  });

  it('changes updates', async () => {
    await post(configMap('a', { given: '1' }));
    await mutating('m', [apply("Object{data: {'was': oldObject.data.given}}")]);
    expect((await api.expect(200, 'PUT', `${CONFIGMAPS}/a`, configMap('a', { given: '2' }))).data).toEqual({
      given: '2',
      was: '1',
    });
  });

  it.each([
    ['Object{spec: 1}.q', 'must evaluate to Object but got dyn'],
    ["{'a': 'b'}", 'must evaluate to Object but got map(string, string)'],
    ['Nothing{}', "undeclared reference to 'Nothing'"],
  ])('is not stored when it cannot be compiled: %s', async (source, message) => {
    const answer = await api.expect(422, 'POST', `${GROUP}/mutatingadmissionpolicies`, {
      metadata: { name: 'm' },
      spec: {
        matchConstraints: { resourceRules: [{ ...RULE, operations: ['CREATE'] }] },
        reinvocationPolicy: 'Never',
        mutations: [apply(source)],
      },
    });
    expect(answer.message).toContain(message);
  });
});
