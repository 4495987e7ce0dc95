import { pathSegmentName } from '#api/meta/names.ts';
import type { ClusterRoleBinding, RoleBinding } from '#api/object/kinds.ts';
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

export interface BindingKind {
  readonly resource: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** Kinds that `roleRef` may name. */
  readonly roleKinds: readonly string[];
}

/** RoleBindings and ClusterRoleBindings are the same objects with another reach. */
export function defineBinding({ resource, kind, namespaced, roleKinds }: BindingKind): ResourceDefinition {
  return defineResource<RoleBinding | ClusterRoleBinding>({
    group: 'rbac.authorization.k8s.io',
    version: 'v1',
    resource,
    kind,
    namespaced,
    allowCreateOnUpdate: true,
    validateName: pathSegmentName,
    applyDefaults: applyBindingDefaults,
    validate: (binding) => [
      ...validateRoleRef(binding.roleRef, roleKinds),
      ...validateSubjects(binding.subjects, namespaced),
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
}
