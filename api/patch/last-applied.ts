import { canonicalizeGiven } from '../codec/canonical-given.ts';
import { isJsonObject } from '../object/json.ts';
import type { KubeObject } from '../object/kube-object.ts';
import type { TypeDef } from '../schema/type-table.ts';
import { compareFields, fieldsOf } from './compare-fields.ts';
import { differenceOf, emptyFieldSet, type FieldSet, unionOf } from './field-set.ts';

/** Where `kubectl apply` without `--server-side` keeps what it applied. */
export const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
/** The manager of `kubectl apply --server-side`, which may take over from client-side apply; others must force it. */
export const KUBECTL = 'kubectl';

/** Annotations of an object together may not be longer; a configuration that does not fit is left out. */
const MAX_BYTES = 256 * 1024;

/**
 * What client-side apply set and nobody changed since: a server-side apply by kubectl has no conflicts there. Empty where the annotation
 * is missing, malformed or of another version.
 */
export function fieldsLastApplied(live: KubeObject, type: TypeDef): FieldSet {
  const applied = parse(live.metadata.annotations?.[LAST_APPLIED]);
  if (applied === undefined || applied.apiVersion !== live.apiVersion) return emptyFieldSet;
  const config = canonicalizeGiven(applied, type);
  const { changed, removed } = compareFields(config, live, type);
  return differenceOf(fieldsOf(config, type), unionOf(changed, removed));
}

function parse(text: string | undefined): KubeObject | undefined {
  if (text === undefined || text === '') return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) && isJsonObject(value.metadata) ? (value as unknown as KubeObject) : undefined;
  } catch {
    // The annotation is the client's: what is no JSON says nothing.
    return undefined;
  }
}

/** `object` with the annotation brought up to date with what is applied now, where it has one; itself otherwise. */
export function withLastApplied(object: KubeObject, config: KubeObject): KubeObject {
  const { annotations } = object.metadata;
  if (!annotations?.[LAST_APPLIED]) return object;
  const text = encode(config);
  if (annotations[LAST_APPLIED] === text) return object;
  const { [LAST_APPLIED]: _, ...rest } = annotations;
  const next = Buffer.byteLength(text) > MAX_BYTES ? rest : { ...annotations, [LAST_APPLIED]: text };
  return { ...object, metadata: { ...object.metadata, annotations: next } };
}

/** As Go writes it: keys in order, what could end a script element escaped, a line break at the end. */
function encode(config: KubeObject): string {
  const { managedFields: _, annotations = {}, ...metadata } = config.metadata;
  const { [LAST_APPLIED]: _own, ...others } = annotations;
  const kept = Object.keys(others).length === 0 ? metadata : { ...metadata, annotations: others };
  const text = JSON.stringify(sorted({ ...config, metadata: kept }));
  const escaped = text.replaceAll(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return `${escaped}\n`;
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isJsonObject(value)) return value;
  const entries = Object.keys(value)
    .sort()
    .map((key) => [key, sorted(value[key])] as const);
  return Object.fromEntries(entries);
}
