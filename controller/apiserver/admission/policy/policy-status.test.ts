import { describe, expect, it } from 'vitest';
import { builtinTypes } from '#api/schema/builtin-types.ts';
import { ResourceCatalog } from '../../registry/resource-catalog.ts';
import { builtinResources } from '../../resources/builtin-resources.ts';
import { computeStatus } from './policy-status.ts';

const CATALOG = new ResourceCatalog(
  builtinResources({
    podSubresources: [],
    nodeSubresources: [],
    serviceSubresources: [],
    serviceCidr: '10.96.0.0/16',
    nodePortRange: { from: 30_000, to: 32_767 },
  }),
);

const deployments = { apiGroups: ['apps'], apiVersions: ['v1'], operations: ['*'], resources: ['deployments'] };

function statusOf(spec: object, status: object = {}) {
  const policy = { apiVersion: '', kind: '', metadata: { name: 'p', generation: 3 }, spec, status };
  return computeStatus(policy, { catalog: CATALOG, typeOf: (definition) => builtinTypes().typeOf(definition) });
}

const warningsOf = (expression: string, rest: object = {}) =>
  statusOf({ matchConstraints: { resourceRules: [deployments] }, validations: [{ expression }], ...rest })?.typeChecking
    ?.expressionWarnings ?? [];

describe('computeStatus', () => {
  it('has nothing to say about a generation that was looked at', () => {
    expect(statusOf({}, { observedGeneration: 3 })).toBeUndefined();
    expect(statusOf({}, { observedGeneration: 2 })).toEqual({ observedGeneration: 3, typeChecking: {} });
  });

  it.each([
    'object.spec.replicas <= 5 && object.metadata.labels["app"] == "x" && object.metadata.creationTimestamp < timestamp("2030-01-01T00:00:00Z")',
    'object.spec.template.spec.containers.all(c, c.name.startsWith("a") && "cpu" in c.resources.limits)',
    'object.spec.strategy.rollingUpdate.maxSurge == "25%" || object.spec.strategy.rollingUpdate.maxSurge == 1',
    'oldObject == null || oldObject.spec.paused == object.spec.paused',
    'object.metadata.namespace == "n" && object.metadata.__namespace__ == "n"',
  ])('finds nothing wrong with %s', (expression) => {
    expect(warningsOf(expression)).toEqual([]);
  });

  it.each([
    [
      'object.replicas > 1',
      "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'\n | object.replicas > 1\n | ......^\n",
    ],
    ['object.spec.replicas > "1"', "applied to '(int, string)'"],
    ['object.spec.template.spec.containers.all(c, c.image > 1)', "applied to '(string, int)'"],
    ['variables.names.all(n, n > 1)', "applied to '(string, int)'"],
    ['params.data.max > 1', "applied to '(string, int)'"],
  ])('warns of %s', (expression, warning) => {
    const found = warningsOf(expression, {
      variables: [{ name: 'names', expression: 'object.spec.template.spec.containers.map(c, c.name)' }],
      paramKind: { apiVersion: 'v1', kind: 'ConfigMap' },
    });
    expect(found).toEqual([{ fieldRef: 'spec.validations[0].expression', warning: expect.stringContaining(warning) }]);
  });

  it.each([
    ['wildcards', { apiGroups: ['*'] }],
    ['subresources', { resources: ['deployments/scale'] }],
    ['kinds that nobody serves', { resources: ['gadgets'] }],
  ])('says nothing of %s', (_, change) => {
    const found = warningsOf('object.replicas > 1', {
      matchConstraints: { resourceRules: [{ ...deployments, ...change }] },
    });
    expect(found).toEqual([]);
  });
});
