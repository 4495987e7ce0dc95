import { pathSegmentName } from '#api/meta/names.ts';
import type { Role } from '#api/object/kinds.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { validateRules } from './rbac-validation.ts';

export const roles: ResourceDefinition = defineResource<Role>({
  group: 'rbac.authorization.k8s.io',
  version: 'v1',
  resource: 'roles',
  kind: 'Role',
  namespaced: true,
  allowCreateOnUpdate: true,
  validateName: pathSegmentName,
  validate: (role) => validateRules(role.rules, false),
});
