import { describeLostInteger, findLostIntegers, holdsHugeNumber } from '#api/codec/lost-integers.ts';
import { badRequest } from '#api/object/api-error.ts';
import { isJsonObject } from '#api/object/json.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { applyJsonPatch } from '#api/patch/json-patch.ts';
import { applyMergePatch } from '#api/patch/merge-patch.ts';
import { applyStrategicMerge } from '#api/patch/strategic-merge.ts';
import type { RequestContext } from '../chain/request-context.ts';
import type { FormattedKind } from '../registry/object-format.ts';
import type { RegistryServices } from '../registry/registry-services.ts';
import { MAX_BODY_BYTES, mediaTypeOf, unsupportedMediaType } from './read-body.ts';

export type PatchKind = 'json' | 'merge' | 'strategic' | 'apply';

const KIND_OF_TYPE: Readonly<Record<string, PatchKind>> = {
  'application/json-patch+json': 'json',
  'application/merge-patch+json': 'merge',
  'application/strategic-merge-patch+json': 'strategic',
  'application/apply-patch+yaml': 'apply',
};

export interface PatchDocument {
  readonly kind: PatchKind;
  /** The raw bytes; apply configurations are decoded as objects. */
  readonly bytes: Uint8Array;
  /** The decoded patch; undefined for `apply`. */
  readonly value: unknown;
}

/** Strategic merge goes by Go's struct tags, which custom kinds do not have. */
const CUSTOM_TYPES: readonly string[] = Object.keys(KIND_OF_TYPE).filter((type) => KIND_OF_TYPE[type] !== 'strategic');

/** The media types that a PATCH may come in. */
export function patchTypes(isCustom: boolean): readonly string[] {
  return isCustom ? CUSTOM_TYPES : Object.keys(KIND_OF_TYPE);
}

/** Reads the body of a PATCH of `gvk`. Rejects with 413, 415, and 400 for malformed text. */
export async function readPatch(context: RequestContext, gvk: FormattedKind): Promise<PatchDocument> {
  const type = mediaTypeOf(context);
  const kind = Object.hasOwn(KIND_OF_TYPE, type) ? KIND_OF_TYPE[type] : undefined;
  const supported = patchTypes(gvk.format !== undefined);
  if (kind === undefined || !supported.includes(type)) throw unsupportedMediaType(type, supported);
  const bytes = await context.request.readBody(MAX_BODY_BYTES);
  if (kind === 'apply') return { kind, bytes, value: undefined };
  const value = parsePatch(bytes);
  // Built-in kinds know which of their fields are integers, and judge the patched object.
  if (gvk.format !== undefined && holdsHugeNumber(value)) refuseLostIntegers(bytes);
  return { kind, bytes, value };
}

function refuseLostIntegers(bytes: Uint8Array): void {
  const [lost] = findLostIntegers(new TextDecoder().decode(bytes), 'json');
  if (lost !== undefined) throw badRequest(`error decoding patch: ${describeLostInteger(lost)}`);
}

function parsePatch(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (err) {
    throw badRequest(`error decoding patch: ${(err as Error).message}`);
  }
}

/** The document after a JSON, merge or strategic merge patch, not yet decoded; the input stays as it is. */
export function applyPatch(
  services: RegistryServices,
  document: KubeObject,
  patch: PatchDocument,
  gvk: FormattedKind,
): unknown {
  switch (patch.kind) {
    case 'json':
      return applyJsonPatch(document, patch.value);
    case 'merge':
      return applyMergePatch(document, requireObject(patch.value));
    case 'strategic':
      return applyStrategicMerge(document, patch.value, services.format.typeOf(gvk));
    case 'apply':
      throw badRequest('server-side apply is not a patch of a document');
  }
}

function requireObject(patch: unknown): unknown {
  if (!isJsonObject(patch)) throw badRequest('error decoding patch: a merge patch must be an object');
  return patch;
}
