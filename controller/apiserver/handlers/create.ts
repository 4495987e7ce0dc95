import { badRequest } from '#api/object/api-error.ts';
import { checkNamespace, createObject } from '../registry/create-object.ts';
import { fieldManagerOf } from '../registry/field-manager.ts';
import { answerObject, answerValue } from './answer.ts';
import type { ApiServices, ResourceTarget } from './api-services.ts';
import { readObject } from './read-body.ts';
import { parseWriteOptions } from './request-options.ts';

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
    answerValue(context, 201, await definition.virtualCreate(object, context));
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
