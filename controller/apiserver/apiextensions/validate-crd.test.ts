import { expect, it } from 'vitest';
import { createResourceServer } from '../resources/testing/resource-server.ts';
import type { Answer } from '../server/testing/test-server.ts';

const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All';
const api = createResourceServer();

/** A definition that is right, with this schema for `spec.x` and these changes. */
function definition(x: object | undefined, change: (crd: Answer) => void = () => {}): Answer {
  const crd = {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'things.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'things', kind: 'Thing' },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              properties: { spec: { type: 'object', properties: x === undefined ? {} : { x } } },
            },
          },
        },
      ],
    },
  };
  change(crd);
  return crd;
}

const X = 'spec.versions[0].schema.openAPIV3Schema.properties[spec].properties[x]';

it.each<[string, object]>([
  [
    'a list map',
    {
      type: 'array',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['a'],
      items: { type: 'object', required: ['a'], properties: { a: { type: 'string' } } },
    },
  ],
  ['int or string', { 'x-kubernetes-int-or-string': true, anyOf: [{ type: 'integer' }, { type: 'string' }] }],
  [
    'int or string with more',
    {
      'x-kubernetes-int-or-string': true,
      allOf: [{ anyOf: [{ type: 'integer' }, { type: 'string' }] }, { minLength: 1 }],
    },
  ],
  [
    'an embedded resource',
    { type: 'object', 'x-kubernetes-embedded-resource': true, 'x-kubernetes-preserve-unknown-fields': true },
  ],
  ['anything', { 'x-kubernetes-preserve-unknown-fields': true }],
  ['a default', { type: 'object', default: {}, properties: { a: { type: 'string', default: 'b' } } }],
  [
    'a junctor over known fields',
    {
      type: 'object',
      properties: { a: { type: 'string' } },
      oneOf: [{ required: ['a'] }, { properties: { a: { minLength: 3 } } }],
    },
  ],
])('%s is accepted', async (_name, schema) => {
  await api.expect(201, 'POST', CRDS, definition(schema));
});

it.each<[string, object, string]>([
  ['a field without type', {}, `${X}.type: Required value: must not be empty for specified object fields`],
  [
    'items without type',
    { type: 'array', items: {} },
    `${X}.items.type: Required value: must not be empty for specified array items`,
  ],
  ['an array without items', { type: 'array' }, `${X}.items: Required value: must be specified`],
  [
    'an unknown type',
    { type: 'text' },
    `${X}.type: Unsupported value: "text": supported values: "array", "boolean", "integer", "number", "object", "string"`,
  ],
  [
    'uniqueItems',
    { type: 'array', uniqueItems: true, items: { type: 'string' } },
    `${X}.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic`,
  ],
  ['a reference', { type: 'object', $ref: '#/a' }, `${X}.$ref: Forbidden: $ref is not supported`],
  [
    'a type below a junctor',
    { type: 'string', anyOf: [{ type: 'string' }] },
    `${X}.anyOf[0].type: Forbidden: must be empty to be structural`,
  ],
  [
    'properties beside additionalProperties',
    { type: 'object', properties: { a: { type: 'string' } }, additionalProperties: { type: 'string' } },
    `${X}.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive`,
  ],
  [
    'a default of another type',
    { type: 'integer', default: 'a' },
    `${X}.default: Invalid value: "string": ${X}.default in body must be of type integer: "string"`,
  ],
  [
    'a default that would be pruned',
    { type: 'object', default: { a: 1 } },
    `${X}.default: Invalid value: {"a":1}: must not have unknown fields`,
  ],
  [
    'a pattern that is none',
    { type: 'string', pattern: '(' },
    `${X}.pattern: Invalid value: "(": must be a valid regular expression, but isn't: `,
  ],
  [
    'a list map without keys',
    { type: 'array', 'x-kubernetes-list-type': 'map', items: { type: 'object' } },
    `${X}.x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map`,
  ],
  [
    'a set of granular objects',
    { type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'object' } },
    `must be atomic as item of a list with x-kubernetes-list-type=set`,
  ],
  [
    'a map key that may be absent',
    {
      type: 'array',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['a'],
      items: { type: 'object', properties: { a: { type: 'string' } } },
    },
    `${X}.items.properties[a].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property`,
  ],
  [
    'an embedded string',
    { type: 'string', 'x-kubernetes-embedded-resource': true },
    `${X}.type: Invalid value: "string": must be object if x-kubernetes-embedded-resource is true`,
  ],
  [
    'x-kubernetes-preserve-unknown-fields: false',
    { type: 'object', 'x-kubernetes-preserve-unknown-fields': false },
    `${X}.x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined`,
  ],
])('%s is refused', async (_name, schema, message) => {
  const status = await api.expect(422, 'POST', CRDS, definition(schema));
  expect(status.message).toContain(message);
});

