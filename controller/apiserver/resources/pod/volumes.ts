import { configMapKey } from '#api/meta/names.ts';
import { Quantity } from '#api/meta/quantity.ts';
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalid,
  missing,
  notSupported,
  required,
} from '#api/object/field-error.ts';
import { validateClaimSpec } from '../storage/claim-spec.ts';
import { validateDriverName } from '../storage/validate-class.ts';
import { type SourceFields, validateVolumeSource } from '../storage/volume-sources.ts';
import { validateDnsLabel, validateOptionalOneOf } from '../validation/format.ts';
import { validateLabels } from '../validation/label-selector.ts';
import { validateFieldRef, validateResourceFieldRef } from './env.ts';
import type { Container, Volume } from './pod-types.ts';

/** 0777. */
const MAX_MODE = 511;
const MODE_MESSAGE = 'must be a number between 0 and 0777 (octal), both inclusive';
const HOST_PATH_TYPES = [
  '',
  'BlockDevice',
  'CharDevice',
  'Directory',
  'DirectoryOrCreate',
  'File',
  'FileOrCreate',
  'Socket',
];
const PULL_POLICIES = ['Always', 'IfNotPresent', 'Never'];
const MIN_TOKEN_EXPIRATION_S = 10 * 60;
const MAX_TOKEN_EXPIRATION_S = 2 ** 32;

function validateMode(mode: number | undefined, path: string): FieldError[] {
  return mode !== undefined && (mode < 0 || mode > MAX_MODE) ? [invalid(path, mode, MODE_MESSAGE)] : [];
}

const hasBackstep = (path: string): boolean => path.split('/').includes('..');

/** A path below a given directory that can never leave it. */
function validateRelativePath(value: string, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (value.startsWith('/')) errors.push(invalid(path, value, 'must be a relative path'));
  if (hasBackstep(value)) errors.push(invalid(path, value, "must not contain '..'"));
  return errors;
}

/** As above, and not among the names that the node uses for its own book-keeping. */
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

