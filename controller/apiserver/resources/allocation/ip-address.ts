import { isIPv4, isIPv6 } from 'node:net';

export type IpFamily = 'IPv4' | 'IPv6';

export interface Ip {
  readonly family: IpFamily;
  readonly value: bigint;
}

export interface IpRange {
  readonly family: IpFamily;
  /** The network address. */
  readonly base: bigint;
  readonly prefixLength: number;
  /** Number of addresses, network address included. */
  readonly size: bigint;
}

const BITS: Readonly<Record<IpFamily, number>> = { IPv4: 32, IPv6: 128 };
const GROUPS = 8;

const parseV4 = (text: string): bigint => text.split('.').reduce((value, byte) => value * 256n + BigInt(byte), 0n);

function groupsOf(text: string): bigint[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [BigInt(`0x${group}`)];
    const value = parseV4(group);
    return [value >> 16n, value & 0xffffn];
  });
}

function parseV6(text: string): bigint {
  const [head = '', tail] = text.split('::');
  const left = groupsOf(head);
  const right = tail === undefined ? [] : groupsOf(tail);
  const gap = new Array<bigint>(tail === undefined ? 0 : GROUPS - left.length - right.length).fill(0n);
  return [...left, ...gap, ...right].reduce((value, group) => (value << 16n) + group, 0n);
}

/** Parses an address, or answers undefined. Zones (`%eth0`) and IPv4 with leading zeros are not addresses here. */
export function parseIp(text: string): Ip | undefined {
  if (isIPv4(text)) return { family: 'IPv4', value: parseV4(text) };
  if (isIPv6(text) && !text.includes('%')) return { family: 'IPv6', value: parseV6(text) };
  return undefined;
}

/** RFC 5952: lower case, the longest run of two or more zero groups (the first of equals) shortened. */
function formatV6(value: bigint): string {
  const groups = Array.from({ length: GROUPS }, (_, i) => Number((value >> BigInt(16 * (GROUPS - 1 - i))) & 0xffffn));
  let bestStart = -1;
  let bestLength = 1;
  for (let i = 0; i < GROUPS; i++) {
    let end = i;
    while (end < GROUPS && groups[end] === 0) end++;
    if (end - i > bestLength) {
      bestStart = i;
      bestLength = end - i;
    }
  }
  const hex = (part: readonly number[]) => part.map((group) => group.toString(16)).join(':');
  if (bestStart < 0) return hex(groups);
  return `${hex(groups.slice(0, bestStart))}::${hex(groups.slice(bestStart + bestLength))}`;
}

/** The canonical text of an address. */
export function formatIp({ family, value }: Ip): string {
  if (family === 'IPv6') return formatV6(value);
  return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 0xffn).join('.');
}

/** Parses `10.96.0.0/16`, or answers undefined. Host bits are dropped. */
export function parseCidr(text: string): IpRange | undefined {
  const slash = text.indexOf('/');
  const ip = slash < 0 ? undefined : parseIp(text.slice(0, slash));
  const length = text.slice(slash + 1);
  if (ip === undefined || !/^(0|[1-9]\d{0,2})$/.test(length)) return undefined;
  const prefixLength = Number(length);
  const bits = BITS[ip.family];
  if (prefixLength > bits) return undefined;
  const size = 1n << BigInt(bits - prefixLength);
  return { family: ip.family, base: ip.value - (ip.value % size), prefixLength, size };
}

export function rangeContains(range: IpRange, ip: Ip): boolean {
  return ip.family === range.family && ip.value >= range.base && ip.value < range.base + range.size;
}

/** The address `offset` places above the network address. */
export function addressAt(range: IpRange, offset: bigint): string {
  return formatIp({ family: range.family, value: range.base + offset });
}
