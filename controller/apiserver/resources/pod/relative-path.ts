import { type FieldError, invalid } from '#api/object/field-error.ts';

/** True for a path that goes up somewhere. */
export const hasBackstep = (path: string): boolean => path.split('/').includes('..');

/** A path below a given directory that can never leave it. */
export function validateRelativePath(value: string, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (value.startsWith('/')) errors.push(invalid(path, value, 'must be a relative path'));
  if (hasBackstep(value)) errors.push(invalid(path, value, "must not contain '..'"));
  return errors;
}
