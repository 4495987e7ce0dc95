import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IResourceStatus } from 'kubernetes-models/v1/ResourceStatus';
import { Quantity } from '#api/meta/quantity.ts';
import type { Pod } from '#api/object/kinds.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { FileSystem } from '../../host/host.ts';
import { ConfigError } from '../config/config-error.ts';
import type { Ledger } from '../ledger.ts';
import type { DeviceGrants } from '../ledger-record.ts';
import { type PodUid, uidOf } from '../pod-spec.ts';
import { type DeviceHealth, resourceStatus } from './device-health.ts';
import { type DeviceAllocation, type DevicePlugins, NO_DEVICES } from './device-plugin.ts';
import { type DeviceSelector, type SelectedDevice, selectDevices } from './device-selector.ts';
import { readHostDevices } from './host-devices.ts';
import type { ResourceDevices } from './pod-resources.ts';

export interface DeviceManagerOptions {
  readonly fs: FileSystem;
  readonly ledger: Ledger;
  readonly selectors: readonly DeviceSelector[];
  readonly plugins: DevicePlugins;
  readonly log: Logger;
  /** A device that this container was given has other nodes now: what it has open leads nowhere. */
  readonly onMoved: (uid: PodUid, container: string, resource: string) => void;
  /** A device that this pod has may be worth something else now. */
  readonly onHealth: (uid: PodUid) => void;
}

/**
 * Devices of the configuration as resources that pods ask for, without a plug-in: whoever is given one gets its nodes and the right to use
 * them, nothing else. Who has which is in the ledger, so that restarts change nothing.
 */
export class DeviceManager {
  readonly #options: DeviceManagerOptions;
  #present = new Map<string, readonly SelectedDevice[]>();
  #looking: Promise<void> | undefined;

