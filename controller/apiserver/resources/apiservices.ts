import type { IAPIService } from 'kubernetes-models/apiregistration.k8s.io/v1/APIService';
import { findCondition } from '#api/meta/conditions.ts';
import { dns1035Label, dns1123Subdomain, pathSegmentName, portNumber } from '#api/meta/names.ts';
import { type FieldError, invalid, notSupported, required } from '#api/object/field-error.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { age } from './printing/cells.ts';
import { column, nameColumn, text } from './printing/columns.ts';
import { base64Bytes } from './validation/data.ts';

type APIService = Stored<IAPIService>;
type Spec = NonNullable<APIService['spec']>;

const GROUP = 'apiregistration.k8s.io';
const DEFAULT_PORT = 443;
const MAX_GROUP_PRIORITY = 20_000;
const MAX_VERSION_PRIORITY = 1000;
const CONDITION_STATUSES = ['True', 'False', 'Unknown'];

function validatePriority(priority: number | undefined, max: number, path: string): FieldError[] {
  const value = priority ?? 0;
  return value <= 0 || value > max ? [invalid(path, value, `must be positive and less than ${max}`)] : [];
}

function validateGroupVersion(name: string, group: string, version: string): FieldError[] {
  const errors: FieldError[] = [];
  const wanted = `${version}.${group}`;
  if (pathSegmentName(name).length === 0 && name !== wanted) {
    const detail = `must be \`spec.version+"."+spec.group\`: ${JSON.stringify(wanted)}`;
    errors.push(invalid('metadata.name', name, detail));
  }
  if (group === '' && version !== 'v1') {
    errors.push(required('spec.group', 'only v1 may have an empty group and it better be legacy kube'));
  }
  if (group !== '') errors.push(...dns1123Subdomain(group).map((message) => invalid('spec.group', group, message)));
  return [...errors, ...dns1035Label(version).map((message) => invalid('spec.version', version, message))];
}

/** A group that we serve ourselves has no way to it; one of another server needs one that can be trusted. */
function validateBackend({ service, caBundle = '', insecureSkipTLSVerify = false }: Spec): FieldError[] {
  const errors: FieldError[] = [];
  const insecure = (detail: string) => invalid('spec.insecureSkipTLSVerify', insecureSkipTLSVerify, detail);
  if (service === undefined) {
    if (caBundle !== '') {
      const detail = 'local APIServices may not have a caBundle';
      errors.push(invalid('spec.caBundle', `${base64Bytes(caBundle)} bytes`, detail));
    }
    if (insecureSkipTLSVerify) errors.push(insecure('local APIServices may not have insecureSkipTLSVerify'));
    return errors;
  }
  if (!service.namespace) errors.push(required('spec.service.namespace'));
  if (!service.name) errors.push(required('spec.service.name'));
  const portErrors = portNumber(service.port ?? DEFAULT_PORT);
  if (portErrors.length > 0) {
    errors.push(invalid('spec.service.port', service.port, `port is not valid: ${portErrors.join(',')}`));
  }
  if (insecureSkipTLSVerify && caBundle !== '') errors.push(insecure('may not be true if caBundle is present'));
  return errors;
}

function validateApiService({ metadata, spec }: APIService): FieldError[] {
  return [
    ...validateGroupVersion(metadata.name, spec?.group ?? '', spec?.version ?? ''),
    ...validatePriority(spec?.groupPriorityMinimum, MAX_GROUP_PRIORITY, 'spec.groupPriorityMinimum'),
    ...validatePriority(spec?.versionPriority, MAX_VERSION_PRIORITY, 'spec.versionPriority'),
    ...(spec === undefined ? [] : validateBackend(spec)),
  ];
}

function serviceCell({ spec }: APIService): string {
  return spec?.service === undefined ? 'Local' : `${spec.service.namespace}/${spec.service.name}`;
}

/** `True`, or `False (MissingEndpoints)`. */
function availableCell({ status }: APIService): string {
  const available = findCondition(status?.conditions, 'Available');
  if (available === undefined) return 'Unknown';
  return available.status === 'True' ? 'True' : `${available.status} (${available.reason ?? ''})`;
}

export const apiServices: ResourceDefinition = defineResource<APIService>({
  group: GROUP,
  version: 'v1',
  resource: 'apiservices',
  kind: 'APIService',
  namespaced: false,
  categories: ['api-extensions'],
  storagePrefix: `/registry/${GROUP}/apiservices`,
  hasStatus: true,
  allowUnconditionalUpdate: false,
  validateName: pathSegmentName,
  applyDefaults({ spec }) {
    if (spec?.service !== undefined) spec.service.port ??= DEFAULT_PORT;
  },
  prepareForCreate(service) {
    service.status = {};
    // Groups of our own are there as soon as we are.
    if (service.spec?.service !== undefined) return;
    const lastTransitionTime = service.metadata.creationTimestamp;
    const message = 'Local APIServices are always available';
    service.status = {
      conditions: [{ type: 'Available', status: 'True', reason: 'Local', message, lastTransitionTime }],
    };
  },
  validate: validateApiService,
  validateStatusUpdate: ({ status }) =>
    (status?.conditions ?? []).flatMap((condition, i) =>
      CONDITION_STATUSES.includes(condition.status)
        ? []
        : [notSupported(`status.conditions[${i}].status`, condition.status, CONDITION_STATUSES)],
    ),
  columns: [
    nameColumn,
    text('Service', 'Service behind which its server stands, or Local.'),
    text('Available', 'Whether its server can be reached.'),
    column('Age', 'date', 'Time since the object was created.'),
  ],
  tableRow: (service, nowMs) => [
    service.metadata.name,
    serviceCell(service),
    availableCell(service),
    age(service, nowMs),
  ],
});
