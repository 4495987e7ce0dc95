import { beforeEach, describe, expect, test } from 'vitest';
import type { TestServer } from '../server/testing/test-server.ts';
import { MANDATORY_FLOW_SCHEMAS, MANDATORY_PRIORITY_LEVELS } from './flow-control/mandatory.ts';
import { createResourceServer } from './testing/resource-server.ts';

let api: TestServer;
beforeEach(() => {
  api = createResourceServer();
});

const named = (spec: object, name = 'x') => ({ metadata: { name }, spec });

const FLOWS = '/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas';
const LEVELS = '/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations';
const level = { priorityLevelConfiguration: { name: 'l' } };
const rule = {
  subjects: [{ kind: 'User', user: { name: 'u' } }],
  resourceRules: [{ verbs: ['get'], apiGroups: ['*'], resources: ['*'], namespaces: ['*'] }],
};

describe('flow control', () => {
  test('completes a FlowSchema, and keeps its status apart', async () => {
    const made = await api.expect(201, 'POST', FLOWS, { ...named(level), status: { conditions: [{ type: 'X' }] } });
    expect(made.spec).toEqual({ ...level, matchingPrecedence: 1000 });
    expect([made.status, made.metadata.generation]).toEqual([{}, 1]);
    const status = { conditions: [{ type: 'Dangling', status: 'True' }] };
    const marked = await api.expect(200, 'PUT', `${FLOWS}/x/status`, { ...made, status });
    expect([marked.status.conditions[0].status, marked.metadata.generation]).toEqual(['True', 1]);
  });

  test('completes a queue', async () => {
    const limited = { limitResponse: { type: 'Queue', queuing: {} } };
    const { spec } = await api.expect(201, 'POST', LEVELS, named({ type: 'Limited', limited }));
    expect(spec.limited).toEqual({
      lendablePercent: 0,
      nominalConcurrencyShares: 30,
      limitResponse: { type: 'Queue', queuing: { handSize: 8, queueLengthLimit: 50, queues: 64 } },
    });
  });

  test('takes the mandatory objects as they are, and no others of their names', async () => {
    for (const [name, spec] of Object.entries(MANDATORY_FLOW_SCHEMAS)) {
      await api.expect(201, 'POST', FLOWS, named(spec, name));
    }
    for (const [name, spec] of Object.entries(MANDATORY_PRIORITY_LEVELS)) {
      await api.expect(201, 'POST', LEVELS, named(spec, name));
    }
    const exempt = await api.expect(200, 'GET', `${LEVELS}/exempt`);
    exempt.spec.exempt.lendablePercent = 50;
    await api.expect(200, 'PUT', `${LEVELS}/exempt`, exempt);
    const last = await api.expect(200, 'GET', `${LEVELS}/catch-all`);
    last.spec.limited.nominalConcurrencyShares = 50;
    const { message } = await api.expect(422, 'PUT', `${LEVELS}/catch-all`, last);
    expect(message).toContain("spec of 'catch-all' must equal the fixed value");
  });

  test.each<[path: string, spec: object, message: string]>([
    [FLOWS, {}, 'spec.priorityLevelConfiguration.name: Required value: must reference a priority level'],
    [FLOWS, { ...level, matchingPrecedence: 10_001 }, 'must not be greater than 10000'],
    [FLOWS, { ...level, matchingPrecedence: 1 }, "only the schema named 'exempt' may have matchingPrecedence 1"],
    [FLOWS, { ...level, rules: [{ subjects: [] }] }, 'spec.rules[0].subjects: Required value'],
    [
      FLOWS,
      { ...level, rules: [{ ...rule, subjects: [{ kind: 'User' }] }] },
      'spec.rules[0].subjects[0].user: Required value',
    ],
    [
      FLOWS,
      { ...level, rules: [{ ...rule, resourceRules: [{ ...rule.resourceRules[0], verbs: ['*', 'get'] }] }] },
      "if '*' is present, must not specify other verbs",
    ],
    [
      FLOWS,
      {
        ...level,
        rules: [{ subjects: rule.subjects, nonResourceRules: [{ verbs: ['get'], nonResourceURLs: ['a*'] }] }],
      },
      'spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: "a*": must start with slash',
    ],
    [LEVELS, { type: 'Exempt', exempt: {} }, "type must be 'Exempt' if and only if name is 'exempt'"],
    [LEVELS, { type: 'Limited' }, 'spec.limited: Required value: must not be empty when type is Limited'],
    [
      LEVELS,
      { type: 'Limited', limited: { limitResponse: { type: 'Queue', queuing: { queues: 512, handSize: 9 } } } },
      'required entropy bits of deckSize 512 and handSize 9 should not be greater than 60',
    ],
    [
      LEVELS,
      { type: 'Limited', limited: { lendablePercent: 101, limitResponse: { type: 'Reject' } } },
      'spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive',
    ],
  ])('%s refuses %j', async (path, spec, message) => {
    expect((await api.expect(422, 'POST', path, named(spec))).message).toContain(message);
  });
});

