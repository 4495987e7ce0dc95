import { badRequest, conflict, notFound } from '#api/object/api-error.ts';
import { deepEqual } from '#api/object/deep-equal.ts';
import { invalid, invalidObject } from '#api/object/field-error.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { NewValue, StoredObject, WriteDecision } from '../../store/store.ts';
import type { AdmissionRequest, AdmissionTarget, Reservation } from '../admission/admission-plugin.ts';
import type { RequestContext } from '../chain/request-context.ts';
import { FIELD_IMMUTABLE } from '../resources/validation/format.ts';
import {
  awaitMutatingAdmission,
  awaitsAdmission,
  awaitValidatingAdmission,
  runMutatingAdmission,
  runValidatingAdmission,
} from './admit.ts';
import { release, releaseReservations } from './create-object.ts';
import { isDeletionComplete } from './deletion-plan.ts';
import { isNoOp, prepareRead, readStored, toNewValue, viewOf } from './encode-object.ts';
import { withRecordedUpdate } from './field-manager.ts';
import { deletionFieldErrors } from './metadata-validation.ts';
import { carrySystemFields, copyObject, isDesiredStateChanged, shareUnchanged } from './object-meta.ts';
import { type ObjectView, type RegistryServices, strategyContext } from './registry-services.ts';
import { resourceName, storageKey } from './resource-catalog.ts';
import type { Allocation, ResourceDefinition, StrategyContext, SubresourceDefinition } from './resource-definition.ts';
import { validateChanged } from './validate-object.ts';
import { writeToStore } from './write-to-store.ts';

/** An update that waits on its way to the write starts over this often when the object changed under it. */
const MAX_TRIES = 20;

export interface UpdateRequest {
  readonly context: RequestContext;
  readonly definition: ResourceDefinition;
  readonly namespace: string;
  readonly name: string;
  /** Which of the strategy's rules hold; `raw` skips them and the bookkeeping of managedFields. */
  readonly as: 'main' | 'status' | 'raw';
  /** '' for the main resource. */
  readonly subresource: string;
  /** Set where clients see another face of the object (scale): admission is shown that face. */
  readonly face?: SubresourceDefinition;
  readonly dryRun: boolean;
  readonly manager: string;
  /** True for server-side apply, whose `change` computes managedFields itself. */
  readonly keepManagedFields?: boolean;
  /** True for PUT: without resourceVersion only kinds that allow it may be updated. */
  readonly requireVersion?: boolean;
  /**
   * The wanted state from the current one, which is frozen. Pure, as it may run again; must answer a private copy. A resourceVersion or
   * uid in the answer is a precondition.
   */
  change(current: KubeObject): KubeObject;
}

/** Read-modify-write through admission and strategy. Rejects with 404, 409, 422 and whatever `change` throws. */
export function updateObject(services: RegistryServices, request: UpdateRequest): Promise<ObjectView> {
  const allocates = allocatesFor(request);
  const waits =
    allocates ||
    request.definition.conversion?.prepare !== undefined ||
    (request.as !== 'raw' && awaitsAdmission(services.admission, targetOf(services, request)));
  return waits ? updateFromSnapshot(services, request, allocates) : updateInPlace(services, request);
}

const allocatesFor = ({ definition, as }: UpdateRequest): boolean => definition.allocate !== undefined && as === 'main';

async function updateInPlace(services: RegistryServices, request: UpdateRequest): Promise<ObjectView> {
  let outcome: Outcome | undefined;
  const result = await writeToStore(services, request.context, keyOf(request), (current) => {
    const live = liveObject(request, current);
    const next = computeNext(services, request, live);
    outcome = decideWrite(services, request, { stored: current as StoredObject, live, next });
    return outcome.decision;
  });
  return finish(services, request, outcome, result);
}

/**
 * Allocation and some plug-ins of admission are asynchronous. They work on the newest durable state, and the write then insists on it:
 * what changed in between makes everything start over, as Kubernetes' GuaranteedUpdate does.
 */
