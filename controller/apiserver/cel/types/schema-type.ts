import { MAX_REQUEST_SIZE_BYTES } from '../limits.ts';
import { type FromJson, fromJson, JsonList, JsonMap } from '../values/json-values.ts';
import { KeyedList, ObjectMap, SetList } from '../values/schema-values.ts';
import { parseDuration, parseTimestamp } from '../values/time-text.ts';
import { BOOL, BYTES, type CelType, DOUBLE, DURATION, DYN, INT, listOf, mapOf, STRING, TIMESTAMP } from './cel-type.ts';
import { escapePropertyName } from './property-names.ts';

/** The parts of an OpenAPI v3 schema that matter to expressions, as a CustomResourceDefinition has them. */
export interface SchemaNode {
  readonly type?: string;
  readonly format?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: boolean | SchemaNode;
  readonly items?: SchemaNode;
  readonly required?: readonly string[];
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly maxProperties?: number;
  readonly 'x-kubernetes-int-or-string'?: boolean;
  readonly 'x-kubernetes-embedded-resource'?: boolean;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly 'x-kubernetes-list-type'?: string;
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
}

/** A schema as expressions see it: the static type, how JSON becomes a value, and how big values may get. */
export interface SchemaType {
  readonly type: CelType;
  readonly fromJson: FromJson;
  /** Highest `size()` of a value; 0 for scalars. */
  readonly maxElements: number;
  /** Bytes of the shortest JSON. */
  readonly minSize: number;
  /** Of lists and maps. */
  readonly element?: SchemaType;
  /** Of objects, by CEL name. */
  readonly fields?: ReadonlyMap<string, SchemaType>;
}

const DEFAULT_MAX_STRING = MAX_REQUEST_SIZE_BYTES - 2;
/** Longest texts of these formats, quotes included. */
const FORMAT_MAX: Readonly<Record<string, number>> = { duration: 32, date: 12, 'date-time': 32 };
const FORMAT_MIN: Readonly<Record<string, number>> = { duration: 3, date: 12, 'date-time': 21 };
/** A code point may take four bytes. */
const BYTES_PER_CODE_POINT = 4;
/** Quotes, colon and comma around a property, besides its name. */
const PROPERTY_OVERHEAD = 4;

const scalar = (type: CelType, minSize: number, convert: FromJson): SchemaType => ({
  type,
  fromJson: convert,
  maxElements: 0,
  minSize,
});

const nonNegative = (value: number): number => Math.max(0, value);

/**
 * The type of a structural schema; undefined for parts of it that expressions cannot see (without a type, as under
 * `x-kubernetes-preserve-unknown-fields`). A resource's root has apiVersion, kind and metadata.name besides what its schema says.
 */
export function schemaType(schema: SchemaNode, isResourceRoot = false): SchemaType | undefined {
  return new SchemaReader().read(schema, isResourceRoot);
}

class SchemaReader {
  #objects = 0;

  read(schema: SchemaNode, isResourceRoot: boolean): SchemaType | undefined {
    if (schema['x-kubernetes-int-or-string'] === true) {
      return { ...scalar(DYN, 1, fromJson), maxElements: textElements({ ...schema, enum: [] }) };
    }
    switch (schema.type) {
      case 'array':
        return this.#list(schema);
      case 'object':
        return this.#object(schema, isResourceRoot);
      case 'string':
        return textType(schema);
      case 'boolean':
        return scalar(BOOL, 4, fromJson);
      case 'number':
        return scalar(DOUBLE, 1, (json) => (typeof json === 'number' ? json : fromJson(json)));
      case 'integer':
        return scalar(INT, 1, (json) => (typeof json === 'number' ? BigInt(Math.trunc(json)) : fromJson(json)));
      default:
        return undefined;
    }
  }

