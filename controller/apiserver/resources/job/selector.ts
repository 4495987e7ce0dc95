import { labelSelectorFrom } from '#api/meta/label-selector.ts';
import { type FieldError, invalid, required } from '#api/object/field-error.ts';
import type { Job } from '#api/object/kinds.ts';
import { validateLabelSelector } from '../validation/label-selector.ts';

const CONTROLLER_UID = 'batch.kubernetes.io/controller-uid';
const JOB_NAME = 'batch.kubernetes.io/job-name';
/** The names that these labels had first; pods carry both. */
const LEGACY_CONTROLLER_UID = 'controller-uid';
const LEGACY_JOB_NAME = 'job-name';

function ownLabels({ metadata: { name, uid } }: Job): Readonly<Record<string, string>> {
  return { [LEGACY_JOB_NAME]: name, [JOB_NAME]: name, [LEGACY_CONTROLLER_UID]: uid, [CONTROLLER_UID]: uid };
}

/**
 * Gives a Job a selector that matches its own pods and no others. Labels and selectors that are there already are left for
 * validation to judge.
 */
export function generateSelector(job: Job): void {
  const { spec } = job;
  if (spec === undefined || spec.manualSelector === true || spec.template === undefined) return;
  const { template } = spec;
  template.metadata = { ...template.metadata, labels: { ...ownLabels(job), ...template.metadata?.labels } };
  const { matchLabels, ...rest } = spec.selector ?? {};
  spec.selector = { ...rest, matchLabels: { [CONTROLLER_UID]: job.metadata.uid, ...matchLabels } };
}

/** Generated selectors and labels must say this very Job. */
export function validateGeneratedSelector(job: Job): FieldError[] {
  const { spec, metadata } = job;
  if (spec?.manualSelector === true || spec?.selector === undefined) return [];
  if (!metadata.uid) return [required('metadata.uid')];
  const labels = spec.template?.metadata?.labels ?? {};
  const expected = ownLabels(job);
  const errors = Object.entries(expected).flatMap(([key, value]) => {
    const path = `spec.template.metadata.labels[${key}]`;
    const message = `must be '${value}'`;
    if (!Object.hasOwn(labels, key)) return [required(path, message)];
    return labels[key] === value ? [] : [invalid(path, labels, message)];
  });
  // One that is no selector at all is told by those who judge selectors.
  if (validateLabelSelector(spec.selector, 'spec.selector').length > 0) return errors;
  if (!labelSelectorFrom(spec.selector).matches(expected)) {
    errors.push(invalid('spec.selector', spec.selector, '`selector` not auto-generated'));
  }
  return errors;
}
