/** At most 15 characters (IFNAMSIZ). */
export const WIREGUARD_DEVICE = 'coracle-wg';
/** Outer IPv6 40 (IPv4: 20), UDP 8, WireGuard 32. What `wg-quick` leaves, too. */
export const WIREGUARD_OVERHEAD_BYTES = 80;
/** What keeps the entry of a home router alive; WireGuard's own recommendation. */
const KEEPALIVE_SECONDS = 25;
/** A session that was agreed on longer ago carries nothing any more: where the peer is by now is not known. */
const SESSION_SECONDS = 180;

/** Another node, as WireGuard shall know it. */
export interface WireguardPeer {
  readonly publicKey: string;
  readonly endpoint: string;
  /** Of whom packets are taken, and to whom they go. */
  readonly allowedIps: readonly string[];
  /** A translator of addresses may lie between, which forgets who is silent. */
  readonly isKeptAlive: boolean;
}

/** The device and its peers as they are. */
export interface WireguardState {
  readonly privateKey: string;
  readonly port: number;
  readonly peers: ReadonlyMap<string, ActualPeer>;
}

export interface ActualPeer {
  readonly endpoint: string | undefined;
  readonly allowedIps: readonly string[];
  /** Seconds since 1970; 0: never. */
  readonly handshakeSeconds: number;
  readonly isKeptAlive: boolean;
}

/** Reads `wg show coracle-wg dump`: a line for the device, then one for each peer. */
export function parseWireguard(dump: string): WireguardState {
  const [device = '', ...peers] = dump.split('\n').filter((line) => line !== '');
  const [privateKey = '', , port = '0'] = device.split('\t');
  return {
    privateKey,
    port: Number(port),
    peers: new Map(
      peers.map((line) => {
        const [key = '', , endpoint = '', ips = '', handshake = '0', , , keepalive = 'off'] = line.split('\t');
        return [
          key,
          {
            endpoint: endpoint === '(none)' ? undefined : endpoint,
            allowedIps: ips === '(none)' ? [] : ips.split(','),
            handshakeSeconds: Number(handshake),
            isKeptAlive: keepalive !== 'off',
          },
        ];
      }),
    ),
  };
}

export interface PeerMemory {
  /** By key: the endpoint that we set last. */
  readonly endpoints: ReadonlyMap<string, string>;
  readonly nowSeconds: number;
  /** This host has other addresses than at the last time. */
  readonly hasOtherAddresses: boolean;
}

/**
 * Arguments of `wg set coracle-wg`, a list for each peer that differs; those that are gone last, so that ranges that move to another key
 * do so without a gap.
 *
 * An endpoint is set when it is a new one to us or the peer is silent. Otherwise it is left alone: WireGuard follows a peer to wherever its
 * packets come from, which behind a translator of addresses is nowhere that the node could tell of. When this host has other addresses, each is
 * set to what it is: wireguard-go 0.0.20220316 sends from the address that it sent from before, which Linux 6.18 refuses with an error that it does
 * not expect, until it hears of the peer.
 */
export function diffWireguardPeers(
  actual: ReadonlyMap<string, ActualPeer>,
  wanted: readonly WireguardPeer[],
  { endpoints, nowSeconds, hasOtherAddresses }: PeerMemory,
): string[][] {
  const keys = new Set(wanted.map(({ publicKey }) => publicKey));
  const changes = wanted.flatMap(({ publicKey, endpoint, allowedIps, isKeptAlive }) => {
    const before = actual.get(publicKey);
    const isSilent = before === undefined || nowSeconds - before.handshakeSeconds > SESSION_SECONDS;
    const hasMoved = endpoints.has(publicKey) && endpoints.get(publicKey) !== endpoint;
    const isPointed = before?.endpoint === endpoint || (before?.endpoint !== undefined && !hasMoved && !isSilent);
    const pointed = isPointed ? before?.endpoint : endpoint;
    const isAllowed = before !== undefined && sameSet(before.allowedIps, allowedIps);
    const isPaced = (before?.isKeptAlive ?? false) === isKeptAlive;
    if (before !== undefined && isPointed && !hasOtherAddresses && isAllowed && isPaced) return [];
    return [
      [
        ...['peer', publicKey],
        ...(pointed === undefined || (isPointed && !hasOtherAddresses) ? [] : ['endpoint', pointed]),
        ...(isAllowed ? [] : ['allowed-ips', allowedIps.join(',')]),
        ...(isPaced ? [] : ['persistent-keepalive', isKeptAlive ? `${KEEPALIVE_SECONDS}` : 'off']),
      ],
    ];
  });
  const gone = [...actual.keys()].filter((key) => !keys.has(key)).map((key) => ['peer', key, 'remove']);
  return [...changes, ...gone];
}

const sameSet = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((item) => b.includes(item));