function validateItems(items: readonly KeyToPath[] | undefined, path: string): FieldError[] {
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

function validateDownwardItems(items: readonly DownwardItem[] | undefined, path: string): FieldError[] {
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

function validateProjection(source: Projection, path: string): FieldError[] {
  const kinds = Object.keys(source).filter((kind) => source[kind as keyof Projection] !== undefined);
  if (kinds.length > 1) {
    return kinds
      .slice(1)
      .map((kind) => forbiddenField(`${path}.${kind}`, 'may not specify more than 1 volume type per source'));
  }
  const { secret, configMap, downwardAPI, serviceAccountToken } = source;
  const errors: FieldError[] = [];
  if (secret !== undefined) {
    if (!secret.name) errors.push(required(`${path}.secret.name`));
    errors.push(...validateItems(secret.items, `${path}.secret`));
  }
  if (configMap !== undefined) {
    if (!configMap.name) errors.push(required(`${path}.configMap.name`));
    errors.push(...validateItems(configMap.items, `${path}.configMap`));
  }
  if (downwardAPI !== undefined) errors.push(...validateDownwardItems(downwardAPI.items, `${path}.downwardAPI`));
  if (serviceAccountToken !== undefined) {
    errors.push(...validateTokenProjection(serviceAccountToken, `${path}.serviceAccountToken`));
  }
  return errors;
}

function validateHostPath(source: NonNullable<Volume['hostPath']>, path: string): FieldError[] {
  if (!source.path) return [required(`${path}.path`)];
  const errors: FieldError[] = [];
  if (hasBackstep(source.path)) errors.push(invalid(`${path}.path`, source.path, "must not contain '..'"));
  if (!HOST_PATH_TYPES.includes(source.type ?? '')) {
    errors.push(notSupported(`${path}.type`, source.type, HOST_PATH_TYPES));
  }
  return errors;
}

/** What the kinds ask for that pods alone have, or have in another form; the others are judged as PersistentVolumes are. */
const SOURCE_RULES: { readonly [K in keyof Volume]?: (source: NonNullable<Volume[K]>, path: string) => FieldError[] } =
  {
    emptyDir: ({ sizeLimit }, path) =>
      sizeLimit !== undefined && Quantity.parse(sizeLimit as string | number).sign < 0
        ? [forbiddenField(`${path}.sizeLimit`, 'SizeLimit field must be a valid resource quantity')]
        : [],
    hostPath: validateHostPath,
    secret: (source, path) => [
      ...(source.secretName ? [] : [required(`${path}.secretName`)]),
      ...validateMode(source.defaultMode, `${path}.defaultMode`),
      ...validateItems(source.items, path),
    ],
    configMap: (source, path) => [
      ...(source.name ? [] : [required(`${path}.name`)]),
      ...validateMode(source.defaultMode, `${path}.defaultMode`),
      ...validateItems(source.items, path),
    ],
    downwardAPI: (source, path) => [
      ...validateMode(source.defaultMode, `${path}.defaultMode`),
      ...validateDownwardItems(source.items, path),
    ],
    projected: (source, path) => [
      ...validateMode(source.defaultMode, `${path}.defaultMode`),
      ...(source.sources ?? []).flatMap((projection, i) => validateProjection(projection, `${path}.sources[${i}]`)),
    ],
    persistentVolumeClaim: ({ claimName }, path) => (claimName ? [] : [required(`${path}.claimName`)]),
    csi: ({ driver, nodePublishSecretRef }, path) => [
      ...validateDriverName(driver, `${path}.driver`),
      ...(nodePublishSecretRef !== undefined && !nodePublishSecretRef.name
        ? [required(`${path}.nodePublishSecretRef.name`)]
        : []),
    ],
    ephemeral: ({ volumeClaimTemplate }, path) =>
      volumeClaimTemplate === undefined
        ? [required(`${path}.volumeClaimTemplate`)]
        : [
            ...validateLabels(volumeClaimTemplate.metadata?.labels, `${path}.volumeClaimTemplate.metadata.labels`),
            ...validateClaimSpec(volumeClaimTemplate.spec, `${path}.volumeClaimTemplate.spec`),
          ],
    image: (source, path) => [
      ...(source.reference ? [] : [required(`${path}.reference`)]),
      ...validateOptionalOneOf(source.pullPolicy, PULL_POLICIES, `${path}.pullPolicy`),
    ],
  };

function validateSource(volume: Volume, path: string): FieldError[] {
  const kinds = (Object.keys(volume) as (keyof Volume)[]).filter(
    (kind) => kind !== 'name' && volume[kind] !== undefined,
  );
  const [kind, ...more] = kinds;
  if (kind === undefined) return [required(path, 'must specify a volume type')];
  const rule = SOURCE_RULES[kind] as ((source: unknown, path: string) => FieldError[]) | undefined;
  return [
    ...(rule?.(volume[kind], `${path}.${kind}`) ??
      validateVolumeSource(kind, volume[kind] as SourceFields, `${path}.${kind}`)),
    ...more.map((other) => forbiddenField(`${path}.${other}`, 'may not specify more than 1 volume type')),
  ];
}

/** Also collects the names that containers may mount. */
export function validateVolumes(
  volumes: readonly Volume[] | undefined,
  path: string,
): { errors: FieldError[]; names: Set<string> } {
  const names = new Set<string>();
  const errors = (volumes ?? []).flatMap((volume, i) => {
    const at = `${path}[${i}]`;
    const found = validateSource(volume, at);
    if (!volume.name) return [...found, required(`${at}.name`)];
    found.push(...validateDnsLabel(volume.name, `${at}.name`));
    if (names.has(volume.name)) found.push(duplicate(`${at}.name`, volume.name));
    names.add(volume.name);
    return found;
  });
  return { errors, names };
}

type Mount = NonNullable<Container['volumeMounts']>[number];

const PROPAGATIONS = ['Bidirectional', 'HostToContainer', 'None'];

function validateMount(mount: Mount, path: string, container: Container): FieldError[] {
  const errors: FieldError[] = [];
  if (mount.subPath && mount.subPathExpr) {
    errors.push(invalid(`${path}.subPathExpr`, mount.subPathExpr, 'subPathExpr and subPath are mutually exclusive'));
  }
  if (mount.subPath) errors.push(...validateRelativePath(mount.subPath, `${path}.subPath`));
  if (mount.subPathExpr) errors.push(...validateRelativePath(mount.subPathExpr, `${path}.subPathExpr`));
  const { mountPropagation } = mount;
  if (mountPropagation !== undefined && !PROPAGATIONS.includes(mountPropagation)) {
    errors.push(notSupported(`${path}.mountPropagation`, mountPropagation, PROPAGATIONS));
  }
  if (mountPropagation === 'Bidirectional' && !container.securityContext?.privileged) {
    errors.push(
      forbiddenField(
        `${path}.mountPropagation`,
        'Bidirectional mount propagation is available only to privileged containers',
      ),
    );
  }
  if (mount.recursiveReadOnly && mount.recursiveReadOnly !== 'Disabled' && !mount.readOnly) {
    errors.push(forbiddenField(`${path}.recursiveReadOnly`, 'may only be specified when readOnly is true'));
  }
  return errors;
}

export function validateMounts(container: Container, path: string, volumes: ReadonlySet<string>): FieldError[] {
  const points = new Set<string>();
  return (container.volumeMounts ?? []).flatMap((mount, i) => {
    const at = `${path}.volumeMounts[${i}]`;
    const errors: FieldError[] = [];
    if (!mount.name) errors.push(required(`${at}.name`));
    else if (!volumes.has(mount.name)) errors.push(missing(`${at}.name`, mount.name));
    if (!mount.mountPath) errors.push(required(`${at}.mountPath`));
    else if (points.has(mount.mountPath)) errors.push(invalid(`${at}.mountPath`, mount.mountPath, 'must be unique'));
    points.add(mount.mountPath);
    return [...errors, ...validateMount(mount, at, container)];
  });
}
