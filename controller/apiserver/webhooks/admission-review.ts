import { ApiError, type Status } from '#api/object/api-error.ts';
import type { GroupVersionKind } from '#api/object/group-version.ts';
import { isJsonObject, type JsonObject } from '#api/object/json.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { AdmissionRequest } from '../admission/admission-plugin.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';

const GROUP = 'admission.k8s.io';
/** Versions of AdmissionReview that this server speaks. */
const VERSIONS: readonly string[] = ['v1', 'v1beta1'];

export interface ReviewInput {
  readonly uid: string;
  readonly request: AdmissionRequest;
  /** The kind that the webhook asked for, which `object` and `oldObject` have. */
  readonly as: ResourceDefinition;
  readonly object: KubeObject | undefined;
  readonly oldObject: KubeObject | undefined;
  /** The webhook's `admissionReviewVersions`, in its order. */
  readonly reviewVersions: readonly string[];
}

/** The kind of a request's objects when it is seen as one on `definition`. */
export function kindOf(request: AdmissionRequest, definition: ResourceDefinition): GroupVersionKind {
  if (request.kind === undefined) return definition;
  if (definition === request.resource) return request.kind;
  return definition.subresources.find(({ name }) => name === request.subresource)?.kind ?? definition;
}

const gvk = ({ group, version, kind }: GroupVersionKind) => ({ group, version, kind });
const gvr = ({ group, version, resource }: ResourceDefinition) => ({ group, version, resource });

/** What is posted to the webhook. */
export function renderReview({ uid, request, as, object, oldObject, reviewVersions }: ReviewInput): JsonObject {
  const version = reviewVersions.find((one) => VERSIONS.includes(one)) ?? 'v1';
  const { resource, subresource, name, namespace, operation, dryRun } = request;
  return {
    kind: 'AdmissionReview',
    apiVersion: `${GROUP}/${version}`,
    request: {
      uid,
      kind: gvk(kindOf(request, as)),
      resource: gvr(as),
      ...(subresource === '' ? {} : { subResource: subresource }),
      requestKind: gvk(kindOf(request, resource)),
      requestResource: gvr(resource),
      ...(subresource === '' ? {} : { requestSubResource: subresource }),
      ...(name === '' ? {} : { name }),
      ...(namespace === '' ? {} : { namespace }),
      operation,
      userInfo: renderUser(request),
      object: object ?? null,
      oldObject: oldObject ?? null,
      dryRun,
      options: renderOptions(request),
    },
  };
}

function renderUser({ user }: AdmissionRequest): JsonObject {
  return {
    username: user.name,
    ...(user.uid === undefined ? {} : { uid: user.uid }),
    groups: user.groups,
    ...(user.extra === undefined ? {} : { extra: user.extra }),
  };
}

const OPTIONS_KINDS = { CREATE: 'CreateOptions', UPDATE: 'UpdateOptions', DELETE: 'DeleteOptions' } as const;

function renderOptions({ operation, context, dryRun, deletion }: AdmissionRequest): JsonObject | null {
  if (operation === 'CONNECT') return null;
  const { query } = context.info;
  const options: JsonObject = { kind: OPTIONS_KINDS[operation], apiVersion: 'meta.k8s.io/v1' };
  if (dryRun) options.dryRun = ['All'];
  if (operation === 'DELETE') {
    for (const [key, value] of Object.entries(deletion ?? {})) if (value !== undefined) options[key] = value;
    return options;
  }
  for (const key of ['fieldManager', 'fieldValidation']) {
    const value = query.get(key);
    if (value) options[key] = value;
  }
  return options;
}

export interface ReviewVerdict {
  readonly isAllowed: boolean;
  readonly result: JsonObject | undefined;
  readonly auditAnnotations: Readonly<Record<string, string>>;
  readonly warnings: readonly string[];
  /** JSON patch as bytes in base64; undefined where there is none. */
  readonly patch: string | undefined;
  readonly patchType: string;
}

/** Reads a webhook's answer. Throws Error, in Kubernetes' words, for one that breaks the rules of AdmissionReview. */
export function readReview(answer: JsonObject, uid: string, isMutating: boolean): ReviewVerdict {
  const { apiVersion, kind } = answer;
  if (apiVersion !== `${GROUP}/v1` && apiVersion !== `${GROUP}/v1beta1`) {
    throw new Error(
      `expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got ${given(apiVersion, kind)}`,
    );
  }
  const { response } = answer;
  if (!isJsonObject(response)) throw new Error('webhook response was absent');
  const isStrict = apiVersion === `${GROUP}/v1`;
  if (isStrict) checkStrict(answer, response, { uid, isMutating });
  const patch = isMutating && typeof response.patch === 'string' && response.patch !== '' ? response.patch : undefined;
  return {
    isAllowed: response.allowed === true,
    result: isJsonObject(response.status) ? response.status : undefined,
    auditAnnotations: textsOf(response.auditAnnotations),
    warnings: Array.isArray(response.warnings) ? response.warnings.filter((text) => typeof text === 'string') : [],
    patch,
    patchType: typeof response.patchType === 'string' ? response.patchType : isStrict ? '' : 'JSONPatch',
  };
}

function given(apiVersion: unknown, kind: unknown): string {
  const text = typeof apiVersion === 'string' ? apiVersion : '';
  return `${text.includes('/') ? text : `/${text}`}, Kind=${typeof kind === 'string' ? kind : ''}`;
}

function checkStrict(
  answer: JsonObject,
  response: JsonObject,
  { uid, isMutating }: { readonly uid: string; readonly isMutating: boolean },
): void {
  if (response.uid !== uid) {
    throw new Error(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(response.uid ?? '')}`);
  }
  if (answer.kind !== 'AdmissionReview') {
    const got = given(answer.apiVersion, answer.kind);
    throw new Error(`expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got ${got}`);
  }
  const hasPatch = typeof response.patch === 'string' && response.patch !== '';
  const hasType = typeof response.patchType === 'string';
  if (!isMutating) {
    if (hasPatch) throw new Error('validating webhook may not return response.patch');
    if (hasType) throw new Error('validating webhook may not return response.patchType');
    return;
  }
  if (hasPatch && !hasType) throw new Error('webhook returned response.patch but not response.patchType');
  if (!hasPatch && hasType) throw new Error('webhook returned response.patchType but not response.patch');
  if (hasType && response.patchType !== 'JSONPatch') {
    throw new Error(`webhook returned invalid response.patchType of ${JSON.stringify(response.patchType)}`);
  }
}

function textsOf(value: unknown): Record<string, string> {
  if (!isJsonObject(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}

/** The refusal as the client sees it: the webhook's own Status, its message under the webhook's name, never with a code of success. */
export function refusalOf(webhook: string, result: JsonObject = {}): ApiError {
  const { message, reason, details } = result as Partial<Status>;
  const code = typeof result.code === 'number' && result.code >= 400 ? result.code : 400;
  const denied = `admission webhook ${JSON.stringify(webhook)} denied the request`;
  const text = message ? `${denied}: ${message}` : reason ? `${denied}: ${reason}` : `${denied} without explanation`;
  return new ApiError(code, reason ?? '', text, details);
}
