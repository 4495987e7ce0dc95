import { type FieldError, forbiddenField, invalid, notSupported, required } from '#api/object/field-error.ts';
import {
  additionalOf,
  isEmbedded,
  isMetaField,
  itemsOf,
  type JsonSchema,
  type ValidationRule,
} from './custom-resource-definition.ts';

interface Place {
  readonly path: string;
  readonly isRoot: boolean;
  /** Within apiVersion, kind or metadata of an object. */
  readonly inMeta: boolean;
  /** Why defaults must not be set here; undefined where they may. */
  readonly noDefaults: string | undefined;
}

/** The rules of Kubernetes for the single parts of a schema; that it is structural is looked at elsewhere. */
export function schemaErrors(schema: JsonSchema, path: string): FieldError[] {
  return nodeErrors(schema, { path, isRoot: true, inMeta: false, noDefaults: undefined });
}

function nodeErrors(schema: JsonSchema, place: Place): FieldError[] {
  const { path } = place;
  return [
    ...standardErrors(schema, place),
    ...(schema.uniqueItems === true
      ? [
          forbiddenField(
            `${path}.uniqueItems`,
            'uniqueItems cannot be set to true since the runtime complexity becomes quadratic',
          ),
        ]
      : []),
    ...additionalErrors(schema, place),
    ...childErrors(schema, place),
    ...extensionErrors(schema, path),
    ...listErrors(schema, path),
    ...(schema['x-kubernetes-validations'] ?? []).flatMap((rule, i) =>
      ruleErrors(rule, `${path}.x-kubernetes-validations[${i}]`),
    ),
  ];
}

const TYPES: readonly string[] = ['array', 'boolean', 'integer', 'number', 'object', 'string'];
const UNSUPPORTED = ['id', 'additionalItems', 'patternProperties', 'definitions', 'dependencies', '$ref'] as const;

function standardErrors(schema: JsonSchema, { path, inMeta, noDefaults }: Place): FieldError[] {
  const errors: FieldError[] = [];
  const { type = '' } = schema;
  if (type !== '' && !TYPES.includes(type)) errors.push(notSupported(`${path}.type`, type, TYPES));
  if (schema.default !== undefined && noDefaults !== undefined) {
    errors.push(forbiddenField(`${path}.default`, `must not be set ${noDefaults}`));
  }
  for (const name of UNSUPPORTED) {
    const value = schema[name];
    const isAbsent =
      value === undefined || value === '' || (typeof value === 'object' && Object.keys(value as object).length === 0);
    if (!isAbsent) errors.push(forbiddenField(`${path}.${name}`, `${name} is not supported`));
  }
  if (type === 'null') {
    errors.push(forbiddenField(`${path}.type`, 'type cannot be set to null, use nullable as an alternative'));
  }
  if (Array.isArray(schema.items)) {
    errors.push(forbiddenField(`${path}.items`, 'items must be a schema object and not an array'));
  }
  if (inMeta && isEmbedded(schema)) {
    errors.push(forbiddenField(`${path}.x-kubernetes-embedded-resource`, 'must not be used inside of resource meta'));
  }
  return errors;
}

function additionalErrors(schema: JsonSchema, place: Place): FieldError[] {
  if (schema.additionalProperties === undefined) return [];
  const { path, inMeta } = place;
  const hasProperties = Object.keys(schema.properties ?? {}).length > 0;
  const additional = additionalOf(schema);
  const reason = 'inside additionalProperties applying to object metadata';
  return [
    ...(hasProperties && schema.additionalProperties !== true
      ? [forbiddenField(`${path}.additionalProperties`, 'additionalProperties and properties are mutual exclusive')]
      : []),
    ...(additional === undefined
      ? []
      : nodeErrors(additional, {
          ...place,
          isRoot: false,
          path: `${path}.additionalProperties`,
          noDefaults: inMeta ? reason : place.noDefaults,
        })),
  ];
}

function childErrors(schema: JsonSchema, place: Place): FieldError[] {
  const { path } = place;
  const below = { ...place, isRoot: false };
  const nested = (name: 'allOf' | 'anyOf' | 'oneOf') =>
    (schema[name] ?? []).flatMap((one, i) => nodeErrors(one, { ...below, path: `${path}.${name}[${i}]` }));
  const items = itemsOf(schema);
  return [
    ...Object.entries(schema.properties ?? {}).flatMap(([name, property]) => {
      const isMeta = (place.isRoot || isEmbedded(schema)) && isMetaField(name);
      return nodeErrors(property, {
        path: `${path}.properties[${name}]`,
        isRoot: false,
        inMeta: place.inMeta || isMeta,
        noDefaults: isMeta && place.isRoot ? `in top-level ${name}` : place.noDefaults,
      });
    }),
    ...(schema.not === undefined ? [] : nodeErrors(schema.not, { ...below, path: `${path}.not` })),
    ...nested('allOf'),
    ...nested('oneOf'),
    ...nested('anyOf'),
    ...(items === undefined ? [] : nodeErrors(items, { ...below, path: `${path}.items` })),
  ];
}

/** An extension asks for a type: absent it is required, another one is wrong. */
function wrongType(schema: JsonSchema, wanted: string, path: string, extension: string): FieldError[] {
  const detail = `must be ${wanted} if ${extension} is specified`;
  if (schema.type === wanted) return [];
  return [(schema.type ?? '') === '' ? required(`${path}.type`, detail) : invalid(`${path}.type`, schema.type, detail)];
}