  #list(schema: SchemaNode): SchemaType | undefined {
    const element = schema.items === undefined ? undefined : this.read(schema.items, isEmbedded(schema.items));
    if (element === undefined) return undefined;
    const maxElements =
      schema.maxItems === undefined
        ? Math.floor((MAX_REQUEST_SIZE_BYTES - 2) / (element.minSize + 1))
        : nonNegative(schema.maxItems);
    const keys = schema['x-kubernetes-list-map-keys']?.map((key) => escapePropertyName(key) ?? key);
    const make = listMaker(schema['x-kubernetes-list-type'], keys ?? []);
    return {
      type: listOf(element.type),
      fromJson: orPlain(Array.isArray, (json) => make(json as unknown[], element.fromJson)),
      maxElements,
      minSize: 2,
      element,
    };
  }

  #object(schema: SchemaNode, isResource: boolean): SchemaType | undefined {
    const additional = schema.additionalProperties;
    if (typeof additional === 'object' && !isResource) return this.#map(schema, additional);
    return this.#fields(schema, isResource);
  }

  #map(schema: SchemaNode, values: SchemaNode): SchemaType | undefined {
    const element = this.read(values, isEmbedded(values));
    if (element === undefined) return undefined;
    const maxElements =
      schema.maxProperties === undefined
        ? Math.floor((MAX_REQUEST_SIZE_BYTES - 2) / (element.minSize + 6))
        : nonNegative(schema.maxProperties);
    return {
      type: mapOf(STRING, element.type),
      fromJson: orPlain(isObject, (json) => new JsonMap(json as Record<string, unknown>, element.fromJson)),
      maxElements,
      minSize: 2,
      element,
    };
  }

  #fields(schema: SchemaNode, isResource: boolean): SchemaType {
    const fields = new Map<string, SchemaType>();
    const names = new Map<string, string>();
    const required = new Set(schema.required);
    let minSize = 2;
    const properties = { ...(isResource ? RESOURCE_PROPERTIES : {}), ...schema.properties };
    for (const [name, property] of Object.entries(properties)) {
      // Expressions see of an object's metadata its names only.
      const known = isResource ? (RESOURCE_PROPERTIES[name] ?? property) : property;
      const field = this.read(known, isEmbedded(known));
      const escaped = escapePropertyName(name);
      if (field === undefined || escaped === undefined) continue;
      if (required.has(name) && property.default === undefined)
        minSize += name.length + field.minSize + PROPERTY_OVERHEAD;
      fields.set(escaped, field);
      names.set(escaped, name);
    }
    const type: CelType = {
      kind: 'object',
      name: `object#${++this.#objects}`,
      field: (name) => fields.get(name)?.type,
    };
    const access = { names, fromField: (name: string) => fields.get(name)?.fromJson ?? fromJson };
    return {
      type,
      fromJson: orPlain(isObject, (json) => new ObjectMap(json as Record<string, unknown>, access)),
      maxElements: 0,
      minSize,
      fields,
    };
  }
}

const RESOURCE_PROPERTIES: Readonly<Record<string, SchemaNode>> = {
  apiVersion: { type: 'string' },
  kind: { type: 'string' },
  metadata: { type: 'object', properties: { name: { type: 'string' }, generateName: { type: 'string' } } },
};

const isEmbedded = (schema: SchemaNode): boolean => schema['x-kubernetes-embedded-resource'] === true;

const isObject = (json: unknown): boolean => typeof json === 'object' && json !== null && !Array.isArray(json);

/** Values that do not fit the schema (null above all) are taken as they are. */
const orPlain =
  (fits: (json: unknown) => boolean, convert: FromJson): FromJson =>
  (json) =>
    fits(json) ? convert(json) : fromJson(json);

function listMaker(listType: string | undefined, keys: readonly string[]) {
  return (json: readonly unknown[], fromItem: FromJson) => {
    const list = new JsonList(json, fromItem);
    if (listType === 'set') return new SetList(list);
    return listType === 'map' ? new KeyedList(list, keys) : list;
  };
}

function textType(schema: SchemaNode): SchemaType {
  const { format = '' } = schema;
  const base = { maxElements: FORMAT_MAX[format] ?? DEFAULT_MAX_STRING, minSize: FORMAT_MIN[format] ?? 2 };
  const parsed = (type: CelType, parse: (text: string) => ReturnType<FromJson> | undefined): SchemaType => ({
    ...base,
    type,
    fromJson: (json) => (typeof json === 'string' ? (parse(json) ?? json) : fromJson(json)),
  });
  switch (format) {
    case 'byte':
      return {
        ...parsed(BYTES, (text) => new Uint8Array(Buffer.from(text, 'base64'))),
        maxElements: schema.maxLength === undefined ? DEFAULT_MAX_STRING : nonNegative(schema.maxLength),
      };
    case 'duration':
      return parsed(DURATION, parseDuration);
    case 'date':
      return parsed(TIMESTAMP, (text) => parseTimestamp(`${text}T00:00:00Z`));
    case 'date-time':
      return parsed(TIMESTAMP, parseTimestamp);
    default:
      return { ...base, type: STRING, fromJson, maxElements: textElements(schema) };
  }
}

function textElements({ maxLength: limit, enum: values }: SchemaNode): number {
  if (limit !== undefined) return nonNegative(limit) * BYTES_PER_CODE_POINT;
  if (values !== undefined && values.length > 0) {
    return Math.max(...values.map((value) => (typeof value === 'string' ? value.length : 0)));
  }
  return DEFAULT_MAX_STRING;
}