it.each<[string, (crd: Answer) => void, string]>([
  [
    'a field that only a junctor knows',
    (crd) => {
      const schema = crd.spec.versions[0].schema.openAPIV3Schema;
      schema.allOf = [{ properties: { spec: { properties: { b: { minLength: 1 } } } } }];
    },
    'openAPIV3Schema.properties[spec].properties[b]: Required value: because it is defined in spec.versions[0].schema.openAPIV3Schema.allOf[0].properties[spec].properties[b]',
  ],
  [
    'another name',
    (crd) => {
      crd.metadata.name = 'x.example.com';
    },
    'metadata.name: Invalid value: "x.example.com": must be spec.names.plural+"."+spec.group',
  ],
  [
    'a group without a dot',
    (crd) => {
      crd.spec.group = 'example';
      crd.metadata.name = 'things.example';
    },
    'spec.group: Invalid value: "example": should be a domain with at least one dot',
  ],
  [
    'no scope',
    (crd) => {
      delete crd.spec.scope;
    },
    'spec.scope: Required value',
  ],
  [
    'a wrong scope',
    (crd) => {
      crd.spec.scope = 'Galaxy';
    },
    'spec.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced"',
  ],
  [
    'no storage version',
    (crd) => {
      crd.spec.versions[0].storage = false;
    },
    'must have exactly one version marked as storage version',
  ],
  [
    'no schema',
    (crd) => {
      delete crd.spec.versions[0].schema;
    },
    'spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required',
  ],
  [
    'a version twice',
    (crd) => {
      crd.spec.versions.push({ ...crd.spec.versions[0], storage: false });
    },
    'must contain unique version names',
  ],
  [
    'the kind of its list',
    (crd) => {
      crd.spec.names.listKind = 'Thing';
    },
    'spec.names.listKind: Invalid value: "Thing": kind and listKind may not be the same',
  ],
  [
    'preserveUnknownFields',
    (crd) => {
      crd.spec.preserveUnknownFields = true;
    },
    'spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead',
  ],
  [
    'a column without path',
    (crd) => {
      crd.spec.versions[0].additionalPrinterColumns = [{ name: 'a', type: 'string', jsonPath: 'a' }];
    },
    'spec.versions[0].additionalPrinterColumns[0].JSONPath: Invalid value: "a": must be a simple json path starting with .',
  ],
  [
    'a scale outside of spec',
    (crd) => {
      crd.spec.versions[0].subresources = { scale: { specReplicasPath: '.status.a', statusReplicasPath: '.status.b' } };
    },
    'spec.versions[0].subresources.scale.specReplicasPath: Invalid value: ".status.a": should be a json path under .spec',
  ],
  [
    'a selectable object',
    (crd) => {
      crd.spec.versions[0].selectableFields = [{ jsonPath: '.spec' }];
    },
    'must point to a field of type string, boolean or integer',
  ],
  [
    'a webhook without configuration',
    (crd) => {
      crd.spec.conversion = { strategy: 'Webhook' };
    },
    'spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook',
  ],
  [
    'a protected group',
    (crd) => {
      crd.spec.group = 'x.k8s.io';
      crd.metadata.name = 'things.x.k8s.io';
    },
    'protected groups must have approval annotation "api-approved.kubernetes.io"',
  ],
  [
    'metadata in its schema',
    (crd) => {
      crd.spec.versions[0].schema.openAPIV3Schema.properties.metadata = {
        type: 'object',
        properties: { labels: { type: 'object' } },
      };
    },
    'must not specify anything other than name and generateName, but metadata is implicitly specified',
  ],
])('%s is refused', async (_name, change, message) => {
  const status = await api.expect(422, 'POST', CRDS, definition({ type: 'string' }, change));
  expect(status.message).toContain(message);
});

it.each<[string, (crd: Answer) => void]>([
  [
    'no spec',
    (crd) => {
      delete crd.spec;
    },
  ],
  [
    'an empty spec',
    (crd) => {
      crd.spec = {};
    },
  ],
  [
    'an empty version',
    (crd) => {
      crd.spec.versions = [{}];
    },
  ],
  [
    'null everywhere',
    (crd) => {
      crd.spec = { group: null, names: null, versions: [null], scope: null, conversion: null };
    },
  ],
  [
    'empty parts',
    (crd) => {
      Object.assign(crd.spec.versions[0], {
        subresources: { scale: {} },
        selectableFields: [{}],
        additionalPrinterColumns: [{}],
      });
    },
  ],
  [
    'a rule without rule',
    (crd) => {
      crd.spec.versions[0].schema.openAPIV3Schema['x-kubernetes-validations'] = [{}];
    },
  ],
  [
    'numbers for schemas',
    (crd) => {
      crd.spec.versions[0].schema.openAPIV3Schema.properties.a = { type: 'array', items: 5 };
    },
  ],
  [
    'texts in nested schemas',
    (crd) => {
      crd.spec.versions[0].schema.openAPIV3Schema.properties.a = {
        type: 'object',
        additionalProperties: { required: 5, properties: 'x' },
      };
    },
  ],
  [
    'an empty webhook',
    (crd) => {
      crd.spec.conversion = { strategy: 'Webhook', webhook: { clientConfig: {} } };
    },
  ],
  [
    'hostile names',
    (crd) => {
      crd.spec.versions[0].schema.openAPIV3Schema = JSON.parse(
        '{"type":"object","properties":{"__proto__":{"type":"string"},"constructor":{"type":"x"}},"required":["toString"]}',
      );
    },
  ],
])('%s is a mistake of the client', async (_name, change) => {
  const response = await api.call('POST', CRDS, JSON.stringify(definition({ type: 'string' }, change)));
  expect([400, 422]).toContain(response.status);
});
