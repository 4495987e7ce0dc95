import type { DeviceConfig } from '../../cri/runtime.ts';
import type { DeviceHealth } from './device-health.ts';

/** What a container is given with its devices. */
export interface DeviceAllocation {
  readonly devices: readonly DeviceConfig[];
  readonly mounts: readonly { readonly containerPath: string; readonly hostPath: string; readonly readOnly: boolean }[];
  readonly env: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly cdiDevices: readonly string[];
}

export const NO_DEVICES: DeviceAllocation = { devices: [], mounts: [], env: {}, annotations: {}, cdiDevices: [] };

/** Plug-ins that bring devices of their own; the implementation speaks their protocol. */
export interface DevicePlugins {
  /** Ids of healthy devices by resource; an empty list while a plug-in that was there is away. */
  resources(): ReadonlyMap<string, readonly string[]>;
  /** Unknown: no plug-in has told of the device since we started. */
  health(resource: string, id: string): DeviceHealth;
  onHealth(listener: (resource: string) => void): void;
  /** Throws while the plug-in is away, or when it refuses. */
  allocate(resource: string, ids: readonly string[]): Promise<DeviceAllocation>;
}

export const NO_PLUGINS: DevicePlugins = {
  resources: () => new Map(),
  health: () => 'Unknown',
  onHealth: () => undefined,
  allocate: async (resource) => Promise.reject(new Error(`no plug-in for ${resource}`)),
};
