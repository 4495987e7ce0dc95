import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ControllerProcess, startControllerProcess } from '#test/kit/controller-process.ts';
import { runKubectl } from '#test/kit/kubectl.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

/** Policies as Kubernetes' documentation shows them, with the real kubectl against a whole controller. */
let controller: ControllerProcess;
let kubeconfig: string;

const run = (args: string, stdin = '') => runKubectl(args.split(' '), { kubeconfig, stdin, timeoutMs: 30_000 });
async function ok(args: string, stdin = ''): Promise<string> {
  const { code, stdout, stderr } = await run(args, stdin);
  if (code !== 0) throw new Error(`kubectl ${args}: ${code}: ${stdout}${stderr}`);
  return stdout;
}

const deployment = (name: string, replicas: number) => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name}, labels: { app: x } }
spec:
  replicas: ${replicas}
  selector: { matchLabels: { app: x } }
  template: { metadata: { labels: { app: x } }, spec: { containers: [{ name: c, image: "registry.invalid/c:1" }] } }
`;

const DEPLOYMENTS = '{ apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments] }';

/** The tutorial, its limit taken from an object of a kind of its own. */
const LIMITS = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: replicalimits.rules.example.com }
spec:
  group: rules.example.com
  scope: Namespaced
  names: { plural: replicalimits, singular: replicalimit, kind: ReplicaLimit }
  versions:
  - name: v1
    served: true
    storage: true
    schema: { openAPIV3Schema: { type: object, properties: { maxReplicas: { type: integer } } } }
`;
const POLICY = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: { name: replicalimit-policy.example.com }
spec:
  failurePolicy: Fail
  paramKind: { apiVersion: rules.example.com/v1, kind: ReplicaLimit }
  matchConstraints: { resourceRules: [${DEPLOYMENTS}] }
  variables: [{ name: wanted, expression: object.spec.replicas }]
  validations:
  - expression: variables.wanted <= params.maxReplicas
    messageExpression: "'replicas must be no greater than ' + string(params.maxReplicas)"
  - expression: object.replicas == 1 || true
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: { name: replicalimit-binding-test.example.com }
spec:
  policyName: replicalimit-policy.example.com
  validationActions: [Deny]
  paramRef: { name: test-limit, namespace: default, parameterNotFoundAction: Deny }
  matchResources: { namespaceSelector: { matchLabels: { environment: test } } }
`;
const WARNING = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: { name: advice }
spec:
  matchConstraints: { resourceRules: [${DEPLOYMENTS}] }
  validations: [{ expression: 'object.spec.replicas > 1', message: one replica is none }]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: { name: advice }
spec: { policyName: advice, validationActions: [Warn, Audit] }
`;
const MUTATION = `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: { name: owner }
spec:
  matchConstraints: { resourceRules: [${DEPLOYMENTS}] }
  matchConditions: [{ name: unowned, expression: "!has(object.metadata.labels) || !('owner' in object.metadata.labels)" }]
  failurePolicy: Fail
  reinvocationPolicy: IfNeeded
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: >
        Object{
          metadata: Object.metadata{labels: {"owner": request.userInfo.username.replace(":", "-")}},
          spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{
            containers: [Object.spec.template.spec.containers{name: "c", imagePullPolicy: "Never"}]
          }}}
        }
  - patchType: JSONPatch
    jsonPatch:
      expression: >
        [JSONPatch{op: "add", path: "/metadata/labels/" + jsonpatch.escapeKey("example.com/set"), value: "yes"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: { name: owner }
spec: { policyName: owner, matchResources: { namespaceSelector: { matchLabels: { environment: test } } } }
`;

describe('admission policies, with kubectl', () => {
  beforeAll(async () => {
    controller = await startControllerProcess({ fromSource: true });
    kubeconfig = join(controller.folder, 'loopback.kubeconfig');
    const text = readFileSync(controller.kubeconfig, 'utf8');
    writeFileSync(kubeconfig, text.replace(/server: .*/, `server: ${controller.access.server}`), { mode: 0o600 });
    await ok('create namespace test');
    await ok('label namespace test environment=test');
  }, 240_000);
  afterAll(async () => {
    await controller?.stop();
  });

  it('refuse what breaks them, with params of a custom kind', async () => {
    await ok('apply -f -', LIMITS);
    await ok('wait --for=condition=Established crd/replicalimits.rules.example.com');
    await ok('apply -f -', POLICY);
    const missing = await run('-n test apply -f -', deployment('d', 3));
    expect(missing.stderr).toContain(
      'denied request: failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction',
    );
    const limit =
      'apiVersion: rules.example.com/v1\nkind: ReplicaLimit\nmetadata: { name: test-limit }\nmaxReplicas: 3\n';
    await ok('-n default apply -f -', limit);
    await ok('-n test apply -f -', deployment('d', 3));
    const { stderr } = await run('-n test apply -f -', deployment('d', 4));
    expect(stderr).toContain(
      'The deployments "d" is invalid: : ValidatingAdmissionPolicy \'replicalimit-policy.example.com\' with binding ' +
        "'replicalimit-binding-test.example.com' denied request: replicas must be no greater than 3",
    );
    await ok('-n default apply -f -', deployment('elsewhere', 4));
  });

  it('tell in their status what cannot fit the kinds that they name', async () => {
    const path = 'jsonpath={.status.typeChecking.expressionWarnings[*]}';
    const get = ['get', 'validatingadmissionpolicy', 'replicalimit-policy.example.com', '-o', path];
    const warnings = await waitUntil('the type check', 10_000, async () => {
      const { stdout } = await runKubectl(get, { kubeconfig, timeoutMs: 30_000 });
      return stdout !== '' && stdout;
    });
    expect(JSON.parse(warnings)).toEqual({
      fieldRef: 'spec.validations[1].expression',
      warning: expect.stringMatching(/^apps\/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'/),
    });
  });

  it('warn where they are asked to', async () => {
    await ok('apply -f -', WARNING);
    const { code, stderr } = await run('-n test apply -f -', deployment('single', 1));
    expect([code, stderr]).toEqual([
      0,
      expect.stringContaining(
        "Warning: Validation failed for ValidatingAdmissionPolicy 'advice' with binding 'advice': one replica is none",
      ),
    ]);
  });

  it('change what is stored, by merging and by patches', async () => {
    await ok('apply -f -', MUTATION);
    await ok('-n test apply -f -', deployment('owned', 2));
    const stored = JSON.parse(await ok('-n test get deployment owned -o json'));
    expect(stored.metadata.labels).toEqual({ app: 'x', owner: 'kubernetes-admin', 'example.com/set': 'yes' });
    expect(stored.spec.template.spec.containers).toEqual([
      expect.objectContaining({ name: 'c', image: 'registry.invalid/c:1', imagePullPolicy: 'Never' }),
    ]);
    await ok('-n test label deployment owned owner=me --overwrite');
    expect(await ok('-n test get deployment owned -o jsonpath={.metadata.labels.owner}')).toBe('me');
  });

  it('are not stored with mistakes in them', async () => {
    const { stderr } = await run('apply -f -', WARNING.replace('object.spec.replicas > 1', 'object.spec.replicas >'));
    expect(stderr).toContain(
      'spec.validations[0].expression: Invalid value: "object.spec.replicas >": compilation failed:',
    );
  });
});