  constructor(options: DeviceManagerOptions) {
    this.#options = options;
    options.plugins.onHealth((resource) => this.#tellHealth([resource]));
  }

  /** How many of each there are, for the node's status. */
  resources(): ReadonlyMap<string, string> {
    const plugged = [...this.#options.plugins.resources()].map(
      ([resource, ids]) => [resource, String(ids.length)] as const,
    );
    const own = [...this.#present].map(([resource, devices]) => [resource, String(devices.length)] as const);
    return new Map([...plugged, ...own]);
  }

  /** Every device by its id, granted or not. */
  list(): readonly ResourceDevices[] {
    const resources = new Set([...this.#options.plugins.resources().keys(), ...this.#present.keys()]);
    return [...resources].map((resource) => ({ resource, ids: this.#presentOf(resource).map(({ id }) => id) }));
  }

  /** What the devices that a container was given are worth, by resource. */
  statuses(pod: Pod, { name }: IContainer): readonly IResourceStatus[] {
    const grants = this.#options.ledger.record(uidOf(pod))?.devices?.[name] ?? {};
    return Object.entries(grants)
      .filter(([, held]) => Object.keys(held).length > 0)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([resource, held]) =>
        resourceStatus(
          resource,
          Object.keys(held).map((resourceID) => ({ resourceID, health: this.#healthOf(resource, resourceID) })),
        ),
      );
  }

  /** Our own devices are well while they are plugged in. */
  #healthOf(resource: string, id: string): DeviceHealth {
    const isOwn = this.#options.selectors.some((selector) => selector.resource === resource);
    if (!isOwn) return this.#options.plugins.health(resource, id);
    return this.#find(resource, id) === undefined ? 'Unhealthy' : 'Healthy';
  }

  #tellHealth(resources: readonly string[]): void {
    for (const { uid, devices = {} } of this.#options.ledger.list())
      if (Object.values(devices).some((grants) => resources.some((resource) => grants[resource] !== undefined)))
        this.#options.onHealth(uid);
  }

  #presentOf(resource: string): readonly SelectedDevice[] {
    const ids = this.#options.plugins.resources().get(resource) ?? [];
    return this.#present.get(resource) ?? ids.map((id) => ({ id, paths: [] }));
  }

  /** Looks which devices are plugged in. Cheap to call often; without selectors it does nothing. */
  look(): Promise<void> {
    if (this.#options.selectors.length === 0) return Promise.resolve();
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    const { fs, selectors, log } = this.#options;
    const folders = selectors.flatMap(({ kind, argument }) =>
      kind === 'path' ? [argument.slice(0, argument.lastIndexOf('/'))] : [],
    );
    try {
      const devices = await readHostDevices(fs, folders);
      const next = new Map<string, SelectedDevice[]>();
      for (const selector of selectors)
        next.set(selector.resource, [...(next.get(selector.resource) ?? []), ...selectDevices(selector, devices)]);
      const before = this.#present;
      this.#present = next;
      if (before.size > 0) this.#tellMoved();
      const ids = (devices: readonly SelectedDevice[] | undefined) => devices?.map(({ id }) => id).join(' ') ?? '';
      this.#tellHealth([...next.keys()].filter((resource) => ids(next.get(resource)) !== ids(before.get(resource))));
    } catch (err) {
      log.warn('devices could not be looked for', { err: describeError(err) });
    }
  }

  /** Each container that holds a device whose nodes are other ones than it was given. */
  #tellMoved(): void {
    const { ledger, onMoved } = this.#options;
    for (const record of ledger.list())
      for (const [container, grants] of Object.entries(record.devices ?? {}))
        for (const [resource, held] of Object.entries(grants))
          for (const [id, paths] of Object.entries(held)) {
            const now = this.#find(resource, id);
            if (now !== undefined && now.paths.join() !== paths.join()) onMoved(record.uid, container, resource);
          }
  }

  #find(resource: string, id: string): SelectedDevice | undefined {
    return this.#present.get(resource)?.find((device) => device.id === id);
  }

  /** What a container is to be given as it starts; remembered before it does. Throws ConfigError where a device is missing. */
  async grant(pod: Pod, container: IContainer): Promise<DeviceAllocation> {
    const { ledger, selectors, plugins } = this.#options;
    const known = new Set([...selectors.map(({ resource }) => resource), ...plugins.resources().keys()]);
    const asked = Object.keys(container.resources?.limits ?? {}).filter((resource) => known.has(resource));
    if (asked.length === 0) return NO_DEVICES;
    await this.look();
    const record = ledger.record(uidOf(pod));
    if (record === undefined) return NO_DEVICES;
    const held = record.devices?.[container.name] ?? {};
    const grants: Record<string, Record<string, readonly string[]>> = {};
    for (const resource of asked) {
      const count = Quantity.parse(container.resources?.limits?.[resource] ?? 0).value();
      grants[resource] = this.#choose(pod, resource, count, Object.keys(held[resource] ?? {}));
    }
    const devices: DeviceGrants = { ...record.devices, [container.name]: grants };
    if (JSON.stringify(devices) !== JSON.stringify(record.devices)) await ledger.save({ ...record, devices });
    const paths = Object.values(grants).flatMap((byId) => Object.values(byId).flat());
    const own = paths.map((path) => ({ containerPath: path, hostPath: path, permissions: 'rw' }));
    const plugged = asked.filter((resource) => !this.#present.has(resource));
    const allocations = await Promise.all(
      plugged.map((resource) => plugins.allocate(resource, Object.keys(grants[resource] ?? {}))),
    );
    return allocations.reduce(joinAllocations, { ...NO_DEVICES, devices: own });
  }

  /** The same devices as before the restart; for the first start such that nobody else has. */
  #choose(pod: Pod, resource: string, count: number, before: readonly string[]): Record<string, readonly string[]> {
    const taken = new Set(
      this.#options.ledger
        .list()
        .filter(({ uid, terminatedAtMs }) => uid !== uidOf(pod) && terminatedAtMs === undefined)
        .flatMap(({ devices = {} }) => Object.values(devices).flatMap((grants) => Object.keys(grants[resource] ?? {}))),
    );
    const free = this.#presentOf(resource).filter(({ id }) => !taken.has(id));
    const kept = free.filter(({ id }) => before.includes(id));
    const others = free.filter(({ id }) => !before.includes(id));
    const chosen = before.length > 0 ? kept : others.slice(0, count);
    if (chosen.length < count)
      throw new ConfigError(
        `requested number of devices unavailable for ${resource}. Requested: ${count}, Available: ${chosen.length}`,
      );
    return Object.fromEntries(chosen.slice(0, count).map(({ id, paths }) => [id, paths]));
  }
}

const joinAllocations = (a: DeviceAllocation, b: DeviceAllocation): DeviceAllocation => ({
  devices: [...a.devices, ...b.devices],
  mounts: [...a.mounts, ...b.mounts],
  env: { ...a.env, ...b.env },
  annotations: { ...a.annotations, ...b.annotations },
  cdiDevices: [...a.cdiDevices, ...b.cdiDevices],
});
