import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { apiVersionOf } from '#api/object/group-version.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { ResourceDefinition, StrategyContext } from '../registry/resource-definition.ts';
import { builtinResources } from './builtin-resources.ts';

const REFERENCE = join(import.meta.dirname, '../../../../shared/reference');
const hasReference = existsSync(REFERENCE);
if (!hasReference) console.log(`builtin-resources.test: comparison with Kubernetes skipped, nothing at ${REFERENCE}`);

const definitions = builtinResources({
  podSubresources: [],
  nodeSubresources: [],
  serviceSubresources: [],
  serviceCidr: '10.96.0.0/16',
  nodePortRange: { from: 30_000, to: 32_767 },
});
const titles = definitions.map((definition) => [`${definition.resource}.${definition.group}`, definition] as const);

const lines = (file: string): string[][] =>
  readFileSync(`${REFERENCE}/${file}`, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split('\t'));

/** The reference names these after the type of their list entries. */
const PRINTED_AS: Readonly<Record<string, string>> = {
  MutatingWebhookConfiguration: 'MutatingWebhook',
  ValidatingWebhookConfiguration: 'ValidatingWebhook',
};

/** Kinds of the aggregator print themselves; the reference lists kube-apiserver's own printers only. */
const UNLISTED: Readonly<Record<string, readonly string[]>> = {
  APIService: ['Name string name 0', 'Service string  0', 'Available string  0', 'Age date  0'],
};

test.runIf(hasReference).each(titles)('%s has the columns of Kubernetes', (_title, definition) => {
  const wanted = lines('kubectl-columns.tsv').filter(
    ([kind]) => kind === (PRINTED_AS[definition.kind] ?? definition.kind),
  );
  const expected =
    wanted.length === 0
      ? (UNLISTED[definition.kind] ?? ['Name string name 0', 'Created At date  0'])
      : wanted.map(([, name, type, format, priority]) => `${name} ${type} ${format} ${priority}`);
  const actual = definition.columns.map(
    ({ name, type, format = '', priority }) => `${name} ${type} ${format} ${priority}`,
  );
  expect(actual).toEqual(expected);
});

const ACTIONS: Readonly<Record<string, readonly string[]>> = {
  list: ['list', 'watch'],
  post: ['create'],
  put: ['update'],
  get: ['get'],
  delete: ['delete'],
  patch: ['patch'],
  deletecollection: ['deletecollection'],
};

/** Verbs of the paths that are the resource itself, and of each subresource. */
function referenceVerbs(definition: ResourceDefinition): { main: string[]; subresources: Record<string, string[]> } {
  const root = definition.group === '' ? '/api/v1' : `/apis/${apiVersionOf(definition)}`;
  const base = `${root}${definition.namespaced ? '/namespaces/{namespace}' : ''}/${definition.resource}`;
  const main = new Set<string>();
  const subresources: Record<string, string[]> = {};
  for (const [path = '', actions = ''] of lines('k8s-1.36-paths.tsv')) {
    const verbs = actions.split(',').flatMap((action) => ACTIONS[action] ?? []);
    if (path === base || path === `${base}/{name}`) for (const verb of verbs) main.add(verb);
    const match = path.startsWith(`${base}/{name}/`) ? path.slice(base.length + '/{name}/'.length) : undefined;
    if (match !== undefined && !match.includes('/') && match !== 'status') subresources[match] = verbs.sort();
  }
  return { main: [...main].sort(), subresources };
}

test.runIf(hasReference).each(titles)('%s serves the verbs of Kubernetes', (_title, definition) => {
  const reference = referenceVerbs(definition);
  // The reference has one word for lists and watches; what is computed at every read cannot be watched.
  const main = reference.main.filter((verb) => verb !== 'watch' || definition.computedObjects === undefined);
  expect([...definition.verbs].sort()).toEqual(main);
  for (const { name, verbs } of definition.subresources)
    expect([...verbs].sort(), name).toEqual(reference.subresources[name]);
});

const context = {
  nowMs: 0,
  dryRun: false,
  snapshot: { get: () => undefined },
  request: { user: { name: 'u', groups: [] }, info: { verb: 'create', subresource: '' } },
} as unknown as StrategyContext;

const exampleOf = ({ group, version, kind }: ResourceDefinition) =>
  join(REFERENCE, 'roundtrip', `${group || 'core'}.${version}.${kind}.json`);
const exemplary = titles.filter(([, definition]) => existsSync(exampleOf(definition)));

test.runIf(hasReference).each(exemplary)('%s takes an object with every field set', (_title, definition) => {
  const file = exampleOf(definition);
  const read = () => JSON.parse(readFileSync(file, 'utf8')) as KubeObject;
  const object = read();
  definition.applyDefaults(object);
  definition.prepareForCreate(object, context);
  definition.prepareForUpdate(object, read(), context);
  const findings = [
    ...definition.validate(object, context),
    ...definition.validateCreate(object, context),
    ...definition.validateUpdate(object, read(), context),
    ...definition.validateStatusUpdate(object, read(), context),
  ];
  for (const { field, message } of findings) expect(`${field}: ${message}`).not.toContain('undefined');
  expect(definition.isVolatileUpdate(read(), read())).toBe(definition.isVolatileUpdate(object, object));
  for (const value of Object.values(definition.selectableFields(object))) expect(typeof value).toBe('string');
  expect(definition.tableRow(object, 0)).toHaveLength(definition.columns.length);
});

test('every kind has as many cells as columns', () => {
  for (const definition of definitions) {
    const row = definition.tableRow(
      { apiVersion: apiVersionOf(definition), kind: definition.kind, metadata: { name: 'x' } },
      0,
    );
    expect(row.length, definition.resource).toBe(definition.columns.length);
  }
});

test('storage prefixes are those of Kubernetes where they differ from the resource', () => {
  const special = Object.fromEntries(
    definitions
      .filter(({ storagePrefix, resource }) => storagePrefix !== `/registry/${resource}`)
      .map(({ storagePrefix, resource }) => [resource, storagePrefix]),
  );
  expect(special).toEqual({
    apiservices: '/registry/apiregistration.k8s.io/apiservices',
    customresourcedefinitions: '/registry/apiextensions.k8s.io/customresourcedefinitions',
    endpoints: '/registry/services/endpoints',
    ingresses: '/registry/ingress',
    nodes: '/registry/minions',
    replicationcontrollers: '/registry/controllers',
    services: '/registry/services/specs',
  });
});
