import { ApiError, notFound } from '#api/object/api-error.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { AdmissionRequest } from '../admission/admission-plugin.ts';
import { admitRequest } from '../registry/admit.ts';
import { deleteObject } from '../registry/delete-object.ts';
import type { PropagationPolicy } from '../registry/deletion-plan.ts';
import { prepareRead, readStored } from '../registry/encode-object.ts';
import { fieldManagerOf } from '../registry/field-manager.ts';
import { copyObject } from '../registry/object-meta.ts';
import { resourceName, storageKey } from '../registry/resource-catalog.ts';
import type { SubresourceServices } from '../registry/resource-definition.ts';
import { updateObject } from '../registry/update-object.ts';
import { answerValue, transform } from './answer.ts';
import type { ApiServices, SubresourceTarget } from './api-services.ts';
import { applyFace } from './apply-face.ts';
import { admitConnection } from './connect-admission.ts';
import { freshSnapshot } from './fresh-snapshot.ts';
import { negotiate } from './negotiation.ts';
import { otherKinds } from './other-kinds.ts';
import { checkOptions } from './patch.ts';
import { applyPatch, type PatchDocument, readPatch } from './patch-document.ts';
import { readObject, reportProblems } from './read-body.ts';
import { parseWriteOptions, type WriteOptions } from './request-options.ts';

/** A subresource with behaviour of its own. */
export async function handleOwnSubresource(services: ApiServices, target: SubresourceTarget): Promise<void> {
  if (target.subresource.connects) await admitConnection(services, target);
  await target.subresource.handle?.(target.context, subresourceServices(services, target));
}

function subresourceServices(services: ApiServices, target: SubresourceTarget): SubresourceServices {
  const { definition, subresource } = target;
  return {
    store: services.store,
    resource: definition,
    dialer: services.dialer,
    tokens: services.tokens,
    async updateObject(context, namespace, name, change, options) {
      const view = await updateObject(services, {
        context,
        definition,
        namespace,
        name,
        as: options?.as ?? 'main',
        subresource: options?.subresource ?? subresource.name,
        dryRun: options?.dryRun ?? false,
        manager: fieldManagerOf(context, options?.fieldManager),
        change: (current) => change(copyObject(current)),
      });
      return readStored(definition, view);
    },
    async deleteObject(context, namespace, name, options) {
      // What asks for it (an Eviction) was admitted; Kubernetes does not ask for the deletion again.
      const admitted = { ...services, admission: [] };
      const { view } = await deleteObject(admitted, {
        context,
        definition,
        namespace,
        name,
        wish: {
          gracePeriodSeconds: options?.gracePeriodSeconds,
          preconditions: options?.preconditions,
          propagationPolicy: options?.propagationPolicy as PropagationPolicy | undefined,
        },
        dryRun: options?.dryRun ?? false,
      });
      return readStored(definition, view);
    },
    currentObject: () => currentObject(services, target),
    ...otherKinds(services),
    readBody: () => readAdmittedBody(services, target),
    respond: (context, status, object) => answerValue(context, status, object),
  };
}

/** The body of a POST passes admission as a creation of its own kind; what is changed through `updateObject` is admitted there. */
async function readAdmittedBody(services: ApiServices, target: SubresourceTarget): Promise<KubeObject> {
  const { context, definition, subresource, namespace, name } = target;
  const options = parseWriteOptions(context.info.query, 'CreateOptions');
  const object = await readObject(services, context, subresource.kind, options.fieldValidation);
  services.format.applyDefaults(object, subresource.kind);
  if (context.info.verb !== 'create') return object;
  const admission: AdmissionRequest = {
    operation: 'CREATE',
    resource: definition,
    subresource: subresource.name,
    namespace: definition.group === '' && definition.resource === 'namespaces' ? name : namespace,
    name,
    user: context.user,
    object,
    oldObject: undefined,
    kind: subresource.kind,
    dryRun: options.dryRun,
    context,
    objects: services,
  };
  await admitRequest(services.admission, admission);
  return admission.object ?? object;
}

