import { apiVersionOf } from '#api/object/group-version.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { StoredObject } from '../../../store/store.ts';
import { readStored } from '../../registry/encode-object.ts';
import { copyObject } from '../../registry/object-meta.ts';
import type { ResourceDefinition } from '../../registry/resource-definition.ts';
import { kindOf } from '../../webhooks/admission-review.ts';
import type { AdmissionObjects, AdmissionRequest } from '../admission-plugin.ts';

/** A policy or binding that cannot be asked as it stands: `failurePolicy` says what that means. */
export class PolicyConfigurationError extends Error {
  override readonly name = 'PolicyConfigurationError';
}

/** Policies are judged inside the store's decision, where nobody can be waited for: not for a conversion webhook either. */
const cannotConvert = ({ group, version, kind }: ResourceDefinition): PolicyConfigurationError =>
  new PolicyConfigurationError(
    `failed to convert object version: policies see ${group}/${version}, Kind=${kind} only in the version of the request, as its conversion needs a webhook`,
  );

export interface PolicyObjects {
  readonly object: KubeObject | undefined;
  readonly oldObject: KubeObject | undefined;
}

/**
 * The objects of a request as the kind that a policy asked for, with everything that Go's encoder would write. Private copies. Throws
 * PolicyConfigurationError where that would take a webhook.
 */
export function policyObjects(request: AdmissionRequest, as: ResourceDefinition): PolicyObjects {
  return { object: seen(request, as, request.object), oldObject: seen(request, as, request.oldObject) };
}

function seen(
  request: AdmissionRequest,
  as: ResourceDefinition,
  object: KubeObject | undefined,
): KubeObject | undefined {
  if (object === undefined) return undefined;
  // Options of a CONNECT are no objects of the type table.
  if (request.operation === 'CONNECT') return copyObject(object);
  const converted = request.kind === undefined ? convert(object, request.resource, as) : object;
  const complete = objectsOf(request).format.canonicalize(converted, kindOf(request, as));
  const resourceVersion = object.metadata?.resourceVersion ?? request.oldObject?.metadata?.resourceVersion;
  if (resourceVersion !== undefined && complete.metadata !== undefined)
    complete.metadata.resourceVersion = resourceVersion;
  return complete;
}

/** Takes over what a policy made of the object in the form of `as`. Throws ApiError when it is no object of that kind any more. */
export function putPolicyObject(request: AdmissionRequest, as: ResourceDefinition, changed: unknown): void {
  const { format } = objectsOf(request);
  const kind = kindOf(request, as);
  const { object } = format.decodeValue(changed, kind);
  if (request.kind === undefined) as.applyDefaults(object);
  format.applyDefaults(object, kind);
  request.object = request.kind === undefined ? convert(object, as, request.resource) : object;
}

function convert(object: KubeObject, from: ResourceDefinition, to: ResourceDefinition): KubeObject {
  if (from === to) return object;
  if (from.conversion?.prepare !== undefined || to.conversion?.prepare !== undefined) throw cannotConvert(to);
  const stored = from.conversion === undefined ? object : from.conversion.toStored(object);
  const view = { bytes: NO_BYTES, object: () => stored };
  return copyObject(to.conversion === undefined ? stored : to.conversion.fromStored(stored, view));
}

/** No conversion looks at the encoded form. */
const NO_BYTES = new Uint8Array();

/** A stored object in the form of its definition. Throws PolicyConfigurationError where that would take a webhook. */
export function readParam(definition: ResourceDefinition, stored: StoredObject): KubeObject {
  const isForeign = (stored.object() as KubeObject).apiVersion !== apiVersionOf(definition);
  if (definition.conversion?.prepare !== undefined && isForeign) throw cannotConvert(definition);
  return readStored(definition, stored);
}

export function objectsOf({ objects }: AdmissionRequest): AdmissionObjects {
  if (objects === undefined) throw new Error('an admission request for policies needs the catalog and the formats');
  return objects;
}
