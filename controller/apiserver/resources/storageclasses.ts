import type { IStorageClass } from 'kubernetes-models/storage.k8s.io/v1/StorageClass';
import { duplicate, type FieldError, required } from '#api/object/field-error.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { age } from './printing/cells.ts';
import { ageColumn, nameColumn, text } from './printing/columns.ts';
import { classNameCell, validateParameters, validateProvisioner } from './storage/validate-class.ts';
import { validateImmutable, validateOneOf, validateOptionalOneOf, validateQualifiedName } from './validation/format.ts';

type StorageClass = Stored<IStorageClass>;
type Topologies = NonNullable<StorageClass['allowedTopologies']>;

const DEFAULT_MARKERS = [
  'storageclass.kubernetes.io/is-default-class',
  'storageclass.beta.kubernetes.io/is-default-class',
];
const RECLAIM_POLICIES = ['Delete', 'Retain'];
const BINDING_MODES = ['Immediate', 'WaitForFirstConsumer'];

function validateTerm(term: Topologies[number], path: string): FieldError[] {
  const seen = new Set<string>();
  return (term.matchLabelExpressions ?? []).flatMap(({ key, values = [] }, i) => {
    const at = `${path}.matchLabelExpressions[${i}]`;
    const errors = values.length === 0 ? [required(`${at}.values`)] : [];
    for (const [j, value] of values.entries()) {
      if (values.indexOf(value) < j) errors.push(duplicate(`${at}.values[${j}]`, value));
    }
    errors.push(...validateQualifiedName(key ?? '', `${at}.key`));
    if (seen.has(key)) errors.push(duplicate(`${at}.key`, key));
    seen.add(key);
    return errors;
  });
}

/** The same whatever the order of keys and values. */
function fingerprint({ matchLabelExpressions = [] }: Topologies[number]): string {
  return JSON.stringify(matchLabelExpressions.map(({ key, values = [] }) => [key, [...values].sort()]).sort());
}

function validateTopologies(topologies: Topologies | undefined): FieldError[] {
  const seen = new Set<string>();
  return (topologies ?? []).flatMap((term, i) => {
    const path = `allowedTopologies[${i}]`;
    const errors = validateTerm(term, path);
    const print = fingerprint(term);
    if (seen.has(print)) errors.push(duplicate(`${path}.matchLabelExpressions`, ''));
    seen.add(print);
    return errors;
  });
}

export const storageClasses: ResourceDefinition = defineResource<StorageClass>({
  group: 'storage.k8s.io',
  version: 'v1',
  resource: 'storageclasses',
  kind: 'StorageClass',
  namespaced: false,
  shortNames: ['sc'],
  applyDefaults(object) {
    object.reclaimPolicy ??= 'Delete';
    object.volumeBindingMode ??= 'Immediate';
  },
  validate: (object) => [
    ...validateProvisioner(object.provisioner, 'provisioner'),
    ...validateParameters(object.parameters),
    ...validateOptionalOneOf(object.reclaimPolicy || undefined, RECLAIM_POLICIES, 'reclaimPolicy'),
    ...validateOneOf(object.volumeBindingMode, BINDING_MODES, 'volumeBindingMode'),
    ...validateTopologies(object.allowedTopologies),
  ],
  validateUpdate: (object, old) =>
    (['parameters', 'provisioner', 'reclaimPolicy', 'volumeBindingMode'] as const).flatMap((field) =>
      validateImmutable(object[field], old[field], field),
    ),
  columns: [
    nameColumn,
    text('Provisioner', 'Who makes the volumes.'),
    text('ReclaimPolicy', 'What becomes of a volume when its claim is deleted.'),
    text('VolumeBindingMode', 'When volumes are made and bound.'),
    text('AllowVolumeExpansion', 'Whether claims may ask for more later.'),
    ageColumn,
  ],
  tableRow: (object, nowMs) => [
    classNameCell(object.metadata, DEFAULT_MARKERS),
    object.provisioner ?? '',
    object.reclaimPolicy ?? 'Delete',
    object.volumeBindingMode ?? 'Immediate',
    String(object.allowVolumeExpansion ?? false),
    age(object, nowMs),
  ],
});
