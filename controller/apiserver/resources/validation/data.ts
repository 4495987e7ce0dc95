import { configMapKey } from '#api/meta/names.ts';
import { type FieldError, invalid } from '#api/object/field-error.ts';

/** Sum of all values of one ConfigMap or Secret. */
export const MAX_DATA_BYTES = 1024 * 1024;

export function validateDataKey(key: string, path: string): FieldError[] {
  return configMapKey(key).map((message) => invalid(path, key, message));
}

/** Number of bytes behind a base64 string. */
export function base64Bytes(value: string): number {
  return Buffer.byteLength(value, 'base64');
}
