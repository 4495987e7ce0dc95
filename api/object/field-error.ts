import { ApiError, type StatusCause } from './api-error.ts';
import type { GroupVersionKind } from './group-version.ts';

/** `field.ErrorType` of Kubernetes: the spelling appears as `reason` of a Status cause. */
export type FieldErrorType =
  | 'FieldValueNotFound'
  | 'FieldValueRequired'
  | 'FieldValueDuplicate'
  | 'FieldValueInvalid'
  | 'FieldValueNotSupported'
  | 'FieldValueForbidden'
  | 'FieldValueTooLong'
  | 'FieldValueTooMany'
  | 'InternalError'
  | 'FieldValueTypeInvalid';

/** One finding of validation; `field` is a path such as `spec.containers[0].image`. */
export interface FieldError {
  readonly type: FieldErrorType;
  readonly field: string;
  readonly message: string;
}

/** What is longer is cut: an answer must not be several times as large as the question. */
const MAX_SHOWN_CHARS = 16 * 1024;

const shorten = (text: string): string =>
  text.length <= MAX_SHOWN_CHARS ? text : `${text.slice(0, MAX_SHOWN_CHARS)}...`;

/** Values are printed as Go's `%#v` prints JSON-like values closely enough for users: strings quoted, the rest as JSON. */
const show = (value: unknown): string => (value === undefined ? 'null' : shorten(JSON.stringify(value)));

export function required(field: string, detail = ''): FieldError {
  return { type: 'FieldValueRequired', field, message: `Required value${detail === '' ? '' : `: ${detail}`}` };
}
export function invalid(field: string, value: unknown, detail: string): FieldError {
  return { type: 'FieldValueInvalid', field, message: `Invalid value: ${show(value)}: ${detail}` };
}
export function duplicate(field: string, value: unknown): FieldError {
  return { type: 'FieldValueDuplicate', field, message: `Duplicate value: ${show(value)}` };
}
export function notSupported(field: string, value: unknown, supported: readonly string[]): FieldError {
  const list = supported.map((s) => JSON.stringify(s)).join(', ');
  return {
    type: 'FieldValueNotSupported',
    field,
    message: `Unsupported value: ${show(value)}: supported values: ${list}`,
  };
}
export function forbiddenField(field: string, detail: string): FieldError {
  return { type: 'FieldValueForbidden', field, message: `Forbidden: ${detail}` };
}
export function tooLong(field: string, maxBytes: number): FieldError {
  return { type: 'FieldValueTooLong', field, message: `Too long: may not be more than ${maxBytes} bytes` };
}
export function tooMany(field: string, actual: number, max: number): FieldError {
  return { type: 'FieldValueTooMany', field, message: `Too many: ${actual}: must have at most ${max} items` };
}
export function missing(field: string, value: unknown): FieldError {
  return { type: 'FieldValueNotFound', field, message: `Not found: ${show(value)}` };
}

/** The 422 answer that carries every finding: `Deployment.apps "x" is invalid: [a: ..., b: ...]`. */
export function invalidObject(gvk: GroupVersionKind, name: string, errors: readonly FieldError[]): ApiError {
  const kind = gvk.group === '' ? gvk.kind : `${gvk.kind}.${gvk.group}`;
  const shown = shorten(name);
  const lines = [...new Set(errors.map((e) => `${e.field}: ${e.message}`))];
  const list = lines.length === 1 ? lines[0] : `[${lines.join(', ')}]`;
  const causes: StatusCause[] = errors.map((e) => ({ reason: e.type, message: e.message, field: e.field }));
  return new ApiError(422, 'Invalid', `${kind} "${shown}" is invalid: ${list}`, {
    ...(name === '' ? {} : { name: shown }),
    ...(gvk.group === '' ? {} : { group: gvk.group }),
    kind: gvk.kind,
    causes,
  });
}
