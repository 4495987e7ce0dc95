/** Name of the bridge that pods of this node hang on. At most 15 characters (IFNAMSIZ). */
export const POD_BRIDGE = 'coracle0';
/** Sorted first among what other software leaves in the directory: the runtime takes the first file by name. */
export const CNI_CONFIG_FILE = '10-coracle.conflist';

export interface CniConfigOptions {
  /** Pod addresses of this node, e.g. 10.244.3.0/24; at most one range for each family. */
  readonly podCidrs: readonly string[];
  readonly mtu: number;
  /** Where host-local remembers addresses; on tmpfs, so that a reboot forgets those of pods that no longer exist. */
  readonly ipamDirectory: string;
}

/**
 * The network of each pod: one veth to the bridge, an address from each of the node's own ranges, host ports where asked for. Masquerade is not the
 * plug-in's: its rules per pod would cost each pod start several iptables runs; ours is one rule for all pods.
 */
export function renderCniConfig({ podCidrs, mtu, ipamDirectory }: CniConfigOptions): string {
  const config = {
    cniVersion: '0.4.0',
    name: 'coracle',
    plugins: [
      {
        type: 'bridge',
        bridge: POD_BRIDGE,
        mtu,
        isGateway: true,
        isDefaultGateway: true,
        forceAddress: true,
        hairpinMode: true,
        ipMasq: false,
        ipam: { type: 'host-local', dataDir: ipamDirectory, ranges: podCidrs.map((subnet) => [{ subnet }]) },
      },
      { type: 'portmap', capabilities: { portMappings: true }, snat: true },
    ],
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}
