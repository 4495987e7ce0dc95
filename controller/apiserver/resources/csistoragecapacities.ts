import type { ICSIStorageCapacity } from 'kubernetes-models/storage.k8s.io/v1/CSIStorageCapacity';
import { Quantity } from '#api/meta/quantity.ts';
import { type FieldError, invalid } from '#api/object/field-error.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { nameColumn, text } from './printing/columns.ts';
import { NOT_NEGATIVE, validateDnsSubdomain, validateImmutable } from './validation/format.ts';
import { validateLabelSelector } from './validation/label-selector.ts';

type CSIStorageCapacity = Stored<ICSIStorageCapacity>;

function validateCapacity({ nodeTopology, storageClassName, capacity }: CSIStorageCapacity): FieldError[] {
  const errors = [
    ...validateLabelSelector(nodeTopology, 'nodeTopology'),
    ...validateDnsSubdomain(storageClassName ?? '', 'storageClassName'),
  ];
  if (capacity !== undefined && Quantity.parse(String(capacity)).nano < 0n) {
    errors.push(invalid('capacity', capacity, NOT_NEGATIVE));
  }
  return errors;
}

export const csiStorageCapacities: ResourceDefinition = defineResource<CSIStorageCapacity>({
  group: 'storage.k8s.io',
  version: 'v1',
  resource: 'csistoragecapacities',
  kind: 'CSIStorageCapacity',
  namespaced: true,
  allowUnconditionalUpdate: false,
  validate: validateCapacity,
  validateUpdate: (object, old) => [
    ...validateImmutable(object.nodeTopology, old.nodeTopology, 'nodeTopology'),
    ...validateImmutable(object.storageClassName, old.storageClassName, 'storageClassName'),
  ],
  columns: [
    nameColumn,
    text('StorageClassName', 'Class whose volumes the capacity is for.'),
    text('Capacity', 'Storage that is free.'),
  ],
  tableRow: ({ metadata, storageClassName, capacity }) => [
    metadata.name,
    storageClassName ?? '',
    capacity === undefined ? '<unset>' : String(capacity),
  ],
});
