import type { ICapacityRequestPolicy } from 'kubernetes-models/resource.k8s.io/v1/CapacityRequestPolicy';
import type { IDeviceCapacity } from 'kubernetes-models/resource.k8s.io/v1/DeviceCapacity';
import { Quantity } from '#api/meta/quantity.ts';
import type { PoolDevice } from './device-pools.ts';

/** Amounts of the capacities of one device, under the names that the device has for them. */
export type Amounts = ReadonlyMap<string, Quantity>;
type Requested = Readonly<Record<string, string | number>>;

const parse = (text: string | number): Quantity => Quantity.parse(String(text));

/**
 * What a request takes of each capacity of a device, rounded up as the device wants it: all that there is where nothing is said. undefined:
 * the device has no such capacity, or gives no such part of it.
 */
export function consumptionOf({ driver, device }: PoolDevice, requests: Requested = {}): Amounts | undefined {
  const { capacity = {} } = device;
  const requested = new Map<string, Quantity>();
  for (const [name, text] of Object.entries(requests)) {
    const own = ownName(name, driver, capacity);
    if (own === undefined) return undefined;
    requested.set(own, parse(text));
  }
  const amounts = new Map<string, Quantity>();
  for (const [name, one] of Object.entries(capacity)) {
    const amount = amountOf(requested.get(name), one);
    if (amount === undefined || amount.sign < 0 || amount.compare(parse(one.value)) > 0) return undefined;
    amounts.set(name, amount);
  }
  return amounts;
}

/** Names without a domain are in that of the driver. */
function ownName(name: string, driver: string, capacity: Readonly<Record<string, unknown>>): string | undefined {
  const short = name.startsWith(`${driver}/`) ? name.slice(driver.length + 1) : name;
  return [name, short, `${driver}/${name}`].find((one) => capacity[one] !== undefined);
}

function amountOf(requested: Quantity | undefined, { value, requestPolicy }: IDeviceCapacity): Quantity | undefined {
  const usual = requestPolicy?.default === undefined ? undefined : parse(requestPolicy.default);
  if (requested === undefined) return usual ?? parse(value);
  if (requestPolicy === undefined) return requested;
  const amount = roundUp(requested, requestPolicy);
  return usual?.equals(amount) === true || isValid(amount, requestPolicy) ? amount : undefined;
}

function roundUp(requested: Quantity, { validRange, validValues = [] }: ICapacityRequestPolicy): Quantity {
  if (validRange?.min === undefined) {
    return validValues.map(parse).find((one) => one.compare(requested) >= 0) ?? requested;
  }
  const min = parse(validRange.min);
  if (requested.compare(min) < 0) return min;
  const step = validRange.step === undefined ? 0n : parse(validRange.step).nano;
  const over = requested.nano - min.nano;
  if (step <= 0n || over % step === 0n) return requested;
  return new Quantity(min.nano + (over / step + 1n) * step, 'BinarySI');
}

function isValid(amount: Quantity, { validRange, validValues = [] }: ICapacityRequestPolicy): boolean {
  if (validRange !== undefined) return validRange.max === undefined || amount.compare(parse(validRange.max)) <= 0;
  return validValues.length === 0 || validValues.some((one) => parse(one).equals(amount));
}
