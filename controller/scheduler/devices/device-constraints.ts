import type { IDeviceConstraint } from 'kubernetes-models/resource.k8s.io/v1/DeviceConstraint';
import type { PoolDevice } from './device-pools.ts';
import { type Alternative, type DeviceRequest, isNamed } from './device-requests.ts';

/** What devices of one claim have to have in common, or must not; remembers which were chosen. */
export class ConstraintState {
  readonly #constraint: IDeviceConstraint;
  readonly #values: string[] = [];

  constructor(constraint: IDeviceConstraint) {
    this.#constraint = constraint;
  }

  /** False: the device may not be chosen. True: it counts as chosen until `remove`. */
  add(request: DeviceRequest, alternative: Alternative, device: PoolDevice): boolean {
    const { requests, matchAttribute, distinctAttribute } = this.#constraint;
    if (!isNamed(requests, request, alternative)) return true;
    const value = attributeText(device, matchAttribute ?? distinctAttribute ?? '');
    if (value === undefined) return false;
    const isSeen = this.#values.includes(value);
    const fits = matchAttribute === undefined ? !isSeen : isSeen || this.#values.length === 0;
    if (fits) this.#values.push(value);
    return fits;
  }

  remove(request: DeviceRequest, alternative: Alternative): void {
    if (isNamed(this.#constraint.requests, request, alternative)) this.#values.pop();
  }
}

/** A text that is equal for equal values. Names without a domain are in that of the driver. */
function attributeText({ driver, device }: PoolDevice, name: string): string | undefined {
  const { attributes = {} } = device;
  const prefix = `${driver}/`;
  const attribute = attributes[name] ?? (name.startsWith(prefix) ? attributes[name.slice(prefix.length)] : undefined);
  return attribute === undefined ? undefined : JSON.stringify(attribute);
}