async function updateFromSnapshot(
  services: RegistryServices,
  request: UpdateRequest,
  allocates: boolean,
): Promise<ObjectView> {
  // What is refused before the write was not looked at by it.
  if (services.store.shared !== undefined) await services.store.shared.catchUp();
  for (let tries = 1; ; tries++) {
    const seen = services.store.snapshot().get(keyOf(request));
    if (seen !== undefined) await prepareRead(request.definition, [seen]);
    const attempt: Attempt = {
      seen: seen as StoredObject,
      live: liveObject(request, seen),
      reservations: [],
      isStale: false,
    };
    try {
      const view = await makeAttempt(services, request, attempt, allocates);
      await prepareRead(request.definition, [view]);
      return view;
    } catch (err) {
      await release(attempt.allocation);
      await releaseReservations(attempt);
      if (!attempt.isStale || tries === MAX_TRIES || request.context.request.signal.aborted) throw err;
    }
  }
}

async function makeAttempt(
  services: RegistryServices,
  request: UpdateRequest,
  attempt: Attempt,
  allocates: boolean,
): Promise<ObjectView> {
  const { definition, context, dryRun } = request;
  const next = await computeNextAwaited(services, request, attempt);
  await definition.conversion?.prepare?.write(next);
  const strategy = strategyContext(services, context, dryRun);
  if (allocates) attempt.allocation = await definition.allocate?.(next, attempt.live, services.store, strategy);
  return writeAttempt(services, request, attempt, next);
}

interface Attempt {
  readonly seen: StoredObject;
  readonly live: KubeObject;
  allocation?: Allocation | undefined;
  /** What admission took for it. */
  readonly reservations: Reservation[];
  /** Set when the object is no longer the one that was seen. */
  isStale: boolean;
}

async function writeAttempt(
  services: RegistryServices,
  request: UpdateRequest,
  attempt: Attempt,
  next: KubeObject,
): Promise<ObjectView> {
  const { seen, live, allocation } = attempt;
  let outcome: Outcome | undefined;
  const result = await writeToStore(services, request.context, keyOf(request), (current) => {
    attempt.isStale = current === undefined || current.revision !== seen.revision;
    if (attempt.isStale) throw conflict(resourceName(request.definition), request.name, MODIFIED);
    outcome = decideWrite(services, request, { stored: current as StoredObject, live, next });
    return outcome.decision;
  });
  if (request.dryRun) await allocation?.release();
  else await allocation?.commit?.();
  return finish(services, request, outcome, result);
}

const MODIFIED = 'the object has been modified; please apply your changes to the latest version and try again';

interface Outcome {
  readonly decision: WriteDecision;
  /** What was to be written. */
  readonly value: NewValue;
}

interface States {
  readonly stored: StoredObject;
  readonly live: KubeObject;
  readonly next: KubeObject;
}

function decideWrite(services: RegistryServices, request: UpdateRequest, { stored, live, next }: States): Outcome {
  const { definition } = request;
  const isVolatile = definition.volatileTtlMs !== undefined || definition.isVolatileUpdate(live, next);
  const value = toNewValue(services, definition, next, isVolatile ? 'volatile' : 'durable');
  if (request.dryRun || isNoOp(value, stored)) return { decision: { kind: 'unchanged' }, value };
  if (isDeletionComplete(definition, next)) return { decision: { kind: 'delete' }, value };
  return { decision: { kind: 'put', value }, value };
}

function finish(
  services: RegistryServices,
  request: UpdateRequest,
  outcome: Outcome | undefined,
  result: { readonly object: StoredObject | undefined; readonly revision: number },
): ObjectView {
  if (outcome === undefined) throw notFound(resourceName(request.definition), request.name);
  if (request.dryRun) return viewOf(outcome.value, result.object?.revision);
  if (outcome.decision.kind === 'delete') {
    const last = viewOf(outcome.value, result.revision);
    request.definition.afterDelete?.(readStored(request.definition, last), services.store);
    return last;
  }
  return result.object ?? viewOf(outcome.value, result.revision);
}

function liveObject(request: UpdateRequest, current: StoredObject | undefined): KubeObject {
  if (current === undefined) throw notFound(resourceName(request.definition), request.name);
  return readStored(request.definition, current);
}

