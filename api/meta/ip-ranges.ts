import { addressAt, type IpFamily, type IpRange, parseCidr } from './ip-address.ts';

/** One range for each family that there is. */
export type RangesByFamily = Readonly<Partial<Record<IpFamily, string>>>;

export const IP_FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];

/** What two families of addresses are called here; a range of either. */
export interface NamedRange {
  /** Canonical, host bits dropped. */
  readonly cidr: string;
  readonly range: IpRange;
}

const EXAMPLES = '10.244.0.0/16 or fd42::/48';

/** Ranges as in `10.244.0.0/16,fd42::/48`: one, or one of each family, the first being the family that comes first everywhere. */
export function parseRanges(text: string): readonly NamedRange[] | { readonly problem: string } {
  const ranges: NamedRange[] = [];
  const parts = text.split(',').map((part) => part.trim());
  if (parts.length > 2) return { problem: `"${text}" is more than two ranges: there can be one of each family` };
  for (const part of parts) {
    const range = parseCidr(part);
    if (range === undefined) return { problem: `"${part}" is no range of addresses such as ${EXAMPLES}` };
    if (ranges.some((other) => other.range.family === range.family))
      return { problem: `"${text}" is two ranges of ${range.family}: there can be one of each family` };
    ranges.push({ cidr: `${addressAt(range, 0n)}/${range.prefixLength}`, range });
  }
  return ranges;
}

/** In the order in which they were given. */
export const byFamily = (ranges: readonly NamedRange[]): RangesByFamily =>
  Object.fromEntries(ranges.map(({ cidr, range }) => [range.family, cidr]));

export function rangesOverlap(a: IpRange, b: IpRange): boolean {
  return a.family === b.family && a.base < b.base + b.size && b.base < a.base + a.size;
}
