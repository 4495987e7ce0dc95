import { dns1123Subdomain } from '#api/meta/names.ts';
import { type FieldError, invalid, required, tooLong } from '#api/object/field-error.ts';
import { validateQualifiedName } from '../validation/format.ts';

const MAX_PARAMETERS = 512;
const MAX_PARAMETER_BYTES = 256 * 1024;
const MAX_DRIVER_NAME_BYTES = 63;

/** A provisioner or driver of a class: a qualified name, upper case forgiven. */
export function validateProvisioner(provisioner: string | undefined, path: string): FieldError[] {
  return provisioner ? validateQualifiedName(provisioner.toLowerCase(), path) : [required(path)];
}

/** Bytes of all keys and values. */
export function mapBytes(map: Readonly<Record<string, string>> | undefined): number {
  return Object.entries(map ?? {}).reduce(
    (sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value),
    0,
  );
}

export function validateParameters(parameters: Readonly<Record<string, string>> | undefined): FieldError[] {
  const path = 'parameters';
  const keys = Object.keys(parameters ?? {});
  if (keys.length > MAX_PARAMETERS) return [tooLong(path, MAX_PARAMETERS)];
  const errors = keys.includes('') ? [invalid(path, '', 'field can not be empty.')] : [];
  if (mapBytes(parameters) > MAX_PARAMETER_BYTES) errors.push(tooLong(path, MAX_PARAMETER_BYTES));
  return errors;
}

/** The name of a CSI driver, and of everything else that is called like one. */
export function validateDriverName(name: string | undefined, path: string): FieldError[] {
  if (!name) return [required(path)];
  const errors = Buffer.byteLength(name) > MAX_DRIVER_NAME_BYTES ? [tooLong(path, MAX_DRIVER_NAME_BYTES)] : [];
  return [...errors, ...dns1123Subdomain(name.toLowerCase()).map((message) => invalid(path, name, message))];
}

/** The Name cell of classes: the one that is used where none is named is marked. */
export function classNameCell(
  { name, annotations }: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> },
  markers: readonly string[],
): string {
  return markers.some((marker) => annotations?.[marker] === 'true') ? `${name} (default)` : name;
}
