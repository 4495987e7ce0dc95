import { addressAt, type IpFamily, parseCidr } from '#api/meta/ip-address.ts';
import type { PodPath } from './pod-paths.ts';

/** At most 15 characters (IFNAMSIZ). */
export const VXLAN_DEVICE = 'coracle-vx';
/** Beside the networks of others on the same port (flannel has 1). */
export const VXLAN_ID = 177;
/** The outer header, UDP 8, VXLAN 8, inner Ethernet 14. */
export const VXLAN_OVERHEAD_BYTES: Readonly<Record<IpFamily, number>> = { IPv4: 20 + 30, IPv6: 40 + 30 };

export interface Tunnel {
  /** Address of the device itself: the first of the node's pod range, which no pod gets. */
  readonly address: string;
  /** Follows from the pod range, so that nobody has to be told it; locally administered. */
  readonly mac: string;
}

/** Of IPv6 ranges only the last 32 bits of the network count: a cluster hands out 65,536 at most. */
export function tunnelOf(podCidr: string): Tunnel {
  const range = parseCidr(podCidr);
  if (range === undefined) throw new Error(`"${podCidr}" is no range of addresses`);
  const value = range.family === 'IPv4' ? range.base : range.base / range.size;
  const bytes = [24n, 16n, 8n, 0n].map((shift) => Number((value >> shift) & 0xffn));
  const mac = [0x0e, 0xc0, ...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
  return { address: addressAt(range, 0n), mac };
}

/** Where the frames for an address of a peer's device go. */
export interface Peer extends Tunnel {
  readonly nodeAddress: string;
}

/** Where it is not relayed. */
export const isByVxlan = ({ directDevice, wireguardKey, isBarred }: PodPath): boolean =>
  directDevice === undefined && wireguardKey === undefined && !isBarred;

export const peersOf = (paths: readonly PodPath[]): Peer[] =>
  paths
    .filter((path) => isByVxlan(path) && !path.isRelayed)
    .map(({ podCidr, nodeCidr, nodeAddress }) => ({
      address: tunnelOf(podCidr).address,
      mac: tunnelOf(nodeCidr).mac,
      nodeAddress,
    }));

/** The device as the kernel describes it. */
export interface VxlanDevice {
  readonly id: number;
  readonly port: number;
  readonly mac: string;
  readonly isLearning: boolean;
  readonly mtu: number;
  readonly isUp: boolean;
  /** Of the packets that carry the frames. */
  readonly underlay: IpFamily;
  /** Without those that the kernel gives every link. */
  readonly addresses: readonly string[];
}

/** The kernel does not tell which family a device was made for while it chooses the source itself; its name beside the name does. */
const OVER_IPV6 = 'coracle over IPv6';

interface DeviceLine {
  readonly address?: string;
  readonly mtu?: number;
  readonly flags?: readonly string[];
  readonly ifalias?: string;
  readonly linkinfo?: {
    readonly info_data?: { readonly id?: number; readonly port?: number; readonly learning?: boolean };
  };
  readonly addr_info?: readonly { readonly local?: string; readonly prefixlen?: number }[];
}

/** Reads `ip -j -d address show dev coracle-vx`. */
export function parseVxlanDevice(json: string): VxlanDevice | undefined {
  const line = (json.trim() === '' ? [] : (JSON.parse(json) as DeviceLine[])).find(
    ({ address }) => address !== undefined,
  );
  if (line === undefined) return undefined;
  const { id = 0, port = 0, learning = false } = line.linkinfo?.info_data ?? {};
  return {
    id,
    port,
    mac: line.address ?? '',
    isLearning: learning,
    mtu: line.mtu ?? 0,
    isUp: (line.flags ?? []).includes('UP'),
    underlay: line.ifalias === OVER_IPV6 ? 'IPv6' : 'IPv4',
    addresses: (line.addr_info ?? []).flatMap(({ local, prefixlen }) =>
      local === undefined || local.startsWith('fe80:') ? [] : [`${local}/${prefixlen}`],
    ),
  };
}

export interface DeviceWish extends Pick<Tunnel, 'mac'> {
  /** One for each range of the node's pods. */
  readonly addresses: readonly string[];
  readonly underlay: IpFamily;
  /** A further address, which nodes probe each other with. */
  readonly probeAddress?: string | undefined;
  readonly port: number;
  readonly mtu: number;
}

/** The range of one address alone. */
export const hostRange = (address: string): string => `${address}/${address.includes(':') ? 128 : 32}`;

/** Lines of `ip -batch` that make the device what it shall be; one that cannot be changed in place is made anew. */
export function planDevice(actual: VxlanDevice | undefined, wish: DeviceWish): string[] {
  const { addresses, underlay, probeAddress, mac, port, mtu } = wish;
  const isOurs =
    actual !== undefined &&
    actual.id === VXLAN_ID &&
    actual.port === port &&
    actual.mac === mac &&
    actual.underlay === underlay &&
    !actual.isLearning;
  const lines: string[] = [];
  if (actual !== undefined && !isOurs) lines.push(`link delete ${VXLAN_DEVICE}`);
  if (!isOurs) {
    // Without an address for `local`: the kernel takes the source that its routes say, so that an address of ours may change. No group,
    // nothing learned: every entry is ours.
    const local = underlay === 'IPv6' ? ' local ::' : '';
    lines.push(`link add ${VXLAN_DEVICE} address ${mac} type vxlan id ${VXLAN_ID} dstport ${port} nolearning${local}`);
    if (underlay === 'IPv6') lines.push(`link set ${VXLAN_DEVICE} alias "${OVER_IPV6}"`);
  }
  if (!isOurs || actual?.mtu !== mtu) lines.push(`link set ${VXLAN_DEVICE} mtu ${mtu}`);
  const own = addresses.map(hostRange);
  const present = isOurs ? (actual?.addresses ?? []) : [];
  const probe = probeAddress === undefined ? undefined : `${probeAddress}/32`;
  for (const other of present)
    if (!own.includes(other) && other !== probe) lines.push(`address delete ${other} dev ${VXLAN_DEVICE}`);
  for (const address of own)
    if (!present.includes(address))
      lines.push(`address add ${address} dev ${VXLAN_DEVICE}${address.includes(':') ? ' nodad' : ''}`);
  // Of the link's scope: no packet that is masqueraded gets it for its source.
  if (probe !== undefined && !present.includes(probe))
    lines.push(`address add ${probe} dev ${VXLAN_DEVICE} scope link`);
  if (!isOurs || actual?.isUp !== true) lines.push(`link set ${VXLAN_DEVICE} up`);
  return lines;
}

/** Entries of the device by MAC (forwarding) and by address (neighbours). */
export interface PeerTables {
  readonly forwarding: ReadonlyMap<string, string>;
  readonly neighbours: ReadonlyMap<string, string>;
}

/** Reads `bridge -j fdb show dev coracle-vx` and `ip -j neigh show dev coracle-vx`. */
export function parsePeerTables(forwardingJson: string, neighboursJson: string): PeerTables {
  const read = (text: string): Record<string, unknown>[] =>
    text.trim() === '' ? [] : (JSON.parse(text) as Record<string, unknown>[]);
  const pairs = (lines: Record<string, unknown>[], key: string, value: string) =>
    new Map(
      lines.flatMap((line) => {
        const [from, to] = [line[key], line[value]];
        return typeof from === 'string' && typeof to === 'string' ? [[from, to] as const] : [];
      }),
    );
  const permanent = read(neighboursJson).filter(({ state }) => Array.isArray(state) && state.includes('PERMANENT'));
  return { forwarding: pairs(read(forwardingJson), 'mac', 'dst'), neighbours: pairs(permanent, 'dst', 'lladdr') };
}

export interface PeerChanges {
  /** Lines of `bridge -batch`. */
  readonly bridge: readonly string[];
  /** Lines of `ip -batch`. */
  readonly ip: readonly string[];
}

/** What differs, replaced in place: a peer that moves loses nothing but what was under way to its old address. */
export function diffPeers({ forwarding, neighbours }: PeerTables, peers: readonly Peer[]): PeerChanges {
  const dev = `dev ${VXLAN_DEVICE}`;
  const wanted = new Map(peers.map(({ mac, nodeAddress }) => [mac, nodeAddress]));
  const addresses = new Set(peers.map(({ address }) => address));
  return {
    bridge: [
      ...[...wanted]
        .filter(([mac, nodeAddress]) => forwarding.get(mac) !== nodeAddress)
        .map(([mac, nodeAddress]) => `fdb replace ${mac} ${dev} dst ${nodeAddress} self permanent`),
      ...[...forwarding]
        .filter(([mac]) => !wanted.has(mac))
        .map(([mac, dst]) => `fdb delete ${mac} ${dev} dst ${dst} self`),
    ],
    ip: [
      ...peers
        .filter(({ mac, address }) => neighbours.get(address) !== mac)
        .map(({ mac, address }) => `neighbour replace ${address} lladdr ${mac} ${dev} nud permanent`),
      ...[...neighbours.keys()]
        .filter((address) => !addresses.has(address))
        .map((address) => `neighbour delete ${address} ${dev}`),
    ],
  };
}
