import type { IDeviceClass } from 'kubernetes-models/resource.k8s.io/v1/DeviceClass';
import { qualifiedName } from '#api/meta/names.ts';
import { type FieldError, invalid } from '#api/object/field-error.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { MAX_CONFIGS, MAX_SELECTORS, validateConfiguration, validateSelector } from './device/claim-spec.ts';
import { validateList } from './device/lists.ts';
import { age } from './printing/cells.ts';
import { ageColumn, nameColumn } from './printing/columns.ts';

type DeviceClass = Stored<IDeviceClass>;

/** `vendor.example/gpu`: a domain of nobody else's, and no name that quotas already use. */
function isExtendedResource(name: string): boolean {
  const [domain = ''] = name.split('/');
  if (!name.includes('/') || domain === 'kubernetes.io' || domain.endsWith('.kubernetes.io')) return false;
  return !name.startsWith('requests.') && qualifiedName(`requests.${name}`).length === 0;
}

function validateClass({ spec }: DeviceClass): FieldError[] {
  const errors = [
    ...validateList(spec?.selectors, MAX_SELECTORS, validateSelector, 'spec.selectors'),
    ...validateList(spec?.config, MAX_CONFIGS, validateConfiguration, 'spec.config'),
  ];
  const extended = spec?.extendedResourceName;
  if (extended !== undefined && !isExtendedResource(extended)) {
    errors.push(invalid('spec.extendedResourceName', extended, 'must be a valid extended resource name'));
  }
  return errors;
}

export const deviceClasses: ResourceDefinition = defineResource<DeviceClass>({
  group: 'resource.k8s.io',
  version: 'v1',
  resource: 'deviceclasses',
  kind: 'DeviceClass',
  namespaced: false,
  hasGeneration: true,
  validate: validateClass,
  columns: [nameColumn, ageColumn],
  tableRow: (object, nowMs) => [object.metadata.name, age(object, nowMs)],
});
