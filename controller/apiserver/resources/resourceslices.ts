import type { ICounterSet } from 'kubernetes-models/resource.k8s.io/v1/CounterSet';
import type { IResourceSlice } from 'kubernetes-models/resource.k8s.io/v1/ResourceSlice';
import { type FieldError, invalid, required } from '#api/object/field-error.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { byName, validateDistinct, validateList } from './device/lists.ts';
import { validatePoolName } from './device/names.ts';
import { validateCounters, validateDevice } from './device/slice-devices.ts';
import { validateNodeSelector } from './pod/scheduling.ts';
import { age } from './printing/cells.ts';
import { ageColumn, nameColumn, text } from './printing/columns.ts';
import { validateDriverName } from './storage/validate-class.ts';
import { validateDnsLabel, validateDnsSubdomain, validateImmutable } from './validation/format.ts';

type ResourceSlice = Stored<IResourceSlice>;
type Spec = NonNullable<ResourceSlice['spec']>;

const MAX_DEVICES = 128;
/** Devices with taints, or with counters that they take, are larger. */
const MAX_LARGE_DEVICES = 64;
const MAX_COUNTER_SETS = 8;

/** Taints that say no time are there since now. */
function stampTaints({ spec }: ResourceSlice, nowMs: number): void {
  const timeAdded = new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z');
  for (const device of spec?.devices ?? []) for (const taint of device.taints ?? []) taint.timeAdded ??= timeAdded;
}

/** Lists as values are alpha in Kubernetes 1.36 and off by default: as there, they are left out. */
function dropLists({ spec }: ResourceSlice): void {
  for (const device of spec?.devices ?? [])
    for (const attribute of Object.values(device.attributes ?? {}))
      for (const field of ['bools', 'ints', 'strings', 'versions'] as const) delete attribute[field];
}

function prepare(slice: ResourceSlice, nowMs: number): void {
  stampTaints(slice, nowMs);
  dropLists(slice);
}

function validatePool(pool: Spec['pool'] | undefined): FieldError[] {
  const path = 'spec.pool';
  const { name, resourceSliceCount = 0, generation = 0 } = pool ?? {};
  const errors = validatePoolName(name, `${path}.name`);
  if (resourceSliceCount <= 0) {
    errors.push(invalid(`${path}.resourceSliceCount`, resourceSliceCount, 'must be greater than zero'));
  }
  if (generation < 0) {
    errors.push(invalid(`${path}.generation`, generation, 'must be greater than or equal to zero'));
  }
  return errors;
}

/** Exactly one way to say which nodes can use the devices. */
function validatePlace({ nodeName, nodeSelector, allNodes, perDeviceNodeSelection }: Spec): FieldError[] {
  const errors: FieldError[] = [];
  if (nodeName === '') {
    errors.push(invalid('spec.nodeName', nodeName, 'must be either unset or set to a non-empty string'));
  } else if (nodeName !== undefined) errors.push(...validateDnsSubdomain(nodeName, 'spec.nodeName'));
  if (nodeSelector !== undefined) {
    errors.push(...validateNodeSelector(nodeSelector, 'spec.nodeSelector'));
    const terms = nodeSelector.nodeSelectorTerms ?? [];
    if (terms.length !== 1) {
      errors.push(invalid('spec.nodeSelector.nodeSelectorTerms', terms, 'must have exactly one node selector term'));
    }
  }
  for (const [field, value] of Object.entries({ allNodes, perDeviceNodeSelection })) {
    if (value === false) errors.push(invalid(`spec.${field}`, value, 'must be either unset or set to true'));
  }
  const given = Object.entries({ nodeName, nodeSelector, allNodes, perDeviceNodeSelection })
    .filter(([, value]) => value)
    .map(([field]) => `\`${field}\``);
  const detail = 'exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required';
  if (given.length === 0) errors.push(required('spec', detail));
  if (given.length > 1) {
    errors.push(invalid('spec', `{${given.join(', ')}}`, `${detail}, but multiple fields are set`));
  }
  return errors;
}

function validateCounterSet({ name, counters }: ICounterSet, path: string): FieldError[] {
  return [
    ...(name ? validateDnsLabel(name, `${path}.name`) : [required(`${path}.name`)]),
    ...validateCounters(counters, `${path}.counters`),
  ];
}

/** Counters that devices share are in slices of their own, so that many devices fit. */
function validateContent(spec: Spec): FieldError[] {
  const { devices, sharedCounters } = spec;
  const isLarge = (devices ?? []).some(
    ({ taints = [], consumesCounters = [] }) => taints.length + consumesCounters.length > 0,
  );
  const max = isLarge ? MAX_LARGE_DEVICES : MAX_DEVICES;
  const errors =
    devices !== undefined && sharedCounters !== undefined
      ? [invalid('spec', '', 'only one of `sharedCounters` or `devices` is allowed')]
      : [];
  return [
    ...errors,
    ...validateList(devices, max, (device, at) => validateDevice(device, spec, at), 'spec.devices'),
    ...validateDistinct(devices, byName, 'spec.devices'),
    ...validateList(sharedCounters, MAX_COUNTER_SETS, validateCounterSet, 'spec.sharedCounters'),
    ...validateDistinct(sharedCounters, byName, 'spec.sharedCounters'),
  ];
}

function validateSlice({ spec }: ResourceSlice): FieldError[] {
  if (spec === undefined) return [required('spec')];
  return [
    ...validateDriverName(spec.driver, 'spec.driver'),
    ...validatePool(spec.pool),
    ...validatePlace(spec),
    ...validateContent(spec),
  ];
}

export const resourceSlices: ResourceDefinition = defineResource<ResourceSlice>({
  group: 'resource.k8s.io',
  version: 'v1',
  resource: 'resourceslices',
  kind: 'ResourceSlice',
  namespaced: false,
  hasGeneration: true,
  prepareForCreate: (slice, { nowMs }) => prepare(slice, nowMs),
  prepareForUpdate: (slice, _old, { nowMs }) => prepare(slice, nowMs),
  validate: validateSlice,
  validateUpdate: ({ spec }, old) => [
    ...validateImmutable(spec?.pool?.name, old.spec?.pool?.name, 'spec.pool.name'),
    ...validateImmutable(spec?.driver, old.spec?.driver, 'spec.driver'),
    ...validateImmutable(spec?.nodeName, old.spec?.nodeName, 'spec.nodeName'),
  ],
  selectableFields: ({ spec }) => ({ 'spec.nodeName': spec?.nodeName ?? '', 'spec.driver': spec?.driver ?? '' }),
  columns: [
    nameColumn,
    text('Node', 'Node whose devices they are.'),
    text('Driver', 'Driver that offers them.'),
    text('Pool', 'Pool that they belong to.'),
    ageColumn,
  ],
  tableRow: (slice, nowMs) => [
    slice.metadata.name,
    slice.spec?.nodeName ?? '',
    slice.spec?.driver ?? '',
    slice.spec?.pool?.name ?? '',
    age(slice, nowMs),
  ],
});
