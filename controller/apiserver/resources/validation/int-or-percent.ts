import { percent } from '#api/meta/names.ts';
import { type FieldError, invalid } from '#api/object/field-error.ts';
import { validateNonNegative } from './format.ts';

/** A count, or a share such as `25%`. */
export function validateAmount(value: number | string, path: string): FieldError[] {
  if (typeof value === 'number') return validateNonNegative(value, path);
  return percent(value).map((message) => invalid(path, value, message));
}

/** The number before the `%`, or the count itself: good for comparisons with 0 and 100 only. */
export function amountOf(value: number | string): number {
  return typeof value === 'number' ? value : Number.parseInt(value, 10);
}
