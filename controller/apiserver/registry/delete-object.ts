import { notFound } from '#api/object/api-error.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { WriteDecision } from '../../store/store.ts';
import type { AdmissionRequest } from '../admission/admission-plugin.ts';
import type { RequestContext } from '../chain/request-context.ts';
import { runMutatingAdmission, runValidatingAdmission } from './admit.ts';
import { type DeletionWish, planDeletion } from './deletion-plan.ts';
import { readStored, toNewValue } from './encode-object.ts';
import type { ObjectView, RegistryServices } from './registry-services.ts';
import { resourceName, storageKey } from './resource-catalog.ts';
import type { ResourceDefinition } from './resource-definition.ts';

export interface DeleteObjectRequest {
  readonly context: RequestContext;
  readonly definition: ResourceDefinition;
  readonly namespace: string;
  readonly name: string;
  readonly wish: DeletionWish;
  readonly dryRun: boolean;
}

export interface DeleteOutcome {
  /** False while grace or finalizers hold the object. */
  readonly isRemoved: boolean;
  /** The object as it is now, or its last state. */
  readonly view: ObjectView;
}

/** Removes the object or marks it, as grace and finalizers allow. Rejects with 404, 409 on preconditions, 403 of admission. */
export async function deleteObject(services: RegistryServices, request: DeleteObjectRequest): Promise<DeleteOutcome> {
  const { definition, namespace, name } = request;
  let isRemoved = false;
  let last: KubeObject | undefined;
  const result = await services.store.write(storageKey(definition, namespace, name), (current) => {
    if (current === undefined) throw notFound(resourceName(definition), name);
    last = readStored(definition, current);
    const decision = decide(services, request, last);
    isRemoved = decision.kind === 'delete';
    return request.dryRun ? { kind: 'unchanged' } : decision;
  });
  if (result.object === undefined) throw notFound(resourceName(definition), name);
  if (isRemoved && !request.dryRun && last !== undefined) definition.afterDelete?.(last, services.store);
  return { isRemoved, view: result.object };
}

function decide(services: RegistryServices, request: DeleteObjectRequest, live: KubeObject): WriteDecision {
  const { definition } = request;
  const plan = planDeletion(definition, live, request.wish, services.clock.now());
  const admission = admissionFor(request, live);
  runMutatingAdmission(services.admission, admission);
  runValidatingAdmission(services.admission, admission);
  if (plan.kind === 'remove') return { kind: 'delete' };
  if (plan.kind === 'wait') return { kind: 'unchanged' };
  delete plan.object.metadata.resourceVersion;
  const object = services.format.canonicalize(plan.object, definition);
  const durability = definition.volatileTtlMs === undefined ? 'durable' : 'volatile';
  return { kind: 'put', value: toNewValue(services, definition, object, durability) };
}

function admissionFor(request: DeleteObjectRequest, oldObject: KubeObject): AdmissionRequest {
  const { context, definition, namespace, name, dryRun } = request;
  return {
    operation: 'DELETE',
    resource: definition,
    subresource: '',
    namespace: definition.resource === 'namespaces' && definition.group === '' ? name : namespace,
    name,
    user: context.user,
    object: undefined,
    oldObject,
    dryRun,
    context,
  };
}