/** GET, PUT and PATCH of another face of the object (scale). */
export async function handleFace(services: ApiServices, target: SubresourceTarget): Promise<void> {
  const { context } = target;
  switch (context.info.verb) {
    case 'get':
      return answerFace(services, target, await currentObject(services, target));
    case 'update':
      return replaceFace(services, target);
    case 'patch':
      return patchFace(services, target);
    default:
      throw methodNotAllowed();
  }
}

function faceOf({ subresource }: SubresourceTarget, object: KubeObject): KubeObject {
  if (subresource.face === undefined) throw new Error(`subresource ${subresource.name} has no face`);
  return subresource.face.get(object);
}

/** The face of `object`, in the form that the client accepts. */
function answerFace(services: ApiServices, target: SubresourceTarget, object: KubeObject): void {
  const { context, definition, subresource } = target;
  const face = faceOf(target, object);
  const representation = negotiate(context.request.header('accept'));
  const table = subresource.face?.table ?? (face.kind === definition.kind ? definition : undefined);
  answerValue(
    context,
    200,
    table === undefined ? face : transform(services, context, table, { object: face, representation }),
  );
}

async function currentObject(
  services: ApiServices,
  { definition, namespace, name }: SubresourceTarget,
): Promise<KubeObject> {
  const snapshot = await freshSnapshot(services.store, '');
  const stored = snapshot.get(storageKey(definition, namespace, name));
  if (stored === undefined) throw notFound(resourceName(definition), name);
  await prepareRead(definition, [stored]);
  return readStored(definition, stored);
}

async function replaceFace(services: ApiServices, target: SubresourceTarget): Promise<void> {
  const { context, subresource } = target;
  const options = parseWriteOptions(context.info.query, 'UpdateOptions');
  const wanted = await readObject(services, context, subresource.kind, options.fieldValidation);
  await changeFace(services, target, options, () => wanted);
}

async function patchFace(services: ApiServices, target: SubresourceTarget): Promise<void> {
  const { context, subresource } = target;
  const options = parseWriteOptions(context.info.query, 'PatchOptions');
  const patch: PatchDocument = await readPatch(context, subresource.kind);
  checkOptions(patch, options, context.info.query.has('force'));
  if (patch.kind === 'apply') {
    const view = await applyFace(services, target, { options, patch });
    answerFace(services, target, readStored(target.definition, view));
    return;
  }
  await changeFace(services, target, options, (face) => {
    const decoded = services.format.decodeValue(applyPatch(services, face, patch, subresource.kind), subresource.kind);
    reportProblems(context, subresource.kind, decoded, options.fieldValidation);
    return decoded.object;
  });
}

async function changeFace(
  services: ApiServices,
  target: SubresourceTarget,
  options: WriteOptions,
  change: (face: KubeObject) => KubeObject,
): Promise<void> {
  const { context, definition, subresource, namespace, name } = target;
  const view = await updateObject(services, {
    context,
    definition,
    namespace,
    name,
    as: subresource.face?.as ?? 'main',
    subresource: subresource.name,
    face: subresource,
    dryRun: options.dryRun,
    manager: fieldManagerOf(context, options.fieldManager),
    change(current) {
      const face = change(subresource.face?.beforeChange?.(current) ?? faceOf(target, current));
      const next = copyObject(subresource.face?.apply(face, copyObject(current)));
      const { resourceVersion, uid } = face.metadata;
      next.metadata = { ...next.metadata, ...(uid === undefined ? {} : { uid }) };
      if (resourceVersion === undefined) delete next.metadata.resourceVersion;
      else next.metadata.resourceVersion = resourceVersion;
      return next;
    },
  });
  answerFace(services, target, readStored(definition, view));
}

export function methodNotAllowed(): ApiError {
  return new ApiError(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource');
}
