import { formatIp, type Ip, type IpRange, parseCidr, parseIp, rangeContains } from '#api/meta/ip-address.ts';
import { CelEvaluationError } from '../values/evaluation-error.ts';
import { CelOpaque, type CelValue } from '../values/value.ts';
import { global, type Implementation, member, type Overload } from './function-table.ts';

const BITS = { IPv4: 32, IPv6: 128 } as const;

class CelIp extends CelOpaque {
  override readonly typeName = 'net.IP';
  override readonly costSize: number;
  readonly ip: Ip;

  constructor(ip: Ip) {
    super();
    this.ip = ip;
    this.costSize = BITS[ip.family] / 8;
  }

  override equals(other: CelOpaque): boolean {
    return other instanceof CelIp && other.ip.family === this.ip.family && other.ip.value === this.ip.value;
  }
}

class CelCidr extends CelOpaque {
  override readonly typeName = 'net.CIDR';
  /** The address as it was written, host bits included. */
  readonly ip: Ip;
  readonly range: IpRange;
  override readonly costSize: number;

  constructor(ip: Ip, range: IpRange) {
    super();
    this.ip = ip;
    this.range = range;
    this.costSize = Math.ceil(range.prefixLength / 8);
  }

  override equals(other: CelOpaque): boolean {
    return (
      other instanceof CelCidr &&
      other.ip.family === this.ip.family &&
      other.ip.value === this.ip.value &&
      other.range.prefixLength === this.range.prefixLength
    );
  }

  override toString(): string {
    return `${formatIp(this.ip)}/${this.range.prefixLength}`;
  }
}

/** ::ffff:1.2.3.4 is refused: it would be another way of writing an IPv4 address. */
const isMapped = ({ family, value }: Ip): boolean => family === 'IPv6' && value >> 32n === 0xffffn;

function readIp(text: string): Ip | string {
  const ip = parseIp(text);
  if (ip === undefined) return `IP Address ${JSON.stringify(text)} parse error during conversion from string`;
  return isMapped(ip) ? `IPv4-mapped IPv6 address ${JSON.stringify(text)} is not allowed` : ip;
}

function readCidr(text: string): CelCidr | string {
  const range = parseCidr(text);
  const ip = range === undefined ? undefined : parseIp(text.slice(0, text.indexOf('/')));
  if (range === undefined || ip === undefined)
    return `network address parse error during conversion from string: ${text}`;
  return isMapped(ip) ? `IPv4-mapped IPv6 address ${JSON.stringify(text)} is not allowed` : new CelCidr(ip, range);
}

function orThrow<T>(read: T | string): T {
  if (typeof read === 'string') throw new CelEvaluationError(read);
  return read;
}

const ipOf = (value: CelValue | undefined): Ip => (value as CelIp).ip;
const cidrOf = (value: CelValue | undefined): CelCidr => value as CelCidr;

const isIp =
  (test: (ip: Ip) => boolean): Implementation =>
  ([value]) =>
    test(ipOf(value));

/** `value` starts with the bits of `prefix`. */
function startsWith({ family, value }: Ip, prefix: string): boolean {
  const range = parseCidr(prefix);
  return range !== undefined && range.family === family && rangeContains(range, { family, value });
}

const inAny = (ip: Ip, ...prefixes: readonly string[]): boolean => prefixes.some((prefix) => startsWith(ip, prefix));

const isUnspecified = ({ value }: Ip): boolean => value === 0n;
const isLoopback = (ip: Ip): boolean => inAny(ip, '127.0.0.0/8', '::1/128');
const isMulticast = (ip: Ip): boolean => inAny(ip, '224.0.0.0/4', 'ff00::/8');
const isLinkLocalMulticast = (ip: Ip): boolean =>
  inAny(ip, '224.0.0.0/24') || (ip.family === 'IPv6' && ((ip.value >> 112n) & 0xff0fn) === 0xff02n);
const isLinkLocalUnicast = (ip: Ip): boolean => inAny(ip, '169.254.0.0/16', 'fe80::/10');
const isBroadcast = ({ family, value }: Ip): boolean => family === 'IPv4' && value === 0xffffffffn;
const isGlobalUnicast = (ip: Ip): boolean =>
  !isUnspecified(ip) && !isLoopback(ip) && !isMulticast(ip) && !isLinkLocalUnicast(ip) && !isBroadcast(ip);

const IP_TESTS: Readonly<Record<string, (ip: Ip) => boolean>> = {
  isUnspecified,
  isLoopback,
  isLinkLocalMulticast,
  isLinkLocalUnicast,
  isGlobalUnicast,
};

function contains(outer: CelCidr, inner: CelCidr): boolean {
  return outer.range.prefixLength <= inner.range.prefixLength && rangeContains(outer.range, inner.ip);
}

const masked = ({ range }: CelCidr): CelCidr => new CelCidr({ family: range.family, value: range.base }, range);

const CIDRS: readonly Overload[] = [
  global('cidr', 'string_to_cidr', '(string) -> net.CIDR', ([text]) => orThrow(readCidr(text as string))),
  global('isCIDR', 'is_cidr', '(string) -> bool', ([text]) => typeof readCidr(text as string) !== 'string'),
  global('string', 'cidr_to_string', '(net.CIDR) -> string', ([cidr]) => cidrOf(cidr).toString()),
  member('containsIP', 'cidr_contains_ip_string', '(net.CIDR, string) -> bool', ([cidr, text]) =>
    rangeContains(cidrOf(cidr).range, orThrow(readIp(text as string))),
  ),
  member('containsIP', 'cidr_contains_ip_ip', '(net.CIDR, net.IP) -> bool', ([cidr, ip]) =>
    rangeContains(cidrOf(cidr).range, ipOf(ip)),
  ),
  member('containsCIDR', 'cidr_contains_cidr_string', '(net.CIDR, string) -> bool', ([cidr, text]) =>
    contains(cidrOf(cidr), orThrow(readCidr(text as string))),
  ),
  member('containsCIDR', 'cidr_contains_cidr', '(net.CIDR, net.CIDR) -> bool', ([cidr, other]) =>
    contains(cidrOf(cidr), cidrOf(other)),
  ),
  member('ip', 'cidr_ip', '(net.CIDR) -> net.IP', ([cidr]) => new CelIp(cidrOf(cidr).ip)),
  member('prefixLength', 'cidr_prefix_length', '(net.CIDR) -> int', ([cidr]) =>
    BigInt(cidrOf(cidr).range.prefixLength),
  ),
  member('masked', 'cidr_masked', '(net.CIDR) -> net.CIDR', ([cidr]) => masked(cidrOf(cidr))),
];

export const ADDRESSES: readonly Overload[] = [
  global('ip', 'string_to_ip', '(string) -> net.IP', ([text]) => new CelIp(orThrow(readIp(text as string)))),
  global('isIP', 'is_ip', '(string) -> bool', ([text]) => typeof readIp(text as string) !== 'string'),
  global('ip.isCanonical', 'ip_is_canonical', '(string) -> bool', ([text]) => {
    return formatIp(orThrow(readIp(text as string))) === text;
  }),
  global('string', 'ip_to_string', '(net.IP) -> string', ([ip]) => formatIp(ipOf(ip))),
  member('family', 'ip_family', '(net.IP) -> int', ([ip]) => (ipOf(ip).family === 'IPv4' ? 4n : 6n)),
  ...Object.entries(IP_TESTS).map(([name, test]) => member(name, `ip_${name}`, '(net.IP) -> bool', isIp(test))),
  ...CIDRS,
];