function extensionErrors(schema: JsonSchema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (schema['x-kubernetes-preserve-unknown-fields'] === false) {
    errors.push(invalid(`${path}.x-kubernetes-preserve-unknown-fields`, false, 'must be true or undefined'));
  }
  const mapType = schema['x-kubernetes-map-type'];
  if (mapType !== undefined) {
    errors.push(...wrongType(schema, 'object', path, 'x-kubernetes-map-type'));
    if (mapType !== 'atomic' && mapType !== 'granular') {
      errors.push(notSupported(`${path}.x-kubernetes-map-type`, mapType, ['atomic', 'granular']));
    }
  }
  return errors;
}

function listErrors(schema: JsonSchema, path: string): FieldError[] {
  const listType = schema['x-kubernetes-list-type'];
  const keys = schema['x-kubernetes-list-map-keys'] ?? [];
  const errors: FieldError[] = [];
  if (listType !== undefined) {
    const wrong = wrongType(schema, 'array', path, 'x-kubernetes-list-type');
    errors.push(...wrong);
    if (wrong.length === 0 && listType === 'set') errors.push(...setItemErrors(schema, path));
    if (!['atomic', 'set', 'map'].includes(listType)) {
      errors.push(notSupported(`${path}.x-kubernetes-list-type`, listType, ['atomic', 'set', 'map']));
    }
  }
  if (keys.length > 0 && listType !== 'map') {
    const detail = 'must be map if x-kubernetes-list-map-keys is non-empty';
    const at = `${path}.x-kubernetes-list-type`;
    errors.push(listType === undefined ? required(at, detail) : invalid(at, listType, detail));
  }
  if (listType === 'map') errors.push(...mapItemErrors(schema, keys, path));
  if (listType === 'map' || listType === 'set') errors.push(...nullableErrors(schema, listType, path));
  return errors;
}

function setItemErrors(schema: JsonSchema, path: string): FieldError[] {
  const items = itemsOf(schema);
  const detail = 'must be atomic as item of a list with x-kubernetes-list-type=set';
  const listType = items?.['x-kubernetes-list-type'];
  if (items?.type === 'array' && listType !== undefined && listType !== 'atomic') {
    return [invalid(`${path}.items.x-kubernetes-list-type`, listType, detail)];
  }
  if (items?.type === 'object' && items['x-kubernetes-map-type'] !== 'atomic') {
    return [invalid(`${path}.items.x-kubernetes-map-type`, items['x-kubernetes-map-type'], detail)];
  }
  return [];
}

function mapItemErrors(schema: JsonSchema, keys: readonly string[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  const at = `${path}.x-kubernetes-list-map-keys`;
  if (keys.length === 0) errors.push(required(at, 'must not be empty if x-kubernetes-list-type is map'));
  const items = itemsOf(schema);
  if (items === undefined) {
    return [...errors, required(`${path}.items`, 'must have a schema if x-kubernetes-list-type is map')];
  }
  if (items.type !== 'object') {
    const detail = "must be object if parent array's x-kubernetes-list-type is map";
    return [...errors, invalid(`${path}.items.type`, items.type ?? '', detail)];
  }
  for (const [index, key] of keys.entries()) {
    const property = items.properties?.[key];
    const of = `${path}.items.properties[${key}]`;
    if (property === undefined) errors.push(invalid(at, keys, 'entries must all be names of item properties'));
    else if (property.type === 'array' || property.type === 'object') {
      const detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
      errors.push(invalid(`${of}.type`, property.type, detail));
    }
    if (keys.indexOf(key) < index) errors.push(invalid(at, keys, 'must not contain duplicate entries'));
    if (property === undefined) continue;
    const what = 'this property is in x-kubernetes-list-map-keys, so it';
    if (property.default === undefined && items.required?.includes(key) !== true) {
      errors.push(required(`${of}.default`, `${what} must have a default or be a required property`));
    }
    if (property.nullable === true) errors.push(forbiddenField(`${of}.nullable`, `${what} cannot be nullable`));
  }
  return errors;
}

function nullableErrors(schema: JsonSchema, listType: string, path: string): FieldError[] {
  if (itemsOf(schema)?.nullable !== true) return [];
  return [forbiddenField(`${path}.items.nullable`, `cannot be nullable when x-kubernetes-list-type is ${listType}`)];
}

const REASONS: readonly string[] = [
  'FieldValueDuplicate',
  'FieldValueForbidden',
  'FieldValueInvalid',
  'FieldValueRequired',
];
const hasNewlines = (text: string) => /[\n\r]/.test(text);

function ruleErrors(
  { rule = '', message, messageExpression, reason, fieldPath }: ValidationRule,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const trimmed = (message ?? '').trim();
  if (rule.trim() === '') errors.push(required(`${path}.rule`, 'rule is not specified'));
  else if (message !== undefined && message !== '' && trimmed === '') {
    errors.push(invalid(`${path}.message`, message, 'message must be non-empty if specified'));
  } else if (hasNewlines(trimmed)) {
    errors.push(invalid(`${path}.message`, message, 'message must not contain line breaks'));
  } else if (hasNewlines(rule.trim()) && trimmed === '') {
    errors.push(required(`${path}.message`, 'message must be specified if rule contains line breaks'));
  }
  if (messageExpression !== undefined && messageExpression !== '' && messageExpression.trim() === '') {
    errors.push(required(`${path}.messageExpression`, 'messageExpression must be non-empty if specified'));
  }
  if (reason !== undefined && !REASONS.includes(reason)) errors.push(notSupported(`${path}.reason`, reason, REASONS));
  if (fieldPath !== undefined && fieldPath !== '' && fieldPath.trim() === '') {
    errors.push(invalid(`${path}.fieldPath`, fieldPath, 'fieldPath must be non-empty if specified'));
  }
  if (hasNewlines(fieldPath ?? '')) {
    errors.push(invalid(`${path}.fieldPath`, fieldPath, 'fieldPath must not contain line breaks'));
  }
  return errors;
}
