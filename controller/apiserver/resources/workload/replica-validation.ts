import { type LabelSelectorObject, labelSelectorFrom } from '#api/meta/label-selector.ts';
import { type FieldError, forbiddenField, invalid, notSupported, required } from '#api/object/field-error.ts';
import type { PodTemplateSpec } from '../pod/pod-types.ts';
import { validatePodTemplate } from '../pod/validation.ts';
import { validateNonNegative } from '../validation/format.ts';
import { validateLabelSelector } from '../validation/label-selector.ts';

/** Selectors of workloads: present, not empty, and matching the labels of their own template. */
export function validateWorkloadSelector(
  selector: LabelSelectorObject | undefined,
  template: PodTemplateSpec | undefined,
  kind: string,
): FieldError[] {
  if (selector === undefined) {
    return [required('spec.selector'), ...(template === undefined ? [] : [mismatch(template)])];
  }
  const errors = validateLabelSelector(selector, 'spec.selector');
  const isEmpty = Object.keys(selector.matchLabels ?? {}).length + (selector.matchExpressions ?? []).length === 0;
  if (isEmpty) errors.push(invalid('spec.selector', selector, `empty selector is invalid for ${kind}`));
  if (errors.length > 0 || template === undefined) return errors;
  return templateMismatch(selector, template);
}

function mismatch({ metadata }: PodTemplateSpec): FieldError {
  const labels = metadata?.labels ?? {};
  return invalid('spec.template.metadata.labels', labels, '`selector` does not match template `labels`');
}

/** A workload whose selector, valid in itself, misses the pods of its own template would create them for ever. */
export function templateMismatch(selector: LabelSelectorObject, template: PodTemplateSpec | undefined): FieldError[] {
  if (template === undefined || labelSelectorFrom(selector).matches(template.metadata?.labels ?? {})) return [];
  return [mismatch(template)];
}

/** Templates of workloads whose pods run for ever; `kind` appears in what is said about deadlines. */
export function validateLongRunningTemplate(template: PodTemplateSpec | undefined, kind: string): FieldError[] {
  if (template === undefined) return [required('spec.template')];
  return [...validatePodTemplate(template, 'spec.template'), ...validateRunsForEver(template, kind)];
}

export function validateRunsForEver({ spec }: PodTemplateSpec, kind: string): FieldError[] {
  const errors: FieldError[] = [];
  const { restartPolicy, activeDeadlineSeconds } = spec ?? {};
  if (restartPolicy !== undefined && restartPolicy !== 'Always') {
    errors.push(notSupported('spec.template.spec.restartPolicy', restartPolicy, ['Always']));
  }
  if (activeDeadlineSeconds !== undefined) {
    errors.push(
      forbiddenField('spec.template.spec.activeDeadlineSeconds', `activeDeadlineSeconds in ${kind} is not Supported`),
    );
  }
  return errors;
}

/** Counters of name collisions only grow: an old value would bring the collision back. */
export function validateNoDecrement(value: number | undefined, old: number | undefined, path: string): FieldError[] {
  return old !== undefined && (value ?? -1) < old ? [invalid(path, value ?? 0, 'cannot be decremented')] : [];
}

const COUNTS = [
  'replicas',
  'fullyLabeledReplicas',
  'readyReplicas',
  'availableReplicas',
  'observedGeneration',
] as const;
type Counts = { readonly [K in (typeof COUNTS)[number]]?: number };

/** The status of ReplicaSets and ReplicationControllers. */
export function validateReplicaCounts(status: Counts = {}): FieldError[] {
  const errors = COUNTS.flatMap((field) => validateNonNegative(status[field], `status.${field}`));
  const { replicas = 0, readyReplicas = 0, availableReplicas = 0 } = status;
  for (const field of ['fullyLabeledReplicas', 'readyReplicas', 'availableReplicas'] as const) {
    if ((status[field] ?? 0) > replicas) {
      errors.push(invalid(`status.${field}`, status[field], 'cannot be greater than status.replicas'));
    }
  }
  if (availableReplicas > readyReplicas) {
    errors.push(invalid('status.availableReplicas', availableReplicas, 'cannot be greater than readyReplicas'));
  }
  return errors;
}
