import {
  ApiError,
  alreadyExists,
  badRequest,
  generatedNameTaken,
  isAlreadyExists,
  isForbidden,
  isNotFound,
} from '#api/object/api-error.ts';
import { invalidObject, required } from '#api/object/field-error.ts';
import type { KubeObject, ObjectMeta } from '#api/object/kube-object.ts';
import { toTime } from '#base/clock.ts';
import type { NewValue, Store, WriteResult } from '../../store/store.ts';
import type { AdmissionRequest } from '../admission/admission-plugin.ts';
import type { RequestContext } from '../chain/request-context.ts';
import {
  awaitMutatingAdmission,
  awaitsAdmission,
  awaitValidatingAdmission,
  runMutatingAdmission,
  runValidatingAdmission,
} from './admit.ts';
import { metadataOf, toNewValue, viewOf } from './encode-object.ts';
import { recordEntries } from './field-manager.ts';
import { clearSystemFields, copyObject, generateName } from './object-meta.ts';
import { type ObjectView, type RegistryServices, strategyContext } from './registry-services.ts';
import { resourceName, storageKey } from './resource-catalog.ts';
import type { Allocation, ResourceDefinition } from './resource-definition.ts';
import { validateNew } from './validate-object.ts';
import { writeToStore } from './write-to-store.ts';

/** Names are drawn again this often when a generated one is taken. */
const MAX_GENERATED_TRIES = 8;

export interface CreateRequest {
  readonly context: RequestContext;
  readonly definition: ResourceDefinition;
  /** '' for cluster-scoped kinds. */
  readonly namespace: string;
  /** Decoded and private to this request. */
  readonly object: KubeObject;
  readonly dryRun: boolean;
  readonly manager: string;
  /** Set by server-side apply, which has computed its own. */
  readonly keepManagedFields?: boolean;
}

/** Runs defaults, admission, strategy and validation over a new object and stores it. Rejects with ApiError. */
export function createObject(services: RegistryServices, request: CreateRequest): Promise<ObjectView> {
  const { shared } = services.store;
  return shared === undefined ? createOnce(services, request) : createAmongOthers(services, request, shared);
}

async function createAmongOthers(
  services: RegistryServices,
  request: CreateRequest,
  shared: NonNullable<Store['shared']>,
): Promise<ObjectView> {
  const { revision } = services.store;
  const spare = copyObject(request.object);
  const warnings = request.context.warnings.length;
  try {
    return await createOnce(services, request);
  } catch (err) {
    if (!isForbidden(err) && !isNotFound(err)) throw err;
    // Admission looks at namespaces and more, which another server may have written a moment ago.
    await shared.catchUp();
    if (services.store.revision === revision) throw err;
    request.context.warnings.length = warnings;
    return createOnce(services, { ...request, object: spare });
  }
}

async function createOnce(services: RegistryServices, request: CreateRequest): Promise<ObjectView> {
  const { metadata } = request.object;
  if ((metadata.resourceVersion ?? '0') !== '0' && metadata.resourceVersion !== '')
    throw badRequest('resourceVersion should not be set on objects to be created');
  const begun = beginCreate(services, request);
  const isAwaited = awaitsAdmission(services.admission, begun.admission);
  if (isAwaited) await awaitMutatingAdmission(services.admission, begun.admission);
  const isMutated = isAwaited || runMutatingAdmission(services.admission, begun.admission);
  const object = begun.admission.object as KubeObject;
  if (isMutated) services.format.applyDefaults(object, request.definition);
  const admitted = { ...begun, isAwaited };
  if (object.metadata.name || !object.metadata.generateName) return await createAdmitted(services, request, admitted);
  return await createDrawingNames(services, request, admitted);
}

/**
 * A generated name is drawn behind mutating admission, which does not see it, and before validating admission, which is asked again for
 * each name that was not taken yet when it was drawn (KEP 4420).
 */
