import { pathSegmentName } from '#api/meta/names.ts';
import type { ClusterRole } from '#api/object/kinds.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { validateAggregationRule, validateRules } from './rbac-validation.ts';

export const clusterRoles: ResourceDefinition = defineResource<ClusterRole>({
  group: 'rbac.authorization.k8s.io',
  version: 'v1',
  resource: 'clusterroles',
  kind: 'ClusterRole',
  namespaced: false,
  allowCreateOnUpdate: true,
  validateName: pathSegmentName,
  validate: (role) => [...validateRules(role.rules, true), ...validateAggregationRule(role.aggregationRule)],
});
