import { strictDecodingError } from '#api/codec/decode.ts';
import { ApiError, badRequest } from '#api/object/api-error.ts';
import { apiVersionOf, type GroupVersionKind } from '#api/object/group-version.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { RequestContext } from '../chain/request-context.ts';
import type { DecodedBody, FormattedKind, TypeMetaField } from '../registry/object-format.ts';
import type { RegistryServices } from '../registry/registry-services.ts';
import { CONTENT_TYPES } from './negotiation.ts';
import type { FieldValidation } from './request-options.ts';

/** Kubernetes' limit of a request body. */
export const MAX_BODY_BYTES = 3 * 1024 * 1024;

const ACCEPTED: ReadonlySet<string> = new Set(Object.values(CONTENT_TYPES));
/** Custom kinds have no protobuf form. */
const ACCEPTED_CUSTOM: ReadonlySet<string> = new Set([CONTENT_TYPES.json, CONTENT_TYPES.yaml]);

/** The body's media type without parameters; '' when the client named none. What is no media type at all is answered as it stands. */
export function mediaTypeOf(context: RequestContext): string {
  const header = context.request.header('content-type') ?? '';
  if (ACCEPTED.has(header)) return header;
  const [type = '', ...parameters] = header.split(';').map((part) => part.trim());
  const isWellFormed = type !== '' && parameters.every((parameter) => parameter === '' || parameter.includes('='));
  return isWellFormed ? type.toLowerCase() : header.trim();
}

export function unsupportedMediaType(type: string, supported: Iterable<string>): ApiError {
  return new ApiError(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${[...supported].join(', ')}` +
      (type === '' ? '' : `; got ${type}`),
  );
}

/** Decodes the body as `gvk`. Throws 415; rejects with 413, and 400 for what is no object of that kind. */
export function readObject(
  services: RegistryServices,
  context: RequestContext,
  gvk: FormattedKind,
  validation: FieldValidation,
): Promise<KubeObject> {
  const named = mediaTypeOf(context);
  const type = named === '' ? CONTENT_TYPES.json : named;
  const accepted = gvk.format === undefined ? ACCEPTED : ACCEPTED_CUSTOM;
  if (!accepted.has(type)) throw unsupportedMediaType(type, accepted);
  return context.request.readBody(MAX_BODY_BYTES).then((body) => {
    const decoded = services.format.decode(body, type, gvk);
    if (gvk.format !== undefined && decoded.unnamed !== undefined) throw unnamedObject(body, gvk, decoded.unnamed);
    reportProblems(context, gvk, decoded, validation);
    checkKind(decoded.object, gvk);
    context.audit?.noteRequestObject(decoded.object);
    return decoded.object;
  });
}

/** Unknown and duplicate fields: a refusal, warnings, or nothing, as the client wishes. */
export function reportProblems(
  context: RequestContext,
  gvk: GroupVersionKind,
  { problems }: DecodedBody,
  validation: FieldValidation,
): void {
  if (problems.length === 0 || validation === 'Ignore') return;
  if (validation === 'Warn') {
    context.warnings.push(...problems);
    return;
  }
  throw strictDecodingError({ apiVersion: apiVersionOf(gvk), kind: gvk.kind }, problems);
}

/** Throws 400 when the body is of another kind than its path. */
export function checkKind(object: KubeObject, gvk: GroupVersionKind): void {
  const expected = apiVersionOf(gvk);
  if (object.apiVersion !== expected) {
    throw badRequest(
      `the API version in the data (${object.apiVersion}) does not match the expected API version (${expected})`,
    );
  }
  if (object.kind !== gvk.kind) {
    throw badRequest(`the kind in the data (${object.kind}) does not match the expected kind (${gvk.kind})`);
  }
}

/** As much of a body as its refusal repeats. */
const MAX_QUOTED_BYTES = 1024;

/** Only of built-in kinds may the path say what the body does not. */
function unnamedObject(body: Uint8Array, { kind }: GroupVersionKind, [unnamed]: readonly TypeMetaField[]): ApiError {
  const text = new TextDecoder().decode(body.subarray(0, MAX_QUOTED_BYTES));
  const why = `Object '${unnamed === 'kind' ? 'Kind' : unnamed}' is missing in '${text}'`;
  if (unnamed === 'apiVersion') return badRequest(`${kind} in version "" cannot be handled as a ${kind}: ${why}`);
  return badRequest(`the object provided is unrecognized (must be of type ${kind}): ${why}`);
}
