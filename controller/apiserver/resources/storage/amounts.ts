import { Quantity } from '#api/meta/quantity.ts';
import { type FieldError, invalid } from '#api/object/field-error.ts';

/** An amount of storage that something can be kept in. */
export function validatePositive(value: unknown, path: string): FieldError[] {
  const quantity = Quantity.parse(value as string | number);
  return quantity.sign > 0 ? [] : [invalid(path, quantity.toString(), 'must be greater than zero')];
}

/** Amounts of a resource list, none below zero. */
export function validateAmounts(list: object | undefined, path: string): FieldError[] {
  return Object.entries(list ?? {}).flatMap(([name, value]) => {
    const quantity = Quantity.parse(value as string | number);
    return quantity.sign < 0
      ? [invalid(`${path}[${name}]`, quantity.toString(), 'must be greater than or equal to 0')]
      : [];
  });
}
