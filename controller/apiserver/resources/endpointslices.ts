import { parseIp } from '#api/meta/ip-address.ts';
import { duplicate, type FieldError, invalid, notSupported, required, tooMany } from '#api/object/field-error.ts';
import type { EndpointSlice } from '#api/object/kinds.ts';
import { SERVICE_NAME_LABEL } from '#api/object/slices-by-service.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { age, listWithMore } from './printing/cells.ts';
import { ageColumn, nameColumn, text } from './printing/columns.ts';
import {
  PROTOCOLS,
  validateDnsLabel,
  validateDnsSubdomain,
  validateImmutable,
  validatePort,
} from './validation/format.ts';
import { validateReachableIp } from './validation/ip.ts';

const ADDRESS_TYPES = ['FQDN', 'IPv4', 'IPv6'];
const MAX_ENDPOINTS = 1000;
const MAX_ADDRESSES = 100;
const MAX_PORTS = 20_000;
const SHOWN = 3;
const UNSET = '<unset>';

type Endpoint = NonNullable<EndpointSlice['endpoints']>[number];

function validateAddress(address: string, type: string, path: string): FieldError[] {
  if (type === 'FQDN') return validateDnsSubdomain(address, path);
  const errors = validateReachableIp(address, path);
  if (errors.length === 0 && parseIp(address)?.family !== type) {
    errors.push(invalid(path, address, `must be an ${type} address`));
  }
  return errors;
}

function validateEndpoint(endpoint: Endpoint, type: string, path: string): FieldError[] {
  const addresses = endpoint.addresses ?? [];
  const errors: FieldError[] = [];
  if (addresses.length === 0) errors.push(required(`${path}.addresses`, 'must contain at least 1 address'));
  if (addresses.length > MAX_ADDRESSES) errors.push(tooMany(`${path}.addresses`, addresses.length, MAX_ADDRESSES));
  for (const [i, address] of addresses.entries())
    errors.push(...validateAddress(address, type, `${path}.addresses[${i}]`));
  if (endpoint.hostname !== undefined) errors.push(...validateDnsLabel(endpoint.hostname, `${path}.hostname`));
  if (endpoint.nodeName !== undefined) errors.push(...validateDnsSubdomain(endpoint.nodeName, `${path}.nodeName`));
  return errors;
}

function validatePorts(slice: EndpointSlice): FieldError[] {
  const ports = slice.ports ?? [];
  const errors: FieldError[] = [];
  if (ports.length > MAX_PORTS) errors.push(tooMany('ports', ports.length, MAX_PORTS));
  const names = new Set<string>();
  for (const [i, { name = '', protocol, port }] of ports.entries()) {
    if (names.has(name)) errors.push(duplicate(`ports[${i}].name`, name));
    names.add(name);
    if (name !== '') errors.push(...validateDnsLabel(name, `ports[${i}].name`));
    if (!protocol) errors.push(required(`ports[${i}].protocol`));
    else if (!PROTOCOLS.includes(protocol)) errors.push(notSupported(`ports[${i}].protocol`, protocol, PROTOCOLS));
    if (port !== undefined && port !== null) errors.push(...validatePort(port, `ports[${i}].port`));
  }
  return errors;
}

function validateSlice(slice: EndpointSlice): FieldError[] {
  if (!slice.addressType) return [required('addressType')];
  if (!ADDRESS_TYPES.includes(slice.addressType))
    return [notSupported('addressType', slice.addressType, ADDRESS_TYPES)];
  const all = slice.endpoints ?? [];
  return [
    ...(all.length > MAX_ENDPOINTS ? [tooMany('endpoints', all.length, MAX_ENDPOINTS)] : []),
    ...all.flatMap((endpoint, i) => validateEndpoint(endpoint, slice.addressType, `endpoints[${i}]`)),
    ...validatePorts(slice),
  ];
}

/** `*` = every port; a port known by name alone is shown by it. */
const portCell = ({ name, port }: { name?: string; port?: number }): string => `${port ?? (name || '*')}`;

export const endpointSlices: ResourceDefinition = defineResource<EndpointSlice>({
  group: 'discovery.k8s.io',
  version: 'v1',
  resource: 'endpointslices',
  kind: 'EndpointSlice',
  namespaced: true,
  hasGeneration: true,
  allowCreateOnUpdate: true,
  indexedLabels: [SERVICE_NAME_LABEL],
  applyDefaults(slice) {
    for (const port of slice.ports ?? []) {
      port.name ??= '';
      port.protocol ||= 'TCP';
    }
  },
  validate: validateSlice,
  validateUpdate: (slice, old) => validateImmutable(slice.addressType, old.addressType, 'addressType'),
  columns: [
    nameColumn,
    text('AddressType', 'Kind of the addresses: IPv4, IPv6 or FQDN.'),
    text('Ports', 'Ports of each endpoint.'),
    text('Endpoints', 'Addresses of the endpoints.'),
    ageColumn,
  ],
  tableRow: (slice, nowMs) => [
    slice.metadata.name,
    slice.addressType,
    listWithMore((slice.ports ?? []).map(portCell), SHOWN, UNSET),
    listWithMore(
      (slice.endpoints ?? []).flatMap((endpoint) => endpoint.addresses),
      SHOWN,
      UNSET,
    ),
    age(slice, nowMs),
  ],
});
