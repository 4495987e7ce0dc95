import { CelEvaluationError } from '../values/evaluation-error.ts';
import { MAX_INT } from '../values/scalars.ts';
import { CelOpaque, type CelValue } from '../values/value.ts';
import { global, type Implementation, member, type Overload } from './function-table.ts';

interface Version {
  readonly major: bigint;
  readonly minor: bigint;
  readonly patch: bigint;
  readonly prerelease: readonly string[];
}

class CelSemver extends CelOpaque {
  override readonly typeName = 'kubernetes.Semver';
  readonly version: Version;

  constructor(version: Version) {
    super();
    this.version = version;
  }

  /** Build metadata does not count. */
  override equals(other: CelOpaque): boolean {
    return other instanceof CelSemver && compare(this.version, other.version) === 0;
  }
}

const NUMBER = '(0|[1-9]\\d*)';
const IDENTIFIERS = '[0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*';
const SEMVER = new RegExp(`^${NUMBER}\\.${NUMBER}\\.${NUMBER}(?:-(${IDENTIFIERS}))?(?:\\+${IDENTIFIERS})?$`);
/** Nothing that anybody calls a version is longer. */
const MAX_LENGTH = 1024;

function parse(text: string): Version | undefined {
  const match = text.length > MAX_LENGTH ? null : SEMVER.exec(text);
  if (match === null) return undefined;
  const [major, minor, patch] = match.slice(1, 4).map(BigInt) as [bigint, bigint, bigint];
  const prerelease = match[4]?.split('.') ?? [];
  if (prerelease.some((part) => /^0\d+$/.test(part)) || [major, minor, patch].some((part) => part > MAX_INT)) {
    return undefined;
  }
  return { major, minor, patch, prerelease };
}

/** A version that an object holds; undefined where it is none. */
export function semverValue(text: string): CelOpaque | undefined {
  const version = parse(text);
  return version === undefined ? undefined : new CelSemver(version);
}

/** Without a leading v, with all three numbers, and without their leading zeros. */
function normalize(text: string): string | undefined {
  const [first = '', second, ...others] = text.replace(/^v/, '').split('.');
  const parts = [
    first,
    ...(second === undefined ? [] : [second]),
    ...(others.length > 0 ? [others.join('.')] : []),
  ].map((part) => (part.length > 1 ? part.replace(/^0+(?=\d)/, '') : part));
  if (parts.length < 3 && /[+-]/.test(parts.at(-1) ?? '')) return undefined;
  while (parts.length < 3) parts.push('0');
  return parts.join('.');
}

function read(text: CelValue | undefined, isTolerant: CelValue | undefined): Version | undefined {
  const plain = isTolerant === true ? normalize(text as string) : (text as string);
  return plain === undefined ? undefined : parse(plain);
}

function compareParts(a: string, b: string): number {
  const [x, y] = [/^\d+$/.test(a), /^\d+$/.test(b)];
  if (x && y) return BigInt(a) < BigInt(b) ? -1 : BigInt(a) > BigInt(b) ? 1 : 0;
  if (x !== y) return x ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

/** -1, 0 or 1. A prerelease stands before its release. */
function compare(a: Version, b: Version): number {
  for (const part of ['major', 'minor', 'patch'] as const) if (a[part] !== b[part]) return a[part] < b[part] ? -1 : 1;
  const [x, y] = [a.prerelease, b.prerelease];
  if (x.length === 0 || y.length === 0) return Math.sign(Number(x.length === 0) - Number(y.length === 0));
  for (const [index, part] of x.entries()) {
    const other = y[index];
    if (other === undefined) return 1;
    const order = compareParts(part, other);
    if (order !== 0) return order;
  }
  return x.length < y.length ? -1 : 0;
}

const TYPE = 'kubernetes.Semver';
const of = (value: CelValue | undefined): Version => (value as CelSemver).version;

const convert: Implementation = ([text, isTolerant]) => {
  const version = read(text, isTolerant);
  if (version === undefined) throw new CelEvaluationError(`invalid semantic version ${JSON.stringify(text)}`);
  return new CelSemver(version);
};

const isSemver: Implementation = ([text, isTolerant]) => read(text, isTolerant) !== undefined;

export const SEMANTIC_VERSIONS: readonly Overload[] = [
  global('semver', 'string_to_semver', `(string) -> ${TYPE}`, convert),
  global('semver', 'string_bool_to_semver', `(string, bool) -> ${TYPE}`, convert),
  global('isSemver', 'is_semver_string', '(string) -> bool', isSemver),
  global('isSemver', 'is_semver_string_bool', '(string, bool) -> bool', isSemver),
  member('major', 'semver_major', `(${TYPE}) -> int`, ([value]) => of(value).major),
  member('minor', 'semver_minor', `(${TYPE}) -> int`, ([value]) => of(value).minor),
  member('patch', 'semver_patch', `(${TYPE}) -> int`, ([value]) => of(value).patch),
  member(
    'isGreaterThan',
    'semver_is_greater_than',
    `(${TYPE}, ${TYPE}) -> bool`,
    ([a, b]) => compare(of(a), of(b)) > 0,
  ),
  member('isLessThan', 'semver_is_less_than', `(${TYPE}, ${TYPE}) -> bool`, ([a, b]) => compare(of(a), of(b)) < 0),
  member('compareTo', 'semver_compare_to', `(${TYPE}, ${TYPE}) -> int`, ([a, b]) => BigInt(compare(of(a), of(b)))),
];
