import { type FieldError, notSupported, required } from '#api/object/field-error.ts';
import type { Endpoints } from '#api/object/kinds.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { age, hostPort, listWithMore, NONE } from './printing/cells.ts';
import { ageColumn, nameColumn, text } from './printing/columns.ts';
import { PROTOCOLS, validateDnsLabel, validatePort } from './validation/format.ts';
import { validateReachableIp } from './validation/ip.ts';

const SHOWN = 3;

type Subset = NonNullable<Endpoints['subsets']>[number];
type Address = NonNullable<Subset['addresses']>[number];

function validateAddress(address: Address, path: string): FieldError[] {
  const errors = validateReachableIp(address.ip ?? '', `${path}.ip`);
  if (address.hostname) errors.push(...validateDnsLabel(address.hostname, `${path}.hostname`));
  return errors;
}

function validatePorts(subset: Subset, path: string): FieldError[] {
  const ports = subset.ports ?? [];
  return ports.flatMap((port, i) => {
    const at = `${path}.ports[${i}]`;
    const errors: FieldError[] = [];
    if (port.name) errors.push(...validateDnsLabel(port.name, `${at}.name`));
    else if (ports.length > 1) errors.push(required(`${at}.name`));
    errors.push(...validatePort(port.port, `${at}.port`));
    if (!port.protocol) errors.push(required(`${at}.protocol`));
    else if (!PROTOCOLS.includes(port.protocol)) errors.push(notSupported(`${at}.protocol`, port.protocol, PROTOCOLS));
    return errors;
  });
}

function validateEndpoints(endpoints: Endpoints): FieldError[] {
  return (endpoints.subsets ?? []).flatMap((subset, i) => {
    const path = `subsets[${i}]`;
    const { addresses = [], notReadyAddresses = [] } = subset;
    if (addresses.length + notReadyAddresses.length === 0) {
      return [required(path, 'must specify `addresses` or `notReadyAddresses`')];
    }
    return [
      ...addresses.flatMap((address, j) => validateAddress(address, `${path}.addresses[${j}]`)),
      ...notReadyAddresses.flatMap((address, j) => validateAddress(address, `${path}.notReadyAddresses[${j}]`)),
      ...validatePorts(subset, path),
    ];
  });
}

/** The Endpoints cell: every ready address with every port, three of them spelled out. */
function formatEndpoints(endpoints: Endpoints): string {
  const entries = (endpoints.subsets ?? []).flatMap(({ addresses = [], ports = [] }) =>
    ports.length === 0
      ? addresses.map((address) => address.ip)
      : ports.flatMap((port) => addresses.map((address) => hostPort(address.ip, port.port))),
  );
  return listWithMore(entries, SHOWN, NONE);
}

export const endpoints: ResourceDefinition = defineResource<Endpoints>({
  group: '',
  version: 'v1',
  resource: 'endpoints',
  kind: 'Endpoints',
  namespaced: true,
  singular: 'endpoints',
  shortNames: ['ep'],
  deprecationWarning: 'v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice',
  storagePrefix: '/registry/services/endpoints',
  allowCreateOnUpdate: true,
  applyDefaults(object) {
    for (const { ports = [] } of object.subsets ?? []) for (const port of ports) port.protocol ||= 'TCP';
  },
  validate: validateEndpoints,
  warnings: () => ['v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice'],
  columns: [nameColumn, text('Endpoints', 'Ready addresses with their ports.'), ageColumn],
  tableRow: (object, nowMs) => [object.metadata.name, formatEndpoints(object), age(object, nowMs)],
});
