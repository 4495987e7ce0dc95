import type { KubeClient } from '#api/client/client.ts';
import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import type { ContainerRuntime } from '../cri/runtime.ts';
import type { Host } from '../host/host.ts';
import type { DraDrivers } from './claims/dra-driver.ts';
import type { DevicePlugins } from './devices/device-plugin.ts';
import type { KubeletConfig } from './kubelet-config.ts';
import type { NetworkTrouble } from './node/network-conditions.ts';
import type { Prober } from './prober.ts';
import type { CsiDrivers } from './volumes/csi/csi-driver.ts';

export interface KubeletDeps {
  /** Acts as `system:node:<name>`. */
  readonly client: KubeClient;
  readonly runtime: ContainerRuntime;
  readonly host: Host;
  readonly prober: Prober;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
  readonly config: KubeletConfig;
  /** Plug-ins that bring devices of their own. */
  readonly devicePlugins?: DevicePlugins;
  /** CSI drivers that have registered. */
  readonly csiDrivers?: CsiDrivers;
  /** Drivers of dynamically allocated devices that have registered. */
  readonly draDrivers?: DraDrivers;
  /** Calls of the runtime since the start, by operation. */
  readonly runtimeOperations?: () => ReadonlyMap<string, number>;
  /** The controller gave this node its pod addresses, or changed them. */
  readonly onPodCidrs?: (podCidrs: readonly string[]) => void;
  /** What is in the way of pod traffic; undefined: the pod network is somebody else's. */
  readonly networkTroubles?: () => readonly NetworkTrouble[] | undefined;
}
