import { type FieldError, forbiddenField, invalid, required, tooLong } from '../object/field-error.ts';
import { parseApiVersion } from '../object/group-version.ts';
import type { ManagedFieldsEntry, ObjectMeta, OwnerReference } from '../object/kube-object.ts';
import { asPrefix, dns1123Label, labelValue, qualifiedName } from './names.ts';

export interface ObjectMetaRules {
  readonly namespaced: boolean;
  /** What is wrong with a name of this kind. */
  validateName(name: string): readonly string[];
}

const MAX_ANNOTATION_BYTES = 256 * 1024;
const MAX_MANAGER_BYTES = 128;

/** Findings on `metadata` that hold for every kind, at creation. */
export function validateObjectMeta(meta: ObjectMeta, rules: ObjectMetaRules): FieldError[] {
  const errors: FieldError[] = [];
  const validateName = (name: string) => rules.validateName(name);
  if (meta.generateName !== undefined && meta.generateName !== '') {
    errors.push(...findings('metadata.generateName', meta.generateName, asPrefix(validateName)(meta.generateName)));
  }
  if (meta.name === undefined || meta.name === '') {
    errors.push(required('metadata.name', 'name or generateName is required'));
  } else {
    errors.push(...findings('metadata.name', meta.name, validateName(meta.name)));
  }
  errors.push(...validateNamespace(meta.namespace ?? '', rules.namespaced));
  errors.push(...validateCommon(meta));
  return errors;
}

/** Findings on a change of `metadata`. The server has filled in what clients may leave out (uid, creationTimestamp) before. */
export function validateObjectMetaUpdate(next: ObjectMeta, old: ObjectMeta): FieldError[] {
  const errors: FieldError[] = [];
  if (old.deletionTimestamp !== undefined) {
    const added = (next.finalizers ?? []).filter((name) => !(old.finalizers ?? []).includes(name));
    if (added.length > 0) {
      const shown = added.map((name) => JSON.stringify(name)).join(', ');
      errors.push(
        forbiddenField(
          'metadata.finalizers',
          `no new finalizers can be added if the object is being deleted, found new finalizers []string{${shown}}`,
        ),
      );
    }
  }
  if ((next.generation ?? 0) < (old.generation ?? 0)) {
    errors.push(invalid('metadata.generation', next.generation ?? 0, 'must not be decremented'));
  }
  for (const field of IMMUTABLE) {
    if ((next[field] ?? null) !== (old[field] ?? null)) {
      errors.push(invalid(`metadata.${field}`, next[field], 'field is immutable'));
    }
  }
  errors.push(...validateCommon(next));
  return errors;
}

const IMMUTABLE = [
  'name',
  'namespace',
  'uid',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
] as const;

const findings = (field: string, value: unknown, messages: readonly string[]) =>
  messages.map((message) => invalid(field, value, message));

function validateNamespace(namespace: string, isNamespaced: boolean): FieldError[] {
  if (!isNamespaced) return namespace === '' ? [] : [forbiddenField('metadata.namespace', 'not allowed on this type')];
  if (namespace === '') return [required('metadata.namespace')];
  return findings('metadata.namespace', namespace, dns1123Label(namespace));
}

function validateCommon(meta: ObjectMeta): FieldError[] {
  const errors: FieldError[] = [];
  if ((meta.generation ?? 0) < 0) {
    errors.push(invalid('metadata.generation', meta.generation, 'must be greater than or equal to 0'));
  }
  if (meta.labels !== undefined) errors.push(...validateLabels(meta.labels, 'metadata.labels'));
  if (meta.annotations !== undefined) errors.push(...validateAnnotations(meta.annotations, 'metadata.annotations'));
  if (meta.ownerReferences !== undefined) errors.push(...validateOwnerReferences(meta.ownerReferences));
  if (meta.finalizers !== undefined) errors.push(...validateFinalizers(meta.finalizers));
  if (meta.managedFields !== undefined) errors.push(...validateManagedFields(meta.managedFields));
  return errors;
}

