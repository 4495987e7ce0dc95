import type { PersistentVolume } from '#api/object/kinds.ts';
import { toTime } from '#base/clock.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { CLASS_ANNOTATION } from './persistentvolumeclaims.ts';
import { age } from './printing/cells.ts';
import { ageColumn, nameColumn, text, wideColumn } from './printing/columns.ts';
import { formatAccessModes } from './storage/access-modes.ts';
import { validateVolumeSpec, validateVolumeUpdate } from './storage/persistent-volume-validation.ts';
import { applySourceDefaults } from './storage/volume-sources.ts';

const UNSET = '<unset>';

function row(volume: PersistentVolume, nowMs: number): unknown[] {
  const { metadata, spec, status } = volume;
  const { storage = '' } = (spec?.capacity ?? {}) as Record<string, unknown>;
  const claim = spec?.claimRef;
  return [
    metadata.name,
    String(storage),
    formatAccessModes(spec?.accessModes),
    spec?.persistentVolumeReclaimPolicy ?? '',
    metadata.deletionTimestamp === undefined ? (status?.phase ?? '') : 'Terminating',
    claim === undefined ? '' : `${claim.namespace ?? ''}/${claim.name ?? ''}`,
    metadata.annotations?.[CLASS_ANNOTATION] ?? spec?.storageClassName ?? '',
    spec?.volumeAttributesClassName ?? UNSET,
    status?.reason ?? '',
    age(volume, nowMs),
    spec?.volumeMode ?? UNSET,
  ];
}

const MOUNT_OPTIONS_ANNOTATION = 'volume.beta.kubernetes.io/mount-options';

/** Nothing here recycles volumes: the claim's end leaves one `Failed`, as where Kubernetes has no recycler for it. */
function deprecations({ metadata: { annotations = {} }, spec }: PersistentVolume): string[] {
  const replaced = (annotation: string, since: string, attribute: string) =>
    annotations[annotation] === undefined
      ? []
      : [`metadata.annotations[${annotation}]: deprecated since ${since}; use "${attribute}" attribute instead`];
  const recycled =
    'The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.';
  return [
    ...replaced(CLASS_ANNOTATION, 'v1.8', 'storageClassName'),
    ...replaced(MOUNT_OPTIONS_ANNOTATION, 'v1.31', 'mountOptions'),
    ...(spec?.persistentVolumeReclaimPolicy === 'Recycle' ? [`spec.persistentVolumeReclaimPolicy: ${recycled}`] : []),
  ];
}

export const persistentVolumes: ResourceDefinition = defineResource<PersistentVolume>({
  group: '',
  version: 'v1',
  resource: 'persistentvolumes',
  kind: 'PersistentVolume',
  namespaced: false,
  shortNames: ['pv'],
  hasStatus: true,
  applyDefaults({ spec }) {
    if (spec === undefined) return;
    spec.persistentVolumeReclaimPolicy ||= 'Retain';
    spec.volumeMode ??= 'Filesystem';
    applySourceDefaults(spec);
  },
  prepareForCreate(volume, { nowMs }) {
    volume.status = { phase: 'Pending', lastPhaseTransitionTime: toTime(nowMs) };
  },
  prepareForStatusUpdate(volume, old, { nowMs }) {
    const { status } = volume;
    if (status === undefined || status.phase === old.status?.phase) return;
    // A controller may say when the phase changed; one that says nothing new means now.
    const isToldAlready =
      status.lastPhaseTransitionTime !== undefined &&
      status.lastPhaseTransitionTime !== old.status?.lastPhaseTransitionTime;
    if (!isToldAlready) status.lastPhaseTransitionTime = toTime(nowMs);
  },
  validate: ({ spec }) => validateVolumeSpec(spec, 'spec'),
  validateUpdate: validateVolumeUpdate,
  warnings: deprecations,
  columns: [
    nameColumn,
    text('Capacity', 'Size of the volume.'),
    text('Access Modes', 'How pods may mount it.'),
    text('Reclaim Policy', 'What happens to it when its claim goes.'),
    text('Status', 'Whether a claim is bound to it.'),
    text('Claim', 'The claim that is bound to it.'),
    text('StorageClass', 'Class that it belongs to.'),
    text('VolumeAttributesClass', 'Class of its changeable attributes.'),
    text('Reason', 'Why it is in its state.'),
    ageColumn,
    wideColumn('VolumeMode', 'A file system or a raw device.'),
  ],
  tableRow: row,
});
