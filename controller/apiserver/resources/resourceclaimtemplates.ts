import type { IResourceClaimTemplate } from 'kubernetes-models/resource.k8s.io/v1/ResourceClaimTemplate';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { validateAdminAccess } from './device/admin-access.ts';
import { applyClaimDefaults, validateClaim } from './device/claim-spec.ts';
import { age } from './printing/cells.ts';
import { ageColumn, nameColumn } from './printing/columns.ts';
import { validateImmutable } from './validation/format.ts';
import { validateLabels } from './validation/label-selector.ts';

type ResourceClaimTemplate = Stored<IResourceClaimTemplate>;

export const resourceClaimTemplates: ResourceDefinition = defineResource<ResourceClaimTemplate>({
  group: 'resource.k8s.io',
  version: 'v1',
  resource: 'resourceclaimtemplates',
  kind: 'ResourceClaimTemplate',
  namespaced: true,
  applyDefaults: ({ spec }) => applyClaimDefaults(spec?.spec?.devices),
  validateCreate: ({ metadata, spec }, context) => [
    ...validateLabels(spec?.metadata?.labels, 'spec.metadata.labels'),
    ...validateClaim(spec?.spec?.devices, 'spec.spec.devices'),
    ...validateAdminAccess(
      spec?.spec?.devices,
      { namespace: metadata.namespace ?? '', path: 'spec.spec.devices' },
      context,
    ),
  ],
  validateUpdate: ({ spec }, old) => validateImmutable(spec, old.spec, 'spec'),
  columns: [nameColumn, ageColumn],
  tableRow: (template, nowMs) => [template.metadata.name, age(template, nowMs)],
});