/** Also for label maps outside metadata: pod templates, selectors. */
export function validateLabels(labels: Readonly<Record<string, string>>, field: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const key of Object.keys(labels)) {
    errors.push(...findings(field, key, qualifiedName(key)));
    errors.push(...findings(field, labels[key], labelValue(labels[key]!)));
  }
  return errors;
}

export function validateAnnotations(annotations: Readonly<Record<string, string>>, field: string): FieldError[] {
  const errors: FieldError[] = [];
  let totalBytes = 0;
  for (const key of Object.keys(annotations)) {
    // Annotation keys may hold capitals in their prefix; everything else is as for labels.
    errors.push(...findings(field, key, qualifiedName(key.toLowerCase())));
    totalBytes += key.length + annotations[key]!.length;
  }
  if (totalBytes > MAX_ANNOTATION_BYTES) errors.push(tooLong(field, MAX_ANNOTATION_BYTES));
  return errors;
}

function validateOwnerReferences(owners: readonly OwnerReference[]): FieldError[] {
  const field = 'metadata.ownerReferences';
  const errors: FieldError[] = [];
  let controller: OwnerReference | undefined;
  for (const owner of owners) {
    const { group, version } = parseApiVersion(owner.apiVersion ?? '');
    if (version === '')
      errors.push(invalid(`${field}.apiVersion`, owner.apiVersion ?? '', 'version must not be empty'));
    for (const part of ['kind', 'name', 'uid'] as const) {
      if ((owner[part] ?? '') === '') errors.push(invalid(`${field}.${part}`, owner[part] ?? '', 'must not be empty'));
    }
    if (owner.kind === 'Event' && (group === '' || group === 'events.k8s.io')) {
      errors.push(invalid(field, owner, `${group}/${version}, Kind=Event is disallowed from being an owner`));
    }
    if (owner.controller !== true) continue;
    if (controller !== undefined) {
      errors.push(
        invalid(
          field,
          owners,
          `Only one reference can have Controller set to true. Found "true" in references for ${controller.name} and ${owner.name}`,
        ),
      );
    }
    controller = owner;
  }
  return errors;
}

function validateFinalizers(finalizers: readonly string[]): FieldError[] {
  const field = 'metadata.finalizers';
  const errors = finalizers.flatMap((name) => findings(field, name, qualifiedName(name)));
  if (finalizers.includes('orphan') && finalizers.includes('foregroundDeletion')) {
    errors.push(invalid(field, finalizers, 'finalizer orphan and foregroundDeletion cannot be both set'));
  }
  return errors;
}

function validateManagedFields(entries: readonly ManagedFieldsEntry[]): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, entry] of entries.entries()) {
    const field = `metadata.managedFields[${index}]`;
    if (entry.operation !== 'Apply' && entry.operation !== 'Update') {
      errors.push(invalid(`${field}.operation`, entry.operation ?? '', 'must be `Apply` or `Update`'));
    }
    if (entry.fieldsType !== undefined && entry.fieldsType !== 'FieldsV1') {
      errors.push(invalid(`${field}.fieldsType`, entry.fieldsType, 'must be `FieldsV1`'));
    }
    errors.push(...validateFieldManager(entry.manager ?? '', `${field}.manager`));
  }
  return errors;
}

/** A field manager's name, from managedFields or the request's `fieldManager`. */
export function validateFieldManager(manager: string, field = 'fieldManager'): FieldError[] {
  const errors: FieldError[] = [];
  if (Buffer.byteLength(manager) > MAX_MANAGER_BYTES) errors.push(tooLong(field, MAX_MANAGER_BYTES));
  if (/[^\P{C}\u00ad]|[^\P{Z} ]/u.test(manager))
    errors.push(invalid(field, manager, 'should only contain printable characters'));
  return errors;
}