const keyOf = (request: UpdateRequest) => storageKey(request.definition, request.namespace, request.name);

/** The canonical state after the request, or the reason why not. */
function computeNext(services: RegistryServices, request: UpdateRequest, live: KubeObject): KubeObject {
  const change = beginUpdate(services, request, live);
  const { admission } = change;
  if (admission === undefined) return services.format.canonicalize(change.next, request.definition);
  const asked = runMutatingAdmission(services.admission, admission);
  completeUpdate(services, request, change, asked);
  runValidatingAdmission(services.admission, admission);
  return finishUpdate(services, request, change);
}

/** The same with plug-ins that wait for somebody. */
async function computeNextAwaited(
  services: RegistryServices,
  request: UpdateRequest,
  { live, reservations }: Attempt,
): Promise<KubeObject> {
  const change = beginUpdate(services, request, live);
  const { admission } = change;
  if (admission === undefined) return services.format.canonicalize(change.next, request.definition);
  admission.reservations = reservations;
  await awaitMutatingAdmission(services.admission, admission);
  completeUpdate(services, request, change, true);
  await awaitValidatingAdmission(services.admission, admission);
  return finishUpdate(services, request, change);
}

interface Change {
  readonly live: KubeObject;
  /** Private; the object itself, also where admission sees a face of it. */
  next: KubeObject;
  readonly wishedFields: KubeObject['metadata']['managedFields'];
  /** Undefined for raw updates. */
  readonly admission: AdmissionRequest | undefined;
}

/** What the client wants, as mutating admission sees it. */
function beginUpdate(services: RegistryServices, request: UpdateRequest, live: KubeObject): Change {
  const { definition, as } = request;
  const next = request.change(live);
  checkIdentity(request, next, live);
  const wishedFields = next.metadata.managedFields;
  carrySystemFields(next.metadata, live.metadata);
  delete next.metadata.resourceVersion;
  if (as === 'raw') return { live, next, wishedFields, admission: undefined };
  separateStatus(request, next, live);
  services.format.applyDefaults(next, definition);
  definition.applyDefaults(next);
  return { live, next, wishedFields, admission: admissionFor(services, request, next, live) };
}

/** Takes over what mutating admission made of it, and asks the strategy whether that may be. */
function completeUpdate(services: RegistryServices, request: UpdateRequest, change: Change, asked: boolean): void {
  const { definition, context, as } = request;
  const { admission, live } = change;
  if (asked && admission?.object !== undefined) takeOver(services, request, change, admission.object);
  const { next } = change;
  const strategy = strategyContext(services, context, request.dryRun);
  if (as === 'status') definition.prepareForStatusUpdate(next, live, strategy);
  else definition.prepareForUpdate(next, live, strategy);
  // An allocation writes into the new state.
  if (!allocatesFor(request)) shareUnchanged(next, live);
  validate(request, next, live, strategy);
}

function takeOver(
  services: RegistryServices,
  { face, definition }: UpdateRequest,
  change: Change,
  admitted: KubeObject,
): void {
  if (face?.face !== undefined) change.next = copyObject(face.face.apply(admitted, change.next));
  else if (admitted !== change.next) {
    change.next = admitted;
    carrySystemFields(admitted.metadata, change.live.metadata);
    delete admitted.metadata.resourceVersion;
  }
  services.format.applyDefaults(change.next, definition);
}

function finishUpdate(services: RegistryServices, request: UpdateRequest, change: Change): KubeObject {
  const { definition, as, manager, subresource } = request;
  const { live, next, wishedFields } = change;
  const { managedFields } = live.metadata;
  if (wishedFields === undefined) delete next.metadata.managedFields;
  else next.metadata.managedFields = deepEqual(wishedFields, managedFields) ? managedFields : wishedFields;
  // What another version of the kind, or the present schema of a custom one, makes of the stored object need not be canonical.
  const known = definition.conversion === undefined ? live : undefined;
  const canonical = services.format.canonicalize(next, definition, known);
  if (definition.hasGeneration && as === 'main' && isDesiredStateChanged(canonical, live, definition.hasStatus)) {
    canonical.metadata.generation = (live.metadata.generation ?? 0) + 1;
  }
  if (request.keepManagedFields) return canonical;
  return withRecordedUpdate(services, { definition, live, next: canonical, manager, subresource });
}

