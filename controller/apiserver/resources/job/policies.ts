import {
  duplicate,
  type FieldError,
  invalid,
  notSupported,
  required,
  tooLong,
  tooMany,
} from '#api/object/field-error.ts';
import type { Job } from '#api/object/kinds.ts';
import { validateNonNegative, validateQualifiedName } from '../validation/format.ts';

export type JobSpec = NonNullable<Job['spec']>;
type FailureRule = NonNullable<JobSpec['podFailurePolicy']>['rules'][number];
type SuccessRule = NonNullable<JobSpec['successPolicy']>['rules'][number];

const MAX_RULES = 20;
const MAX_EXIT_CODES = 255;
const MAX_INDEXES_LENGTH = 64 * 1024;
const ACTIONS = ['Count', 'FailIndex', 'FailJob', 'Ignore'];
const OPERATORS = ['In', 'NotIn'];
const STATUSES = ['False', 'True', 'Unknown'];

/** `["a" "b"]`, as Go prints a list of strings. */
const listed = (values: readonly string[]): string =>
  `valid values: [${values.map((v) => JSON.stringify(v)).join(' ')}]`;

function validateChoice(value: string | undefined, supported: readonly string[], path: string): FieldError[] {
  if (!value) return [required(path, listed(supported))];
  return supported.includes(value) ? [] : [notSupported(path, value, supported)];
}

/** A finding on a whole object, which is not printed. */
function wrong(field: string, detail: string): FieldError {
  return { type: 'FieldValueInvalid', field, message: `Invalid value: ${detail}` };
}

function validateExitCodes(
  codes: NonNullable<FailureRule['onExitCodes']>,
  path: string,
  containers: ReadonlySet<string>,
): FieldError[] {
  const { containerName, operator, values = [] } = codes;
  const errors = validateChoice(operator, OPERATORS, `${path}.operator`);
  if (containerName !== undefined && !containers.has(containerName)) {
    const message = 'must be one of the container or initContainer names in the pod template';
    errors.push(invalid(`${path}.containerName`, containerName, message));
  }
  const at = `${path}.values`;
  if (values.length === 0) errors.push(invalid(at, values, 'at least one value is required'));
  if (values.length > MAX_EXIT_CODES) errors.push(tooMany(at, values.length, MAX_EXIT_CODES));
  const seen = new Set<number>();
  for (const [i, value] of values.entries()) {
    if (operator === 'In' && value === 0)
      errors.push(invalid(`${at}[${i}]`, value, 'must not be 0 for the In operator'));
    if (seen.has(value)) errors.push(duplicate(`${at}[${i}]`, value));
    seen.add(value);
  }
  const isOrdered = values.every((value, i) => i === 0 || (values[i - 1] as number) <= value);
  return isOrdered ? errors : [...errors, invalid(at, values, 'must be ordered')];
}

function validateFailureRule(spec: JobSpec, rule: FailureRule, path: string): FieldError[] {
  const { action, onExitCodes, onPodConditions = [] } = rule;
  const errors: FieldError[] =
    action === 'FailIndex' && spec.backoffLimitPerIndex === undefined
      ? [invalid(`${path}.action`, action, 'requires the backoffLimitPerIndex to be set')]
      : validateChoice(action, ACTIONS, `${path}.action`);
  const { containers = [], initContainers = [] } = spec.template?.spec ?? {};
  if (onExitCodes !== undefined) {
    const names = new Set([...containers, ...initContainers].map(({ name }) => name));
    errors.push(...validateExitCodes(onExitCodes, `${path}.onExitCodes`, names));
  }
  if (onPodConditions.length > MAX_RULES) {
    errors.push(tooMany(`${path}.onPodConditions`, onPodConditions.length, MAX_RULES));
  }
  for (const [i, { type = '', status }] of onPodConditions.entries()) {
    const at = `${path}.onPodConditions[${i}]`;
    errors.push(...validateQualifiedName(type, `${at}.type`), ...validateChoice(status, STATUSES, `${at}.status`));
  }
  if (onExitCodes !== undefined && onPodConditions.length > 0) {
    errors.push(wrong(path, 'specifying both OnExitCodes and OnPodConditions is not supported'));
  }
  if (onExitCodes === undefined && onPodConditions.length === 0) {
    errors.push(wrong(path, 'specifying one of OnExitCodes and OnPodConditions is required'));
  }
  return errors;
}

