import type { IVolumeAttributesClass } from 'kubernetes-models/storage.k8s.io/v1/VolumeAttributesClass';
import { deepEqual } from '#api/object/deep-equal.ts';
import { type FieldError, forbiddenField, required } from '#api/object/field-error.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { age } from './printing/cells.ts';
import { ageColumn, nameColumn, text } from './printing/columns.ts';
import { classNameCell, validateParameters, validateProvisioner } from './storage/validate-class.ts';

type VolumeAttributesClass = Stored<IVolumeAttributesClass>;

const DEFAULT_MARKERS = ['storage.alpha.kubernetes.io/is-default-class'];

function validateClass({ driverName, parameters }: VolumeAttributesClass): FieldError[] {
  const errors = [...validateProvisioner(driverName, 'driverName'), ...validateParameters(parameters)];
  if (Object.keys(parameters ?? {}).length === 0) {
    errors.push(required('parameters', 'must contain at least one key/value pair'));
  }
  return errors;
}

export const volumeAttributesClasses: ResourceDefinition = defineResource<VolumeAttributesClass>({
  group: 'storage.k8s.io',
  version: 'v1',
  resource: 'volumeattributesclasses',
  kind: 'VolumeAttributesClass',
  namespaced: false,
  shortNames: ['vac'],
  validate: validateClass,
  validateUpdate: (object, old) =>
    (['driverName', 'parameters'] as const)
      .filter((field) => !deepEqual(object[field], old[field]))
      .map((field) => forbiddenField(field, `updates to ${field} are forbidden.`)),
  columns: [nameColumn, text('DriverName', 'CSI driver that knows the attributes.'), ageColumn],
  tableRow: (object, nowMs) => [
    classNameCell(object.metadata, DEFAULT_MARKERS),
    object.driverName ?? '',
    age(object, nowMs),
  ],
});
