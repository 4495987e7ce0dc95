import { formatIp, type Ip, type IpRange, parseCidr, parseIp, rangeContains } from '#api/meta/ip-address.ts';
import { cidr, ipAddress } from '#api/meta/names.ts';
import { type FieldError, invalid } from '#api/object/field-error.ts';

export function validateIp(text: string, path: string): FieldError[] {
  return ipAddress(text).map((message) => invalid(path, text, message));
}

/** An address in its one canonical spelling, as names of IPAddress objects must be. */
export function canonicalIpErrors(text: string): readonly string[] {
  const ip = parseIp(text);
  if (ip === undefined) return ipAddress(text);
  const canonical = formatIp(ip);
  return canonical === text ? [] : [`must be in canonical form ("${canonical}")`];
}

export function validateCidr(text: string, path: string): FieldError[] {
  return cidr(text).map((message) => invalid(path, text, message));
}

const ranges = (...cidrs: string[]): IpRange[] => cidrs.map((text) => parseCidr(text) as IpRange);

/** Addresses that mean something else on every node, so that traffic to them must not be redirected by Endpoints. */
const UNREACHABLE: readonly { readonly ranges: readonly IpRange[]; readonly message: string }[] = [
  { ranges: ranges('0.0.0.0/32', '::/128'), message: 'may not be unspecified (0.0.0.0 or ::)' },
  { ranges: ranges('127.0.0.0/8', '::1/128'), message: 'may not be in the loopback range (127.0.0.0/8, ::1/128)' },
  {
    ranges: ranges('169.254.0.0/16', 'fe80::/10'),
    message: 'may not be in the link-local range (169.254.0.0/16, fe80::/10)',
  },
  {
    ranges: ranges('224.0.0.0/24', 'ff02::/16'),
    message: 'may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)',
  },
];

/** Findings on an address that traffic is sent to (Endpoints, EndpointSlices, external IPs). */
export function validateReachableIp(text: string, path: string): FieldError[] {
  const ip: Ip | undefined = parseIp(text);
  if (ip === undefined) return validateIp(text, path);
  return UNREACHABLE.filter((rule) => rule.ranges.some((range) => rangeContains(range, ip))).map((rule) =>
    invalid(path, text, rule.message),
  );
}
