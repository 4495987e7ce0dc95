import { parseCidr } from '#api/meta/ip-address.ts';
import { type FieldError, invalid, required } from '#api/object/field-error.ts';
import type { ServiceCIDR } from '#api/object/kinds.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { age } from './printing/cells.ts';
import { ageColumn, nameColumn, text } from './printing/columns.ts';
import { validateImmutable } from './validation/format.ts';
import { validateCidr } from './validation/ip.ts';

function validateServiceCidr({ spec }: ServiceCIDR): FieldError[] {
  const cidrs = spec?.cidrs ?? [];
  if (cidrs.length === 0) return [required('spec.cidrs', 'at least one CIDR required')];
  if (cidrs.length > 2) return [invalid('spec', { cidrs }, 'may only hold up to 2 values')];
  const [first, second] = cidrs.map(parseCidr);
  if (first !== undefined && second !== undefined && first.family === second.family) {
    return [
      invalid(
        'spec',
        { cidrs },
        'may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/96',
      ),
    ];
  }
  return cidrs.flatMap((cidr, i) => validateCidr(cidr, `spec.cidrs[${i}]`));
}

export const serviceCidrs: ResourceDefinition = defineResource<ServiceCIDR>({
  group: 'networking.k8s.io',
  version: 'v1',
  resource: 'servicecidrs',
  kind: 'ServiceCIDR',
  namespaced: false,
  hasStatus: true,
  validate: validateServiceCidr,
  validateUpdate: (cidr, old) => validateImmutable(cidr.spec?.cidrs, old.spec?.cidrs, 'spec.cidrs'),
  columns: [nameColumn, text('CIDRs', 'Ranges that cluster IPs are taken from.'), ageColumn],
  tableRow: (cidr, nowMs) => [cidr.metadata.name, (cidr.spec?.cidrs ?? []).join(','), age(cidr, nowMs)],
});
