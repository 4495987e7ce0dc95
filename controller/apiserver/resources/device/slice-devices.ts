import type { IDevice } from 'kubernetes-models/resource.k8s.io/v1/Device';
import type { IDeviceAttribute } from 'kubernetes-models/resource.k8s.io/v1/DeviceAttribute';
import type { IDeviceCounterConsumption } from 'kubernetes-models/resource.k8s.io/v1/DeviceCounterConsumption';
import type { IDeviceTaint } from 'kubernetes-models/resource.k8s.io/v1/DeviceTaint';
import type { IResourceSliceSpec } from 'kubernetes-models/resource.k8s.io/v1/ResourceSliceSpec';
import { type FieldError, invalid, required, tooLong } from '#api/object/field-error.ts';
import { validateNodeSelector } from '../pod/scheduling.ts';
import {
  validateDnsLabel,
  validateDnsSubdomain,
  validateLabelValue,
  validateQualifiedName,
} from '../validation/format.ts';
import { validateBindingConditions } from './binding-conditions.ts';
import { validateCapacity } from './capacity.ts';
import { validateTaintEffect } from './claim-spec.ts';
import { validateDistinct, validateEntries, validateList } from './lists.ts';
import { validateAttributeName } from './names.ts';

const MAX_PROPERTIES = 32;
const MAX_COUNTERS = 32;
const MAX_TAINTS = 16;
const MAX_VALUE_BYTES = 64;
const VALUE_FIELDS = ['bool', 'bools', 'int', 'ints', 'string', 'strings', 'version', 'versions'] as const;

const NUMBER = '(0|[1-9]\\d*)';
const PRERELEASE = '(0|[1-9]\\d*|\\d*[a-zA-Z-][0-9a-zA-Z-]*)';
const BUILD = '[0-9a-zA-Z-]+';
const semver = new RegExp(
  `^${NUMBER}\\.${NUMBER}\\.${NUMBER}(-${PRERELEASE}(\\.${PRERELEASE})*)?(\\+${BUILD}(\\.${BUILD})*)?$`,
);

function validateText(value: string, path: string): FieldError[] {
  return Buffer.byteLength(value) > MAX_VALUE_BYTES ? [tooLong(path, MAX_VALUE_BYTES)] : [];
}

function validateVersion(value: string, path: string): FieldError[] {
  const errors = semver.test(value)
    ? []
    : [invalid(path, value, 'must be a string compatible with semver.org spec 2.0.0')];
  return [...errors, ...validateText(value, path)];
}

function validateAttribute(attribute: IDeviceAttribute, path: string): FieldError[] {
  const { string: text, strings, version, versions } = attribute;
  const errors = [
    ...(text === undefined ? [] : validateText(text, `${path}.string`)),
    ...(strings ?? []).flatMap((value, i) => validateText(value, `${path}.strings[${i}]`)),
    ...(version === undefined ? [] : validateVersion(version, `${path}.version`)),
    ...(versions ?? []).flatMap((value, i) => validateVersion(value, `${path}.versions[${i}]`)),
  ];
  const count = VALUE_FIELDS.filter((field) => attribute[field] !== undefined).length;
  if (count === 0) errors.push(required(path, 'exactly one value must be specified'));
  if (count > 1) errors.push(invalid(path, attribute, 'exactly one value must be specified'));
  return errors;
}

function validateTaint({ key, value, effect }: IDeviceTaint, path: string): FieldError[] {
  return [
    ...validateQualifiedName(key ?? '', `${path}.key`),
    ...(value ? validateLabelValue(value, `${path}.value`) : []),
    ...validateTaintEffect(effect, `${path}.effect`),
  ];
}

/** Names of counters by name of the set. */
export type SharedCounters = ReadonlyMap<string, ReadonlySet<string>>;

const counterName = (name: string, path: string) => validateDnsLabel(name, path);
const anyValue = (): FieldError[] => [];

/** A map of counters, which must not be empty. */
export function validateCounters(counters: Readonly<Record<string, unknown>> | undefined, path: string): FieldError[] {
  return Object.keys(counters ?? {}).length === 0
    ? [required(path)]
    : validateEntries(counters, counterName, anyValue, path);
}

