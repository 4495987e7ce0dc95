import type { FieldDef, TypeDef, ValueKind } from '#api/schema/type-table.ts';

/** A JSON schema as OpenAPI v3 (`3`) or v2 (`2`) writes it; they differ in references and unions. */
export type Schema = Record<string, unknown>;
export type Flavor = 2 | 3;

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1';
export const API_GROUP = `${META}.APIGroup`;
export const API_GROUP_LIST = `${META}.APIGroupList`;
export const API_RESOURCE_LIST = `${META}.APIResourceList`;
export const API_VERSIONS = `${META}.APIVersions`;
export const DELETE_OPTIONS = `${META}.DeleteOptions`;
export const PATCH = `${META}.Patch`;
export const STATUS = `${META}.Status`;
export const WATCH_EVENT = `${META}.WatchEvent`;
export const VERSION_INFO = 'io.k8s.apimachinery.pkg.version.Info';

const QUANTITY = 'io.k8s.apimachinery.pkg.api.resource.Quantity';
const TIME = `${META}.Time`;
const MICRO_TIME = `${META}.MicroTime`;
const DURATION = `${META}.Duration`;
const INT_OR_STRING = 'io.k8s.apimachinery.pkg.util.intstr.IntOrString';

/** Scalars that have a name of their own in Kubernetes' documents. */
const NAMED_SCALARS: Partial<Record<ValueKind, string>> = {
  quantity: QUANTITY,
  time: TIME,
  microTime: MICRO_TIME,
  duration: DURATION,
  intOrString: INT_OR_STRING,
};

const SCALARS: Partial<Record<ValueKind, Schema>> = {
  string: { type: 'string' },
  bool: { type: 'boolean' },
  int32: { type: 'integer', format: 'int32' },
  int64: { type: 'integer', format: 'int64' },
  double: { type: 'number', format: 'double' },
  bytes: { type: 'string', format: 'byte' },
  // Not empty: `kubectl explain --recursive` takes an empty schema for none at all, and fails.
  json: { description: 'Any JSON value.' },
  stringList: { type: 'array', items: { type: 'string' } },
};

function namedScalarSchema(name: string, flavor: Flavor): Schema | undefined {
  switch (name) {
    case QUANTITY:
      return flavor === 3
        ? { description: 'An amount such as 500m or 1Gi.', oneOf: [{ type: 'string' }, { type: 'number' }] }
        : { description: 'An amount such as 500m or 1Gi.', type: 'string' };
    case TIME:
      return { description: 'An instant in RFC 3339.', type: 'string', format: 'date-time' };
    case MICRO_TIME:
      return { description: 'An instant in RFC 3339 with microseconds.', type: 'string', format: 'date-time' };
    case DURATION:
      return { description: 'A duration such as 1m30s.', type: 'string' };
    case INT_OR_STRING: {
      const description = 'A number, or a string such as a port name or a percentage.';
      return flavor === 3
        ? { description, format: 'int-or-string', oneOf: [{ type: 'integer' }, { type: 'string' }] }
        : { description, format: 'int-or-string', type: 'string' };
    }
    case PATCH:
      return { description: 'What to change, in the form that the media type names.', type: 'object' };
    default:
      return undefined;
  }
}

export const refTo = (name: string, flavor: Flavor) =>
  flavor === 3 ? `#/components/schemas/${name}` : `#/definitions/${name}`;

/** The schema of a type; types that it refers to are named to `need`. */
function typeSchema(type: TypeDef, flavor: Flavor, need: (name: string) => void): Schema {
  const properties: Schema = {};
  const required: string[] = [];
  for (const [name, field] of type.fields) {
    properties[name] = fieldSchema(field, flavor, need);
    if (field.required) required.push(name);
  }
  const gvks = type.gvks.map(({ group, version, kind }) => ({ group, kind, version }));
  return {
    description: describeType(type),
    type: 'object',
    ...(type.fields.size === 0 ? {} : { properties }),
    ...(required.length === 0 ? {} : { required: required.sort() }),
    ...(type.preserveUnknown ? { 'x-kubernetes-preserve-unknown-fields': true } : {}),
    ...(gvks.length === 0 ? {} : { 'x-kubernetes-group-version-kind': gvks }),
  };
}

/** `PodSpec` -> `PodSpec of k8s.io/api/core/v1.`: where the official reference explains it. */
function describeType(type: TypeDef): string {
  const parts = type.name.split('.');
  const name = parts.pop() ?? type.name;
  const version = parts.pop() ?? '';
  const group = parts.pop() ?? '';
  return `${name} (${group}/${version}), as the Kubernetes API reference describes it.`;
}

function fieldSchema(field: FieldDef, flavor: Flavor, need: (name: string) => void): Schema {
  const element = elementSchema(field, flavor, need);
  const hints = fieldHints(field);
  switch (field.cardinality) {
    case 'list':
      return { type: 'array', items: element, ...hints };
    case 'map':
      return { type: 'object', additionalProperties: element, ...hints };
    default:
      // A reference may carry nothing beside itself in v3, so what belongs to the field wraps it.
      if (typeof element.$ref === 'string' && Object.keys(hints).length > 0 && flavor === 3) {
        return { allOf: [element], ...hints };
      }
      return { ...element, ...hints };
  }
}

function elementSchema(field: FieldDef, flavor: Flavor, need: (name: string) => void): Schema {
  const named = field.type?.name ?? NAMED_SCALARS[field.kind];
  if (named !== undefined) {
    need(named);
    return { $ref: refTo(named, flavor) };
  }
  const scalar = SCALARS[field.kind] ?? {};
  return field.enum === undefined ? { ...scalar } : { ...scalar, enum: field.enum };
}

/** What patching and server-side apply need to know of a field. */
function fieldHints(field: FieldDef): Schema {
  return {
    ...(field.default === undefined ? {} : { default: field.default }),
    ...(field.listType === undefined ? {} : { 'x-kubernetes-list-type': field.listType }),
    ...(field.listMapKeys.length === 0 ? {} : { 'x-kubernetes-list-map-keys': field.listMapKeys }),
    ...(field.mapType === undefined ? {} : { 'x-kubernetes-map-type': field.mapType }),
    ...(field.patchStrategies.length === 0 ? {} : { 'x-kubernetes-patch-strategy': field.patchStrategies.join(',') }),
    ...(field.patchMergeKey === undefined ? {} : { 'x-kubernetes-patch-merge-key': field.patchMergeKey }),
  };
}

/** Schemas of these names and of everything that they refer to, by name. */
export function schemaClosure(
  roots: readonly string[],
  flavor: Flavor,
  byName: (name: string) => TypeDef | undefined,
): Record<string, Schema> {
  const schemas: Record<string, Schema> = {};
  const waiting: string[] = [...roots];
  const need = (name: string) => void waiting.push(name);
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (schemas[name] !== undefined) continue;
    const type = byName(name);
    schemas[name] = namedScalarSchema(name, flavor) ?? (type === undefined ? {} : typeSchema(type, flavor, need));
  }
  return Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1)));
}
