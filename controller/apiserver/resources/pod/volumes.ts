import { Quantity } from '#api/meta/quantity.ts';
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalid,
  notSupported,
  required,
} from '#api/object/field-error.ts';
import { validateClaimSpec } from '../storage/claim-spec.ts';
import { validateDriverName } from '../storage/validate-class.ts';
import { type SourceFields, validateVolumeSource } from '../storage/volume-sources.ts';
import { validateDnsLabel, validateOptionalOneOf } from '../validation/format.ts';
import { validateLabels } from '../validation/label-selector.ts';
import type { Volume } from './pod-types.ts';
import { validateDownwardItems, validateItems, validateMode, validateProjections } from './projections.ts';
import { hasBackstep } from './relative-path.ts';

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
      ...validateProjections(source.sources, `${path}.sources`),
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

/** Also collects the volumes that containers may mount, by name. */
export function validateVolumes(
  volumes: readonly Volume[] | undefined,
  path: string,
): { errors: FieldError[]; byName: ReadonlyMap<string, Volume> } {
  const byName = new Map<string, Volume>();
  const errors = (volumes ?? []).flatMap((volume, i) => {
    const at = `${path}[${i}]`;
    const found = validateSource(volume, at);
    if (!volume.name) return [...found, required(`${at}.name`)];
    found.push(...validateDnsLabel(volume.name, `${at}.name`));
    if (byName.has(volume.name)) found.push(duplicate(`${at}.name`, volume.name));
    byName.set(volume.name, volume);
    return found;
  });
  return { errors, byName };
}
