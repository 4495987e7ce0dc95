import { readDescriptor } from '#api/codec/described-messages.ts';
import type { Logger } from '#base/logger.ts';
import descriptor from '../../protos/csi-v1.json' with { type: 'json' };
import type { CsiCapability, CsiDriver, CsiDrivers, CsiNodeInfo, CsiUsage } from '../kubelet/volumes/csi/csi-driver.ts';
import { connectPlugin, type PluginConnection } from './plugin-client.ts';
import type { PluginKind } from './plugin-watcher.ts';

/** Drivers mount and format within a call. */
const CALL_MS = 120_000;
const NAME = /^[A-Za-z0-9]([-A-Za-z0-9.]{0,61}[A-Za-z0-9])?$/;

const node = readDescriptor(descriptor).service('csi.v1.Node');

interface WireInfo {
  readonly node_id: string;
  readonly max_volumes_per_node: number;
  readonly accessible_topology: { readonly segments: Readonly<Record<string, string>> } | null;
}

interface WireCapabilities {
  readonly capabilities: readonly { readonly rpc: { readonly type: CsiCapability } | null }[];
}

/** Registered CSI drivers, in the type that plug-ins call `CSIPlugin`. */
export function createCsiDrivers({ log }: { readonly log: Logger }): CsiDrivers & PluginKind {
  const drivers = new Map<string, { readonly driver: CsiDriver; readonly connection: PluginConnection }>();
  const listeners: (() => void)[] = [];
  const changed = () => {
    for (const listener of listeners) listener();
  };
  return {
    find: (name) => drivers.get(name)?.driver,
    list: () => [...drivers.values()].map(({ driver }) => driver),
    onChange: (listener) => void listeners.push(listener),

    async register({ name, endpoint, versions }) {
      if (!NAME.test(name)) throw new Error(`the driver name ${JSON.stringify(name)} is not valid`);
      if (!versions.some((version) => /^v?1\./.test(version)))
        throw new Error('none of the CSI versions reported by this driver are supported');
      const connection = connectPlugin(endpoint, node, CALL_MS);
      try {
        const [info, { capabilities }] = await Promise.all([
          connection.call<WireInfo>('NodeGetInfo', {}),
          connection.call<WireCapabilities>('NodeGetCapabilities', {}),
        ]);
        if (info.node_id === '') throw new Error('the driver has no id for this node');
        const can = new Set(capabilities.flatMap(({ rpc }) => rpc?.type ?? []));
        drivers.get(name)?.connection.close();
        drivers.set(name, { driver: driverOf(name, connection, infoFrom(info), can), connection });
      } catch (err) {
        connection.close();
        throw err;
      }
      changed();
    },

    unregister(name) {
      const known = drivers.get(name);
      if (known === undefined) return;
      drivers.delete(name);
      known.connection.close();
      log.info('a CSI driver has gone', { driver: name });
      changed();
    },
  };
}

const infoFrom = ({ node_id, max_volumes_per_node, accessible_topology }: WireInfo): CsiNodeInfo => ({
  nodeId: node_id,
  maxVolumes: max_volumes_per_node,
  topology: accessible_topology?.segments ?? {},
});

function driverOf(
  name: string,
  connection: PluginConnection,
  info: CsiNodeInfo,
  capabilities: ReadonlySet<CsiCapability>,
): CsiDriver {
  const call = async (method: string, request: object): Promise<void> => {
    await connection.call(method, request);
  };
  return {
    name,
    node: info,
    capabilities,
    stage: (request) => call('NodeStageVolume', request),
    unstage: (request) => call('NodeUnstageVolume', request),
    publish: (request) => call('NodePublishVolume', request),
    unpublish: (request) => call('NodeUnpublishVolume', request),
    stats: async (request) =>
      (await connection.call<{ usage: readonly CsiUsage[] }>('NodeGetVolumeStats', request)).usage,
    expand: async (request) =>
      (await connection.call<{ capacity_bytes: number }>('NodeExpandVolume', request)).capacity_bytes,
  };
}
