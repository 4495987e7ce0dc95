import { canonicalize } from '#api/codec/canonical.ts';
import { decodeObject } from '#api/codec/decode.ts';
import { deepCopy } from '#api/object/deep-copy.ts';
import { isJsonObject } from '#api/object/json.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { TypeDef } from '#api/schema/type-table.ts';
import type { DecodedBody, KindFormat } from '../registry/object-format.ts';
import type { JsonSchema } from './custom-resource-definition.ts';
import { coerceEmbedded, hasEmbedded } from './embedded-resources.ts';
import { pruneUnknown } from './prune.ts';
import { applySchemaDefaults } from './schema-defaults.ts';

/** One version of a custom kind as the registry reads and writes it. */
export interface CustomFormat extends KindFormat {
  readonly schema: JsonSchema;
  /** Prunes, in place, and answers what was unknown. */
  prune(object: KubeObject): string[];
}

export function createCustomFormat(type: TypeDef, schema: JsonSchema): CustomFormat {
  const embeds = hasEmbedded(schema);
  const prune = (object: KubeObject): string[] => {
    const unknown = pruneUnknown(object, schema);
    return embeds ? [...unknown, ...coerceEmbedded(object, schema, type)] : unknown;
  };
  return {
    type,
    schema,
    prune,
    decodeOwned(value): DecodedBody {
      // What is no object is decodeObject's to refuse.
      const unknown = isJsonObject(value) ? prune(value as KubeObject) : [];
      const { object, unknownFields } = decodeObject(value, type);
      const problems = [...unknown.map((path) => `unknown field "${path}"`), ...unknownFields];
      return { object: deepCopy(object), problems, given: value as KubeObject };
    },
    applyDefaults: (object) => applySchemaDefaults(object, schema),
    canonicalize: (object) => canonicalize(object, type),
  };
}
