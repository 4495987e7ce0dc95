import {
  dns1035Label,
  dns1123Label,
  dns1123Subdomain,
  inclusiveRange,
  labelValue,
  portName,
  portNumber,
  qualifiedName,
} from '#api/meta/names.ts';
import { deepEqual } from '#api/object/deep-equal.ts';
import { type FieldError, invalid, notSupported, required } from '#api/object/field-error.ts';

type Rule = (value: string) => readonly string[];

/** Turns a rule about strings into findings at a path. */
function check(rule: Rule, value: string, path: string): FieldError[] {
  return rule(value).map((message) => invalid(path, value, message));
}

export const validateDnsLabel = (value: string, path: string): FieldError[] => check(dns1123Label, value, path);
export const validateDns1035Label = (value: string, path: string): FieldError[] => check(dns1035Label, value, path);
export const validateDnsSubdomain = (value: string, path: string): FieldError[] => check(dns1123Subdomain, value, path);
export const validateQualifiedName = (value: string, path: string): FieldError[] => check(qualifiedName, value, path);
export const validateLabelValue = (value: string, path: string): FieldError[] => check(labelValue, value, path);

export const FIELD_IMMUTABLE = 'field is immutable';

/** The new value must equal the old one; absent equals absent. */
export function validateImmutable(value: unknown, old: unknown, path: string): FieldError[] {
  return deepEqual(value, old) ? [] : [invalid(path, value, FIELD_IMMUTABLE)];
}

export const NOT_NEGATIVE = 'must be greater than or equal to 0';

export function validateNonNegative(value: number | undefined, path: string): FieldError[] {
  return value !== undefined && value < 0 ? [invalid(path, value, NOT_NEGATIVE)] : [];
}

/** A port number or the name of one (`intstr.IntOrString`). */
export function validatePortOrName(port: number | string, path: string): FieldError[] {
  const errors = typeof port === 'number' ? portNumber(port) : portName(port);
  return errors.map((message) => invalid(path, port, message));
}

export function validatePort(port: number, path: string): FieldError[] {
  return portNumber(port).map((message) => invalid(path, port, message));
}

export function validateRange(
  value: number,
  range: { readonly from: number; readonly to: number },
  path: string,
): FieldError[] {
  return inclusiveRange(value, range.from, range.to).map((message) => invalid(path, value, message));
}

/** A required value out of a closed set; '' counts as absent. */
export function validateOneOf(value: string | undefined, supported: readonly string[], path: string): FieldError[] {
  if (value === undefined || value === '') return [required(path)];
  return supported.includes(value) ? [] : [notSupported(path, value, supported)];
}

export function validateOptionalOneOf(
  value: string | undefined,
  supported: readonly string[],
  path: string,
): FieldError[] {
  return value === undefined || supported.includes(value) ? [] : [notSupported(path, value, supported)];
}

export const PROTOCOLS: readonly string[] = ['SCTP', 'TCP', 'UDP'];
