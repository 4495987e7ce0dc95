import { badRequest, isAlreadyExists, isNotFound } from '#api/object/api-error.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { createObject } from '../registry/create-object.ts';
import { fieldManagerOf } from '../registry/field-manager.ts';
import { copyObject } from '../registry/object-meta.ts';
import type { ObjectView } from '../registry/registry-services.ts';
import { updateObject } from '../registry/update-object.ts';
import { answerObject } from './answer.ts';
import type { ApiServices, ResourceTarget } from './api-services.ts';
import { readObject } from './read-body.ts';
import { parseWriteOptions, type WriteOptions } from './request-options.ts';

/** PUT of an object or, with `as: 'status'`, of its status. */
export async function handleUpdate(
  services: ApiServices,
  target: ResourceTarget,
  as: 'main' | 'status' = 'main',
): Promise<void> {
  const { context, definition, name } = target;
  const options = parseWriteOptions(context.info.query, 'UpdateOptions');
  const object = await readObject(services, context, definition, options.fieldValidation);
  if (!object.metadata.name) throw badRequest('name must be provided');
  if (object.metadata.name !== name) {
    throw badRequest(`the name of the object (${object.metadata.name}) does not match the name on the URL (${name})`);
  }
  try {
    const view = await replace(services, target, { object, options, as });
    answerObject(services, context, definition, { status: 200, view });
  } catch (err) {
    // Without a resourceVersion the client does not claim to know the object, so that making it is what it wants.
    if (!isNotFound(err) || !definition.allowCreateOnUpdate || as === 'status' || object.metadata.resourceVersion)
      throw err;
    await createInstead(services, target, object, options);
  }
}

interface Replacement {
  readonly object: KubeObject;
  readonly options: WriteOptions;
  readonly as: 'main' | 'status';
}

function replace(
  services: ApiServices,
  target: ResourceTarget,
  { object, options, as }: Replacement,
): Promise<ObjectView> {
  const { context, definition, namespace, name } = target;
  return updateObject(services, {
    context,
    definition,
    namespace,
    name,
    as,
    subresource: as === 'status' ? 'status' : '',
    dryRun: options.dryRun,
    manager: fieldManagerOf(context, options.fieldManager),
    requireVersion: true,
    change: () => copyObject(object),
  });
}

async function createInstead(
  services: ApiServices,
  target: ResourceTarget,
  object: KubeObject,
  options: WriteOptions,
): Promise<void> {
  const { context, definition, namespace } = target;
  context.requireAlso?.('create');
  const manager = fieldManagerOf(context, options.fieldManager);
  try {
    const view = await createObject(services, {
      context,
      definition,
      namespace,
      object: copyObject(object),
      dryRun: options.dryRun,
      manager,
    });
    answerObject(services, context, definition, { status: 201, view });
  } catch (err) {
    if (!isAlreadyExists(err)) throw err;
    const view = await replace(services, target, { object, options, as: 'main' });
    answerObject(services, context, definition, { status: 200, view });
  }
}
