import { conflict, notFound } from '#api/object/api-error.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { WriteDecision } from '../../store/store.ts';
import type { AdmissionRequest, AdmissionTarget } from '../admission/admission-plugin.ts';
import type { RequestContext } from '../chain/request-context.ts';
import { admitRequest, awaitsAdmission, runMutatingAdmission, runValidatingAdmission } from './admit.ts';
import { type DeletionPlan, type DeletionWish, planDeletion } from './deletion-plan.ts';
import { prepareRead, readStored, storedFormValue, toNewValue } from './encode-object.ts';
import type { ObjectView, RegistryServices } from './registry-services.ts';
import { resourceName, storageKey } from './resource-catalog.ts';
import type { ResourceDefinition } from './resource-definition.ts';
import { writeToStore } from './write-to-store.ts';

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

/** A delete that waits for admission starts over this often when the object changed under it. */
const MAX_TRIES = 20;

/** Removes the object or marks it, as grace and finalizers allow. Rejects with 404, 409 on preconditions, 403 of admission. */
export async function deleteObject(services: RegistryServices, request: DeleteObjectRequest): Promise<DeleteOutcome> {
  const warning = request.definition.orphansByDefault?.warning;
  if (warning !== undefined && request.wish.propagationPolicy === undefined) warnOnce(request.context, warning);
  const waits = request.definition.conversion?.prepare !== undefined;
  if (waits || awaitsAdmission(services.admission, targetOf(services, request))) {
    return deleteFromSnapshot(services, request);
  }
  return writeDeletion(services, request, (live) => {
    const admission = admissionFor(services, request, live);
    runMutatingAdmission(services.admission, admission);
    runValidatingAdmission(services.admission, admission);
  });
}

/** A delete of a collection comes here for every object. */
function warnOnce({ warnings }: RequestContext, warning: string): void {
  if (!warnings.includes(warning)) warnings.push(warning);
}

/** Some plug-ins of admission are asynchronous: the write insists on the state that they were shown. */
async function deleteFromSnapshot(services: RegistryServices, request: DeleteObjectRequest): Promise<DeleteOutcome> {
  const { definition, namespace, name, context } = request;
  const key = storageKey(definition, namespace, name);
  // What is refused before the write was not looked at by it.
  if (services.store.shared !== undefined) await services.store.shared.catchUp();
  for (let tries = 1; ; tries++) {
    const seen = services.store.snapshot().get(key);
    if (seen === undefined) throw notFound(resourceName(definition), name);
    await prepareRead(definition, [seen]);
    const live = readStored(definition, seen);
    planDeletion(definition, live, request.wish, services.clock.now());
    await admitRequest(services.admission, admissionFor(services, request, live));
    let isStale = false;
    try {
      const outcome = await writeDeletion(services, request, (current) => {
        isStale = current.metadata.resourceVersion !== live.metadata.resourceVersion;
        if (isStale) throw conflict(resourceName(definition), name, 'the object has been modified');
      });
      await prepareRead(definition, [outcome.view]);
      return outcome;
    } catch (err) {
      if (!isStale || tries === MAX_TRIES || context.request.signal.aborted) throw err;
    }
  }
}

/** `admit` runs on the state that is written over, and throws to refuse. */
async function writeDeletion(
  services: RegistryServices,
  request: DeleteObjectRequest,
  admit: (live: KubeObject) => void,
): Promise<DeleteOutcome> {
  const { definition, namespace, name } = request;
  let isRemoved = false;
  let last: KubeObject | undefined;
  const result = await writeToStore(services, request.context, storageKey(definition, namespace, name), (current) => {
    if (current === undefined) throw notFound(resourceName(definition), name);
    // A deletion changes metadata alone, which needs no conversion: what would have to be waited for stays in its stored form.
    last = definition.conversion?.prepare === undefined ? readStored(definition, current) : storedForm(current);
    const plan = planDeletion(definition, last, request.wish, services.clock.now());
    admit(last);
    const decision = decide(services, request, plan);
    isRemoved = decision.kind === 'delete';
    return request.dryRun ? { kind: 'unchanged' } : decision;
  });
  if (result.object === undefined) throw notFound(resourceName(definition), name);
  if (isRemoved && !request.dryRun && last !== undefined) definition.afterDelete?.(last, services.store);
  return { isRemoved, view: result.object };
}

const storedForm = (stored: ObjectView) => stored.object() as KubeObject;

function decide(services: RegistryServices, { definition }: DeleteObjectRequest, plan: DeletionPlan): WriteDecision {
  if (plan.kind === 'remove') return { kind: 'delete' };
  if (plan.kind === 'wait') return { kind: 'unchanged' };
  delete plan.object.metadata.resourceVersion;
  const { conversion } = definition;
  if (conversion?.prepare !== undefined) {
    return { kind: 'put', value: storedFormValue(services, conversion, plan.object) };
  }
  const object = services.format.canonicalize(plan.object, definition);
  const durability = definition.volatileTtlMs === undefined ? 'durable' : 'volatile';
  return { kind: 'put', value: toNewValue(services, definition, object, durability) };
}

function targetOf(services: RegistryServices, request: DeleteObjectRequest): AdmissionTarget {
  const { context, definition, namespace, name, dryRun } = request;
  return {
    operation: 'DELETE',
    resource: definition,
    subresource: '',
    namespace: definition.resource === 'namespaces' && definition.group === '' ? name : namespace,
    name,
    user: context.user,
    dryRun,
    context,
    objects: services,
  };
}

function admissionFor(
  services: RegistryServices,
  request: DeleteObjectRequest,
  oldObject: KubeObject,
): AdmissionRequest {
  return { ...targetOf(services, request), object: undefined, oldObject, deletion: request.wish };
}
