import type { KubeObject } from '#api/object/kube-object.ts';
import type { AdmissionObjects, AdmissionRequest } from '../admission/admission-plugin.ts';
import { copyObject } from '../registry/object-meta.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { kindOf } from './admission-review.ts';

/** The objects of a request in the form of one kind, as a webhook gets them. */
export interface SeenObjects {
  readonly object: KubeObject | undefined;
  readonly oldObject: KubeObject | undefined;
}

/** The objects of `request` as `as`, with everything that Go's encoder would write. Private copies. */
export function seenObjects(request: AdmissionRequest, as: ResourceDefinition): SeenObjects {
  return { object: seen(request, as, request.object), oldObject: seen(request, as, request.oldObject) };
}

function seen(request: AdmissionRequest, as: ResourceDefinition, object: KubeObject | undefined) {
  if (object === undefined) return undefined;
  const converted = request.kind === undefined ? convert(object, request.resource, as) : object;
  const complete = canonical(request, as, converted);
  const { resourceVersion } =
    object.metadata?.resourceVersion === undefined ? (request.oldObject?.metadata ?? {}) : object.metadata;
  // An update is always one of a certain version, whether the client named it or not.
  if (resourceVersion !== undefined && complete.metadata !== undefined)
    complete.metadata.resourceVersion = resourceVersion;
  return complete;
}

/** Options of a CONNECT are no objects of the type table: they are sent as they are. */
function canonical(request: AdmissionRequest, as: ResourceDefinition, object: KubeObject): KubeObject {
  if (request.operation === 'CONNECT') return copyObject(object);
  return objectsOf(request).format.canonicalize(object, kindOf(request, as));
}

/** Takes over what a webhook made of the object in the form of `as`. Throws ApiError when it is no object of that kind any more. */
export function putChangedObject(request: AdmissionRequest, as: ResourceDefinition, changed: unknown): void {
  if (request.operation === 'CONNECT') {
    request.object = changed as KubeObject;
    return;
  }
  const { format } = objectsOf(request);
  const kind = kindOf(request, as);
  const { object } = format.decodeValue(changed, kind);
  if (request.kind === undefined) as.applyDefaults(object);
  format.applyDefaults(object, kind);
  request.object = request.kind === undefined ? convert(object, as, request.resource) : object;
}

function convert(object: KubeObject, from: ResourceDefinition, to: ResourceDefinition): KubeObject {
  if (from === to) return object;
  const stored = from.conversion === undefined ? object : from.conversion.toStored(object);
  return copyObject(to.conversion === undefined ? stored : to.conversion.fromStored(stored));
}

export function objectsOf({ objects }: AdmissionRequest): AdmissionObjects {
  if (objects === undefined) throw new Error('an admission request for webhooks needs the catalog and the formats');
  return objects;
}
