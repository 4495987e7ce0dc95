import { percent } from '#api/meta/names.ts';
import { type FieldError, invalid } from '#api/object/field-error.ts';
import { validateNonNegative } from './format.ts';

/** A count, or a share such as `25%`. */
export function validateAmount(value: number | string, path: string): FieldError[] {
  if (typeof value === 'number') return validateNonNegative(value, path);
  return percent(value).map((message) => invalid(path, value, message));
}

/** A share of pods cannot exceed all of them; counts may. */
export function validateAtMostAll(value: number | string, path: string): FieldError[] {
  return typeof value === 'string' && amountOf(value) > 100
    ? [invalid(path, value, 'must not be greater than 100%')]
    : [];
}

/** The number before the `%`, or the count itself: good for comparisons with 0 and 100 only. */
export function amountOf(value: number | string): number {
  return typeof value === 'number' ? value : Number.parseInt(value, 10);
}
