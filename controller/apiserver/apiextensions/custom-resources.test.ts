import { beforeEach, describe, expect, it } from 'vitest';
import { createResourceServer } from '../resources/testing/resource-server.ts';
import type { Answer, TestServer } from '../server/testing/test-server.ts';

const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const TABS = '/apis/stable.example.com/v1/namespaces/n/crontabs';

const schema = {
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      required: ['cronSpec'],
      properties: {
        cronSpec: { type: 'string', pattern: '^\\S+$' },
        replicas: { type: 'integer', minimum: 1, maximum: 10, default: 1 },
        image: { type: 'string' },
        ports: {
          type: 'array',
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['name'],
          items: {
            type: 'object',
            required: ['name'],
            properties: { name: { type: 'string' }, port: { type: 'integer' } },
          },
        },
      },
    },
    status: { type: 'object', properties: { replicas: { type: 'integer' }, selector: { type: 'string' } } },
  },
};

const crontabs = (change: (crd: Answer) => void = () => {}): Answer => {
  const crd = {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'crontabs.stable.example.com' },
    spec: {
      group: 'stable.example.com',
      scope: 'Namespaced',
      names: { plural: 'crontabs', kind: 'CronTab', shortNames: ['ct'], categories: ['all'] },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: { openAPIV3Schema: structuredClone(schema) as Answer },
          subresources: {
            status: {},
            scale: {
              specReplicasPath: '.spec.replicas',
              statusReplicasPath: '.status.replicas',
              labelSelectorPath: '.status.selector',
            },
          },
          additionalPrinterColumns: [
            { name: 'Spec', type: 'string', jsonPath: '.spec.cronSpec' },
            { name: 'Replicas', type: 'integer', jsonPath: '.spec.replicas' },
            { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
          ],
          selectableFields: [{ jsonPath: '.spec.image' }],
        },
      ],
    },
  };
  change(crd);
  return crd;
};

const tab = (name: string, spec: object = {}, more: object = {}): Answer => ({
  apiVersion: 'stable.example.com/v1',
  kind: 'CronTab',
  metadata: { name, namespace: 'n' },
  spec: { cronSpec: '*', ...spec },
  ...more,
});

let api: TestServer;

beforeEach(() => {
  api = createResourceServer();
});

