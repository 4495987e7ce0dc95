import { type FieldError, forbiddenField, invalid, required } from '#api/object/field-error.ts';
import { SafePattern } from '../cel/regex/safe-pattern.ts';
import {
  additionalOf,
  isEmbedded,
  isIntOrString,
  itemsOf,
  type JsonSchema,
  preservesUnknown,
} from './custom-resource-definition.ts';

type Level = 'root' | 'item' | 'field';

/**
 * What makes a schema structural: every field has one type outside of allOf, anyOf, oneOf and not, and those only restrict values. Findings
 * are sorted by their text.
 */
export function structuralErrors(schema: JsonSchema, path: string): FieldError[] {
  const errors = [...invariantErrors(schema, 'root', path), ...completenessErrors(schema, schema, path, path)];
  return errors.sort((a, b) => (`${a.field}: ${a.message}` < `${b.field}: ${b.message}` ? -1 : 1));
}

const EMPTY_TYPE: Readonly<Record<Level, string>> = {
  root: 'must not be empty at the root',
  item: 'must not be empty for specified array items',
  field: 'must not be empty for specified object fields',
};

function invariantErrors(schema: JsonSchema, level: Level, path: string): FieldError[] {
  const items = itemsOf(schema);
  const additional = additionalOf(schema);
  return [
    ...(schema.type === 'array' && schema.items === undefined ? [required(`${path}.items`, 'must be specified')] : []),
    ...(items === undefined ? [] : invariantErrors(items, 'item', `${path}.items`)),
    ...Object.entries(schema.properties ?? {}).flatMap(([name, property]) =>
      invariantErrors(property, 'field', `${path}.properties[${name}]`),
    ),
    ...(level === 'root' && schema.additionalProperties !== undefined
      ? [forbiddenField(`${path}.additionalProperties`, 'must not be used at the root')]
      : []),
    ...(additional === undefined ? [] : invariantErrors(additional, 'field', `${path}.additionalProperties`)),
    ...extensionErrors(schema, path),
    ...valueErrors(schema, intOrStringException(schema), path),
    ...typeErrors(schema, level, path),
    ...metaErrors(schema, level, path),
  ];
}

function extensionErrors(schema: JsonSchema, path: string): FieldError[] {
  if (!isIntOrString(schema)) return [];
  const detail = 'must be false if x-kubernetes-int-or-string is true';
  return [
    ...(preservesUnknown(schema) ? [invalid(`${path}.x-kubernetes-preserve-unknown-fields`, true, detail)] : []),
    ...(isEmbedded(schema) ? [invalid(`${path}.x-kubernetes-embedded-resource`, true, detail)] : []),
  ];
}

function typeErrors(schema: JsonSchema, level: Level, path: string): FieldError[] {
  const { type = '' } = schema;
  const errors: FieldError[] = [];
  const embeddedDetail = 'must be object if x-kubernetes-embedded-resource is true';
  if (isEmbedded(schema) && type !== 'object') {
    errors.push(type === '' ? required(`${path}.type`, embeddedDetail) : invalid(`${path}.type`, type, embeddedDetail));
  } else if (type === '' && !isIntOrString(schema) && !preservesUnknown(schema)) {
    errors.push(required(`${path}.type`, EMPTY_TYPE[level]));
  }
  if (isEmbedded(schema) && schema.additionalProperties !== undefined) {
    const detail = 'must not be used if x-kubernetes-embedded-resource is set';
    errors.push(forbiddenField(`${path}.additionalProperties`, detail));
  }
  if (level === 'root' && type !== '' && type !== 'object') {
    errors.push(invalid(`${path}.type`, type, 'must be object at the root'));
  }
  return errors;
}

/** apiVersion, kind and metadata are the same for all objects; a schema may restrict names at most. */
function metaErrors(schema: JsonSchema, level: Level, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { properties = {} } = schema;
  const isResource = level === 'root' || isEmbedded(schema);
  for (const name of ['kind', 'apiVersion']) {
    const property = properties[name];
    if (isResource && property !== undefined && property.type !== 'string') {
      errors.push(invalid(`${path}.properties[${name}].type`, property.type ?? '', 'must be string'));
    }
  }
  const { metadata } = properties;
  const at = `${path}.properties[metadata]`;
  if (metadata !== undefined && isResource && metadata.type !== 'object') {
    errors.push(invalid(`${at}.type`, metadata.type ?? '', 'must be object'));
  }
  if (metadata !== undefined && level === 'root' && !isNameRestriction(metadata)) {
    const detail = 'must not specify anything other than name and generateName, but metadata is implicitly specified';
    errors.push(forbiddenField(at, detail));
  }
  if (isEmbedded(schema) && !preservesUnknown(schema) && Object.keys(properties).length === 0) {
    const detail =
      'must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields';
    errors.push(required(`${path}.properties`, detail));
  }
  return errors;
}

function isNameRestriction({ type: _type, properties = {}, default: _default, ...rest }: JsonSchema): boolean {
  return (
    Object.keys(rest).length === 0 &&
    Object.keys(properties).every((name) => name === 'name' || name === 'generateName')
  );
}

