import { configMapKey } from '#api/meta/names.ts';
import { type FieldError, forbiddenField, invalid, required } from '#api/object/field-error.ts';
import { validateOneOf } from '../validation/format.ts';
import { validateLabelSelector } from '../validation/label-selector.ts';
import { validateFieldRef, validateResourceFieldRef } from './env.ts';
import type { Volume } from './pod-types.ts';
import { hasBackstep, validateRelativePath } from './relative-path.ts';

/** 0777. */
const MAX_MODE = 511;
const MODE_MESSAGE = 'must be a number between 0 and 0777 (octal), both inclusive';
const MIN_TOKEN_EXPIRATION_S = 10 * 60;
const MAX_TOKEN_EXPIRATION_S = 2 ** 32;

/** Permission bits of files. */
export function validateMode(mode: number | undefined, path: string): FieldError[] {
  return mode !== undefined && (mode < 0 || mode > MAX_MODE) ? [invalid(path, mode, MODE_MESSAGE)] : [];
}

/** A path below the volume, and not among the names that the node uses for its own book-keeping. */
function validateFilePath(value: string | undefined, path: string): FieldError[] {
  if (!value) return [required(path)];
  const errors = validateRelativePath(value, path);
  if (value.startsWith('..') && !hasBackstep(value)) errors.push(invalid(path, value, "must not start with '..'"));
  return errors;
}

interface KeyToPath {
  readonly key?: string;
  readonly path?: string;
  readonly mode?: number;
}

/** Keys of a Secret or ConfigMap as files. */
export function validateItems(items: readonly KeyToPath[] | undefined, path: string): FieldError[] {
  return (items ?? []).flatMap((item, i) => {
    const at = `${path}.items[${i}]`;
    return [
      ...(item.key ? configMapKey(item.key).map((m) => invalid(`${at}.key`, item.key, m)) : [required(`${at}.key`)]),
      ...validateFilePath(item.path, `${at}.path`),
      ...validateMode(item.mode, `${at}.mode`),
    ];
  });
}

type DownwardItem = NonNullable<NonNullable<Volume['downwardAPI']>['items']>[number];

/** Facts about the pod as files. */
export function validateDownwardItems(items: readonly DownwardItem[] | undefined, path: string): FieldError[] {
  return (items ?? []).flatMap((item, i) => {
    const at = `${path}.items[${i}]`;
    const errors = [...validateFilePath(item.path, `${at}.path`), ...validateMode(item.mode, `${at}.mode`)];
    if (item.fieldRef !== undefined) {
      errors.push(...validateFieldRef(item.fieldRef, `${at}.fieldRef`, 'volume'));
      if (item.resourceFieldRef !== undefined) {
        errors.push(invalid(at, 'resource', 'fieldRef and resourceFieldRef can not be specified simultaneously'));
      }
    } else if (item.resourceFieldRef !== undefined) {
      errors.push(...validateResourceFieldRef(item.resourceFieldRef, `${at}.resourceFieldRef`, 'volume'));
    } else {
      errors.push(required(at, 'one of fieldRef and resourceFieldRef is required'));
    }
    return errors;
  });
}

type Projection = NonNullable<NonNullable<Volume['projected']>['sources']>[number];
type TokenProjection = NonNullable<Projection['serviceAccountToken']>;

function validateTokenProjection(token: TokenProjection, path: string): FieldError[] {
  const { expirationSeconds = MIN_TOKEN_EXPIRATION_S, path: file } = token;
  const errors: FieldError[] = [];
  if (expirationSeconds < MIN_TOKEN_EXPIRATION_S) {
    errors.push(
      invalid(`${path}.expirationSeconds`, expirationSeconds, 'may not specify a duration less than 10 minutes'),
    );
  }
  if (expirationSeconds > MAX_TOKEN_EXPIRATION_S) {
    errors.push(
      invalid(`${path}.expirationSeconds`, expirationSeconds, 'may not specify a duration larger than 2^32 seconds'),
    );
  }
  if (!file) errors.push(required(`${path}.path`));
  else errors.push(...validateRelativePath(file, `${path}.path`));
  return errors;
}

type BundleProjection = NonNullable<Projection['clusterTrustBundle']>;

