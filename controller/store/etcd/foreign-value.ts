import { applyPlainDefaults, canonicalize, canonicalJson, encodeCanonical } from '#api/codec/canonical.ts';
import { decodeObject } from '#api/codec/decode.ts';
import { decodeProtobuf, isKubernetesProtobuf } from '#api/codec/decode-protobuf.ts';
import { metadataOfBytes } from '#api/codec/resource-version.ts';
import { isJsonObject, type JsonObject } from '#api/object/json.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { builtinTypes } from '#api/schema/builtin-types.ts';
import type { TypeDef } from '#api/schema/type-table.ts';

const CLOSE_BRACE = 0x7d;

/** `{"resourceVersion":`: what a metadata that was stored with its revision would begin with. */
const NOT_OURS = new TextEncoder().encode('{"resourceVersion":');

/**
 * The canonical JSON of a value as any API server may have stored it: our own as it is; Kubernetes' protobuf, and JSON in another order,
 * brought to our form. Throws for what is no object.
 */
export function canonicalValue(stored: Uint8Array): Uint8Array {
  if (isKubernetesProtobuf(stored)) return fromProtobuf(stored);
  return isOurs(stored) ? stored : fromJson(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(stored)));
}

/** Go ends its JSON with a line feed and begins built-in kinds with `kind`. */
function isOurs(stored: Uint8Array): boolean {
  if (stored.at(-1) !== CLOSE_BRACE) return false;
  try {
    const metadata = metadataOfBytes(stored);
    return Buffer.compare(metadata.subarray(0, NOT_OURS.length), NOT_OURS) !== 0;
  } catch {
    // Begins otherwise: the only thing that is found out here.
    return false;
  }
}

function fromProtobuf(stored: Uint8Array): Uint8Array {
  let type: TypeDef | undefined;
  const object = decodeProtobuf(stored, (gvk) => {
    type = builtinTypes().typeOf(gvk);
    if (type === undefined) throw new Error(`no kind "${gvk.kind}" of ${gvk.group}/${gvk.version} is known`);
    return type;
  });
  return canonicalBytes(object, type);
}

function fromJson(value: unknown): Uint8Array {
  if (!isJsonObject(value) || typeof value.apiVersion !== 'string' || typeof value.kind !== 'string')
    throw new Error('neither a Kubernetes object in JSON nor one in protobuf');
  const [group = '', version] = value.apiVersion.includes('/') ? value.apiVersion.split('/') : ['', value.apiVersion];
  const type = builtinTypes().typeOf({ group, version: version ?? '', kind: value.kind });
  if (type === undefined) return canonicalBytes(value as unknown as KubeObject, undefined);
  return canonicalBytes(decodeObject(value, type).object, type);
}

function canonicalBytes(object: KubeObject, type: TypeDef | undefined): Uint8Array {
  if (type !== undefined) applyPlainDefaults(object, type);
  const canonical = type === undefined ? (canonicalJson(object) as KubeObject) : canonicalize(object, type);
  const { apiVersion, kind, metadata, ...rest } = canonical;
  const { resourceVersion: _set, selfLink: _gone, ...kept } = (metadata ?? {}) as JsonObject;
  return encodeCanonical({ apiVersion, kind, metadata: kept, ...rest });
}