const isAnyOfIntOrString = (schemas: readonly JsonSchema[] | undefined) =>
  schemas?.length === 2 &&
  schemas.every((one, index) => Object.keys(one).length === 1 && one.type === (index === 0 ? 'integer' : 'string'));

/** The two ways in which int-or-string may be spelled out although they name types. */
function intOrStringException(schema: JsonSchema): 'anyOf' | 'allOf' | undefined {
  if (isAnyOfIntOrString(schema.anyOf)) return 'anyOf';
  return isAnyOfIntOrString(schema.allOf?.[0]?.anyOf) ? 'allOf' : undefined;
}

function valueErrors(schema: JsonSchema, exception: 'anyOf' | 'allOf' | undefined, path: string): FieldError[] {
  const { anyOf = [], allOf = [], oneOf = [], not, pattern } = schema;
  return [
    ...(exception === 'anyOf' ? [] : anyOf.flatMap((one, i) => nestedErrors(one, undefined, `${path}.anyOf[${i}]`))),
    ...allOf.flatMap((one, i) =>
      nestedErrors(one, exception === 'allOf' && i === 0 ? 'anyOf' : undefined, `${path}.allOf[${i}]`),
    ),
    ...oneOf.flatMap((one, i) => nestedErrors(one, undefined, `${path}.oneOf[${i}]`)),
    ...(not === undefined ? [] : nestedErrors(not, undefined, `${path}.not`)),
    ...(pattern === undefined || pattern === '' ? [] : patternErrors(pattern, path)),
  ];
}

function patternErrors(pattern: string, path: string): FieldError[] {
  try {
    SafePattern.compile(pattern);
    return [];
  } catch (err) {
    const why = `must be a valid regular expression, but isn't: ${(err as Error).message}`;
    return [invalid(`${path}.pattern`, pattern, why)];
  }
}

/** What must not stand below a junctor, and how its absence is called. */
const NESTED_FORBIDDEN: readonly (readonly [keyof JsonSchema, string])[] = [
  ['type', 'empty'],
  ['additionalProperties', 'undefined'],
  ['default', 'undefined'],
  ['title', 'empty'],
  ['description', 'empty'],
  ['nullable', 'false'],
  ['externalDocs', 'undefined'],
  ['x-kubernetes-preserve-unknown-fields', 'false'],
  ['x-kubernetes-embedded-resource', 'false'],
  ['x-kubernetes-int-or-string', 'false'],
  ['x-kubernetes-list-map-keys', 'empty'],
  ['x-kubernetes-list-type', 'undefined'],
  ['x-kubernetes-map-type', 'undefined'],
  ['x-kubernetes-validations', 'empty'],
];

function nestedErrors(schema: JsonSchema, exception: 'anyOf' | undefined, path: string): FieldError[] {
  const items = itemsOf(schema);
  const forbidden = NESTED_FORBIDDEN.filter(([name]) => isSet(schema[name])).map(([name, absent]) =>
    forbiddenField(`${path}.${name}`, `must be ${absent} to be structural`),
  );
  const { properties = {} } = schema;
  return [
    ...valueErrors(schema, exception, path),
    ...(items === undefined ? [] : nestedErrors(items, undefined, `${path}.items`)),
    ...Object.entries(properties).flatMap(([name, one]) => nestedErrors(one, undefined, `${path}.properties[${name}]`)),
    ...forbidden,
    ...(properties.metadata === undefined
      ? []
      : [forbiddenField(`${path}.properties[metadata]`, 'must not be specified in a nested context')]),
  ];
}

const isSet = (value: unknown) =>
  value !== undefined && value !== '' && value !== false && !(Array.isArray(value) && value.length === 0);

/** Every field that a junctor speaks of must be there outside of it. */
function completenessErrors(
  value: JsonSchema,
  structure: JsonSchema,
  structurePath: string,
  valuePath: string,
): FieldError[] {
  const nested = (schema: JsonSchema, at: string) => nestedCompleteness(schema, structure, structurePath, at);
  return [
    ...(value.not === undefined ? [] : nested(value.not, `${valuePath}.not`)),
    ...(value.allOf ?? []).flatMap((one, i) => nested(one, `${valuePath}.allOf[${i}]`)),
    ...(value.anyOf ?? []).flatMap((one, i) => nested(one, `${valuePath}.anyOf[${i}]`)),
    ...(value.oneOf ?? []).flatMap((one, i) => nested(one, `${valuePath}.oneOf[${i}]`)),
  ];
}

function nestedCompleteness(
  value: JsonSchema,
  structure: JsonSchema | undefined,
  structurePath: string,
  valuePath: string,
): FieldError[] {
  if (structure === undefined) return [required(structurePath, `because it is defined in ${valuePath}`)];
  const items = itemsOf(value);
  return [
    ...completenessErrors(value, structure, structurePath, valuePath),
    ...(items === undefined
      ? []
      : nestedCompleteness(items, itemsOf(structure), `${structurePath}.items`, `${valuePath}.items`)),
    ...Object.entries(value.properties ?? {}).flatMap(([name, property]) =>
      nestedCompleteness(
        property,
        structure.properties?.[name],
        `${structurePath}.properties[${name}]`,
        `${valuePath}.properties[${name}]`,
      ),
    ),
  ];
}