/** The definition once `type` is `status`. */
async function condition(name: string, type: string, status = 'True'): Promise<Answer> {
  for (;;) {
    const crd = await api.expect(200, 'GET', `${CRDS}/${name}`);
    if (crd.status.conditions?.some((one: Answer) => one.type === type && one.status === status)) return crd;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** The definition once its status tells of this generation. */
async function observed(name: string, generation: number): Promise<Answer> {
  for (;;) {
    const crd = await api.expect(200, 'GET', `${CRDS}/${name}`);
    if (crd.status.observedGeneration === generation) return crd;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function establish(crd: Answer = crontabs()): Promise<Answer> {
  await api.expect(201, 'POST', CRDS, crd);
  return condition(crd.metadata.name, 'Established');
}

describe('the scale of a custom kind whose size may be unset', () => {
  beforeEach(async () => {
    await establish(
      crontabs(({ spec }) => {
        spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.replicas = { type: 'integer' };
      }),
    );
    await api.expect(201, 'POST', TABS, tab('a'));
  });
  const patch = async (code: number, spec: object): Promise<Answer> => {
    const type = { 'content-type': 'application/merge-patch+json' };
    const answer = await api.call('PATCH', `${TABS}/a/scale`, { spec }, type);
    expect(answer.status).toBe(code);
    return JSON.parse(await answer.text());
  };

  it('can be set all the same, as kubectl scale does, but not be left open', async () => {
    const { message } = await patch(400, {});
    expect(message).toBe('the spec replicas field ".spec.replicas" cannot be empty');
    expect((await patch(200, { replicas: 3 })).spec).toEqual({ replicas: 3 });
    expect((await api.expect(200, 'GET', `${TABS}/a`)).spec.replicas).toBe(3);
  });

  it('is never below zero', async () => {
    const { message } = await patch(422, { replicas: -1 });
    expect(message).toContain('spec.replicas: Invalid value: -1: must be greater than or equal to 0');
  });
});

describe('a CustomResourceDefinition', () => {
  it('is defaulted, named and established', async () => {
    const crd = await establish();
    expect(crd.spec).toMatchObject({
      conversion: { strategy: 'None' },
      names: { singular: 'crontab', listKind: 'CronTabList' },
    });
    expect(crd.status).toMatchObject({
      acceptedNames: { plural: 'crontabs', kind: 'CronTab', shortNames: ['ct'] },
      storedVersions: ['v1'],
      conditions: [
        { type: 'NamesAccepted', status: 'True', reason: 'NoConflicts' },
        { type: 'Established', status: 'True', reason: 'InitialNamesAccepted' },
      ],
    });
  });

  it('lets go of a version that was migrated', async () => {
    const crd = await establish(
      crontabs(({ spec }) => spec.versions.push({ ...spec.versions[0], name: 'v2', storage: false })),
    );
    crd.spec.versions[0].storage = false;
    crd.spec.versions[1].storage = true;
    await api.expect(200, 'PUT', `${CRDS}/crontabs.stable.example.com`, crd);
    const both = await observed('crontabs.stable.example.com', 2);
    both.status.storedVersions = ['v2'];
    both.metadata.labels = { is: 'ignored' };
    const migrated = await api.expect(200, 'PUT', `${CRDS}/crontabs.stable.example.com/status`, both);
    expect(migrated.metadata.labels).toBeUndefined();
    migrated.spec.versions.shift();
    const last = await api.expect(200, 'PUT', `${CRDS}/crontabs.stable.example.com`, migrated);
    expect(last.status.storedVersions).toEqual(['v2']);
    await api.expect(404, 'GET', TABS);
    await api.expect(200, 'GET', TABS.replace('/v1/', '/v2/'));
  });

  it('shows in discovery and OpenAPI, which change their tags', async () => {
    const accept = { accept: 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList' };
    const before = await api.call('GET', '/apis', undefined, accept);
    const v2 = await api.call('GET', '/openapi/v2');
    await establish();
    const after = await api.call('GET', '/apis', undefined, accept);
    expect(after.headers.etag).not.toBe(before.headers.etag);
    expect((await api.call('GET', '/openapi/v2')).headers.etag).not.toBe(v2.headers.etag);
    expect(await api.expect(200, 'GET', '/apis/stable.example.com/v1')).toMatchObject({
      resources: [
        { name: 'crontabs', singularName: 'crontab', kind: 'CronTab', shortNames: ['ct'], categories: ['all'] },
        { name: 'crontabs/scale', group: 'autoscaling', kind: 'Scale' },
        { name: 'crontabs/status', kind: 'CronTab' },
      ],
    });
    const { components, paths } = await api.expect(200, 'GET', '/openapi/v3/apis/stable.example.com/v1');
    expect(components.schemas['com.example.stable.v1.CronTab']).toMatchObject({
      properties: { spec: { properties: { cronSpec: { type: 'string' } } }, metadata: { allOf: [expect.anything()] } },
      'x-kubernetes-group-version-kind': [{ group: 'stable.example.com', kind: 'CronTab', version: 'v1' }],
    });
    expect(Object.keys(paths)).toContain('/apis/stable.example.com/v1/namespaces/{namespace}/crontabs/{name}/scale');
  });

  it('takes its objects and its group along when it goes', async () => {
    await establish();
    await api.expect(201, 'POST', TABS, tab('a'));
    await api.expect(201, 'POST', TABS, tab('b', {}, { metadata: { name: 'b', finalizers: ['example.com/hold'] } }));
    await api.expect(200, 'DELETE', `${CRDS}/crontabs.stable.example.com`);
    const crd = await condition('crontabs.stable.example.com', 'Terminating');
    expect(crd.metadata.finalizers).toEqual(['customresourcecleanup.apiextensions.k8s.io']);
    while ((await api.expect(200, 'GET', TABS)).items.length > 1) await new Promise((done) => setImmediate(done));
    const refused = {
      reason: 'MethodNotAllowed',
      message: 'create not allowed while custom resource definition is terminating',
      details: { group: 'stable.example.com', kind: 'crontabs' },
    };
    expect(await api.expect(405, 'POST', TABS, tab('c'))).toMatchObject(refused);
    const apply = { 'content-type': 'application/apply-patch+yaml' };
    const applied = await api.call('PATCH', `${TABS}/c?fieldManager=m`, JSON.stringify(tab('c')), apply);
    expect(await applied.json()).toMatchObject({ code: 405, ...refused });
    const patch = { metadata: { finalizers: null } };
    const type = { 'content-type': 'application/merge-patch+json' };
    expect((await api.call('PATCH', `${TABS}/b`, JSON.stringify(patch), type)).status).toBe(200);
    while ((await api.call('GET', `${CRDS}/crontabs.stable.example.com`)).status === 200) {
      await new Promise((done) => setImmediate(done));
    }
    await api.expect(404, 'GET', TABS);
    await api.expect(404, 'GET', '/apis/stable.example.com');
    await establish();
    expect((await api.expect(200, 'GET', TABS)).items).toEqual([]);
  });

  it.each<[string, string, string, string, string, string]>([
    [
      'JSON',
      'POST',
      '',
      'application/json',
      '{"free":{"deep":[9007199254740993]}}',
      'spec.free.deep[0]: the number 9007199254740993 ',
    ],
    [
      'YAML',
      'POST',
      '',
      'application/yaml',
      'free: {low: -9223372036854775808}',
      'spec.free.low: the number -9223372036854775808 ',
    ],
    [
      'a merge patch',
      'PATCH',
      '/a',
      'application/merge-patch+json',
      '{"free":{"x":9007199254740993}}',
      'spec.free.x: the number 9007199254740993 ',
    ],
    [
      'an apply',
      'PATCH',
      '/b?fieldManager=m',
      'application/apply-patch+yaml',
      'free: {x: 9007199254740993}',
      'spec.free.x: the number 9007199254740993 ',
    ],
  ])('refuses integers that it would change, in %s', async (_, method, path, type, spec, finding) => {
    const crd = crontabs(({ spec: { versions } }) => {
      const free = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
      versions[0].schema.openAPIV3Schema.properties.spec.properties.free = free;
    });
    await establish(crd);
    await api.expect(201, 'POST', TABS, tab('a', { free: { exact: 9007199254740991, wide: 1e300 } }));
    const name = path === '/a' ? 'a' : 'b';
    const body = type.endsWith('yaml')
      ? `apiVersion: stable.example.com/v1\nkind: CronTab\nmetadata: {name: ${name}}\nspec: {cronSpec: '*', ${spec}}`
      : JSON.stringify(tab(name)).replace('"spec":{', `"spec":{${spec.slice(1, -1)},`);
    const refused = await api.call(method, `${TABS}${path}`, body, { 'content-type': type });
    expect(refused.status).toBe(400);
    const { message } = await refused.json<Answer>();
    expect(message).toContain(finding);
    expect(message).toContain('use a string');
    expect((await api.expect(200, 'GET', TABS)).items).toHaveLength(1);
  });

  it('does not mind the digits of fields that it does not keep', async () => {
    await establish();
    const body = JSON.stringify(tab('a')).replace('"spec":{', '"spec":{"unknown":9007199254740993,');
    expect((await api.call('POST', TABS, body, { 'content-type': 'application/json' })).status).toBe(201);
  });

  it.each([
    ['kind', { kind: undefined }, "(must be of type CronTab): Object 'Kind' is missing in '{"],
    [
      'apiVersion',
      { apiVersion: undefined },
      `CronTab in version "" cannot be handled as a CronTab: Object 'apiVersion'`,
    ],
  ])('refuses objects without %s', async (_, change, finding) => {
    await establish();
    expect((await api.expect(400, 'POST', TABS, tab('a', {}, change))).message).toContain(finding);
    await api.expect(404, 'GET', `${TABS}/a`);
  });

  it('ends the watches of its objects after telling that they are gone', async () => {
    await establish();
    await api.expect(201, 'POST', TABS, tab('a'));
    const watch = await api.call('GET', `${TABS}?watch=true`);
    await api.expect(200, 'DELETE', `${CRDS}/crontabs.stable.example.com`);
    const frames = (await watch.text()).trim().split('\n');
    expect(frames.map((frame) => JSON.parse(frame).type)).toEqual(['ADDED', 'DELETED']);
  });

  it('shows in OpenAPI v2 as protobuf too, whatever its schema says', async () => {
    const everything = {
      type: 'object',
      description: 'All there is.',
      title: 'All',
      nullable: true,
      externalDocs: { url: 'https://example.com' },
      'x-kubernetes-map-type': 'atomic',
      properties: {
        n: {
          type: 'number',
          minimum: 0.5,
          maximum: 9,
          exclusiveMaximum: true,
          multipleOf: 0.5,
          example: 1,
          default: 1,
        },
        s: { type: 'string', minLength: 1, maxLength: 2, pattern: 'a', format: 'byte', enum: ['YQ=='] },
        l: { type: 'array', minItems: 1, maxItems: 2, items: { type: 'string', 'x-kubernetes-int-or-string': false } },
        m: { type: 'object', minProperties: 0, maxProperties: 2, additionalProperties: { type: 'integer' } },
        any: { 'x-kubernetes-preserve-unknown-fields': true },
        embedded: {
          type: 'object',
          'x-kubernetes-embedded-resource': true,
          'x-kubernetes-preserve-unknown-fields': true,
        },
        either: { type: 'string', anyOf: [{ minLength: 1 }], oneOf: [{ maxLength: 3 }], not: { enum: ['x'] } },
      },
    };
    await establish(
      crontabs((crd) => Object.assign(crd.spec.versions[0].schema.openAPIV3Schema.properties, { everything })),
    );
    const accept = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';
    const { status, headers } = await api.call('GET', '/openapi/v2', undefined, { accept });
    expect({ status, type: headers['content-type'] }).toEqual({ status: 200, type: accept });
  });

  it('waits for names that another one holds', async () => {
    await establish();
    const rival = crontabs((crd) => {
      crd.metadata.name = 'tabs.stable.example.com';
      crd.spec.names = { plural: 'tabs', kind: 'Tab', shortNames: ['ct'] };
    });
    await api.expect(201, 'POST', CRDS, rival);
    const refused = await condition('tabs.stable.example.com', 'NamesAccepted', 'False');
    expect(refused.status.conditions).toMatchObject([
      { type: 'NamesAccepted', status: 'False', reason: 'ShortNamesConflict', message: '"ct" is already in use' },
      { type: 'Established', status: 'False', reason: 'NotAccepted' },
    ]);
    await api.expect(404, 'GET', '/apis/stable.example.com/v1/tabs');
    await api.expect(200, 'DELETE', `${CRDS}/crontabs.stable.example.com`);
    await condition('tabs.stable.example.com', 'Established');
  });
});

it('custom kinds are served from the first request on after a restart', async () => {
  await establish();
  await api.expect(201, 'POST', TABS, tab('a'));
  const after = createResourceServer({}, { extend: () => ({ store: api.store }) });
  expect((await after.expect(200, 'GET', TABS)).items).toHaveLength(1);
  await after.expect(201, 'POST', TABS, tab('b'));
});

describe('an object of a custom kind', () => {
  beforeEach(async () => void (await establish()));

  it('is pruned, defaulted and counted in generations', async () => {
    const made = await api.expect(201, 'POST', TABS, tab('a', { bogus: 1 }, { status: { replicas: 7 }, extra: {} }));
    expect(made).toMatchObject({ spec: { cronSpec: '*', replicas: 1 }, metadata: { generation: 1 } });
    expect(made.spec.bogus).toBeUndefined();
    expect(made.status).toBeUndefined();
    made.spec.replicas = 2;
    expect((await api.expect(200, 'PUT', `${TABS}/a`, made)).metadata.generation).toBe(2);
    const status = { ...made, metadata: { name: 'a', labels: { x: 'y' } }, spec: {}, status: { replicas: 2 } };
    status.metadata.resourceVersion = (await api.expect(200, 'GET', `${TABS}/a`)).metadata.resourceVersion;
    const after = await api.expect(200, 'PUT', `${TABS}/a/status`, status);
    expect(after).toMatchObject({ spec: { replicas: 2 }, status: { replicas: 2 }, metadata: { generation: 2 } });
    expect(after.metadata.labels).toBeUndefined();
  });

  it('is refused with unknown fields when validated strictly, in the words of Kubernetes', async () => {
    const { message } = await api.expect(400, 'POST', `${TABS}?fieldValidation=Strict`, tab('a', { bogus: { a: 1 } }));
    expect(message).toBe(
      'CronTab in version "v1" cannot be handled as a CronTab: strict decoding error: unknown field "spec.bogus"',
    );
    const { headers } = await api.call('POST', TABS, JSON.stringify(tab('a', { bogus: 1 })));
    expect(String(headers.warning)).toContain('unknown field \\"spec.bogus\\"');
  });

  it.each([
    [
      { cronSpec: 5 },
      'spec.cronSpec: Invalid value: "integer": spec.cronSpec in body must be of type string: "integer"',
    ],
    [
      { replicas: 'x' },
      'spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"',
    ],
    [{ replicas: 11 }, 'spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10'],
    [{ cronSpec: undefined }, 'spec.cronSpec: Required value'],
    [{ cronSpec: 'a b' }, `spec.cronSpec: Invalid value: "a b": spec.cronSpec in body should match '^\\S+$'`],
    [{ ports: [{ name: 'a' }, { name: 'a' }] }, 'spec.ports[1]: Duplicate value: {"name":"a"}'],
  ])('with the spec %j is refused', async (spec, message) => {
    const status = await api.expect(422, 'POST', TABS, tab('a', spec));
    expect(status.message).toBe(`CronTab.stable.example.com "a" is invalid: ${message}`);
  });

  it('has a scale', async () => {
    await api.expect(201, 'POST', TABS, tab('a'));
    const scale = await api.expect(200, 'GET', `${TABS}/a/scale`);
    expect(scale).toMatchObject({ kind: 'Scale', spec: { replicas: 1 }, status: { replicas: 0 } });
    const scaled = await api.expect(200, 'PUT', `${TABS}/a/scale`, { ...scale, spec: { replicas: 3 } });
    expect(scaled.spec).toEqual({ replicas: 3 });
    expect((await api.expect(200, 'GET', `${TABS}/a`)).spec.replicas).toBe(3);
    const { message } = await api.expect(422, 'PUT', `${TABS}/a/scale`, { ...scaled, spec: { replicas: 99 } });
    expect(message).toContain('spec.replicas in body should be less than or equal to 10');
  });

  it('prints its columns', async () => {
    await api.expect(201, 'POST', TABS, tab('a'));
    const accept = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };
    const table = JSON.parse(await (await api.call('GET', TABS, undefined, accept)).text());
    expect(table.columnDefinitions.map((column: Answer) => column.name)).toEqual(['Name', 'Spec', 'Replicas', 'Age']);
    expect(table.rows[0].cells).toEqual(['a', '*', 1, '0s']);
  });

  it('is selected by label, name and its selectable fields', async () => {
    await api.expect(201, 'POST', TABS, tab('a', { image: 'x' }, { metadata: { name: 'a', labels: { l: '1' } } }));
    await api.expect(201, 'POST', TABS, tab('b', { image: 'y' }));
    const names = async (query: string) =>
      (await api.expect(200, 'GET', `${TABS}?${query}`)).items.map((one: Answer) => one.metadata.name);
    expect(await names('fieldSelector=spec.image%3Dy')).toEqual(['b']);
    expect(await names('fieldSelector=spec.image!%3Dy')).toEqual(['a']);
    expect(await names('labelSelector=l')).toEqual(['a']);
    expect(await names('fieldSelector=metadata.name%3Da')).toEqual(['a']);
    await api.expect(400, 'GET', `${TABS}?fieldSelector=spec.cronSpec%3D*`);
  });

  it('is applied by the server with lists merged by their keys', async () => {
    const apply = async (manager: string, spec: object) => {
      const url = `${TABS}/a?fieldManager=${manager}&fieldValidation=Strict`;
      const response = await api.call('PATCH', url, JSON.stringify({ ...tab('a'), spec }), {
        'content-type': 'application/apply-patch+yaml',
      });
      return JSON.parse(await response.text());
    };
    await apply('one', { cronSpec: '*', ports: [{ name: 'a', port: 1 }] });
    const second = await apply('two', { ports: [{ name: 'b', port: 2 }] });
    expect(second.spec.ports).toEqual([
      { name: 'a', port: 1 },
      { name: 'b', port: 2 },
    ]);
    expect((await apply('two', { cronSpec: 'x' })).message).toContain('conflict with "one": .spec.cronSpec');
    expect((await apply('two', { ports: [] })).spec.ports).toEqual([{ name: 'a', port: 1 }]);
  });

  it('is not sent as protobuf', async () => {
    await api.expect(201, 'POST', TABS, tab('a'));
    const get = (accept: string) => api.call('GET', `${TABS}/a`, undefined, { accept });
    expect((await get('application/vnd.kubernetes.protobuf')).status).toBe(406);
    const { headers } = await get('application/vnd.kubernetes.protobuf, application/json');
    expect(headers['content-type']).toBe('application/json');
  });

  it('has an owner of its status too where no subresource keeps it apart', async () => {
    const plain = crontabs((crd) => {
      crd.metadata.name = 'plains.stable.example.com';
      crd.spec.names = { plural: 'plains', kind: 'Plain' };
      delete crd.spec.versions[0].subresources;
    });
    await establish(plain);
    const url = '/apis/stable.example.com/v1/namespaces/n/plains';
    const made = await api.expect(201, 'POST', url, { ...tab('a', {}, { status: { replicas: 1 } }), kind: 'Plain' });
    expect(made).toMatchObject({ status: { replicas: 1 }, metadata: { generation: 1 } });
    expect(made.metadata.managedFields[0].fieldsV1['f:status']).toEqual({ '.': {}, 'f:replicas': {} });
    made.status.replicas = 2;
    expect((await api.expect(200, 'PUT', `${url}/a`, made)).metadata.generation).toBe(2);
    await api.expect(404, 'GET', `${url}/a/status`);
  });

  it.each([
    ['PATCH', 'application/strategic-merge-patch+json', 415],
    ['POST', 'application/vnd.kubernetes.protobuf', 415],
  ])('%s of %s is %d', async (method, type, status) => {
    await api.expect(201, 'POST', TABS, tab('a'));
    const url = method === 'PATCH' ? `${TABS}/a` : TABS;
    expect((await api.call(method, url, '{}', { 'content-type': type })).status).toBe(status);
  });
});

describe('rules in CEL', () => {
  const withRules = (rules: object[], change: (spec: Answer) => void = () => {}) =>
    crontabs((crd) => {
      const { spec } = crd.spec.versions[0].schema.openAPIV3Schema.properties;
      spec['x-kubernetes-validations'] = rules;
      change(spec);
    });

  it.each([
    [{ rule: 'self.replicas < 5' }, 'spec: Invalid value: "object": failed rule: self.replicas < 5'],
    [{ rule: 'self.replicas < 5', message: 'too many' }, 'spec: Invalid value: "object": too many'],
    [
      {
        rule: 'self.replicas < 5',
        messageExpression: 'self.replicas > 6 ? "above six" : "above five"',
        fieldPath: '.replicas',
      },
      'spec.replicas: Invalid value: "object": above six',
    ],
    [{ rule: 'self.replicas < 5', reason: 'FieldValueForbidden', message: 'no' }, 'spec: Forbidden: no'],
    [
      { rule: 'self.image == "x"' },
      'spec: Invalid value: "object": no such key: image evaluating rule: self.image == "x"',
    ],
  ])('%j refuse an object that breaks them', async (rule, message) => {
    await establish(withRules([rule]));
    const status = await api.expect(422, 'POST', TABS, tab('a', { replicas: 7 }));
    expect(status.message).toBe(`CronTab.stable.example.com "a" is invalid: ${message}`);
  });

  it('compare with the former state', async () => {
    await establish(withRules([{ rule: 'self.replicas >= oldSelf.replicas', message: 'only up' }]));
    const made = await api.expect(201, 'POST', TABS, tab('a', { replicas: 5 }));
    made.spec.replicas = 4;
    expect((await api.expect(422, 'PUT', `${TABS}/a`, made)).message).toContain(
      'spec: Invalid value: "object": only up',
    );
    made.spec.replicas = 6;
    await api.expect(200, 'PUT', `${TABS}/a`, made);
  });

  it('let what was broken before stay so', async () => {
    await establish();
    await api.expect(201, 'POST', TABS, tab('a', { replicas: 7, image: 'x' }));
    const crd = await api.expect(200, 'GET', `${CRDS}/crontabs.stable.example.com`);
    const { spec } = crd.spec.versions[0].schema.openAPIV3Schema.properties;
    spec.properties.replicas['x-kubernetes-validations'] = [{ rule: 'self < 5' }];
    spec.properties.image.maxLength = 0;
    await api.expect(200, 'PUT', `${CRDS}/crontabs.stable.example.com`, crd);
    await api.expect(422, 'POST', TABS, tab('b', { replicas: 7 }));
    const made = await api.expect(200, 'GET', `${TABS}/a`);
    made.spec.cronSpec = 'y';
    await api.expect(200, 'PUT', `${TABS}/a`, made);
    made.spec.replicas = 8;
    delete made.metadata.resourceVersion;
    made.metadata.resourceVersion = (await api.expect(200, 'GET', `${TABS}/a`)).metadata.resourceVersion;
    await api.expect(422, 'PUT', `${TABS}/a`, made);
  });

  it.each([
    ['self.nothing == 1', /rule: Invalid value: .*compilation failed: .*undefined field 'nothing'/s],
    ['self.replicas + 1', /cel expression must evaluate to a bool/],
    ['self.ports.all(a, self.ports.all(b, a.name == b.name))', /estimated rule cost exceeds budget by factor of/],
  ])('%s is refused in a definition', async (rule, message) => {
    const { message: text } = await api.expect(422, 'POST', CRDS, withRules([{ rule }]));
    expect(text).toMatch(message);
  });
});
