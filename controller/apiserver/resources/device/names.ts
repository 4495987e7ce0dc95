import { dns1123Subdomain } from '#api/meta/names.ts';
import { type FieldError, invalid, required, tooLong } from '#api/object/field-error.ts';
import { validateDriverName } from '../storage/validate-class.ts';

const MAX_POOL_NAME_BYTES = 253;
const MAX_ID_BYTES = 32;
const C_IDENTIFIER = '[A-Za-z_][A-Za-z0-9_]*';
const identifierPattern = new RegExp(`^${C_IDENTIFIER}$`);
const UID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Subdomains joined by slashes. */
export function validatePoolName(name: string | undefined, path: string): FieldError[] {
  if (!name) return [required(path)];
  const errors = Buffer.byteLength(name) > MAX_POOL_NAME_BYTES ? [tooLong(path, MAX_POOL_NAME_BYTES)] : [];
  return [
    ...errors,
    ...name.split('/').flatMap((part) => dns1123Subdomain(part).map((message) => invalid(path, part, message))),
  ];
}

function validateIdentifier(id: string, path: string): FieldError[] {
  const errors = Buffer.byteLength(id) > MAX_ID_BYTES ? [tooLong(path, MAX_ID_BYTES)] : [];
  if (identifierPattern.test(id)) return errors;
  const detail =
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' " +
    `(e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '${C_IDENTIFIER}')`;
  return [...errors, invalid(path, id, detail)];
}

/** `[domain/]identifier`: attributes and capacities of devices. */
export function validateAttributeName(name: string, path: string): FieldError[] {
  if (name === '') return [required(path, 'name required')];
  const [first = '', second, ...more] = name.split('/');
  if (more.length > 0) return [invalid(path, name, 'must be a C identifier, with at most one domain before it')];
  if (second === undefined) return validateIdentifier(first, path);
  return [
    ...(first === '' ? [required(path, 'the domain must not be empty')] : validateDriverName(first, path)),
    ...(second === '' ? [required(path, 'the name must not be empty')] : validateIdentifier(second, path)),
  ];
}

/** The same with the domain. */
export function validateQualifiedAttribute(name: string, path: string): FieldError[] {
  const errors = validateAttributeName(name, path);
  return name !== '' && !name.includes('/') ? [...errors, invalid(path, name, 'must include a domain')] : errors;
}

export function validateShareId(uid: string, path: string): FieldError[] {
  if (UID.test(uid)) return [];
  const detail =
    'uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters';
  return [invalid(path, uid, detail)];
}
