export type IpFamily = 'IPv4' | 'IPv6';

export interface Ip {
  readonly family: IpFamily;
  readonly value: bigint;
}

/** A CIDR. */
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
/** `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`. */
const MAX_V6_TEXT = 45;

/** Parses an address, or answers undefined. Zones (`%eth0`) and IPv4 with leading zeros are not addresses here. */
export function parseIp(text: string): Ip | undefined {
  const family = text.includes(':') ? 'IPv6' : 'IPv4';
  const value = family === 'IPv6' ? parseV6(text) : parseV4(text);
  return value === undefined ? undefined : { family, value };
}

function parseV4(text: string): bigint | undefined {
  const bytes = text.split('.');
  const isByte = (byte: string) => /^(?:0|[1-9][0-9]{0,2})$/.test(byte) && Number(byte) <= 255;
  if (bytes.length !== 4 || !bytes.every(isByte)) return undefined;
  return bytes.reduce((value, byte) => (value << 8n) + BigInt(byte), 0n);
}

function parseV6(text: string): bigint | undefined {
  if (text.length > MAX_V6_TEXT) return undefined;
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = groupsOf(halves[0]!, halves.length === 1);
  const tail = groupsOf(halves[1] ?? '', true);
  if (head === undefined || tail === undefined) return undefined;
  const missing = GROUPS - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const all = [...head, ...new Array<bigint>(missing).fill(0n), ...tail];
  return all.reduce((value, group) => (value << 16n) + group, 0n);
}

/** The values of colon-separated groups; the last ones of an address may be written as IPv4. */
function groupsOf(text: string, isEnd: boolean): bigint[] | undefined {
  if (text === '') return [];
  const groups: bigint[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    if (isEnd && index === parts.length - 1 && part.includes('.')) {
      const embedded = parseV4(part);
      if (embedded === undefined) return undefined;
      groups.push(embedded >> 16n, embedded & 0xffffn);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(BigInt(`0x${part}`));
    }
  }
  return groups;
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