/** One bundle by its name, or all of a signer's. */
function validateBundle({ name, signerName, labelSelector, path: file }: BundleProjection, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (name !== undefined && signerName !== undefined) {
    errors.push(invalid(path, 'name and signerName', 'only one of name and signerName may be used'));
  } else if (name !== undefined) {
    if (name === '') errors.push(required(`${path}.name`, 'must be a valid object name'));
    if (labelSelector !== undefined) {
      errors.push(invalid(`${path}.labelSelector`, labelSelector, 'labelSelector must be unset if name is specified'));
    }
  } else if (signerName !== undefined) {
    if (signerName === '') errors.push(required(`${path}.signerName`, 'must be a valid signer name'));
    errors.push(...validateLabelSelector(labelSelector, `${path}.labelSelector`));
  } else {
    errors.push(required(path, 'either name or signerName must be specified'));
  }
  return [...errors, ...validateFilePath(file, `${path}.path`)];
}

type CertificateProjection = NonNullable<Projection['podCertificate']>;

const KEY_TYPES = ['RSA3072', 'RSA4096', 'ECDSAP256', 'ECDSAP384', 'ECDSAP521', 'ED25519'];
const MIN_CERTIFICATE_S = 3600;
const MAX_CERTIFICATE_S = 91 * 24 * 3600;
const CERTIFICATE_FILES = ['credentialBundlePath', 'keyPath', 'certificateChainPath'] as const;

function validateCertificate(projection: CertificateProjection, path: string): FieldError[] {
  const { signerName, keyType, maxExpirationSeconds: seconds } = projection;
  const errors = [
    ...(signerName ? [] : [required(`${path}.signerName`)]),
    ...validateOneOf(keyType, KEY_TYPES, `${path}.keyType`),
  ];
  if (seconds !== undefined && (seconds < MIN_CERTIFICATE_S || seconds > MAX_CERTIFICATE_S)) {
    const message = `must be between ${MIN_CERTIFICATE_S} and ${MAX_CERTIFICATE_S}, inclusive`;
    errors.push(invalid(`${path}.maxExpirationSeconds`, seconds, message));
  }
  const files = CERTIFICATE_FILES.filter((field) => projection[field]);
  if (files.length === 0) {
    errors.push(required(path, 'specify at least one of credentialBundlePath, keyPath, and certificateChainPath'));
  }
  return [...errors, ...files.flatMap((field) => validateFilePath(projection[field], `${path}.${field}`))];
}

const RULES: {
  readonly [K in keyof Projection]-?: (source: NonNullable<Projection[K]>, path: string) => FieldError[];
} = {
  secret: ({ name, items }, path) => [...(name ? [] : [required(`${path}.name`)]), ...validateItems(items, path)],
  configMap: ({ name, items }, path) => [...(name ? [] : [required(`${path}.name`)]), ...validateItems(items, path)],
  downwardAPI: ({ items }, path) => validateDownwardItems(items, path),
  serviceAccountToken: validateTokenProjection,
  clusterTrustBundle: validateBundle,
  podCertificate: validateCertificate,
};

/** The files that a source makes where it names them itself. */
function filesOf(source: Projection): { readonly at: string; readonly file: string | undefined }[] {
  const { secret, configMap, downwardAPI, serviceAccountToken, clusterTrustBundle, podCertificate } = source;
  return [
    ...Object.entries({ secret, configMap, downwardAPI }).flatMap(([kind, projection]) =>
      (projection?.items ?? []).map((item, i) => ({ at: `${kind}.items[${i}].path`, file: item.path })),
    ),
    { at: 'serviceAccountToken.path', file: serviceAccountToken?.path },
    { at: 'clusterTrustBundle.path', file: clusterTrustBundle?.path },
    ...CERTIFICATE_FILES.map((field) => ({ at: `podCertificate.${field}`, file: podCertificate?.[field] })),
  ];
}

function validateProjection(source: Projection, path: string): FieldError[] {
  const [kind, ...more] = (Object.keys(RULES) as (keyof Projection)[]).filter((one) => source[one] !== undefined);
  if (kind === undefined) return [];
  const rule = RULES[kind] as (source: unknown, path: string) => FieldError[];
  return [
    ...rule(source[kind], `${path}.${kind}`),
    ...more.map((other) => forbiddenField(`${path}.${other}`, 'may not specify more than 1 volume type per source')),
  ];
}

/** Several sources in one directory: none may hide a file of another. */
export function validateProjections(sources: readonly Projection[] | undefined, path: string): FieldError[] {
  const taken = new Set<string>();
  return (sources ?? []).flatMap((source, i) => {
    const at = `${path}[${i}]`;
    const conflicts = filesOf(source).flatMap(({ at: field, file }) => {
      if (!file) return [];
      if (taken.has(file)) return [invalid(`${at}.${field}`, file, 'conflicting duplicate paths')];
      taken.add(file);
      return [];
    });
    return [...validateProjection(source, at), ...conflicts];
  });
}