async function createDrawingNames(
  services: RegistryServices,
  request: CreateRequest,
  admitted: AdmittedObject,
): Promise<ObjectView> {
  const { admission } = admitted;
  for (let tries = 1; ; tries++) {
    const object = copyObject(admission.object as KubeObject);
    const name = generateName(object.metadata.generateName ?? '', services.random);
    object.metadata.name = name;
    try {
      return await createAdmitted(services, request, { ...admitted, admission: { ...admission, object, name } });
    } catch (err) {
      if (!isAlreadyExists(err)) throw err;
      if (tries === MAX_GENERATED_TRIES) throw generatedNameTaken(resourceName(request.definition), name);
    }
  }
}

/** What comes behind mutating admission. One function, because each async one that a creation passes costs it two turns of the queue. */
async function createAdmitted(
  services: RegistryServices,
  request: CreateRequest,
  admitted: AdmittedObject,
): Promise<ObjectView> {
  const { definition, context, dryRun } = request;
  let allocation: Allocation | undefined;
  try {
    completeNew(services, request, admitted.admission);
    if (admitted.isAwaited) await awaitValidatingAdmission(services.admission, admitted.admission);
    else runValidatingAdmission(services.admission, admitted.admission);
    const prepared = finishNew(services, request, admitted);
    if (definition.allocate !== undefined) {
      const strategy = strategyContext(services, context, dryRun);
      allocation = await definition.allocate(prepared, undefined, services.store, strategy);
    }
    const conversion = definition.conversion?.prepare;
    if (conversion !== undefined) await conversion.write(prepared);
    const value = newValueOf(services, request, prepared);
    const written = await store(services, request, { object: prepared, value });
    const created = written.object ?? viewOf(value, undefined);
    if (conversion !== undefined) await conversion.read([created]);
    if (dryRun) await allocation?.release();
    else if (allocation?.commit !== undefined) await allocation.commit();
    return created;
  } catch (err) {
    await release(allocation);
    await releaseReservations(admitted.admission);
    throw err;
  }
}

type ManagedFields = ObjectMeta['managedFields'];

interface NewObject {
  /** Holds the object on its way. */
  readonly admission: AdmissionRequest;
  readonly managedFields: ManagedFields;
}

interface AdmittedObject extends NewObject {
  /** A plug-in that waits for somebody handles the request. */
  readonly isAwaited: boolean;
}

/** A new object as mutating admission sees it: defaulted, nothing of the server's own in it yet, not even a generated name. */
function beginCreate(services: RegistryServices, request: CreateRequest): NewObject {
  const { definition, object } = request;
  checkNamespace(definition, object, request.namespace);
  services.format.applyDefaults(object, definition);
  definition.applyDefaults(object);
  return { admission: admissionFor(services, request, object), managedFields: managedFieldsOf(services, request) };
}

/**
 * Who owns what: the client what it said, defaults included. What admission and the strategy add later has no owner, so that an apply
 * which does not mention it leaves it alone.
 */
function managedFieldsOf(services: RegistryServices, request: CreateRequest): ManagedFields {
  const { definition, object, manager } = request;
  if (request.keepManagedFields) return object.metadata.managedFields;
  return recordEntries(services, { definition, live: undefined, next: object, manager, subresource: '' });
}

/** What the server says of a new object, and whether it is valid. */
function completeNew(services: RegistryServices, request: CreateRequest, admission: AdmissionRequest): void {
  const { definition, context, dryRun } = request;
  const strategy = strategyContext(services, context, dryRun);
  const object = admission.object as KubeObject;
  // Webhooks and policies are not ours: what one moved to another namespace must not be stored in this one.
  checkNamespace(definition, object, request.namespace);
  clearSystemFields(object.metadata);
  object.metadata.uid = services.newUid();
  object.metadata.creationTimestamp = toTime(strategy.nowMs);
  if (definition.hasGeneration) object.metadata.generation = 1;
  definition.prepareForCreate(object, strategy);
  requireName(definition, object);
  context.warnings.push(...definition.warnings(object, undefined));
  validateNew(definition, object, strategy);
}

