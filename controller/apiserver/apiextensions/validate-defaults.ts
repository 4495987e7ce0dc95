import { deepCopy } from '#api/object/deep-copy.ts';
import { deepEqual } from '#api/object/deep-equal.ts';
import { type FieldError, invalid } from '#api/object/field-error.ts';
import { isEmbedded, isMetaField, itemsOf, type JsonSchema } from './custom-resource-definition.ts';
import { pruneUnknown } from './prune.ts';
import { validateSchemaValue } from './validate-schema-value.ts';

/** Defaults must be valid by the schema that they stand in, and hold nothing that pruning would take away. */
export function defaultErrors(schema: JsonSchema, path: string): FieldError[] {
  return walk(schema, path, false);
}

function walk(schema: JsonSchema, path: string, inMeta: boolean): FieldError[] {
  const items = itemsOf(schema);
  const { default: value } = schema;
  return [
    ...(value === undefined || value === null ? [] : ownErrors(value, schema, `${path}.default`, inMeta)),
    ...(items === undefined ? [] : walk(items, `${path}.items`, inMeta)),
    ...Object.entries(schema.properties ?? {}).flatMap(([name, property]) =>
      walk(property, `${path}.properties[${name}]`, inMeta || (isEmbedded(schema) && isMetaField(name))),
    ),
  ];
}

function ownErrors(value: unknown, schema: JsonSchema, path: string, inMeta: boolean): FieldError[] {
  const errors: FieldError[] = [];
  if (!inMeta) {
    // Wrapped, so that lists and scalars are pruned by the same walk.
    const wrapped = { value: deepCopy(value) };
    pruneUnknown(wrapped, { type: 'object', properties: { value: schema } });
    if (!deepEqual(wrapped.value, value)) errors.push(invalid(path, value, 'must not have unknown fields'));
  }
  return [...errors, ...validateSchemaValue(value, schema, path)];
}
