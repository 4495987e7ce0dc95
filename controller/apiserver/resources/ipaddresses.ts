import { pathSegmentName } from '#api/meta/names.ts';
import { type FieldError, invalid, required } from '#api/object/field-error.ts';
import type { IPAddress } from '#api/object/kinds.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { NONE } from './printing/cells.ts';
import { nameColumn, text } from './printing/columns.ts';
import { validateImmutable } from './validation/format.ts';
import { canonicalIpErrors } from './validation/ip.ts';

function validateParentRef({ spec }: IPAddress): FieldError[] {
  const parent = spec?.parentRef;
  if (parent === undefined) return [required('spec.parentRef')];
  const errors: FieldError[] = [];
  if (!parent.resource) errors.push(required('spec.parentRef.resource'));
  if (!parent.name) errors.push(required('spec.parentRef.name'));
  for (const field of ['resource', 'name', 'namespace'] as const) {
    const value = parent[field];
    if (!value) continue;
    errors.push(...pathSegmentName(value).map((message) => invalid(`spec.parentRef.${field}`, value, message)));
  }
  return errors;
}

/** `services/default/kubernetes`. */
function parentCell(address: IPAddress): string {
  const parent = address.spec?.parentRef;
  if (parent === undefined) return NONE;
  const resource = parent.group ? `${parent.resource}.${parent.group}` : parent.resource;
  return [resource.toLowerCase(), parent.namespace, parent.name].filter(Boolean).join('/');
}

export const ipAddresses: ResourceDefinition = defineResource<IPAddress>({
  group: 'networking.k8s.io',
  version: 'v1',
  resource: 'ipaddresses',
  kind: 'IPAddress',
  namespaced: false,
  shortNames: ['ip'],
  validateName: canonicalIpErrors,
  validate: validateParentRef,
  validateUpdate: (address, old) => validateImmutable(address.spec?.parentRef, old.spec?.parentRef, 'spec.parentRef'),
  selectableFields: (address) => ({
    'spec.parentRef.group': address.spec?.parentRef?.group ?? '',
    'spec.parentRef.resource': address.spec?.parentRef?.resource ?? '',
    'spec.parentRef.namespace': address.spec?.parentRef?.namespace ?? '',
    'spec.parentRef.name': address.spec?.parentRef?.name ?? '',
  }),
  columns: [nameColumn, text('ParentRef', 'The object that holds the address.')],
  tableRow: (address) => [address.metadata.name, parentCell(address)],
});
