import { encodeProtobuf, hasProtobuf } from '#api/codec/encode-protobuf.ts';
import { parseApiVersion } from '#api/object/group-version.ts';
import { isJsonObject } from '#api/object/json.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { builtinTypes } from '#api/schema/builtin-types.ts';
import type { TypeDef } from '#api/schema/type-table.ts';

/** Both versions of a PartialObjectMetadata are one message. */
const META_GROUP = 'meta.k8s.io';

/** An object by the kind that it names itself, as Kubernetes' protobuf; undefined for kinds that have no such form (Tables, custom resources). */
export function protobufOf(value: unknown): Uint8Array | undefined {
  const type = protobufTypeOf(value);
  return type === undefined ? undefined : encodeProtobuf(value as KubeObject, type);
}

/** The type of the kind that an object names itself; undefined where it has no protobuf form. */
export function protobufTypeOf(value: unknown): TypeDef | undefined {
  if (!isJsonObject(value) || typeof value.kind !== 'string' || typeof value.apiVersion !== 'string') return undefined;
  const { group, version } = parseApiVersion(value.apiVersion);
  const type = builtinTypes().typeOf({ group, version: group === META_GROUP ? 'v1' : version, kind: value.kind });
  return type !== undefined && hasProtobuf(type) ? type : undefined;
}
