import { decodeObject } from '#api/codec/decode.ts';
import { dns1035Label, dns1123Subdomain } from '#api/meta/names.ts';
import { ApiError } from '#api/object/api-error.ts';
import { type FieldError, invalid, required } from '#api/object/field-error.ts';
import { isJsonObject, type JsonObject } from '#api/object/json.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { TypeDef } from '#api/schema/type-table.ts';
import { additionalOf, isEmbedded, itemsOf, type JsonSchema, propertyOf } from './custom-resource-definition.ts';

/** A place in an object that holds a whole object of its own. */
interface EmbeddedResource {
  readonly object: JsonObject;
  readonly path: string;
}

function* embeddedResources(value: unknown, schema: JsonSchema, path: string): Generator<EmbeddedResource> {
  if (Array.isArray(value)) {
    const items = itemsOf(schema);
    if (items !== undefined) {
      for (const [index, item] of value.entries()) yield* embeddedResources(item, items, `${path}[${index}]`);
    }
    return;
  }
  if (!isJsonObject(value)) return;
  if (path !== '' && isEmbedded(schema)) yield { object: value, path };
  for (const name of Object.keys(value)) {
    const below = propertyOf(schema, name) ?? additionalOf(schema);
    if (below !== undefined) yield* embeddedResources(value[name], below, path === '' ? name : `${path}.${name}`);
  }
}

/** True where the schema embeds whole objects anywhere: most do not, and need no walk. */
export function hasEmbedded(schema: JsonSchema | undefined, isRoot = true): boolean {
  if (schema === undefined) return false;
  return (
    (!isRoot && isEmbedded(schema)) ||
    hasEmbedded(itemsOf(schema), false) ||
    hasEmbedded(additionalOf(schema), false) ||
    Object.values(schema.properties ?? {}).some((property) => hasEmbedded(property, false))
  );
}

/**
 * Brings the metadata of embedded objects into the form of ObjectMeta, in place, and answers unknown fields in it. `type` has apiVersion,
 * kind and metadata. Throws ApiError 400 for metadata that is none.
 */
export function coerceEmbedded(object: JsonObject, schema: JsonSchema, type: TypeDef): string[] {
  const unknown: string[] = [];
  for (const embedded of embeddedResources(object, schema, '')) {
    const { apiVersion, kind, metadata } = embedded.object;
    if (metadata === undefined || metadata === null) continue;
    try {
      const decoded = decodeObject({ apiVersion: apiVersion ?? '', kind: kind ?? '', metadata }, type);
      embedded.object.metadata = decoded.object.metadata;
      unknown.push(...decoded.unknownFields.map((text) => text.replace('"', `"${embedded.path}.`)));
    } catch (err) {
      if (!(err instanceof ApiError)) throw err;
      throw new ApiError(400, 'BadRequest', `${embedded.path}: ${err.message}`, undefined, { cause: err });
    }
  }
  return unknown;
}

/** Findings on apiVersion, kind and metadata of embedded objects. */
export function embeddedErrors(object: KubeObject, schema: JsonSchema): FieldError[] {
  const errors: FieldError[] = [];
  for (const { object: embedded, path } of embeddedResources(object, schema, '')) {
    const { apiVersion, kind, metadata } = embedded;
    if (apiVersion === undefined || apiVersion === '') errors.push(required(`${path}.apiVersion`, 'must not be empty'));
    else if (typeof apiVersion !== 'string' || apiVersion.split('/').length > 2) {
      errors.push(invalid(`${path}.apiVersion`, apiVersion, `unexpected GroupVersion string: ${String(apiVersion)}`));
    }
    if (kind === undefined || kind === '') errors.push(required(`${path}.kind`, 'must not be empty'));
    else if (typeof kind !== 'string') errors.push(invalid(`${path}.kind`, kind, 'must be a string'));
    else
      errors.push(
        ...dns1035Label(kind.toLowerCase()).map((why) =>
          invalid(`${path}.kind`, kind, `may have mixed case, but should otherwise match: ${why}`),
        ),
      );
    const name = isJsonObject(metadata) ? metadata.name : undefined;
    if (typeof name === 'string' && name !== '') {
      errors.push(...dns1123Subdomain(name).map((why) => invalid(`${path}.metadata.name`, name, why)));
    }
  }
  return errors;
}