const ADMISSION = '/apis/admissionregistration.k8s.io/v1';
const WEBHOOKS = `${ADMISSION}/mutatingwebhookconfigurations`;
const POLICIES = `${ADMISSION}/validatingadmissionpolicies`;
const BINDINGS = `${ADMISSION}/validatingadmissionpolicybindings`;
const MUTATIONS = `${ADMISSION}/mutatingadmissionpolicies`;

const webhook = (fields: object = {}) => ({
  name: 'a.b.c',
  clientConfig: { service: { name: 's', namespace: 'n' } },
  sideEffects: 'None',
  admissionReviewVersions: ['v1'],
  rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] }],
  ...fields,
});
const hooks = (fields: object = {}) => ({ metadata: { name: 'x' }, webhooks: [webhook(fields)] });
const matchConstraints = {
  resourceRules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] }],
};
const policy = (fields: object = {}) => named({ matchConstraints, validations: [{ expression: 'true' }], ...fields });
const mutation = (fields: object = {}) =>
  named({
    matchConstraints,
    reinvocationPolicy: 'Never',
    mutations: [{ patchType: 'JSONPatch', jsonPatch: { expression: '[]' } }],
    ...fields,
  });

describe('admission registration', () => {
  test('completes a webhook', async () => {
    const { webhooks, metadata } = await api.expect(201, 'POST', WEBHOOKS, hooks());
    expect(webhooks[0]).toMatchObject({
      failurePolicy: 'Fail',
      matchPolicy: 'Equivalent',
      namespaceSelector: {},
      objectSelector: {},
      reinvocationPolicy: 'Never',
      timeoutSeconds: 10,
      clientConfig: { service: { port: 443 } },
      rules: [{ scope: '*' }],
    });
    expect(metadata.generation).toBe(1);
  });

  test('completes a policy, which counts its generations', async () => {
    const made = await api.expect(201, 'POST', POLICIES, policy());
    expect(made.spec).toMatchObject({
      failurePolicy: 'Fail',
      matchConstraints: { matchPolicy: 'Equivalent', namespaceSelector: {}, resourceRules: [{ scope: '*' }] },
    });
    made.spec.validations[0].expression = 'false';
    expect((await api.expect(200, 'PUT', `${POLICIES}/x`, made)).metadata.generation).toBe(2);
  });

  test('compiles new expressions alone', async () => {
    const seen: string[] = [];
    const checked = createResourceServer({
      checkExpressions(expressions, isStored) {
        seen.push(...expressions.filter((one) => !isStored(one)).map(({ path, role }) => `${role} at ${path}`));
        return [];
      },
    });
    const variables = [{ name: 'v', expression: '1' }];
    const made = await checked.expect(201, 'POST', POLICIES, policy({ variables }));
    expect(seen.splice(0)).toEqual([
      'variable at spec.variables[0].expression',
      'validation at spec.validations[0].expression',
    ]);
    made.spec.validations.push({ expression: 'object.x' });
    await checked.expect(200, 'PUT', `${POLICIES}/x`, made);
    expect(seen).toEqual(['validation at spec.validations[1].expression']);
  });

  test('asks new webhooks for no side effects', async () => {
    const { message } = await api.expect(422, 'POST', WEBHOOKS, hooks({ sideEffects: 'Unknown' }));
    expect(message).toContain(
      'webhooks[0].sideEffects: Unsupported value: "Unknown": supported values: "None", "NoneOnDryRun"',
    );
  });

  test.each<[path: string, body: object, message: string]>([
    [WEBHOOKS, hooks({ name: 'short' }), 'should be a domain with at least three segments separated by dots'],
    [
      WEBHOOKS,
      hooks({ clientConfig: {} }),
      'webhooks[0].clientConfig: Required value: exactly one of url or service is required',
    ],
    [WEBHOOKS, hooks({ clientConfig: { url: 'http://a' } }), "'https' is the only allowed URL scheme"],
    [WEBHOOKS, hooks({ clientConfig: { url: 'https://u:p@a/?q#f' } }), 'user information is not permitted in the URL'],
    [WEBHOOKS, hooks({ timeoutSeconds: 31 }), 'the timeout value must be between 1 and 30 seconds'],
    [WEBHOOKS, hooks({ admissionReviewVersions: ['v7'] }), 'must include at least one of v1, v1beta1'],
    [
      WEBHOOKS,
      hooks({ rules: [{ operations: ['*', 'CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] }] }),
      "if '*' is present, must not specify other operations",
    ],
    [
      WEBHOOKS,
      hooks({
        rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods/*', 'pods/log'] }],
      }),
      "if 'pods/*' is present, must not specify pods/log",
    ],
    [
      WEBHOOKS,
      { metadata: { name: 'x' }, webhooks: [webhook(), webhook()] },
      'webhooks[1].name: Duplicate value: "a.b.c"',
    ],
    [
      WEBHOOKS,
      hooks({ matchConditions: [{ name: 'n' }] }),
      'webhooks[0].matchConditions[0].expression: Required value',
    ],
    [POLICIES, policy({ validations: [] }), 'validations or auditAnnotations must contain at least one item'],
    [POLICIES, policy({ matchConstraints: undefined }), 'spec.matchConstraints: Required value'],
    [POLICIES, policy({ matchConstraints: {} }), 'spec.matchConstraints.resourceRules: Required value'],
    [POLICIES, policy({ variables: [{ name: 'in', expression: '1' }] }), 'name is not a valid CEL identifier'],
    [POLICIES, policy({ paramKind: { apiVersion: 'v1', kind: '' } }), 'spec.paramKind.kind: Required value'],
    [
      POLICIES,
      policy({ validations: [{ expression: ' ' }] }),
      'spec.validations[0].expression: Required value: expression is not specified',
    ],
    [
      POLICIES,
      policy({ validations: [{ expression: 'true', message: 'a\nb' }] }),
      'message must not contain line breaks',
    ],
    [
      BINDINGS,
      named({ policyName: 'p' }),
      'spec.validationActions: Required value: at least one validation action is required',
    ],
    [BINDINGS, named({ policyName: 'p', validationActions: ['Deny', 'Warn'] }), 'must not contain both Deny and Warn'],
    [
      BINDINGS,
      named({ policyName: 'p', validationActions: ['Deny'], paramRef: {} }),
      'spec.paramRef: Required value: one of name or selector must be specified',
    ],
    [
      MUTATIONS,
      mutation({ mutations: [] }),
      'spec.mutations: Required value: mutations must contain at least one item',
    ],
    [MUTATIONS, mutation({ reinvocationPolicy: undefined }), 'spec.reinvocationPolicy: Required value'],
    [
      MUTATIONS,
      mutation({ mutations: [{ patchType: 'JSONPatch', applyConfiguration: { expression: 'x' } }] }),
      'spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch',
    ],
    [
      MUTATIONS,
      mutation({
        matchConstraints: { resourceRules: [{ ...matchConstraints.resourceRules[0], operations: ['DELETE'] }] },
      }),
      'spec.matchConstraints.resourceRules.operations: Unsupported value: "DELETE"',
    ],
  ])('%s refuses %j', async (path, body, message) => {
    expect((await api.expect(422, 'POST', path, body)).message).toContain(message);
  });
});

const SERVICES = '/apis/apiregistration.k8s.io/v1/apiservices';
const apiService = (spec: object, name = 'v1.a.b') =>
  named({ group: 'a.b', version: 'v1', groupPriorityMinimum: 100, versionPriority: 10, ...spec }, name);

describe('APIServices', () => {
  test('of our own are available, others wait to be found so', async () => {
    const local = await api.expect(201, 'POST', SERVICES, apiService({}));
    expect(local.status.conditions).toMatchObject([{ type: 'Available', status: 'True', reason: 'Local' }]);
    const service = { name: 's', namespace: 'n' };
    const remote = await api.expect(201, 'POST', SERVICES, apiService({ version: 'v2', service }, 'v2.a.b'));
    expect([remote.status, remote.spec.service.port]).toEqual([{}, 443]);
  });

  test.each<[spec: object, message: string]>([
    [{ version: 'v2' }, 'must be `spec.version+"."+spec.group`: "v2.a.b"'],
    [{ groupPriorityMinimum: 0 }, 'must be positive and less than 20000'],
    [{ insecureSkipTLSVerify: true }, 'local APIServices may not have insecureSkipTLSVerify'],
    [{ caBundle: 'eA==' }, 'spec.caBundle: Invalid value: "1 bytes": local APIServices may not have a caBundle'],
    [{ service: { name: 's' } }, 'spec.service.namespace: Required value'],
    [
      { service: { name: 's', namespace: 'n' }, caBundle: 'eA==', insecureSkipTLSVerify: true },
      'may not be true if caBundle is present',
    ],
  ])('%j is refused', async (spec, message) => {
    const { message: actual } = await api.expect(422, 'POST', SERVICES, apiService(spec));
    expect(actual.replaceAll('\\"', '"')).toContain(message);
  });
});
