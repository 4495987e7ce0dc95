import { apiVersionOf } from '#api/object/group-version.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { AdmissionObjects, AdmissionRequest } from '../admission/admission-plugin.ts';
import { copyObject } from '../registry/object-meta.ts';
import type { ObjectView } from '../registry/object-view.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { kindOf } from './admission-review.ts';

/** The objects of a request in the form of one kind, as a webhook gets them. */
export interface SeenObjects {
  readonly object: KubeObject | undefined;
  readonly oldObject: KubeObject | undefined;
}

/** The objects of `request` as `as`, with everything that Go's encoder would write. Private copies. Waits for conversions. */
export async function awaitSeenObjects(request: AdmissionRequest, as: ResourceDefinition): Promise<SeenObjects> {
  const { object, oldObject, resource } = request;
  const convertOne = (one: KubeObject | undefined) =>
    one === undefined || request.kind !== undefined ? one : awaitConvert(one, resource, as);
  return completeObjects(request, as, { object: await convertOne(object), oldObject: await convertOne(oldObject) });
}

function completeObjects(
  request: AdmissionRequest,
  as: ResourceDefinition,
  { object, oldObject }: SeenObjects,
): SeenObjects {
  const version = request.oldObject?.metadata?.resourceVersion;
  return {
    object: object === undefined ? undefined : complete(request, as, { object, version }),
    oldObject: oldObject === undefined ? undefined : complete(request, as, { object: oldObject, version }),
  };
}

/** An update is always one of a certain version, whether the client named it or not. */
function complete(
  request: AdmissionRequest,
  as: ResourceDefinition,
  { object, version }: { readonly object: KubeObject; readonly version: string | undefined },
): KubeObject {
  const all = canonical(request, as, object);
  if (version !== undefined && all.metadata !== undefined) all.metadata.resourceVersion = version;
  return all;
}

/** Options of a CONNECT are no objects of the type table: they are sent as they are. */
function canonical(request: AdmissionRequest, as: ResourceDefinition, object: KubeObject): KubeObject {
  if (request.operation === 'CONNECT') return copyObject(object);
  return objectsOf(request).format.canonicalize(object, kindOf(request, as));
}

/** Takes over what somebody made of the object in the form of `as`; waits for conversions. Rejects when it is no such object any more. */
export async function awaitPutChangedObject(
  request: AdmissionRequest,
  as: ResourceDefinition,
  changed: unknown,
): Promise<void> {
  const object = readChanged(request, as, changed);
  request.object = request.kind === undefined ? await awaitConvert(object, as, request.resource) : object;
}

function readChanged(request: AdmissionRequest, as: ResourceDefinition, changed: unknown): KubeObject {
  if (request.operation === 'CONNECT') return changed as KubeObject;
  const { format } = objectsOf(request);
  const kind = kindOf(request, as);
  const { object } = format.decodeValue(changed, kind);
  if (object.apiVersion !== apiVersionOf(kind) || object.kind !== kind.kind) {
    throw new Error(`a ${kind.kind} of ${apiVersionOf(kind)} may not become a ${object.kind} of ${object.apiVersion}`);
  }
  if (request.kind === undefined) as.applyDefaults(object);
  format.applyDefaults(object, kind);
  return object;
}

/** By way of the stored form, which every face of a kind can be made of and from. */
async function awaitConvert(object: KubeObject, from: ResourceDefinition, to: ResourceDefinition): Promise<KubeObject> {
  if (from === to) return object;
  await from.conversion?.prepare?.write(object);
  const stored = from.conversion === undefined ? object : from.conversion.toStored(object);
  const view: ObjectView = { bytes: NO_BYTES, object: () => stored };
  await to.conversion?.prepare?.read([view]);
  return copyObject(to.conversion === undefined ? stored : to.conversion.fromStored(stored, view));
}

/** No conversion looks at the encoded form. */
const NO_BYTES = new Uint8Array();

export function objectsOf({ objects }: AdmissionRequest): AdmissionObjects {
  if (objects === undefined) throw new Error('an admission request for webhooks needs the catalog and the formats');
  return objects;
}
