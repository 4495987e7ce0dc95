import { deepEqual } from '#api/object/deep-equal.ts';
import { type FieldError, forbiddenField, invalid, required, tooLong } from '#api/object/field-error.ts';
import type { Secret } from '#api/object/kinds.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { age } from './printing/cells.ts';
import { ageColumn, nameColumn, text } from './printing/columns.ts';
import { base64Bytes, MAX_DATA_BYTES, validateDataKey } from './validation/data.ts';
import { validateImmutable } from './validation/format.ts';

const OPAQUE = 'Opaque';
const SERVICE_ACCOUNT_NAME = 'kubernetes.io/service-account.name';

/** Keys that each type must have; `bootstrap.kubernetes.io/token` is checked by its users, as in Kubernetes. */
const REQUIRED_KEYS: Readonly<Record<string, readonly string[]>> = {
  'kubernetes.io/dockercfg': ['.dockercfg'],
  'kubernetes.io/dockerconfigjson': ['.dockerconfigjson'],
  'kubernetes.io/ssh-auth': ['ssh-privatekey'],
  'kubernetes.io/tls': ['tls.crt', 'tls.key'],
};
const JSON_KEYS: Readonly<Record<string, string>> = {
  'kubernetes.io/dockercfg': '.dockercfg',
  'kubernetes.io/dockerconfigjson': '.dockerconfigjson',
};

type SecretData = Record<string, string>;
const dataOf = (secret: Secret): SecretData => (secret.data as unknown as SecretData | undefined) ?? {};

/** stringData is a way to write, never stored: it wins over data. */
function mergeStringData(secret: Secret): void {
  if (secret.stringData === undefined) return;
  const given = Object.entries(secret.stringData).map(([key, value]) => [key, Buffer.from(value).toString('base64')]);
  const merged = new Map<string, string>([...Object.entries(dataOf(secret)), ...(given as [string, string][])]);
  const sorted = Object.fromEntries([...merged].sort(([a], [b]) => (a < b ? -1 : 1)));
  if (Object.keys(sorted).length > 0) secret.data = sorted as unknown as Secret['data'];
  delete secret.stringData;
}

function validateJson(value: string, path: string): FieldError[] {
  try {
    JSON.parse(Buffer.from(value, 'base64').toString('utf8'));
    return [];
  } catch (err) {
    // The value is a secret: the finding shows none of it.
    return [
      invalid(path, '<secret contents redacted>', err instanceof SyntaxError ? 'must be valid JSON' : String(err)),
    ];
  }
}

function validateType(secret: Secret): FieldError[] {
  const type = secret.type ?? '';
  const data = dataOf(secret);
  const errors: FieldError[] = [];
  const needed = Object.hasOwn(REQUIRED_KEYS, type) ? REQUIRED_KEYS[type] : undefined;
  for (const key of needed ?? []) if (!(key in data)) errors.push(required(`data[${key}]`));
  const jsonKey = Object.hasOwn(JSON_KEYS, type) ? JSON_KEYS[type] : undefined;
  if (jsonKey !== undefined && data[jsonKey] !== undefined)
    errors.push(...validateJson(data[jsonKey], `data[${jsonKey}]`));
  if (type === 'kubernetes.io/basic-auth' && !('username' in data) && !('password' in data)) {
    errors.push(required('data[username]'), required('data[password]'));
  }
  if (type === 'kubernetes.io/service-account-token' && !secret.metadata.annotations?.[SERVICE_ACCOUNT_NAME]) {
    errors.push(required(`metadata.annotations[${SERVICE_ACCOUNT_NAME}]`));
  }
  return errors;
}

function validateSecret(secret: Secret): FieldError[] {
  const errors: FieldError[] = [];
  let totalBytes = 0;
  for (const [key, value] of Object.entries(dataOf(secret))) {
    errors.push(...validateDataKey(key, `data[${key}]`));
    totalBytes += base64Bytes(value);
  }
  if (totalBytes > MAX_DATA_BYTES) errors.push(tooLong('data', MAX_DATA_BYTES));
  errors.push(...validateType(secret));
  return errors;
}

function validateSecretUpdate(secret: Secret, old: Secret): FieldError[] {
  const errors = validateImmutable(secret.type, old.type, 'type');
  if (old.immutable !== true) return errors;
  if (secret.immutable !== true) errors.push(forbiddenField('immutable', 'field is immutable when `immutable` is set'));
  if (!deepEqual(dataOf(secret), dataOf(old))) {
    errors.push(forbiddenField('data', 'field is immutable when `immutable` is set'));
  }
  return errors;
}

export const secrets: ResourceDefinition = defineResource<Secret>({
  group: '',
  version: 'v1',
  resource: 'secrets',
  kind: 'Secret',
  namespaced: true,
  applyDefaults(secret) {
    mergeStringData(secret);
    secret.type ||= OPAQUE;
  },
  prepareForUpdate(secret, old) {
    // A PUT that leaves the type out keeps it.
    if (old.type !== undefined && (secret.type === undefined || secret.type === '')) secret.type = old.type;
  },
  validate: validateSecret,
  validateUpdate: validateSecretUpdate,
  selectableFields: (secret) => ({ type: secret.type ?? '' }),
  columns: [
    nameColumn,
    text('Type', 'Kind of content, which fixes the keys it must have.'),
    text('Data', 'Number of entries.'),
    ageColumn,
  ],
  tableRow: (secret, nowMs) => [
    secret.metadata.name,
    secret.type ?? '',
    Object.keys(dataOf(secret)).length,
    age(secret, nowMs),
  ],
});
