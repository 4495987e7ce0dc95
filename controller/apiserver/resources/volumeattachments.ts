import type { IVolumeAttachment } from 'kubernetes-models/storage.k8s.io/v1/VolumeAttachment';
import { type FieldError, forbiddenField, invalid, required, tooLong } from '#api/object/field-error.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { age } from './printing/cells.ts';
import { ageColumn, column, nameColumn, text } from './printing/columns.ts';
import { mapBytes, validateDriverName } from './storage/validate-class.ts';
import { validateVolumeSource } from './storage/volume-sources.ts';
import { validateDnsSubdomain, validateImmutable } from './validation/format.ts';

type VolumeAttachment = Stored<IVolumeAttachment>;
type Spec = NonNullable<VolumeAttachment['spec']>;
type InlineVolume = NonNullable<Spec['source']['inlineVolumeSpec']>;
type Status = NonNullable<VolumeAttachment['status']>;

const MAX_METADATA_BYTES = 256 * 1024;
const MAX_MESSAGE_BYTES = 1024;
const MAX_INT32 = 2 ** 31 - 1;

/** What only a volume of its own can say. */
const NOT_INLINE = ['capacity', 'claimRef', 'nodeAffinity', 'persistentVolumeReclaimPolicy'] as const;

/** A CSI volume that a pod brings along (migrated from an in-tree kind). */
function validateInlineVolume(volume: InlineVolume, path: string): FieldError[] {
  const errors = NOT_INLINE.filter((field) => volume[field] !== undefined).map((field) =>
    forbiddenField(`${path}.${field}`, 'may not be specified in the context of inline volumes'),
  );
  if ((volume.accessModes ?? []).length === 0) errors.push(required(`${path}.accessModes`));
  return volume.csi === undefined
    ? [...errors, required(`${path}.csi`, 'has to be specified in the context of inline volumes')]
    : [...errors, ...validateVolumeSource('csi', { ...volume.csi }, `${path}.csi`)];
}

function validateSource(source: Spec['source'] | undefined): FieldError[] {
  const path = 'spec.source';
  const { inlineVolumeSpec, persistentVolumeName } = source ?? {};
  const exactlyOne = 'must specify exactly one of inlineVolumeSpec and persistentVolumeName';
  if (inlineVolumeSpec !== undefined) {
    return persistentVolumeName === undefined
      ? validateInlineVolume(inlineVolumeSpec, `${path}.inlineVolumeSpec`)
      : [forbiddenField(path, exactlyOne)];
  }
  if (persistentVolumeName === undefined) return [required(path, exactlyOne)];
  const at = `${path}.persistentVolumeName`;
  return persistentVolumeName === ''
    ? [required(at, 'must specify non empty persistentVolumeName')]
    : validateDnsSubdomain(persistentVolumeName, at);
}

function validateVolumeError(error: Status['attachError'], path: string): FieldError[] {
  const { message = '', errorCode = 0 } = error ?? {};
  const errors: FieldError[] = [];
  if (Buffer.byteLength(message) > MAX_MESSAGE_BYTES) errors.push(tooLong(`${path}.message`, MAX_MESSAGE_BYTES));
  if (errorCode < 0) {
    errors.push(invalid(`${path}.errorCode`, errorCode, `must be between 0 and ${MAX_INT32}, inclusive`));
  }
  return errors;
}

function validateStatus({ status }: VolumeAttachment): FieldError[] {
  return [
    ...(mapBytes(status?.attachmentMetadata) > MAX_METADATA_BYTES
      ? [tooLong('status.attachmentMetadata', MAX_METADATA_BYTES)]
      : []),
    ...validateVolumeError(status?.attachError, 'status.attachError'),
    ...validateVolumeError(status?.detachError, 'status.detachError'),
  ];
}

export const volumeAttachments: ResourceDefinition = defineResource<VolumeAttachment>({
  group: 'storage.k8s.io',
  version: 'v1',
  resource: 'volumeattachments',
  kind: 'VolumeAttachment',
  namespaced: false,
  hasStatus: true,
  allowUnconditionalUpdate: false,
  prepareForCreate(attachment) {
    attachment.status = { attached: false };
  },
  validate: (attachment) => [
    ...validateDriverName(attachment.spec?.attacher, 'spec.attacher'),
    ...validateSource(attachment.spec?.source),
    ...validateDnsSubdomain(attachment.spec?.nodeName ?? '', 'spec.nodeName'),
    ...validateStatus(attachment),
  ],
  validateUpdate: ({ spec }, old) => validateImmutable(spec, old.spec, 'spec'),
  validateStatusUpdate: validateStatus,
  columns: [
    nameColumn,
    { ...text('Attacher', 'CSI driver that attaches the volume.'), format: 'name' },
    text('PV', 'Volume that is attached.'),
    text('Node', 'Node that it is attached to.'),
    column('Attached', 'boolean', 'Whether it is attached by now.'),
    ageColumn,
  ],
  tableRow: (attachment, nowMs) => [
    attachment.metadata.name,
    attachment.spec?.attacher ?? '',
    attachment.spec?.source?.persistentVolumeName ?? '',
    attachment.spec?.nodeName ?? '',
    attachment.status?.attached ?? false,
    age(attachment, nowMs),
  ],
});
