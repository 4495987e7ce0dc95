import type { IAllocationResult } from 'kubernetes-models/resource.k8s.io/v1/AllocationResult';
import type { DeviceClass, ResourceClaim, ResourceSlice } from '#api/object/kinds.ts';
import { compileDeviceSelector } from '#controller/apiserver/cel/device-selector.ts';
import { type AllocateOptions, allocateDevices } from '../allocate-devices.ts';
import { gatherPools, nanosOf } from '../device-pools.ts';
import { DeviceSelectors } from '../device-selectors.ts';

type Result = NonNullable<NonNullable<IAllocationResult['devices']>['results']>[number];

export const DRIVER = 'gpu.example.com';

type Attributes = Record<string, string | number | boolean>;

const attributesOf = (attributes: Attributes) =>
  Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => [
      name,
      typeof value === 'string' ? { string: value } : typeof value === 'number' ? { int: value } : { bool: value },
    ]),
  );

/** Devices by name, with their attributes; a slice of node `a` unless it says otherwise. */
export function slice(devices: Record<string, Attributes>, spec: object = {}): ResourceSlice {
  return {
    metadata: { name: 's' },
    spec: {
      driver: DRIVER,
      nodeName: 'a',
      pool: { name: 'a', generation: 1, resourceSliceCount: 1 },
      devices: Object.entries(devices).map(([name, attributes]) => ({ name, attributes: attributesOf(attributes) })),
      ...spec,
    },
  } as unknown as ResourceSlice;
}

export const FOUR = slice({
  'gpu-0': { model: 'big', numa: 0 },
  'gpu-1': { model: 'small', numa: 0 },
  'gpu-2': { model: 'big', numa: 1 },
  'gpu-3': { model: 'small', numa: 1 },
});

export const cel = (expression: string) => ({ selectors: [{ cel: { expression } }] });
export const model = (name: string) => cel(`device.attributes["${DRIVER}"].model == "${name}"`);
export const exactly = (name: string, more: object = {}) => ({
  name,
  exactly: { deviceClassName: 'gpu', allocationMode: 'ExactCount', count: 1, ...more },
});

export function claim(requests: readonly object[], more: object = {}): ResourceClaim {
  return {
    metadata: { name: 'c', namespace: 'n' },
    spec: { devices: { requests, ...more } },
  } as unknown as ResourceClaim;
}

const CLASSES: Readonly<Record<string, object>> = {
  gpu: { ...cel(`device.driver == "${DRIVER}"`), config: [{ opaque: { driver: DRIVER, parameters: { share: 1 } } }] },
  any: {},
  broken: cel('device.attributes["x"].y == 1'),
};

/** One device that several may share. */
export const shared = (name: string, capacity: object, pool = 'a') =>
  slice(
    {},
    {
      pool: { name: pool, generation: 1, resourceSliceCount: 1 },
      devices: [{ name, allowMultipleAllocations: true, capacity }],
    },
  );
export const STEPS = { default: '1Gi', validRange: { min: '1Gi', max: '8Gi', step: '1Gi' } };
export const part = (name: string, requests: object) => exactly(name, { capacity: { requests } });

export interface AllocationCase {
  readonly name: string;
  readonly slices?: readonly ResourceSlice[];
  readonly claims: readonly ResourceClaim[];
  readonly allocated?: readonly string[];
  /** Parts that others have, by device and capacity. */
  readonly consumed?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** `request=device` of all claims, or why there are none. */
  readonly expected: readonly string[] | string;
}

export const NONE = 'cannot allocate all claims';
export const id = (device: string) => `${DRIVER}/a/${device}`;

const valuesOf = (amounts: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(amounts).map(([name, value]) => [name, { value }]));

type Given = Omit<AllocationCase, 'name' | 'expected'>;

/** What is asked of node `a`, which is in rack 1. */
export function optionsOf({ slices = [FOUR], claims, allocated = [], consumed = {} }: Given): AllocateOptions {
  const isTaken = new Set(allocated);
  return {
    claims,
    node: { name: 'a', labels: { rack: '1' } },
    pools: gatherPools(slices),
    allocated: {
      has: (one) => isTaken.has(one),
      consumed: (one) => (consumed[one] === undefined ? undefined : nanosOf(valuesOf(consumed[one]))),
    },
    classOf: (name) => ({ metadata: { name }, spec: CLASSES[name] }) as unknown as DeviceClass,
    selectors: new DeviceSelectors(compileDeviceSelector),
    maxSteps: 10_000,
    isLate: () => false,
    newShareId: () => 'share',
  };
}

export const allocate = (given: Given, maxSteps = 10_000) => allocateDevices({ ...optionsOf(given), maxSteps });

const textOf = (one: Result) => {
  const amounts = Object.entries(one.consumedCapacity ?? {}).map(([name, amount]) => `${name} ${amount}`);
  return [`${one.request}=${one.device}`, ...(one.adminAccess ? ['(admin)'] : []), ...amounts].join(' ');
};

/** `request=device`, with what is had of it, of all claims; or why there are none. */
export function outcomeOf(given: Given, maxSteps?: number) {
  const outcome = allocate(given, maxSteps);
  if (outcome.kind === 'none') return outcome.reason;
  return outcome.allocations.flatMap(({ devices }) => (devices?.results ?? []).map(textOf));
}