function finishNew(
  services: RegistryServices,
  request: CreateRequest,
  { admission, managedFields }: NewObject,
): KubeObject {
  const object = admission.object as KubeObject;
  if (managedFields === undefined) delete object.metadata.managedFields;
  else object.metadata.managedFields = managedFields;
  return services.format.canonicalize(object, request.definition);
}

function newValueOf(services: RegistryServices, { definition }: CreateRequest, object: KubeObject): NewValue {
  // A kind of which no change at all is a volatile one has volatile fields: heartbeats will come.
  const isVolatile = definition.volatileTtlMs !== undefined || definition.isVolatileUpdate(object, object);
  return toNewValue(services, definition, object, isVolatile ? 'volatile' : 'durable');
}

function store(
  services: RegistryServices,
  { context, definition, namespace, dryRun }: CreateRequest,
  { object, value }: { readonly object: KubeObject; readonly value: NewValue },
): Promise<WriteResult> {
  const name = object.metadata.name ?? '';
  return writeToStore(services, context, storageKey(definition, namespace, name), (current) => {
    if (definition.retired !== undefined) checkStillServed(services, definition);
    if (current !== undefined) throw nameTaken(definition, name, metadataOf(current));
    return dryRun ? { kind: 'unchanged' } : { kind: 'put', value };
  });
}

/** A custom kind can go, or begin to, while a request for it is on its way: an object made then would be nobody's to clean up. */
function checkStillServed({ catalog }: RegistryServices, { group, version, resource }: ResourceDefinition): void {
  const now = catalog.find(group, version, resource);
  if (now === undefined) throw new ApiError(404, 'NotFound', 'the server could not find the requested resource', {});
  if (!now.verbs.includes('create')) throw createWhileTerminating(now);
}

export function createWhileTerminating({ group, resource }: ResourceDefinition): ApiError {
  const message = 'create not allowed while custom resource definition is terminating';
  return new ApiError(405, 'MethodNotAllowed', message, { group, kind: resource });
}

function admissionFor(services: RegistryServices, request: CreateRequest, object: KubeObject): AdmissionRequest {
  const { context, definition, namespace, dryRun } = request;
  return {
    operation: 'CREATE',
    resource: definition,
    subresource: '',
    namespace: namespace === '' && definition.resource === 'namespaces' ? (object.metadata.name ?? '') : namespace,
    name: object.metadata.name ?? '',
    user: context.user,
    object,
    oldObject: undefined,
    dryRun,
    context,
    objects: services,
  };
}

function nameTaken(definition: ResourceDefinition, name: string, live: ObjectMeta): ApiError {
  const taken = alreadyExists(resourceName(definition), name);
  if (live.deletionTimestamp === undefined) return taken;
  return new ApiError(taken.code, taken.reason, `object is being deleted: ${taken.message}`, taken.details);
}

/** The object goes where the path says; a body that says otherwise is a mistake worth refusing, but for what belongs nowhere. */
export function checkNamespace(definition: ResourceDefinition, object: KubeObject, namespace: string): void {
  if (!definition.namespaced) {
    delete object.metadata.namespace;
    return;
  }
  if (object.metadata.namespace && object.metadata.namespace !== namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  }
  object.metadata.namespace = namespace;
}

function requireName(definition: ResourceDefinition, object: KubeObject): void {
  if (object.metadata.name) return;
  throw invalidObject(definition, '', [required('metadata.name', 'name or generateName is required')]);
}

/** Gives back what admission took for a request that wrote nothing. The first failure is the one to tell. */
export async function releaseReservations({ reservations }: Pick<AdmissionRequest, 'reservations'>): Promise<void> {
  for (const reservation of reservations?.splice(0) ?? []) await release(reservation);
}

/** The first failure is the one to tell; a failed release is logged by the allocator itself. */
export async function release(allocation: Pick<Allocation, 'release'> | undefined): Promise<void> {
  try {
    await allocation?.release();
  } catch (err) {
    if (!(err instanceof ApiError)) throw err;
  }
}
