import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { canonicalize, encodeCanonical } from '#api/codec/canonical.ts';
import type { JsonObject } from '#api/object/json.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { builtinTypes } from '#api/schema/builtin-types.ts';
import type { TypeDef } from '#api/schema/type-table.ts';
import { storageKey } from '../registry/resource-catalog.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { createResourceServer } from '../resources/testing/resource-server.ts';
import { servedDefinitions } from '../resources/testing/served-definitions.ts';

/*
 * Objects with a part left out, put in the place of whole ones: the rules of an update look at fields that a create would have refused.
 * Whatever the answer is, it is none of 500.
 */

const roundtrip = join(import.meta.dirname, '../../../../shared/reference/roundtrip');
const fileOf = ({ group, version, kind }: ResourceDefinition) =>
  join(roundtrip, `${group || 'core'}.${version}.${kind}.json`);

const definitions = servedDefinitions().filter(
  (definition) => definition.verbs.includes('update') && existsSync(fileOf(definition)),
);
// A file without any test counts as one that has failed.
if (definitions.length === 0) test.skip(`nothing at ${roundtrip}`, () => {});

function exampleOf(definition: ResourceDefinition): KubeObject {
  const example = JSON.parse(readFileSync(fileOf(definition), 'utf8')) as KubeObject;
  const metadata = { name: 'x', ...(definition.namespaced ? { namespace: 'a' } : {}), uid: example.metadata.uid };
  const type = builtinTypes().typeOf(definition) as TypeDef;
  return canonicalize({ ...example, metadata } as KubeObject, type);
}

/** The object without one of its fields or one of the fields of these; what stands beside a list's first item is not looked at. */
function* withoutOnePart(object: KubeObject): Generator<KubeObject> {
  for (const [field, value] of Object.entries(object)) {
    if (['apiVersion', 'kind', 'metadata'].includes(field)) continue;
    const { [field]: _, ...rest } = object as unknown as JsonObject;
    yield rest as unknown as KubeObject;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) continue;
    yield { ...rest, [field]: {} } as unknown as KubeObject;
    for (const part of Object.keys(value)) {
      const { [part]: __, ...others } = value as JsonObject;
      yield { ...rest, [field]: others } as unknown as KubeObject;
    }
  }
}

test.each(definitions.map((definition) => [definition.resource, definition] as const))(
  '%s with parts missing are refused or stored, never 500',
  async (_, definition) => {
    const api = createResourceServer();
    const example = exampleOf(definition);
    const value = { bytes: encodeCanonical(example), labels: {}, fields: {}, durability: 'durable' as const };
    await api.store.write(storageKey(definition, definition.namespaced ? 'a' : '', 'x'), () => ({
      kind: 'put',
      value,
    }));
    const { group, version, resource, namespaced, hasStatus } = definition;
    const base = `${group === '' ? '/api' : `/apis/${group}`}/${version}${namespaced ? '/namespaces/a' : ''}/${resource}/x`;
    const faces = definition.subresources.filter(({ face, verbs }) => face !== undefined && verbs.includes('update'));
    const paths = ['', ...(hasStatus ? ['/status'] : []), ...faces.map(({ name }) => `/${name}`)];
    const failures: string[] = [];
    const put = async (path: string, body: object) => {
      const answer = await api.call('PUT', `${base}${path}?dryRun=All`, body);
      if (answer.status >= 500) failures.push(`PUT ${path} ${JSON.stringify(body)}: ${await answer.text()}`);
    };
    const { apiVersion, kind, metadata } = example;
    for (const path of paths) await put(path, { apiVersion, kind, metadata });
    for (const body of withoutOnePart(example)) {
      await put('', body);
      if (hasStatus) await put('/status', body);
    }
    expect(failures).toEqual([]);
  },
);
