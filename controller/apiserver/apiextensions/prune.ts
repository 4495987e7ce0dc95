import { isJsonObject, type JsonObject } from '#api/object/json.ts';
import {
  additionalOf,
  isEmbedded,
  isMetaField,
  itemsOf,
  type JsonSchema,
  preservesUnknown,
  propertyOf,
} from './custom-resource-definition.ts';

/** Most paths that one body's pruning names, as for built-in kinds. */
const MAX_FINDINGS = 100;

/**
 * Takes out, in place, what the structural schema does not know, and answers the paths of it. apiVersion, kind and metadata of the whole
 * object and of embedded ones are not looked at.
 */
export function pruneUnknown(object: JsonObject, schema: JsonSchema): string[] {
  const found: string[] = [];
  pruneObject(object, { schema, isRoot: true, keep: preservesUnknown(schema) }, '', found);
  return found;
}

interface Level {
  /** Undefined: nothing is known below, so everything in objects goes. */
  readonly schema: JsonSchema | undefined;
  readonly isRoot: boolean;
  /** What the schema does not name stays, but what it names is pruned all the same. */
  readonly keep: boolean;
}

function pruneValue(value: unknown, schema: JsonSchema | undefined, path: string, found: string[]): void {
  const keep = schema !== undefined && preservesUnknown(schema);
  if (Array.isArray(value)) pruneList(value, schema, { path, keep }, found);
  else if (isJsonObject(value)) pruneObject(value, { schema, isRoot: false, keep }, path, found);
}

function pruneList(
  list: readonly unknown[],
  schema: JsonSchema | undefined,
  { path, keep }: { readonly path: string; readonly keep: boolean },
  found: string[],
): void {
  const items = schema === undefined ? undefined : itemsOf(schema);
  if (keep && items === undefined) return;
  for (const [index, item] of list.entries()) pruneValue(item, items, `${path}[${index}]`, found);
}

function pruneObject(object: JsonObject, { schema, isRoot, keep }: Level, path: string, found: string[]): void {
  const isResource = isRoot || (schema !== undefined && isEmbedded(schema));
  for (const name of Object.keys(object)) {
    if (isResource && isMetaField(name)) continue;
    const below = path === '' ? name : `${path}.${name}`;
    const property = schema === undefined ? undefined : propertyOf(schema, name);
    if (property !== undefined) pruneValue(object[name], property, below, found);
    else if (schema !== undefined && hasAdditional(schema)) {
      const additional = additionalOf(schema);
      if (additional !== undefined || !keep) pruneValue(object[name], additional, below, found);
    } else if (!keep) {
      delete object[name];
      if (found.length < MAX_FINDINGS) found.push(below);
    }
  }
}

const hasAdditional = (schema: JsonSchema) =>
  schema.additionalProperties !== undefined && schema.additionalProperties !== false;
