import { badRequest } from '#api/object/api-error.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { AdmissionRequest } from '../admission/admission-plugin.ts';
import { admitRequest } from '../registry/admit.ts';
import { checkNamespace, createObject } from '../registry/create-object.ts';
import { fieldManagerOf } from '../registry/field-manager.ts';
import { answerObject, answerValue } from './answer.ts';
import type { ApiServices, ResourceTarget } from './api-services.ts';
import { otherKinds } from './other-kinds.ts';
import { readObject } from './read-body.ts';
import { parseWriteOptions } from './request-options.ts';

/** Questions (TokenReview, SubjectAccessReview) pass admission like any other creation, though nothing is stored. */
async function admitQuestion(
  services: ApiServices,
  { context, definition, namespace }: ResourceTarget,
  { object, dryRun }: { readonly object: KubeObject; readonly dryRun: boolean },
): Promise<KubeObject> {
  const admission: AdmissionRequest = {
    operation: 'CREATE',
    resource: definition,
    subresource: '',
    namespace,
    name: object.metadata.name ?? '',
    user: context.user,
    object,
    oldObject: undefined,
    dryRun,
    context,
    objects: services,
  };
  await admitRequest(services.admission, admission);
  return admission.object ?? object;
}

/** POST to a collection. */
export async function handleCreate(services: ApiServices, target: ResourceTarget): Promise<void> {
  const { context, definition, namespace } = target;
  const options = parseWriteOptions(context.info.query, 'CreateOptions');
  const object = await readObject(services, context, definition, options.fieldValidation);
  if (definition.namespaced && namespace === '') {
    throw badRequest('an empty namespace may not be set during creation');
  }
  if (definition.virtualCreate !== undefined) {
    checkNamespace(definition, object, namespace);
    const admitted = await admitQuestion(services, target, { object, dryRun: options.dryRun });
    answerValue(context, 201, await definition.virtualCreate(admitted, context, otherKinds(services)));
    return;
  }
  const view = await createObject(services, {
    context,
    definition,
    namespace,
    object,
    dryRun: options.dryRun,
    manager: fieldManagerOf(context, options.fieldManager),
  });
  answerObject(services, context, definition, { status: 201, view });
}
