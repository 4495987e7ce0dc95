import { createHash } from 'node:crypto';
import type { GroupVersionKind } from '#api/object/group-version.ts';
import type { OpenApiModels } from '../registry/resource-definition.ts';
import {
  additionalOf,
  isEmbedded,
  isIntOrString,
  itemsOf,
  type JsonSchema,
  preservesUnknown,
} from './custom-resource-definition.ts';
import { modelName } from './custom-type.ts';

const OBJECT_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';
const LIST_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta';
/** What operations on any kind speak of. */
const STATUS = 'io.k8s.apimachinery.pkg.apis.meta.v1.Status';
const DELETE_OPTIONS = 'io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions';

const API_VERSION = {
  type: 'string',
  description: 'Version of the schema that this object follows: group and version of its API.',
};
const KIND = { type: 'string', description: 'The kind of this object. It cannot be changed.' };

type Flavor = 2 | 3;
type Schema = Record<string, unknown>;

const refTo = (name: string, flavor: Flavor) => ({
  $ref: flavor === 3 ? `#/components/schemas/${name}` : `#/definitions/${name}`,
});

/** In v3 a reference may carry nothing beside itself. */
const described = (name: string, flavor: Flavor, description: string): Schema =>
  flavor === 3 ? { allOf: [refTo(name, flavor)], description } : { ...refTo(name, flavor), description };

/** The OpenAPI models of a custom kind and of its list. */
export function createCustomModels(gvk: GroupVersionKind, listKind: string, schema: JsonSchema): OpenApiModels {
  const name = modelName(gvk);
  const listName = modelName({ ...gvk, kind: listKind });
  const gvkOf = (kind: string) => [{ group: gvk.group, kind, version: gvk.version }];
  let hash: string | undefined;
  return {
    get hash() {
      hash ??= createHash('sha256')
        .update(JSON.stringify([listKind, schema]))
        .digest('hex')
        .slice(0, 16);
      return hash;
    },
    references: [OBJECT_META, LIST_META, STATUS, DELETE_OPTIONS],
    schemas: (flavor) => ({
      [name]: {
        ...withMeta(flavor === 3 ? schema : plainSchema(schema, true), flavor, 'Standard metadata of every object.'),
        'x-kubernetes-group-version-kind': gvkOf(gvk.kind),
      },
      [listName]: {
        description: `${listKind} is a list of ${gvk.kind}`,
        type: 'object',
        required: ['items'],
        properties: {
          apiVersion: API_VERSION,
          items: {
            description: `List of ${gvk.kind}.`,
            type: 'array',
            items: refTo(name, flavor),
          },
          kind: KIND,
          metadata: described(LIST_META, flavor, 'Standard metadata of a list.'),
        },
        'x-kubernetes-group-version-kind': gvkOf(listKind),
      },
    }),
  };
}

function withMeta(schema: JsonSchema | Schema, flavor: Flavor, description: string): Schema {
  const properties = {
    ...(schema.properties as Schema | undefined),
    apiVersion: API_VERSION,
    kind: KIND,
    metadata: described(OBJECT_META, flavor, description),
  };
  return { ...(flavor === 3 ? embeddedMeta(schema as JsonSchema, true) : schema), properties };
}

/** Embedded objects have the metadata of all objects too. */
function embeddedMeta(schema: JsonSchema, isRoot: boolean): Schema {
  const items = itemsOf(schema);
  const additional = additionalOf(schema);
  const properties = Object.fromEntries(
    Object.entries(schema.properties ?? {}).map(([name, property]) => [name, embeddedMeta(property, false)]),
  );
  const shown: Schema = {
    ...schema,
    ...(schema.properties === undefined ? {} : { properties }),
    ...(items === undefined ? {} : { items: embeddedMeta(items, false) }),
    ...(additional === undefined ? {} : { additionalProperties: embeddedMeta(additional, false) }),
  };
  if (isRoot || !isEmbedded(schema)) return shown;
  return {
    ...shown,
    properties: { ...properties, apiVersion: API_VERSION, kind: KIND, metadata: refTo(OBJECT_META, 3) },
  };
}

/** What OpenAPI v2 has no word for: kubectl would take it for a stricter rule than it is. */
const NOT_IN_V2: readonly (keyof JsonSchema)[] = [
  'default',
  'nullable',
  'anyOf',
  'oneOf',
  'not',
  'allOf',
  'example',
  'externalDocs',
  '$schema',
  'uniqueItems',
];

/** The schema as v2 can say it: less strict where v2 lacks the words. */
function plainSchema(schema: JsonSchema, isRoot: boolean): Schema {
  if (preservesUnknown(schema) && !isRoot) {
    return {
      ...(schema.description === undefined ? {} : { description: schema.description }),
      'x-kubernetes-preserve-unknown-fields': true,
      ...(schema.type === 'array' ? { type: 'array', items: {} } : schema.type === 'object' ? { type: 'object' } : {}),
    };
  }
  const shown: Schema = { ...schema };
  for (const name of NOT_IN_V2) delete shown[name];
  if (isIntOrString(schema) || schema.nullable === true) {
    // A type would refuse the other alternative, or null.
    delete shown.type;
    delete shown.items;
    delete shown.properties;
    return shown;
  }
  const items = itemsOf(schema);
  const additional = additionalOf(schema);
  if (items !== undefined) shown.items = plainSchema(items, false);
  if (additional !== undefined) shown.additionalProperties = plainSchema(additional, false);
  else if (schema.additionalProperties !== undefined) delete shown.additionalProperties;
  if (schema.properties !== undefined) {
    shown.properties = Object.fromEntries(
      Object.entries(schema.properties).map(([name, property]) => [name, plainSchema(property, false)]),
    );
  }
  return shown;
}
