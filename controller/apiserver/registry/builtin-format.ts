import { applyPlainDefaults, canonicalize } from '#api/codec/canonical.ts';
import { decodeObject, type ParsedJson, parseJsonStrict } from '#api/codec/decode.ts';
import { decodeProtobuf } from '#api/codec/decode-protobuf.ts';
import { decodeYaml } from '#api/codec/decode-yaml.ts';
import { encodeProtobuf, hasProtobuf } from '#api/codec/encode-protobuf.ts';
import { describeLostInteger, findLostIntegers, holdsHugeNumber } from '#api/codec/lost-integers.ts';
import { badRequest } from '#api/object/api-error.ts';
import { deepCopy } from '#api/object/deep-copy.ts';
import { apiVersionOf, type GroupVersionKind } from '#api/object/group-version.ts';
import { isJsonObject } from '#api/object/json.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { TypeDef, TypeTable } from '#api/schema/type-table.ts';
import type { DecodedBody, FormattedKind, ObjectFormat, TypeMetaField } from './object-format.ts';

/** The object format of every kind that `types` describes, and of those that bring their own. */
export function createObjectFormat(types: TypeTable): ObjectFormat {
  /** By definition: a write asks five times, and each look-up in the table puts a key together. */
  const known = new WeakMap<FormattedKind, TypeDef>();
  const typeOf = (gvk: FormattedKind): TypeDef => {
    let type = known.get(gvk);
    if (type === undefined) {
      type = gvk.format?.type ?? types.typeOf(gvk);
      if (type === undefined) throw new Error(`the type table lacks ${gvk.kind} of ${apiVersionOf(gvk)}`);
      known.set(gvk, type);
    }
    return type;
  };
  const decodeValue = (value: unknown, gvk: FormattedKind): DecodedBody => {
    const { object, unknownFields } = decodeObject(value, typeOf(gvk));
    return { object, problems: unknownFields, given: value as KubeObject };
  };
  return {
    typeOf,
    decodeValue: (value, gvk) =>
      gvk.format === undefined ? decodeValue(value, gvk) : gvk.format.decodeOwned(deepCopy(value)),
    decode(body, mediaType, gvk) {
      if (mediaType === 'application/vnd.kubernetes.protobuf') return decodeBinary(body, types, gvk);
      const parsed: ParsedJson = mediaType === 'application/yaml' ? decodeYaml(body) : parseJsonStrict(body);
      const value = withTypeMeta(parsed.value, gvk);
      const decoded = gvk.format === undefined ? decodeValue(value, gvk) : gvk.format.decodeOwned(value);
      // Built-in kinds know which of their fields are integers; a custom one may have them anywhere.
      if (gvk.format !== undefined && holdsHugeNumber(decoded.object)) {
        refuseLostIntegers(body, mediaType === 'application/yaml' ? 'yaml' : 'json', { gvk, kept: decoded.object });
      }
      const unnamed = value === parsed.value ? undefined : unnamedOf(parsed.value);
      if (parsed.duplicateFields.length === 0 && unnamed === undefined) return decoded;
      const problems = [...parsed.duplicateFields, ...decoded.problems];
      return { ...decoded, problems, ...(unnamed === undefined ? {} : { unnamed }) };
    },
    applyDefaults(object, gvk) {
      if (gvk.format === undefined) applyPlainDefaults(object, typeOf(gvk));
      else gvk.format.applyDefaults(object);
    },
    canonicalize(object, gvk, known) {
      const canonical = gvk.format?.canonicalize(object) ?? canonicalize(object, typeOf(gvk), known);
      if (canonical.metadata.resourceVersion === undefined) return canonical;
      const { resourceVersion: _dropped, ...metadata } = canonical.metadata;
      return { ...canonical, metadata };
    },
    toProtobuf(object, gvk) {
      const type = gvk.format === undefined ? types.typeOf(gvk) : undefined;
      return type !== undefined && hasProtobuf(type) ? encodeProtobuf(object, type) : undefined;
    },
  };
}

/** Fields that were pruned are nobody's loss. */
function refuseLostIntegers(
  body: Uint8Array,
  mediaType: 'json' | 'yaml',
  { gvk, kept }: { readonly gvk: GroupVersionKind; readonly kept: KubeObject },
): void {
  const isKept = (steps: readonly (string | number)[]) =>
    steps.reduce<unknown>((value, step) => (value as Record<string, unknown> | undefined)?.[step], kept) !== undefined;
  const lost = findLostIntegers(new TextDecoder().decode(body), mediaType).find(({ steps }) => isKept(steps));
  if (lost === undefined) return;
  const { kind, version } = gvk;
  throw badRequest(`${kind} in version "${version}" cannot be handled as a ${kind}: ${describeLostInteger(lost)}`);
}

/** Protobuf knows neither duplicate nor unknown fields: both are skipped, as it wants. */
function decodeBinary(body: Uint8Array, types: TypeTable, expected: FormattedKind): DecodedBody {
  const object = decodeProtobuf(body, (named) => {
    const gvk = named.kind === '' || isOlderForm(apiVersionOf(named), named.kind, expected) ? expected : named;
    const type = types.typeOf(gvk);
    if (type === undefined) {
      throw badRequest(
        `no kind ${JSON.stringify(gvk.kind)} is registered for version ${JSON.stringify(apiVersionOf(gvk))}`,
      );
    }
    return type;
  });
  if (object.kind === '' || isOlderForm(object.apiVersion, object.kind, expected)) {
    Object.assign(object, { apiVersion: apiVersionOf(expected), kind: expected.kind });
  }
  return { object, problems: [], given: object };
}

const isOlderForm = (apiVersion: unknown, kind: unknown, { kind: expected, alsoSentAs }: FormattedKind): boolean =>
  kind === expected && alsoSentAs?.some((one) => one === apiVersion) === true;

const isSilent = (field: unknown) => field === undefined || field === null || field === '';

const TYPE_META: readonly TypeMetaField[] = ['kind', 'apiVersion'];

const unnamedOf = (value: unknown) => TYPE_META.filter((field) => isJsonObject(value) && isSilent(value[field]));

/** A body may leave its kind out where the path says it; anything else that it says is checked by the handler. */
function withTypeMeta(value: unknown, gvk: FormattedKind): unknown {
  if (!isJsonObject(value)) return value;
  if (isOlderForm(value.apiVersion, value.kind, gvk)) return { ...value, apiVersion: apiVersionOf(gvk) };
  if (!isSilent(value.apiVersion) && !isSilent(value.kind)) return value;
  return {
    ...value,
    apiVersion: isSilent(value.apiVersion) ? apiVersionOf(gvk) : value.apiVersion,
    kind: isSilent(value.kind) ? gvk.kind : value.kind,
  };
}