function validateConsumption(
  consumption: IDeviceCounterConsumption,
  shared: SharedCounters,
  path: string,
): FieldError[] {
  const { counterSet = '', counters } = consumption;
  const errors = counterSet === '' ? [required(`${path}.counterSet`)] : [];
  errors.push(...validateCounters(counters, `${path}.counters`));
  const known = shared.get(counterSet);
  if (known === undefined) {
    const detail = 'must reference a counterSet defined in the ResourceSlice sharedCounters';
    return [...errors, invalid(`${path}.counterSet`, counterSet, detail)];
  }
  const strange = Object.keys(counters ?? {}).filter((name) => !known.has(name));
  return [
    ...errors,
    ...strange.map((name) =>
      invalid(`${path}.counters`, name, 'must reference a counter defined in the ResourceSlice sharedCounters'),
    ),
  ];
}

function validateConsumptions(device: IDevice, shared: SharedCounters, path: string): FieldError[] {
  const list = device.consumesCounters ?? [];
  const at = `${path}.consumesCounters`;
  const errors = [
    ...list.flatMap((consumption, i) => validateConsumption(consumption, shared, `${at}[${i}]`)),
    ...validateDistinct(list, { keyOf: ({ counterSet }) => counterSet, keyField: 'counterSet' }, at),
  ];
  const count = countersOf(device);
  if (count > MAX_COUNTERS) {
    errors.push(invalid(path, count, `the total number of counters must not exceed ${MAX_COUNTERS}`));
  }
  return errors;
}

/** Number of counters that a device consumes. */
export function countersOf(device: IDevice): number {
  return (device.consumesCounters ?? []).reduce((sum, { counters }) => sum + Object.keys(counters ?? {}).length, 0);
}

/** A device says where it is exactly where its slice leaves that to it. */
function validatePlace(device: IDevice, perDevice: boolean, path: string): FieldError[] {
  const { nodeName, nodeSelector, allNodes } = device;
  const given = [
    ...(nodeName ? ['`nodeName`'] : []),
    ...(nodeSelector === undefined ? [] : ['`nodeSelector`']),
    ...(allNodes ? ['`allNodes`'] : []),
  ];
  if (!perDevice) {
    if (nodeName === undefined && nodeSelector === undefined && allNodes === undefined) return [];
    const detail =
      '`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec';
    return [invalid(path, undefined, detail)];
  }
  const errors: FieldError[] = [];
  if (nodeName === '') errors.push(invalid(`${path}.nodeName`, nodeName, 'must not be empty'));
  else if (nodeName !== undefined) errors.push(...validateDnsSubdomain(nodeName, `${path}.nodeName`));
  if (nodeSelector !== undefined) errors.push(...validateNodeSelector(nodeSelector, `${path}.nodeSelector`));
  if (allNodes === false) {
    errors.push(invalid(`${path}.allNodes`, allNodes, 'must be either unset or set to true'));
  }
  const detail =
    'exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec';
  if (given.length === 0) errors.push(required(path, detail));
  if (given.length > 1) errors.push(invalid(path, `{${given.join(', ')}}`, detail));
  return errors;
}

/** One device of a slice. */
export function validateDevice(
  device: IDevice,
  { spec, shared }: { readonly spec: IResourceSliceSpec; readonly shared: SharedCounters },
  path: string,
): FieldError[] {
  const errors = validateDnsLabel(device.name ?? '', `${path}.name`);
  const properties = Object.keys(device.attributes ?? {}).length + Object.keys(device.capacity ?? {}).length;
  if (properties > MAX_PROPERTIES) {
    const detail = `the total number of attributes and capacities must not exceed ${MAX_PROPERTIES}`;
    errors.push(invalid(path, properties, detail));
  }
  const isShared = device.allowMultipleAllocations === true;
  return [
    ...errors,
    ...validateEntries(device.attributes, validateAttributeName, validateAttribute, `${path}.attributes`),
    ...validateEntries(
      device.capacity,
      validateAttributeName,
      (capacity, at) => validateCapacity(capacity, isShared, at),
      `${path}.capacity`,
    ),
    ...validateList(device.taints, MAX_TAINTS, validateTaint, `${path}.taints`),
    ...validateConsumptions(device, shared, path),
    ...validatePlace(device, spec.perDeviceNodeSelection === true, path),
    ...validateBindingConditions(device, path),
  ];
}
