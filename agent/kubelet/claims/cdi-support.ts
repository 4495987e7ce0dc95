import { ConfigError } from '../config/config-error.ts';
import type { DeviceAllocation } from '../devices/device-plugin.ts';

export interface RuntimeVersion {
  readonly name: string;
  readonly version: string;
}

/** Undefined where the runtime resolves CDI names; containerd before 1.7 takes them and does nothing. Others are trusted to know them. */
export function whyNoCdi({ name, version }: RuntimeVersion): string | undefined {
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(version) ?? [];
  if (name !== 'containerd' || major !== '1' || Number(minor) >= 7) return undefined;
  return `containerd ${version} does not give containers CDI devices: 1.7 or later does`;
}

/** What a container was given by device plug-ins, with the devices of its claims. Throws ConfigError where the runtime cannot give them. */
export function withCdiIds(given: DeviceAllocation, ids: readonly string[], why: string | undefined): DeviceAllocation {
  const cdiDevices = [...new Set([...given.cdiDevices, ...ids])];
  if (cdiDevices.length > 0 && why !== undefined) throw new ConfigError(`${why} (${cdiDevices.join(', ')})`);
  return ids.length === 0 ? given : { ...given, cdiDevices };
}
