import type { IDevice } from 'kubernetes-models/resource.k8s.io/v1/Device';
import type { IDeviceAttribute } from 'kubernetes-models/resource.k8s.io/v1/DeviceAttribute';
import type { IDeviceCounterConsumption } from 'kubernetes-models/resource.k8s.io/v1/DeviceCounterConsumption';
import type { IDeviceTaint } from 'kubernetes-models/resource.k8s.io/v1/DeviceTaint';
import type { IResourceSliceSpec } from 'kubernetes-models/resource.k8s.io/v1/ResourceSliceSpec';
import { type FieldError, invalid, required, tooLong, tooMany } from '#api/object/field-error.ts';
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
/** In one set, and of what a device takes of one. */
const MAX_COUNTERS = 32;
const MAX_CONSUMPTIONS = 2;
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

const counterName = (name: string, path: string) => validateDnsLabel(name, path);
const anyValue = (): FieldError[] => [];

/** A map of counters, which must not be empty. */
export function validateCounters(counters: Readonly<Record<string, unknown>> | undefined, path: string): FieldError[] {
  const count = Object.keys(counters ?? {}).length;
  if (count === 0) return [required(path)];
  const errors = validateEntries(counters, counterName, anyValue, path);
  return count > MAX_COUNTERS ? [...errors, tooMany(path, count, MAX_COUNTERS)] : errors;
}

/** The sets of counters are in other slices of the pool: whether they are there is seen when devices are given. */
function validateConsumption({ counterSet = '', counters }: IDeviceCounterConsumption, path: string): FieldError[] {
  return [
    ...(counterSet === '' ? [required(`${path}.counterSet`)] : counterName(counterSet, `${path}.counterSet`)),
    ...validateCounters(counters, `${path}.counters`),
  ];
}

function validateConsumptions({ consumesCounters }: IDevice, path: string): FieldError[] {
  const at = `${path}.consumesCounters`;
  return [
    ...validateList(consumesCounters, MAX_CONSUMPTIONS, validateConsumption, at),
    ...validateDistinct(consumesCounters, { keyOf: ({ counterSet }) => counterSet, keyField: 'counterSet' }, at),
  ];
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
export function validateDevice(device: IDevice, spec: IResourceSliceSpec, path: string): FieldError[] {
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
    ...validateConsumptions(device, path),
    ...validatePlace(device, spec.perDeviceNodeSelection === true, path),
    ...validateBindingConditions(device, path),
  ];
}
