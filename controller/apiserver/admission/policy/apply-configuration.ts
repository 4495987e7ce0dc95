import type { KubeObject } from '#api/object/kube-object.ts';
import { mergeConfiguration } from '#api/patch/merge-configuration.ts';
import type { FieldDef, TypeDef } from '#api/schema/type-table.ts';
import { CelList, CelMap, CelStruct, type CelValue } from '../../cel/values/value.ts';

/** What a policy answered cannot be applied to the object. */
export class MutationError extends Error {
  override readonly name = 'MutationError';
}

/**
 * `Object.spec{...}` may stand only where `spec` is: the checker takes any field for any type. Throws MutationError for one that
 * stands elsewhere.
 */
export function checkTypeNames(value: CelValue, path: string): void {
  if (value instanceof CelStruct) {
    if (value.typeName !== path) {
      throw new MutationError(
        `type mismatch: unexpected type name ${JSON.stringify(value.typeName)}, expected ${JSON.stringify(path)}, which matches field name path from root Object type`,
      );
    }
    for (const [name, field] of value.fields) checkTypeNames(field, `${path}.${name}`);
  } else if (value instanceof CelList) for (const item of value) checkTypeNames(item, path);
  else if (value instanceof CelMap) for (const [, entry] of value.entries()) checkTypeNames(entry, path);
}

/** The object with the configuration merged into it, by the rules of server-side apply without its owners. */
export function applyToObject(object: KubeObject, configuration: object, type: TypeDef): KubeObject {
  const atomics = [...findAtomics(configuration, type, '')];
  if (atomics.length > 0) {
    throw new MutationError(
      `error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: ${atomics.join(', ')}`,
    );
  }
  const { apiVersion, kind } = object;
  return mergeConfiguration(object, { ...(configuration as KubeObject), apiVersion, kind }, type);
}

/**
 * Where the configuration sets something that merging would replace as a whole. Whoever writes one entry of such a list hardly means to
 * remove all others.
 */
function* findAtomics(value: unknown, type: TypeDef, path: string): Iterable<string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return;
  for (const [name, entry] of Object.entries(value)) {
    const field = type.fields.get(name);
    if (field !== undefined) yield* findAtomicField(entry, field, `${path}.${name}`);
  }
}

function* findAtomicField(value: unknown, field: FieldDef, path: string): Iterable<string> {
  if (typeof value !== 'object' || value === null) return;
  if (field.cardinality === 'list') {
    if (!Array.isArray(value)) return;
    if (field.listType !== 'set' && field.listType !== 'map') yield path;
    else if (field.type !== undefined) {
      for (const [index, item] of value.entries()) yield* findAtomics(item, field.type, `${path}[${index}]`);
    }
    return;
  }
  if (field.mapType === 'atomic') yield path;
  else if (field.cardinality === 'one' && field.type !== undefined) yield* findAtomics(value, field.type, path);
}
