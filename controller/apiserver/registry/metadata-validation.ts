import { asPrefix, labelValue, qualifiedName } from '#api/meta/names.ts';
import { type FieldError, forbiddenField, invalid, required, tooLong } from '#api/object/field-error.ts';
import { parseApiVersion } from '#api/object/group-version.ts';
import type { KubeObject, ObjectMeta, OwnerReference } from '#api/object/kube-object.ts';
import { FIELD_IMMUTABLE } from '../resources/validation/format.ts';
import type { ResourceDefinition } from './resource-definition.ts';

/** All annotations of an object together. */
const MAX_ANNOTATIONS_BYTES = 256 * 1024;

/** Finalizers of Kubernetes' own that have no domain prefix. */
const STANDARD_FINALIZERS: ReadonlySet<string> = new Set(['orphan', 'foregroundDeletion', 'kubernetes']);

/** Findings on metadata that hold for every kind (`ValidateObjectMeta`). */
export function metadataErrors(definition: ResourceDefinition, object: KubeObject): FieldError[] {
  const { name = '', generateName = '', labels, annotations, ownerReferences, finalizers } = object.metadata;
  const errors: FieldError[] = [];
  // Step by step, because most objects have little of all this.
  if (generateName !== '') {
    const validatePrefix = asPrefix((prefix) => definition.validateName(prefix));
    errors.push(...validatePrefix(generateName).map((why) => invalid('metadata.generateName', generateName, why)));
  }
  for (const why of definition.validateName(name)) errors.push(invalid('metadata.name', name, why));
  if (labels) errors.push(...labelErrors(labels));
  if (annotations) errors.push(...annotationErrors(annotations));
  if (ownerReferences) errors.push(...ownerErrors(ownerReferences));
  if (finalizers) errors.push(...finalizerErrors(finalizers));
  return errors;
}

/** A deletion is asked for as one: no update can begin it, or change how long it may take. */
export function deletionFieldErrors(wished: ObjectMeta, old: ObjectMeta): FieldError[] {
  const errors: FieldError[] = [];
  const { deletionGracePeriodSeconds: grace, deletionTimestamp: time } = wished;
  if (grace !== undefined && grace !== old.deletionGracePeriodSeconds) {
    errors.push(invalid('metadata.deletionGracePeriodSeconds', grace, FIELD_IMMUTABLE));
  }
  // Of what is being deleted, the time that the server knows is taken over below.
  if (time && old.deletionTimestamp === undefined)
    errors.push(invalid('metadata.deletionTimestamp', time, FIELD_IMMUTABLE));
  return errors;
}

/** Findings on a change of metadata: what is on its way out takes no new guardians. */
export function metadataUpdateErrors(next: KubeObject, old: KubeObject): FieldError[] {
  if (old.metadata.deletionTimestamp === undefined) return [];
  const known = new Set(old.metadata.finalizers ?? []);
  const added = [...new Set(next.metadata.finalizers ?? [])].filter((finalizer) => !known.has(finalizer)).sort();
  if (added.length === 0) return [];
  const list = added.map((finalizer) => JSON.stringify(finalizer)).join(', ');
  const detail = `no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`;
  return [forbiddenField('metadata.finalizers', detail)];
}

function labelErrors(labels: Readonly<Record<string, string>>): FieldError[] {
  return Object.entries(labels).flatMap(([key, value]) => [
    ...qualifiedName(key).map((why) => invalid('metadata.labels', key, why)),
    ...labelValue(value).map((why) => invalid('metadata.labels', value, why)),
  ]);
}

function annotationErrors(annotations: Readonly<Record<string, string>>): FieldError[] {
  const errors: FieldError[] = [];
  let bytes = 0;
  for (const [key, value] of Object.entries(annotations)) {
    errors.push(...qualifiedName(key.toLowerCase()).map((why) => invalid('metadata.annotations', key, why)));
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (bytes > MAX_ANNOTATIONS_BYTES) errors.push(tooLong('metadata.annotations', MAX_ANNOTATIONS_BYTES));
  return errors;
}

const NOT_EMPTY = 'must not be empty';

function ownerErrors(owners: readonly OwnerReference[]): FieldError[] {
  const at = 'metadata.ownerReferences';
  const errors: FieldError[] = [];
  let controller: OwnerReference | undefined;
  for (const owner of owners) {
    const { apiVersion = '', kind = '', name = '', uid = '' } = owner;
    if (parseApiVersion(apiVersion).version === '') {
      errors.push(invalid(`${at}.apiVersion`, apiVersion, 'version must not be empty'));
    }
    for (const [field, value] of Object.entries({ kind, name, uid })) {
      if (value === '') errors.push(invalid(`${at}.${field}`, value, NOT_EMPTY));
    }
    // Events come in such numbers, and go so soon, that nothing may hang on one.
    if (apiVersion === 'v1' && kind === 'Event') {
      errors.push(invalid(at, owner, '/v1, Kind=Event is disallowed from being an owner'));
    }
    if (owner.controller !== true) continue;
    if (controller === undefined) controller = owner;
    else {
      const found = `Found "true" in references for ${controller.name} and ${name}`;
      errors.push(invalid(at, owners, `Only one reference can have Controller set to true. ${found}`));
    }
  }
  return errors;
}

function finalizerErrors(finalizers: readonly string[]): FieldError[] {
  const errors = finalizers.flatMap((finalizer) => {
    if (finalizer === '') return [required('metadata.finalizers')];
    const why = qualifiedName(finalizer);
    if (why.length > 0) return why.map((text) => invalid('metadata.finalizers', finalizer, text));
    if (finalizer.includes('/') || STANDARD_FINALIZERS.has(finalizer)) return [];
    return [
      invalid('metadata.finalizers', finalizer, 'name is neither a standard finalizer name nor is it fully qualified'),
    ];
  });
  if (finalizers.includes('orphan') && finalizers.includes('foregroundDeletion')) {
    errors.push(forbiddenField('metadata.finalizers', 'finalizers orphan and foregroundDeletion cannot be both set'));
  }
  return errors;
}