export function validateFailurePolicy(spec: JobSpec, path: string): FieldError[] {
  if (spec.podFailurePolicy === undefined) return [];
  const at = `${path}.podFailurePolicy.rules`;
  const rules = spec.podFailurePolicy.rules ?? [];
  return [
    ...(rules.length > MAX_RULES ? [tooMany(at, rules.length, MAX_RULES)] : []),
    ...rules.flatMap((rule, i) => validateFailureRule(spec, rule, `${at}[${i}]`)),
  ];
}

/** How many indexes `1,3-5` names, or why it names none. */
function countIndexes(text: string, completions: number): number | string {
  let last = -1;
  let count = 0;
  for (const interval of text === '' ? [] : text.split(',')) {
    const limits = interval.split('-');
    if (limits.length > 2) {
      return `the fragment ${JSON.stringify(interval)} violates the requirement that an index interval can have at most two parts separated by '-'`;
    }
    for (const [i, limit] of limits.entries()) {
      if (!/^\d+$/.test(limit)) return `cannot convert string to integer for index: ${JSON.stringify(limit)}`;
      const index = Number(limit);
      if (index >= completions) return `too large index: ${JSON.stringify(limit)}`;
      if (last >= index) return `non-increasing order, previous: ${last}, current: ${index}`;
      // The second limit closes the interval that the first one began.
      count += i === 0 ? 1 : index - last;
      last = index;
    }
  }
  return count;
}

function validateSuccessRule(rule: SuccessRule, completions: number, path: string): FieldError[] {
  const { succeededCount, succeededIndexes } = rule;
  if (succeededCount === undefined && succeededIndexes === undefined) {
    return [required(path, 'at least one of succeededCount or succeededIndexes must be specified')];
  }
  const errors: FieldError[] = [];
  let named: number | undefined;
  if (succeededIndexes !== undefined) {
    const at = `${path}.succeededIndexes`;
    if (succeededIndexes.length > MAX_INDEXES_LENGTH) errors.push(tooLong(at, MAX_INDEXES_LENGTH));
    const counted = countIndexes(succeededIndexes, completions);
    if (typeof counted === 'string') {
      errors.push(invalid(at, succeededIndexes, `error parsing succeededIndexes: ${counted}`));
    } else named = counted;
  }
  if (succeededCount === undefined) return errors;
  const at = `${path}.succeededCount`;
  errors.push(...validateNonNegative(succeededCount, at));
  if (succeededCount > completions) {
    const message = `must be less than or equal to ${completions} (the number of specified completions)`;
    errors.push(invalid(at, succeededCount, message));
  }
  if (named !== undefined && succeededCount > named) {
    const message = `must be less than or equal to ${named} (the number of indexes in the specified succeededIndexes field)`;
    errors.push(invalid(at, succeededCount, message));
  }
  return errors;
}

export function validateSuccessPolicy(spec: JobSpec, path: string): FieldError[] {
  if (spec.successPolicy === undefined) return [];
  const at = `${path}.successPolicy`;
  if (spec.completionMode !== 'Indexed') return [invalid(at, spec.successPolicy, 'requires indexed completion mode')];
  const rules = spec.successPolicy.rules ?? [];
  if (rules.length === 0) {
    return [required(`${at}.rules`, 'at least one rules must be specified when the successPolicy is specified')];
  }
  return [
    ...(rules.length > MAX_RULES ? [tooMany(`${at}.rules`, rules.length, MAX_RULES)] : []),
    ...rules.flatMap((rule, i) => validateSuccessRule(rule, spec.completions ?? 0, `${at}.rules[${i}]`)),
  ];
}
