import { type LabelSelectorObject, labelSelectorFrom } from '#api/meta/label-selector.ts';
import { type FieldError, invalid, notSupported, required } from '#api/object/field-error.ts';
import type { PodTemplateSpec } from '../pod/pod-types.ts';
import { validatePodTemplate } from '../pod/validation.ts';
import { validateLabelSelector } from '../validation/label-selector.ts';

/** Selectors of workloads: present, not empty, and matching the labels of their own template. */
export function validateWorkloadSelector(
  selector: LabelSelectorObject | undefined,
  template: PodTemplateSpec | undefined,
  kind: string,
): FieldError[] {
  const labels = template?.metadata?.labels ?? {};
  const mismatch = () =>
    invalid('spec.template.metadata.labels', labels, '`selector` does not match template `labels`');
  if (selector === undefined) return [required('spec.selector'), ...(template === undefined ? [] : [mismatch()])];
  const errors = validateLabelSelector(selector, 'spec.selector');
  const isEmpty = Object.keys(selector.matchLabels ?? {}).length + (selector.matchExpressions ?? []).length === 0;
  if (isEmpty) errors.push(invalid('spec.selector', selector, `empty selector is invalid for ${kind}`));
  if (errors.length > 0 || template === undefined) return errors;
  return labelSelectorFrom(selector).matches(labels) ? [] : [mismatch()];
}

/** Templates of workloads whose pods run for ever. */
export function validateLongRunningTemplate(template: PodTemplateSpec | undefined): FieldError[] {
  if (template === undefined) return [required('spec.template')];
  const errors = validatePodTemplate(template, 'spec.template');
  const { restartPolicy, activeDeadlineSeconds } = template.spec ?? {};
  if (restartPolicy !== undefined && restartPolicy !== 'Always') {
    errors.push(notSupported('spec.template.spec.restartPolicy', restartPolicy, ['Always']));
  }
  if (activeDeadlineSeconds !== undefined) {
    errors.push({
      type: 'FieldValueForbidden',
      field: 'spec.template.spec.activeDeadlineSeconds',
      message: 'Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported',
    });
  }
  return errors;
}
