import type { ICapacityRequestPolicy } from 'kubernetes-models/resource.k8s.io/v1/CapacityRequestPolicy';
import type { ICapacityRequestPolicyRange } from 'kubernetes-models/resource.k8s.io/v1/CapacityRequestPolicyRange';
import type { IDeviceCapacity } from 'kubernetes-models/resource.k8s.io/v1/DeviceCapacity';
import { Quantity } from '#api/meta/quantity.ts';
import { type FieldError, forbiddenField, invalid, required } from '#api/object/field-error.ts';
import { validateDistinct, validateList } from './lists.ts';

const MAX_VALUES = 10;

type QuantityText = string | number;
const parse = (text: QuantityText): Quantity => Quantity.parse(String(text));
const compare = (a: QuantityText, b: QuantityText): number => parse(a).compare(parse(b));

function validateValues(
  values: readonly QuantityText[],
  chosen: QuantityText,
  max: QuantityText,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  for (const [i, value] of values.entries()) {
    const before = values[i - 1];
    if (before !== undefined && compare(before, value) > 0) {
      errors.push(invalid(`${path}[${i}]`, value, 'values must be sorted in ascending order'));
    }
  }
  const tooLarge = (value: QuantityText, at: string) =>
    compare(value, max) > 0 ? [invalid(at, value, `option is larger than capacity value: ${max}`)] : [];
  errors.push(
    ...validateList(values, MAX_VALUES, tooLarge, path),
    ...validateDistinct(values, { keyOf: (value) => String(parse(value).value()), keyField: '' }, path),
  );
  if (!values.some((value) => compare(value, chosen) === 0)) {
    errors.push(invalid(path, chosen, 'default value is not valid according to the requestPolicy'));
  }
  return errors;
}

function validateStep(value: QuantityText, { min, step }: ICapacityRequestPolicyRange, path: string): FieldError[] {
  if (step === undefined) return [];
  const stepNano = parse(step).nano;
  const isMultiple = stepNano !== 0n && (parse(value).nano - parse(min).nano) % stepNano === 0n;
  return isMultiple ? [] : [invalid(path, value, `value is not a multiple of a given step (${step}) from (${min})`)];
}

function validateRange(
  range: ICapacityRequestPolicyRange,
  chosen: QuantityText,
  capacity: QuantityText,
  path: string,
): FieldError[] {
  const { min, max, step } = range;
  if (min === undefined) return [required(`${path}.min`, 'required when validRange is defined')];
  const errors: FieldError[] = [];
  const refuse = (field: string, value: QuantityText, detail: string) =>
    errors.push(invalid(`${path}.${field}`, value, detail));
  if (compare(min, capacity) > 0) refuse('min', min, `min is larger than capacity value: ${capacity}`);
  if (compare(chosen, min) < 0) refuse('min', chosen, `default is less than min: ${min}`);
  if (max !== undefined) {
    if (compare(min, max) > 0) refuse('max', min, `min is larger than max: ${max}`);
    if (compare(max, capacity) > 0) refuse('max', max, `max is larger than capacity value: ${capacity}`);
    if (compare(chosen, max) > 0) refuse('max', chosen, `default is more than max: ${max}`);
  }
  if (step !== undefined) {
    const first = parse(min).add(parse(step)).toString();
    if (compare(first, capacity) > 0) {
      refuse('step', step, `one step ${first} is larger than capacity value: ${capacity}`);
    }
    errors.push(...validateStep(chosen, range, `${path}.step`));
    if (max !== undefined) errors.push(...validateStep(max, range, `${path}.step`));
  }
  return errors;
}

function validatePolicy(policy: ICapacityRequestPolicy, capacity: QuantityText, path: string): FieldError[] {
  const { default: chosen, validValues = [], validRange } = policy;
  if (validValues.length > 0 && validRange !== undefined) {
    const detail =
      'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time';
    return [forbiddenField(path, detail)];
  }
  const kind = validValues.length > 0 ? 'validValues' : validRange === undefined ? undefined : 'validRange';
  if (kind === undefined) return [];
  if (chosen === undefined) return [required(`${path}.default`, `required when ${kind} is defined`)];
  return validRange === undefined
    ? validateValues(validValues, chosen, capacity, `${path}.validValues`)
    : validateRange(validRange, chosen, capacity, `${path}.validRange`);
}

/** A capacity of a device; only devices that several may have are asked for a part of it. */
export function validateCapacity(
  { value, requestPolicy }: IDeviceCapacity,
  isShared: boolean,
  path: string,
): FieldError[] {
  if (requestPolicy === undefined) return [];
  return isShared
    ? validatePolicy(requestPolicy, value ?? 0, `${path}.requestPolicy`)
    : [forbiddenField(`${path}.requestPolicy`, 'allowMultipleAllocations must be true')];
}
