import { deepEqual } from '#api/object/deep-equal.ts';
import { duplicate, type FieldError, invalid, required } from '#api/object/field-error.ts';
import type { Job } from '#api/object/kinds.ts';
import { validateNonNegative } from '../validation/format.ts';

const COUNTS = ['active', 'succeeded', 'failed', 'ready', 'terminating'] as const;

export function hasCondition({ status }: Job, type: string): boolean {
  return (status?.conditions ?? []).some((condition) => condition.type === type && condition.status === 'True');
}

export const isFinished = (job: Job): boolean => hasCondition(job, 'Complete') || hasCondition(job, 'Failed');

const wrong = (field: string, detail: string): FieldError => ({
  type: 'FieldValueInvalid',
  field,
  message: `Invalid value: ${detail}`,
});

function validateUncounted({ status }: Job): FieldError[] {
  const { succeeded = [], failed = [] } = status?.uncountedTerminatedPods ?? {};
  const seen = new Set<string>();
  return Object.entries({ succeeded, failed }).flatMap(([list, uids]) =>
    uids.flatMap((uid, i) => {
      const path = `status.uncountedTerminatedPods.${list}[${i}]`;
      if (uid === '') return [invalid(path, uid, 'must not be empty')];
      if (seen.has(uid)) return [duplicate(path, uid)];
      seen.add(uid);
      return [];
    }),
  );
}

/** A Job that ends must say when, and leave nothing behind. */
function validateEnd(job: Job): FieldError[] {
  const { status } = job;
  const errors: FieldError[] = [];
  if ((status?.active ?? 0) > 0) {
    errors.push(invalid('status.active', status?.active, 'active>0 is invalid for finished job'));
  }
  if ((status?.terminating ?? 0) > 0) {
    errors.push(invalid('status.terminating', status?.terminating, 'terminating>0 is invalid for finished job'));
  }
  if (status?.startTime === undefined) {
    errors.push(required('status.startTime', 'startTime is required for finished job'));
  }
  const { succeeded = [], failed = [] } = status?.uncountedTerminatedPods ?? {};
  if (succeeded.length + failed.length > 0) {
    errors.push(wrong('status.uncountedTerminatedPods', 'uncountedTerminatedPods needs to be empty for finished job'));
  }
  return errors;
}

/** Which conditions go together; only those that a write sets are judged. */
function validateConditions(job: Job, old: Job): FieldError[] {
  const path = 'status.conditions';
  const errors: FieldError[] = [];
  const isNew = (type: string) => hasCondition(job, type) && !hasCondition(old, type);
  if (hasCondition(job, 'Complete') && hasCondition(job, 'Failed')) {
    errors.push(wrong(path, 'cannot set Complete=True and Failed=true conditions'));
  }
  if (hasCondition(job, 'Complete') && hasCondition(job, 'FailureTarget')) {
    errors.push(wrong(path, 'cannot set Complete=True and FailureTarget=true conditions'));
  }
  if (isNew('Failed') && !hasCondition(job, 'FailureTarget')) {
    errors.push(wrong(path, 'cannot set Failed=True condition without the FailureTarget=true condition'));
  }
  if (isNew('Complete') && !hasCondition(job, 'SuccessCriteriaMet')) {
    errors.push(wrong(path, 'cannot set Complete=True condition without the SuccessCriteriaMet=true condition'));
  }
  for (const type of ['Complete', 'Failed']) {
    if (hasCondition(old, type) && !hasCondition(job, type)) {
      errors.push(wrong(path, `cannot disable the terminal ${type}=True condition`));
    }
  }
  return errors;
}

function validateTimes(job: Job, old: Job): FieldError[] {
  const { startTime, completionTime } = job.status ?? {};
  const isComplete = hasCondition(job, 'Complete');
  const isSame = deepEqual(completionTime, old.status?.completionTime) && isComplete === hasCondition(old, 'Complete');
  if (isSame) return [];
  const path = 'status.completionTime';
  if (isComplete && completionTime === undefined)
    return [required(path, 'completionTime is required for Complete jobs')];
  if (!isComplete && completionTime !== undefined) {
    return [wrong(path, 'cannot set completionTime when there is no Complete=True condition')];
  }
  const isBackwards =
    startTime !== undefined && completionTime !== undefined && Date.parse(completionTime) < Date.parse(startTime);
  return isBackwards ? [invalid(path, completionTime, 'completionTime cannot be set before startTime')] : [];
}

export function validateJobStatus(job: Job, old: Job): FieldError[] {
  return [
    ...COUNTS.flatMap((field) => validateNonNegative(job.status?.[field], `status.${field}`)),
    ...validateUncounted(job),
    ...validateConditions(job, old),
    ...validateTimes(job, old),
    ...(isFinished(job) && !isFinished(old) ? validateEnd(job) : []),
  ];
}
