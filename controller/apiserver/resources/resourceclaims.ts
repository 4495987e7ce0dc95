import type { IResourceClaim } from 'kubernetes-models/resource.k8s.io/v1/ResourceClaim';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { validateAdminAccess } from './device/admin-access.ts';
import { applyClaimDefaults, validateClaim } from './device/claim-spec.ts';
import { validateClaimStatus } from './device/claim-status.ts';
import { age } from './printing/cells.ts';
import { ageColumn, nameColumn, text } from './printing/columns.ts';
import { validateImmutable } from './validation/format.ts';

type ResourceClaim = Stored<IResourceClaim>;

/** `pending`, `allocated,reserved`, `deleted,allocated` ... */
function stateCell({ metadata, status }: ResourceClaim): string {
  const isDeleted = Boolean(metadata.deletionTimestamp);
  const states = isDeleted ? ['deleted'] : [];
  if (status?.allocation !== undefined) {
    states.push('allocated');
    if ((status.reservedFor ?? []).length > 0) states.push('reserved');
  } else if (!isDeleted) states.push('pending');
  return states.join(',');
}

export const resourceClaims: ResourceDefinition = defineResource<ResourceClaim>({
  group: 'resource.k8s.io',
  version: 'v1',
  resource: 'resourceclaims',
  kind: 'ResourceClaim',
  namespaced: true,
  hasStatus: true,
  applyDefaults: ({ spec }) => applyClaimDefaults(spec?.devices),
  prepareForCreate(claim) {
    claim.status = {};
  },
  validateCreate: ({ metadata, spec }, context) => [
    ...validateClaim(spec?.devices, 'spec.devices'),
    ...validateAdminAccess(spec?.devices, { namespace: metadata.namespace ?? '', path: 'spec.devices' }, context),
  ],
  validateUpdate: ({ spec }, old) => validateImmutable(spec, old.spec, 'spec'),
  validateStatusUpdate: validateClaimStatus,
  columns: [nameColumn, text('State', 'Whether devices are allocated to it and to whom.'), ageColumn],
  tableRow: (claim, nowMs) => [claim.metadata.name, stateCell(claim), age(claim, nowMs)],
});
