import { CelDuration, CelTimestamp, CelTypeValue, CelUint } from './scalars.ts';
import { CelList, CelMap, CelOpaque, CelOptional, CelStruct, type CelValue } from './value.ts';

/** A plain number of any of the three types, or undefined. */
function numberOf(value: CelValue): bigint | number | undefined {
  if (typeof value === 'bigint' || typeof value === 'number') return value;
  return value instanceof CelUint ? value.value : undefined;
}

/** Never an error: values of different types are different, except that numbers are compared by value. */
export function isEqual(a: CelValue, b: CelValue): boolean {
  if (a === b) return true;
  if (typeof a === 'string' || typeof b === 'string') return false;
  const x = numberOf(a);
  const y = numberOf(b);
  // JavaScript compares bigint and number exactly.
  if (x !== undefined || y !== undefined) return x !== undefined && y !== undefined && x <= y && x >= y;
  if (a === null || b === null || typeof a !== 'object' || typeof b !== 'object') return false;
  return isEqualObject(a, b);
}

/** Comparisons inside of values that are free; each one beyond them costs 1. */
const FREE_STEPS = 10_000;

/**
 * The same for values of any size. The price of an equality knows the outermost size only; values that share their parts can be far
 * larger inside, so what goes beyond any usual object is charged while it is compared.
 */
export function isEqualMetered(a: CelValue, b: CelValue, charge: (cost: number) => void): boolean {
  if (a === null || b === null || typeof a !== 'object' || typeof b !== 'object') return isEqual(a, b);
  let steps = 0;
  const compare = (x: CelValue, y: CelValue): boolean => {
    if (++steps > FREE_STEPS) charge(1);
    if (x === y) return true;
    return x instanceof CelList || x instanceof CelMap ? isEqualObject(x, y as ObjectValue, compare) : isEqual(x, y);
  };
  return compare(a, b);
}

type IsEqual = (a: CelValue, b: CelValue) => boolean;
type ObjectValue = Exclude<CelValue, null | boolean | bigint | number | string>;

function isEqualObject(a: ObjectValue, b: ObjectValue, compare: IsEqual = isEqual): boolean {
  if (a instanceof CelList) return b instanceof CelList && a.equals(b, compare);
  if (a instanceof CelMap) return b instanceof CelMap && isEqualMap(a, b, compare);
  if (a instanceof CelStruct) return b instanceof CelStruct && isEqualStruct(a, b);
  if (a instanceof CelOptional) return b instanceof CelOptional && isEqualOptional(a, b);
  if (a instanceof CelTimestamp) return b instanceof CelTimestamp && a.nanos === b.nanos;
  if (a instanceof CelDuration) return b instanceof CelDuration && a.nanos === b.nanos;
  if (a instanceof CelTypeValue) return b instanceof CelTypeValue && a.typeName === b.typeName;
  if (a instanceof Uint8Array) return b instanceof Uint8Array && Buffer.compare(a, b) === 0;
  return a instanceof CelOpaque && b instanceof CelOpaque && a.typeName === b.typeName && a.equals(b);
}

function isEqualMap(a: CelMap, b: CelMap, compare: IsEqual): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a.entries()) {
    const other = b.get(key);
    if (other === undefined || !compare(value, other)) return false;
  }
  return true;
}

function isEqualStruct(a: CelStruct, b: CelStruct): boolean {
  if (a.typeName !== b.typeName || a.fields.size !== b.fields.size) return false;
  for (const [name, value] of a.fields) {
    const other = b.fields.get(name);
    if (other === undefined || !isEqual(value, other)) return false;
  }
  return true;
}

function isEqualOptional({ value: a }: CelOptional, { value: b }: CelOptional): boolean {
  return a === undefined || b === undefined ? a === b : isEqual(a, b);
}

/** Negative, zero or positive; NaN when one of them is NaN; undefined for types that have no order between them. */
export function compareValues(a: CelValue, b: CelValue): number | undefined {
  const x = numberOf(a);
  const y = numberOf(b);
  if (x !== undefined && y !== undefined) return x < y ? -1 : x > y ? 1 : x <= y ? 0 : Number.NaN;
  if (typeof a === 'string' && typeof b === 'string') return compareText(a, b);
  if (typeof a === 'boolean' && typeof b === 'boolean') return Number(a) - Number(b);
  if (a instanceof CelTimestamp && b instanceof CelTimestamp) return order(a.nanos, b.nanos);
  if (a instanceof CelDuration && b instanceof CelDuration) return order(a.nanos, b.nanos);
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b);
  return undefined;
}

const order = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);

/** By code points: UTF-16 units put what is above U+FFFF below U+E000. */
function compareText(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  for (let at = 0; at < shorter; at++) {
    const [x, y] = [a.charCodeAt(at), b.charCodeAt(at)];
    if (x === y) continue;
    const isSurrogate = (unit: number) => unit >= 0xd800 && unit < 0xe000;
    if (isSurrogate(x) !== isSurrogate(y)) return isSurrogate(x) ? 1 : -1;
    return x - y;
  }
  return a.length - b.length;
}

const HIGH_SURROGATE = /[\ud800-\udbff]/;

/** Code points of a string, entries of a container, bytes; 1 for everything else, as costs want it. */
export function sizeOf(value: CelValue): number {
  if (typeof value === 'string') return HIGH_SURROGATE.test(value) ? Array.from(value).length : value.length;
  if (value instanceof CelList || value instanceof CelMap) return value.size;
  if (value instanceof Uint8Array) return value.length;
  return value instanceof CelOpaque ? value.costSize : 1;
}
