import type { IControllerRevision } from 'kubernetes-models/apps/v1/ControllerRevision';
import { type FieldError, required } from '#api/object/field-error.ts';
import { parseApiVersion } from '#api/object/group-version.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { age, NONE } from './printing/cells.ts';
import { ageColumn, nameColumn, text } from './printing/columns.ts';
import { validateImmutable, validateNonNegative } from './validation/format.ts';

type ControllerRevision = Stored<IControllerRevision>;

function validateRevision(object: ControllerRevision): FieldError[] {
  const errors = validateNonNegative(object.revision, 'revision');
  if (object.data === undefined || object.data === null) errors.push(required('data', 'data is mandatory'));
  return errors;
}

/** `statefulset.apps/web`. */
function controllerCell({ metadata }: ControllerRevision): string {
  const owner = metadata.ownerReferences?.find((reference) => reference.controller);
  if (owner === undefined) return NONE;
  const { group } = parseApiVersion(owner.apiVersion);
  return `${owner.kind.toLowerCase()}${group === '' ? '' : `.${group}`}/${owner.name}`;
}

export const controllerRevisions: ResourceDefinition = defineResource<ControllerRevision>({
  group: 'apps',
  version: 'v1',
  resource: 'controllerrevisions',
  kind: 'ControllerRevision',
  namespaced: true,
  validate: validateRevision,
  validateUpdate: (object, old) => validateImmutable(object.data, old.data, 'data'),
  columns: [
    nameColumn,
    text('Controller', 'The workload whose state it holds.'),
    text('Revision', 'Ordinal of the state.'),
    ageColumn,
  ],
  tableRow: (object, nowMs) => [object.metadata.name, controllerCell(object), object.revision ?? 0, age(object, nowMs)],
});
