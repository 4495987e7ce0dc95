import { parseCidr } from '#api/meta/ip-address.ts';
import type { RangesByFamily } from '#api/meta/ip-ranges.ts';
import { tunnelOf, VXLAN_ID } from '../vxlan.ts';

/**
 * Where the kernel sends frames for nodes that are relayed: nobody's address. A rule turns them to the agent's socket. The kernel's VXLAN
 * has no other way to a program of its own host: what is for one of its addresses it hands to its own devices, or drops.
 */
export const RELAY_ADDRESS = '169.254.10.54';

/** First of the addresses that nodes probe each other with, beside those of pods, which may be relayed: 16,384 of the link-local range. */
const PROBE_BASE = (169n << 24n) | (254n << 16n) | (64n << 8n);
const MAX_PROBE_NODES = 16_384n;

const HEADER_BYTES = 8;
const ETHERNET_BYTES = 14;
const MAC_BYTES = 6;
/** Of the second byte of our MAC addresses: who is meant, and who is meant by way of the relay. */
const [STRAIGHT, RELAYED] = [0xc0, 0xc1];

/** MAC that stands for a node while frames to it are relayed. */
export function relayMacOf(nodeCidr: string): string {
  return tunnelOf(nodeCidr).mac.replace(/^0e:c0:/, '0e:c1:');
}

/** Follows from the place of the node's range in the cluster's; undefined beyond 16,384 nodes: those are not probed. */
export function probeAddressOf(nodeCidr: string, clusterCidrs: RangesByFamily): string | undefined {
  const range = parseCidr(nodeCidr);
  const cluster = range === undefined ? undefined : parseCidr(clusterCidrs[range.family] ?? '');
  if (range === undefined || cluster === undefined) return undefined;
  const index = (range.base - cluster.base) / range.size;
  if (index < 0n || index >= MAX_PROBE_NODES) return undefined;
  const value = PROBE_BASE + index;
  return [24n, 16n, 8n, 0n].map((shift) => Number((value >> shift) & 0xffn)).join('.');
}

/** Whether this is a frame of our VXLAN. */
export function isRelayFrame(bytes: Uint8Array): boolean {
  if (bytes.length < HEADER_BYTES + ETHERNET_BYTES || bytes[0] !== 0x08) return false;
  return ((bytes[4]! << 16) | (bytes[5]! << 8) | bytes[6]!) === VXLAN_ID;
}

export const destinationMac = (frame: Uint8Array): string => macAt(frame, HEADER_BYTES);
export const sourceMac = (frame: Uint8Array): string => macAt(frame, HEADER_BYTES + MAC_BYTES);

/** The frame as the node itself takes it. */
export function addressedStraight(frame: Uint8Array): Uint8Array {
  const copy = new Uint8Array(frame);
  if (copy[HEADER_BYTES + 1] === RELAYED) copy[HEADER_BYTES + 1] = STRAIGHT;
  return copy;
}

const macAt = (frame: Uint8Array, at: number): string =>
  [...frame.subarray(at, at + MAC_BYTES)].map((byte) => byte.toString(16).padStart(2, '0')).join(':');

/** What agents tell each other by way of the controller. Its first byte is none of VXLAN's. */
export interface Hello {
  /** Whoever says so gets no answer from the other by the path between them. */
  readonly isBroken: boolean;
  readonly wantsAnswer: boolean;
}

const HELLO = 0x01;

export const encodeHello = ({ isBroken, wantsAnswer }: Hello): Uint8Array =>
  new Uint8Array([HELLO, (isBroken ? 1 : 0) | (wantsAnswer ? 2 : 0)]);

export function decodeHello(bytes: Uint8Array): Hello | undefined {
  const flags = bytes[1];
  if (bytes[0] !== HELLO || flags === undefined) return undefined;
  return { isBroken: (flags & 1) !== 0, wantsAnswer: (flags & 2) !== 0 };
}
