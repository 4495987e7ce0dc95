import type { IAllocatedDeviceStatus } from 'kubernetes-models/resource.k8s.io/v1/AllocatedDeviceStatus';
import type { IAllocationResult } from 'kubernetes-models/resource.k8s.io/v1/AllocationResult';
import type { IDeviceRequestAllocationResult } from 'kubernetes-models/resource.k8s.io/v1/DeviceRequestAllocationResult';
import type { INetworkDeviceData } from 'kubernetes-models/resource.k8s.io/v1/NetworkDeviceData';
import type { IResourceClaim } from 'kubernetes-models/resource.k8s.io/v1/ResourceClaim';
import type { IResourceClaimConsumerReference } from 'kubernetes-models/resource.k8s.io/v1/ResourceClaimConsumerReference';
import { deepEqual } from '#api/object/deep-equal.ts';
import { type FieldError, forbiddenField, invalid, required, tooLong, tooMany } from '#api/object/field-error.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { validateNodeSelector } from '../pod/scheduling.ts';
import { validateDriverName } from '../storage/validate-class.ts';
import { validateConditions } from '../validation/conditions.ts';
import { validateDnsLabel, validateImmutable, validateOneOf } from '../validation/format.ts';
import { validateBindingConditions } from './binding-conditions.ts';
import {
  MAX_CONFIGS,
  requestNamesOf,
  validateConfiguration,
  validateRawObject,
  validateRequestReference,
  validateRequestReferences,
} from './claim-spec.ts';
import { byItself, validateDistinct, validateList } from './lists.ts';
import { validatePoolName, validateShareId } from './names.ts';

type ResourceClaim = Stored<IResourceClaim>;

const MAX_CONSUMERS = 256;
const MAX_RESULTS = 32;
const MAX_CONDITIONS = 8;
const MAX_INTERFACE_NAME_BYTES = 256;
const MAX_HARDWARE_ADDRESS_BYTES = 128;
const MAX_IPS = 16;
const SOURCES = ['FromClaim', 'FromClass'];

interface DeviceIdentity {
  readonly driver?: string;
  readonly pool?: string;
  readonly device?: string;
  readonly shareID?: string;
}

const identityOf = ({ driver, pool, device, shareID }: DeviceIdentity): string =>
  `${driver}/${pool}/${device}${shareID ? `/${shareID}` : ''}`;

function validateIdentity(device: DeviceIdentity, path: string): FieldError[] {
  return [
    ...validateDriverName(device.driver, `${path}.driver`),
    ...validatePoolName(device.pool, `${path}.pool`),
    ...validateDnsLabel(device.device ?? '', `${path}.device`),
    ...(device.shareID === undefined ? [] : validateShareId(device.shareID, `${path}.shareID`)),
  ];
}

function validateConsumer(consumer: IResourceClaimConsumerReference, path: string): FieldError[] {
  return (['resource', 'name', 'uid'] as const).flatMap((field) =>
    consumer[field] ? [] : [required(`${path}.${field}`)],
  );
}

function validateNetworkData(data: INetworkDeviceData | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (Buffer.byteLength(data?.interfaceName ?? '') > MAX_INTERFACE_NAME_BYTES) {
    errors.push(tooLong(`${path}.interfaceName`, MAX_INTERFACE_NAME_BYTES));
  }
  if (Buffer.byteLength(data?.hardwareAddress ?? '') > MAX_HARDWARE_ADDRESS_BYTES) {
    errors.push(tooLong(`${path}.hardwareAddress`, MAX_HARDWARE_ADDRESS_BYTES));
  }
  if ((data?.ips ?? []).length > MAX_IPS) errors.push(tooMany(`${path}.ips`, data?.ips?.length ?? 0, MAX_IPS));
  return [...errors, ...validateDistinct(data?.ips, byItself, `${path}.ips`)];
}

function validateDeviceStatus(
  device: IAllocatedDeviceStatus,
  allocated: ReadonlySet<string>,
  path: string,
): FieldError[] {
  const errors = validateIdentity(device, path);
  const identity = identityOf(device);
  if (!allocated.has(identity)) errors.push(invalid(path, identity, 'must be an allocated device in the claim'));
  const conditions = device.conditions ?? [];
  if (conditions.length > MAX_CONDITIONS) {
    errors.push(tooMany(`${path}.conditions`, conditions.length, MAX_CONDITIONS));
  }
  return [
    ...errors,
    ...validateConditions(conditions, `${path}.conditions`),
    ...(device.data === undefined ? [] : validateRawObject(device.data, `${path}.data`)),
    ...validateNetworkData(device.networkData, `${path}.networkData`),
  ];
}

function validateResult(
  result: IDeviceRequestAllocationResult,
  names: ReadonlySet<string>,
  path: string,
): FieldError[] {
  return [
    ...validateRequestReference(result.request ?? '', names, `${path}.request`),
    ...validateIdentity(result, path),
    ...validateBindingConditions(result, path),
  ];
}

function validateAllocation(
  { devices, nodeSelector }: IAllocationResult,
  names: ReadonlySet<string>,
  path: string,
): FieldError[] {
  return [
    ...validateList(
      devices?.results,
      MAX_RESULTS,
      (result, at) => validateResult(result, names, at),
      `${path}.devices.results`,
    ),
    ...validateList(
      devices?.config,
      2 * MAX_CONFIGS,
      (config, at) => [
        ...validateOneOf(config.source, SOURCES, `${at}.source`),
        ...validateRequestReferences(config.requests, names, `${at}.requests`),
        ...validateConfiguration(config, at),
      ],
      `${path}.devices.config`,
    ),
    ...(nodeSelector === undefined ? [] : validateNodeSelector(nodeSelector, `${path}.nodeSelector`)),
  ];
}

function validateReservations({ metadata, status }: ResourceClaim, old: ResourceClaim): FieldError[] {
  const path = 'status.reservedFor';
  const consumers = status?.reservedFor ?? [];
  const errors = [
    ...validateList(consumers, MAX_CONSUMERS, validateConsumer, path),
    ...validateDistinct(consumers, { keyOf: ({ uid }) => uid, keyField: 'uid' }, path),
  ];
  if (consumers.length === 0) return errors;
  if (status?.allocation === undefined) {
    errors.push(forbiddenField(path, 'may not be specified when `allocated` is not set'));
  } else if (metadata.deletionTimestamp) {
    const before = old.status?.reservedFor ?? [];
    if (consumers.some((consumer) => !before.some((known) => deepEqual(known, consumer)))) {
      const detail = 'new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set';
      errors.push(forbiddenField(path, detail));
    }
  }
  return errors;
}

/** What the scheduler, the kubelet and drivers write. An allocation is made and taken back, never changed. */
export function validateClaimStatus(claim: ResourceClaim, old: ResourceClaim): FieldError[] {
  const { allocation, devices } = claim.status ?? {};
  const allocated = new Set((allocation?.devices?.results ?? []).map(identityOf));
  const errors = [
    ...validateReservations(claim, old),
    ...(devices ?? []).flatMap((device, i) => validateDeviceStatus(device, allocated, `status.devices[${i}]`)),
    ...validateDistinct(devices, { keyOf: identityOf, keyField: 'deviceID' }, 'status.devices'),
  ];
  if (allocation === undefined) return errors;
  const before = old.status?.allocation;
  return before === undefined
    ? [...errors, ...validateAllocation(allocation, requestNamesOf(claim.spec?.devices), 'status.allocation')]
    : [...errors, ...validateImmutable(allocation, before, 'status.allocation')];
}
