import { pathSegmentName } from '#api/meta/names.ts';
import type { RoleBinding } from '#api/object/kinds.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { age } from './printing/cells.ts';
import { ageColumn, nameColumn, text, wideColumn } from './printing/columns.ts';
import {
  applyBindingDefaults,
  subjectCells,
  validateRoleRef,
  validateRoleRefUpdate,
  validateSubjects,
} from './rbac-validation.ts';

export const roleBindings: ResourceDefinition = defineResource<RoleBinding>({
  group: 'rbac.authorization.k8s.io',
  version: 'v1',
  resource: 'rolebindings',
  kind: 'RoleBinding',
  namespaced: true,
  allowCreateOnUpdate: true,
  validateName: pathSegmentName,
  applyDefaults: applyBindingDefaults,
  validate: (binding) => [
    ...validateRoleRef(binding.roleRef, ['Role', 'ClusterRole']),
    ...validateSubjects(binding.subjects, true),
  ],
  validateUpdate: (binding, old) => validateRoleRefUpdate(binding.roleRef, old.roleRef),
  columns: [
    nameColumn,
    text('Role', 'The role that is granted.'),
    ageColumn,
    wideColumn('Users', 'Users who are granted the role.'),
    wideColumn('Groups', 'Groups that are granted the role.'),
    wideColumn('ServiceAccounts', 'ServiceAccounts that are granted the role.'),
  ],
  tableRow: (binding, nowMs) => [
    binding.metadata.name,
    `${binding.roleRef?.kind}/${binding.roleRef?.name}`,
    age(binding, nowMs),
    ...subjectCells(binding.subjects),
  ],
});
