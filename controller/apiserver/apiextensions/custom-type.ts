import type { GroupVersionKind } from '#api/object/group-version.ts';
import type { FieldDef, FieldShape, ListKey, TypeDef } from '#api/schema/type-table.ts';
import { additionalOf, isEmbedded, isMetaField, itemsOf, type JsonSchema } from './custom-resource-definition.ts';

const LEAF: FieldShape = { kind: 'leaf' };
const DEDUCED: FieldShape = { kind: 'deduced' };

export interface CustomTypeOptions {
  readonly gvk: GroupVersionKind;
  readonly schema: JsonSchema;
  /** A status subresource keeps the status apart. */
  readonly hasStatus: boolean;
  /** `io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta`. */
  readonly objectMeta: TypeDef;
}

/**
 * The type of a custom kind for everything generic. apiVersion, kind and metadata are typed as those of every object; the rest is raw JSON,
 * which pruning and validation judge by the schema itself, and whose parts server-side apply knows by their shapes.
 */
export function createCustomType({ gvk, schema, hasStatus, objectMeta }: CustomTypeOptions): TypeDef {
  const fields = new Map<string, FieldDef>([
    ['apiVersion', stringField('apiVersion')],
    ['kind', stringField('kind')],
    ['metadata', metaField(objectMeta)],
  ]);
  for (const name of Object.keys(schema.properties ?? {}).sort()) {
    if (!fields.has(name)) fields.set(name, jsonField(name, shapeOfSchema(schema.properties![name]!, objectMeta)));
  }
  return { ...typeOf(modelName(gvk), fields, [gvk]), hasPlainStatus: !hasStatus };
}

/** `com.example.stable.v1.CronTab`: the name of the kind in OpenAPI documents. */
export function modelName({ group, version, kind }: GroupVersionKind): string {
  return [...group.split('.').reverse(), version, kind].join('.');
}

function typeOf(name: string, fields: ReadonlyMap<string, FieldDef>, gvks: readonly GroupVersionKind[]): TypeDef {
  return { name, fields, byNumber: new Map(), protoName: undefined, preserveUnknown: true, gvks };
}

const PLAIN_FIELD = {
  number: 0,
  cardinality: 'one',
  type: undefined,
  omit: 'nil',
  required: false,
  default: undefined,
  enum: undefined,
  listType: undefined,
  listMapKeys: [],
  mapType: undefined,
  patchStrategies: [],
  patchMergeKey: undefined,
} as const satisfies Partial<FieldDef>;

const stringField = (name: string): FieldDef => ({ ...PLAIN_FIELD, name, kind: 'string', omit: 'zero' });
const metaField = (type: TypeDef): FieldDef => ({
  ...PLAIN_FIELD,
  name: 'metadata',
  kind: 'message',
  type,
  omit: 'never',
});
const jsonField = (name: string, shape: FieldShape): FieldDef => ({ ...PLAIN_FIELD, name, kind: 'json', shape });

function shapeOfSchema(schema: JsonSchema, objectMeta: TypeDef): FieldShape {
  switch (schema.type) {
    case 'array':
      return listShape(schema, objectMeta);
    case 'object':
      return objectShape(schema, objectMeta);
    case undefined:
    case '':
      return DEDUCED;
    default:
      return LEAF;
  }
}

function objectShape(schema: JsonSchema, objectMeta: TypeDef): FieldShape {
  if (schema['x-kubernetes-map-type'] === 'atomic') return LEAF;
  const additional = additionalOf(schema);
  if (additional !== undefined) return { kind: 'map', element: shapeOfSchema(additional, objectMeta) };
  const embedded = isEmbedded(schema);
  if (schema.properties === undefined && !embedded) return DEDUCED;
  const fields = new Map<string, FieldDef>();
  if (embedded) {
    fields.set('apiVersion', stringField('apiVersion'));
    fields.set('kind', stringField('kind'));
    fields.set('metadata', metaField(objectMeta));
  }
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    if (!embedded || !isMetaField(name)) fields.set(name, jsonField(name, shapeOfSchema(property, objectMeta)));
  }
  return { kind: 'struct', type: typeOf('', fields, []) };
}

function listShape(schema: JsonSchema, objectMeta: TypeDef): FieldShape {
  const items = itemsOf(schema);
  switch (schema['x-kubernetes-list-type']) {
    case 'set':
      return { kind: 'set', always: false };
    case 'map': {
      if (items === undefined) return LEAF;
      const names = [...(schema['x-kubernetes-list-map-keys'] ?? [])].sort();
      const keys: ListKey[] = names.map((name) => ({ name, default: items.properties?.[name]?.default }));
      return { kind: 'keyedList', keys, element: shapeOfSchema(items, objectMeta), always: false };
    }
    default:
      return LEAF;
  }
}
