import { dns1123Label, qualifiedName } from '#api/meta/names.ts';
import { type FieldError, invalid, notSupported, required, tooLong } from '#api/object/field-error.ts';
import type { Job } from '#api/object/kinds.ts';
import { validatePodTemplate } from '../pod/validation.ts';
import { validateNonNegative } from '../validation/format.ts';
import { validateLabelSelector } from '../validation/label-selector.ts';
import { templateMismatch } from '../workload/replica-validation.ts';
import { type JobSpec, validateFailurePolicy, validateSuccessPolicy } from './policies.ts';
import { validateGeneratedSelector } from './selector.ts';

const INDEXED = 'Indexed';
const MODES = ['NonIndexed', INDEXED];
const MAX_MANAGED_BY = 63;
const MAX_INDEXED_PARALLELISM = 100_000;
const MAX_FAILED_INDEXES = 100_000;
/** Above this many completions the status has no room for many failures. */
const MANY_COMPLETIONS = 100_000;
const MAX_OF_MANY = 10_000;

const NOT_NEGATIVE = [
  'parallelism',
  'completions',
  'activeDeadlineSeconds',
  'backoffLimit',
  'ttlSecondsAfterFinished',
  'backoffLimitPerIndex',
  'maxFailedIndexes',
] as const satisfies readonly (keyof JobSpec)[];

const atMost = (max: number) => `must be less than or equal to ${max}`;

function validateIndexed(spec: JobSpec, path: string): FieldError[] {
  const { completions, parallelism = 0, maxFailedIndexes, backoffLimitPerIndex } = spec;
  const errors: FieldError[] = [];
  if (completions === undefined) errors.push(required(`${path}.completions`, 'when completion mode is Indexed'));
  if (parallelism > MAX_INDEXED_PARALLELISM) {
    const message = `${atMost(MAX_INDEXED_PARALLELISM)} when completion mode is Indexed`;
    errors.push(invalid(`${path}.parallelism`, parallelism, message));
  }
  const at = `${path}.maxFailedIndexes`;
  if (maxFailedIndexes !== undefined) {
    if (completions !== undefined && maxFailedIndexes > completions) {
      errors.push(invalid(at, maxFailedIndexes, 'must be less than or equal to completions'));
    }
    if (maxFailedIndexes > MAX_FAILED_INDEXES) errors.push(invalid(at, maxFailedIndexes, atMost(MAX_FAILED_INDEXES)));
  }
  if ((completions ?? 0) <= MANY_COMPLETIONS || backoffLimitPerIndex === undefined) return errors;
  const message = `${atMost(MAX_OF_MANY)} when completions are above ${MANY_COMPLETIONS} and used with backoff limit per index`;
  if (maxFailedIndexes === undefined) {
    errors.push(required(at, `must be specified when completions is above ${MANY_COMPLETIONS}`));
  } else if (maxFailedIndexes > MAX_OF_MANY) errors.push(invalid(at, maxFailedIndexes, message));
  if (parallelism > MAX_OF_MANY) errors.push(invalid(`${path}.parallelism`, parallelism, message));
  return errors;
}

function validateCompletionMode(spec: JobSpec, path: string): FieldError[] {
  const { completionMode, backoffLimitPerIndex, maxFailedIndexes } = spec;
  const errors: FieldError[] = [];
  if (maxFailedIndexes !== undefined && backoffLimitPerIndex === undefined) {
    errors.push(required(`${path}.backoffLimitPerIndex`, 'when maxFailedIndexes is specified'));
  }
  if (completionMode !== undefined && !MODES.includes(completionMode)) {
    errors.push(notSupported(`${path}.completionMode`, completionMode, MODES));
  }
  if (completionMode === INDEXED) return [...errors, ...validateIndexed(spec, path)];
  for (const field of ['backoffLimitPerIndex', 'maxFailedIndexes'] as const) {
    if (spec[field] !== undefined) {
      errors.push(invalid(`${path}.${field}`, spec[field], 'requires indexed completion mode'));
    }
  }
  return errors;
}

function validateReplacement({ podReplacementPolicy, podFailurePolicy }: JobSpec, path: string): FieldError[] {
  if (podReplacementPolicy === undefined) return [];
  const supported = podFailurePolicy === undefined ? ['Failed', 'TerminatingOrFailed'] : ['Failed'];
  return supported.includes(podReplacementPolicy)
    ? []
    : [notSupported(`${path}.podReplacementPolicy`, podReplacementPolicy, supported)];
}

/** `example.com/controller`. */
function validateManagedBy(managedBy: string | undefined, path: string): FieldError[] {
  if (managedBy === undefined) return [];
  const errors: FieldError[] = [];
  if (managedBy === '') errors.push(required(path));
  else if (!managedBy.includes('/')) {
    errors.push(invalid(path, managedBy, 'must be a domain-prefixed path (such as "acme.io/foo")'));
  } else errors.push(...qualifiedName(managedBy).map((message) => invalid(path, managedBy, message)));
  if (managedBy.length > MAX_MANAGED_BY) errors.push(tooLong(path, MAX_MANAGED_BY));
  return errors;
}

function validateRestartPolicy({ template, podFailurePolicy }: JobSpec, path: string): FieldError[] {
  const at = `${path}.template.spec.restartPolicy`;
  const policy = template?.spec?.restartPolicy ?? 'Always';
  // Nobody asks for pods that restart for ever: it is what is left when the field is not set.
  if (policy === 'Always') return [required(at, 'valid values: "OnFailure", "Never"')];
  if (policy !== 'OnFailure' && policy !== 'Never') return [notSupported(at, policy, ['OnFailure', 'Never'])];
  return podFailurePolicy !== undefined && policy !== 'Never'
    ? [invalid(at, policy, 'only "Never" is supported when podFailurePolicy is specified')]
    : [];
}

/** What holds for Jobs and for the templates of CronJobs. */
export function validateJobTemplateSpec(spec: JobSpec, path: string): FieldError[] {
  return [
    ...NOT_NEGATIVE.flatMap((field) => validateNonNegative(spec[field], `${path}.${field}`)),
    ...validateCompletionMode(spec, path),
    ...validateFailurePolicy(spec, path),
    ...validateSuccessPolicy(spec, path),
    ...validateReplacement(spec, path),
    ...validateManagedBy(spec.managedBy, `${path}.managedBy`),
    ...(spec.template === undefined
      ? [required(`${path}.template`)]
      : validatePodTemplate(spec.template, `${path}.template`)),
    ...validateRestartPolicy(spec, path),
  ];
}

/** Pods of an indexed Job are named after the Job and their index. */
function validateIndexedName({ metadata, spec }: Job): FieldError[] {
  if (spec?.completionMode !== INDEXED || !spec.completions || spec.completions < 0) return [];
  const longest = `${metadata.name}-${spec.completions - 1}`;
  return dns1123Label(longest).length === 0
    ? []
    : [invalid('metadata.name', metadata.name, `will not able to create pod with invalid DNS label: ${longest}`)];
}

export function validateJob(job: Job): FieldError[] {
  const spec = job.spec ?? ({} as JobSpec);
  const errors = [...validateGeneratedSelector(job), ...validateJobTemplateSpec(spec, 'spec')];
  if (spec.selector === undefined) errors.push(required('spec.selector'));
  else {
    const wrong = validateLabelSelector(spec.selector, 'spec.selector');
    errors.push(...wrong, ...(wrong.length > 0 ? [] : templateMismatch(spec.selector, spec.template)));
  }
  return [...errors, ...validateIndexedName(job)];
}
