import { configMapKey, envVarName } from '#api/meta/names.ts';
import { type FieldError, invalid, notSupported, required } from '#api/object/field-error.ts';
import type { Container } from './pod-types.ts';
import { validateRelativePath } from './relative-path.ts';

type EnvVar = NonNullable<Container['env']>[number];
type ValueFrom = NonNullable<EnvVar['valueFrom']>;
type EnvFrom = NonNullable<Container['envFrom']>[number];

const ENV_FIELDS = [
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
  'spec.nodeName',
  'spec.serviceAccountName',
  'status.hostIP',
  'status.hostIPs',
  'status.podIP',
  'status.podIPs',
];
const VOLUME_FIELDS = [
  'metadata.annotations',
  'metadata.labels',
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
];
/** Fields that some reference may name; others do not exist for this purpose at all. */
const KNOWN_FIELDS = new Set([
  ...ENV_FIELDS,
  ...VOLUME_FIELDS,
  'spec.restartPolicy',
  'spec.schedulerName',
  'status.phase',
]);
const SUBSCRIPTED = /^(metadata\.(?:labels|annotations))\['([^']*)'\]$/;

const RESOURCE_FIELDS = [
  'limits.cpu',
  'limits.ephemeral-storage',
  'limits.memory',
  'requests.cpu',
  'requests.ephemeral-storage',
  'requests.memory',
];

/** A `fieldRef` of an environment variable (`env`) or of a file in a volume (`volume`). */
export function validateFieldRef(
  fieldRef: { readonly fieldPath?: string },
  path: string,
  use: 'env' | 'volume',
): FieldError[] {
  const { fieldPath } = fieldRef;
  if (!fieldPath) return [required(`${path}.fieldPath`)];
  if (SUBSCRIPTED.test(fieldPath)) return [];
  if (!KNOWN_FIELDS.has(fieldPath)) {
    return [
      invalid(`${path}.fieldPath`, fieldPath, `error converting fieldPath: field label not supported: ${fieldPath}`),
    ];
  }
  const allowed = use === 'env' ? ENV_FIELDS : VOLUME_FIELDS;
  return allowed.includes(fieldPath) ? [] : [notSupported(`${path}.fieldPath`, fieldPath, allowed)];
}

/** In a volume the container must be named: a file belongs to none of them. */
export function validateResourceFieldRef(
  ref: { readonly containerName?: string; readonly resource?: string },
  path: string,
  use: 'env' | 'volume',
): FieldError[] {
  if (use === 'volume' && !ref.containerName) return [required(`${path}.containerName`)];
  if (!ref.resource) return [required(`${path}.resource`)];
  if (/^(limits|requests)\.hugepages-/.test(ref.resource) || RESOURCE_FIELDS.includes(ref.resource)) return [];
  return [notSupported(`${path}.resource`, ref.resource, RESOURCE_FIELDS)];
}

function validateKeyRef(ref: { readonly name?: string; readonly key?: string }, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!ref.name) errors.push(required(`${path}.name`));
  if (!ref.key) errors.push(required(`${path}.key`));
  else errors.push(...configMapKey(ref.key).map((message) => invalid(`${path}.key`, ref.key, message)));
  return errors;
}

/** A variable out of a file that another container of the pod has written. */
function validateFileKeyRef(
  ref: { readonly volumeName?: string; readonly path?: string; readonly key?: string },
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  if (!ref.key) errors.push(required(`${path}.key`));
  else errors.push(...envVarName(ref.key).map((message) => invalid(`${path}.key`, ref.key, message)));
  if (!ref.volumeName) errors.push(required(`${path}.volumeName`));
  if (!ref.path) errors.push(required(`${path}.path`));
  else errors.push(...validateRelativePath(ref.path, `${path}.path`));
  return errors;
}

function validateValueFrom({ value, valueFrom }: EnvVar, path: string): FieldError[] {
  if (valueFrom === undefined) return [];
  const rules: Record<keyof ValueFrom, (at: string) => FieldError[]> = {
    fieldRef: (at) => validateFieldRef(valueFrom.fieldRef ?? ({} as never), at, 'env'),
    resourceFieldRef: (at) => validateResourceFieldRef(valueFrom.resourceFieldRef ?? ({} as never), at, 'env'),
    configMapKeyRef: (at) => validateKeyRef(valueFrom.configMapKeyRef ?? {}, at),
    secretKeyRef: (at) => validateKeyRef(valueFrom.secretKeyRef ?? {}, at),
    fileKeyRef: (at) => validateFileKeyRef(valueFrom.fileKeyRef ?? {}, at),
  };
  const given = (Object.keys(rules) as (keyof ValueFrom)[]).filter((source) => valueFrom[source] !== undefined);
  const errors = given.flatMap((source) => rules[source](`${path}.${source}`));
  if (given.length === 0) {
    errors.push(
      invalid(
        path,
        '',
        'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`',
      ),
    );
  } else if (value) {
    errors.push(invalid(path, '', 'may not be specified when `value` is not empty'));
  } else if (given.length > 1) {
    errors.push(invalid(path, '', 'may not have more than one field specified at a time'));
  }
  return errors;
}

export function validateEnv(env: readonly EnvVar[] | undefined, path: string): FieldError[] {
  return (env ?? []).flatMap((variable, i) => {
    const at = `${path}[${i}]`;
    const name = variable.name
      ? envVarName(variable.name).map((message) => invalid(`${at}.name`, variable.name, message))
      : [required(`${at}.name`)];
    return [...name, ...validateValueFrom(variable, `${at}.valueFrom`)];
  });
}

export function validateEnvFrom(sources: readonly EnvFrom[] | undefined, path: string): FieldError[] {
  return (sources ?? []).flatMap((source, i) => {
    const at = `${path}[${i}]`;
    const errors: FieldError[] = [];
    const { prefix, configMapRef, secretRef } = source;
    if (prefix) errors.push(...envVarName(prefix).map((message) => invalid(`${at}.prefix`, prefix, message)));
    if (configMapRef !== undefined && !configMapRef.name) errors.push(required(`${at}.configMapRef.name`));
    if (secretRef !== undefined && !secretRef.name) errors.push(required(`${at}.secretRef.name`));
    if (configMapRef === undefined && secretRef === undefined) {
      errors.push(invalid(at, '', 'must specify one of: `configMapRef` or `secretRef`'));
    } else if (configMapRef !== undefined && secretRef !== undefined) {
      errors.push(invalid(at, '', 'may not have more than one field specified at a time'));
    }
    return errors;
  });
}