function validate(request: UpdateRequest, next: KubeObject, live: KubeObject, strategy: StrategyContext): void {
  const { definition, context } = request;
  const as = request.as === 'status' ? 'status' : 'main';
  context.warnings.push(...definition.warnings(next, live));
  validateChanged(definition, { next, old: live, as }, strategy);
}

/** Name, namespace, uid and resourceVersion of the wanted state must fit the object that is there. */
function checkIdentity(request: UpdateRequest, next: KubeObject, live: KubeObject): void {
  const { definition, name } = request;
  const { metadata } = next;
  if (!metadata.name) {
    throw badRequest(`the name of the object (${name} based on URL) was undeterminable: name must be provided`);
  }
  if (metadata.name !== name) {
    throw badRequest(`the name of the object (${metadata.name}) does not match the name on the URL (${name})`);
  }
  if (metadata.namespace && metadata.namespace !== (live.metadata.namespace ?? '')) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  }
  const isOther = Boolean(metadata.uid) && metadata.uid !== live.metadata.uid;
  // A whole object with another uid is another object; a patch that brings one along is a change that may not be.
  const isPatch = request.context.info.verb === 'patch' && request.face === undefined;
  if (isOther && !isPatch) {
    const why = `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${live.metadata.uid}`;
    throw conflict(resourceName(definition), name, why);
  }
  checkVersion(request, metadata.resourceVersion ?? '', live);
  const errors = deletionFieldErrors(metadata, live.metadata);
  if (isOther) errors.push(invalid('metadata.uid', metadata.uid, FIELD_IMMUTABLE));
  if (errors.length > 0) throw invalidObject(definition, name, errors);
}

function checkVersion(request: UpdateRequest, version: string, live: KubeObject): void {
  const { definition, name } = request;
  if (version === '' || version === '0') {
    if (!request.requireVersion || definition.allowUnconditionalUpdate) return;
    // Go prints the unset version so, and names the resource in place of the kind: scripts look for the sentence.
    const message = 'Invalid value: 0x0: must be specified for an update';
    const kind = { ...definition, kind: definition.resource };
    throw invalidObject(kind, name, [{ type: 'FieldValueInvalid', field: 'metadata.resourceVersion', message }]);
  }
  if (version !== live.metadata.resourceVersion) throw conflict(resourceName(definition), name, MODIFIED);
}

/** Spec writes keep the old status; status writes keep everything else but metadata, of which the strategy has its own opinion. */
function separateStatus(request: UpdateRequest, next: KubeObject, live: KubeObject): void {
  if (!request.definition.hasStatus) return;
  if (request.as === 'main') {
    restore(next, live, 'status');
    return;
  }
  for (const field of new Set([...Object.keys(next), ...Object.keys(live)])) {
    if (field !== 'status' && field !== 'metadata') restore(next, live, field);
  }
  const { ownerReferences } = live.metadata;
  if (ownerReferences === undefined) delete next.metadata.ownerReferences;
  else next.metadata.ownerReferences = ownerReferences;
}

function restore(next: KubeObject, live: KubeObject, field: string): void {
  if (live[field] === undefined) delete next[field];
  else next[field] = copyObject(live[field]);
}

function targetOf(services: RegistryServices, request: UpdateRequest): AdmissionTarget {
  const { context, definition, namespace, name, subresource, dryRun } = request;
  return {
    operation: 'UPDATE',
    resource: definition,
    subresource,
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
  request: UpdateRequest,
  next: KubeObject,
  live: KubeObject,
): AdmissionRequest {
  const target = targetOf(services, request);
  const { face } = request;
  if (face?.face === undefined) return { ...target, object: next, oldObject: live };
  const object = face.face.get(next);
  const oldObject = face.face.beforeChange?.(live) ?? face.face.get(live);
  return { ...target, object, oldObject, kind: face.kind };
}
