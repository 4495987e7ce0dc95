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

  /** All its devices have the same value. */
  get isMatch(): boolean {
    return this.#constraint.matchAttribute !== undefined;
  }

  concerns(request: DeviceRequest, alternative: Alternative): boolean {
    return isNamed(this.#constraint.requests, request, alternative);
  }

  /** A text that is equal for equal values; undefined: the device has none that could be compared. */
  valueOf({ driver, device }: PoolDevice): string | undefined {
    const { matchAttribute, distinctAttribute } = this.#constraint;
    const name = matchAttribute ?? distinctAttribute ?? '';
    const { attributes = {} } = device;
    const prefix = `${driver}/`;
    // Names without a domain are in that of the driver.
    const attribute = attributes[name] ?? (name.startsWith(prefix) ? attributes[name.slice(prefix.length)] : undefined);
    if (attribute === undefined) return undefined;
    // Lists of values are compared by nobody yet.
    const { string, int, bool, version } = attribute;
    const given = Object.entries({ string, int, bool, version }).find(([, value]) => value !== undefined);
    return given === undefined ? undefined : given.join(' ');
  }

  /** False: the device may not be chosen. True: it counts as chosen until `remove`. */
  add(request: DeviceRequest, alternative: Alternative, device: PoolDevice): boolean {
    if (!this.concerns(request, alternative)) return true;
    const value = this.valueOf(device);
    if (value === undefined) return false;
    const isSeen = this.#values.includes(value);
    const fits = this.isMatch ? isSeen || this.#values.length === 0 : !isSeen;
    if (fits) this.#values.push(value);
    return fits;
  }

  remove(request: DeviceRequest, alternative: Alternative): void {
    if (this.concerns(request, alternative)) this.#values.pop();
  }
}
