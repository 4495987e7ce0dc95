import { sizeOf } from '../values/compare.ts';
import { CelEvaluationError } from '../values/evaluation-error.ts';
import {
  CelDuration,
  type CelTimestamp,
  CelTypeValue,
  CelUint,
  MAX_INT,
  MAX_UINT,
  MIN_INT,
} from '../values/scalars.ts';
import { formatDuration, formatTimestamp, parseDuration, parseTimestamp, timestampOf } from '../values/time-text.ts';
import { type CelValue, typeNameOf } from '../values/value.ts';
import { formatDouble } from './double-text.ts';
import { global, type Implementation, member, type Overload } from './function-table.ts';

const conversionError = (from: string, to: string): CelEvaluationError =>
  new CelEvaluationError(`type conversion error from '${from}' to '${to}'`);

const identity: Implementation = ([value]) => value as CelValue;

/** Whole numbers as Go's `strconv` reads them in base ten. */
function parseInteger(text: string, type: 'int' | 'uint'): bigint {
  if (!(type === 'int' ? /^[+-]?\d+$/ : /^\d+$/).test(text) || text.length > 40) throw conversionError('string', type);
  const value = BigInt(text.replace(/^\+/, ''));
  const [min, max] = type === 'int' ? [MIN_INT, MAX_INT] : [0n, MAX_UINT];
  if (value < min || value > max) throw conversionError('string', type);
  return value;
}

/** Fractions are cut off. */
function truncate(value: number, type: 'int' | 'uint'): bigint {
  const name = type === 'int' ? 'integer' : 'unsigned integer';
  if (!Number.isFinite(value)) throw new CelEvaluationError(`${name} overflow`);
  return inRange(BigInt(Math.trunc(value)), type);
}

function inRange(value: bigint, type: 'int' | 'uint'): bigint {
  const [min, max] = type === 'int' ? [MIN_INT, MAX_INT] : [0n, MAX_UINT];
  if (value >= min && value <= max) return value;
  throw new CelEvaluationError(`${type === 'int' ? 'integer' : 'unsigned integer'} overflow`);
}

function parseDouble(text: string): number {
  if (/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text)) return Number(text);
  const special = /^([+-]?)(inf|infinity|nan)$/i.exec(text);
  if (special === null) throw conversionError('string', 'double');
  if (special[2]?.toLowerCase() === 'nan') return Number.NaN;
  return special[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}

/** Go's words, where "True" is true and "TrUe" is no boolean. */
const BOOLEANS = new Map([
  ...['1', 't', 'true', 'TRUE', 'True', 'T'].map((text): [string, boolean] => [text, true]),
  ...['0', 'f', 'false', 'FALSE', 'False', 'F'].map((text): [string, boolean] => [text, false]),
]);

function parseBoolean(text: string): boolean {
  const value = BOOLEANS.get(text);
  if (value === undefined) throw conversionError('string', 'bool');
  return value;
}

function decodeText(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new CelEvaluationError('invalid UTF-8 in bytes, cannot convert to string');
  }
}

function toTimestamp(text: string): CelTimestamp {
  const value = parseTimestamp(text);
  if (value === undefined) throw conversionError('string', 'google.protobuf.Timestamp');
  return value;
}

function toDuration(text: string): CelDuration {
  const value = parseDuration(text);
  if (value === undefined) throw conversionError('string', 'google.protobuf.Duration');
  return value;
}

const NANOS = 1_000_000_000n;

function fromSeconds(seconds: bigint): CelTimestamp {
  const value = timestampOf(seconds * NANOS);
  if (value === undefined) throw new CelEvaluationError('timestamp overflow');
  return value;
}

const floorSeconds = (nanos: bigint): bigint => (nanos - (((nanos % NANOS) + NANOS) % NANOS)) / NANOS;

const NUMBERS: readonly Overload[] = [
  global('int', 'int64_to_int64', '(int) -> int', identity),
  global('int', 'uint64_to_int64', '(uint) -> int', ([value]) => inRange((value as CelUint).value, 'int')),
  global('int', 'double_to_int64', '(double) -> int', ([value]) => truncate(value as number, 'int')),
  global('int', 'string_to_int64', '(string) -> int', ([value]) => parseInteger(value as string, 'int')),
  global('int', 'timestamp_to_int64', '(timestamp) -> int', ([value]) => floorSeconds((value as CelTimestamp).nanos)),
  global('int', 'duration_to_int64', '(duration) -> int', ([value]) => (value as CelDuration).nanos),
  global('uint', 'uint64_to_uint64', '(uint) -> uint', identity),
  global('uint', 'int64_to_uint64', '(int) -> uint', ([value]) => new CelUint(inRange(value as bigint, 'uint'))),
  global('uint', 'double_to_uint64', '(double) -> uint', ([value]) => new CelUint(truncate(value as number, 'uint'))),
  global('uint', 'string_to_uint64', '(string) -> uint', ([v]) => new CelUint(parseInteger(v as string, 'uint'))),
  global('double', 'double_to_double', '(double) -> double', identity),
  global('double', 'int64_to_double', '(int) -> double', ([value]) => Number(value as bigint)),
  global('double', 'uint64_to_double', '(uint) -> double', ([value]) => Number((value as CelUint).value)),
  global('double', 'string_to_double', '(string) -> double', ([value]) => parseDouble(value as string)),
];

const OTHERS: readonly Overload[] = [
  global('bool', 'bool_to_bool', '(bool) -> bool', identity),
  global('bool', 'string_to_bool', '(string) -> bool', ([value]) => parseBoolean(value as string)),
  global('bytes', 'bytes_to_bytes', '(bytes) -> bytes', identity),
  global('bytes', 'string_to_bytes', '(string) -> bytes', ([value]) => new TextEncoder().encode(value as string)),
  global('string', 'string_to_string', '(string) -> string', identity),
  global('string', 'bool_to_string', '(bool) -> string', ([value]) => String(value)),
  global('string', 'int64_to_string', '(int) -> string', ([value]) => String(value)),
  global('string', 'uint64_to_string', '(uint) -> string', ([value]) => String((value as CelUint).value)),
  global('string', 'double_to_string', '(double) -> string', ([value]) => formatDouble(value as number)),
  global('string', 'bytes_to_string', '(bytes) -> string', ([value]) => decodeText(value as Uint8Array)),
  global('string', 'timestamp_to_string', '(timestamp) -> string', ([v]) => formatTimestamp(v as CelTimestamp)),
  global('string', 'duration_to_string', '(duration) -> string', ([v]) => formatDuration(v as CelDuration)),
  global('timestamp', 'timestamp_to_timestamp', '(timestamp) -> timestamp', identity),
  global('timestamp', 'int64_to_timestamp', '(int) -> timestamp', ([value]) => fromSeconds(value as bigint)),
  global('timestamp', 'string_to_timestamp', '(string) -> timestamp', ([value]) => toTimestamp(value as string)),
  global('duration', 'duration_to_duration', '(duration) -> duration', identity),
  global('duration', 'int64_to_duration', '(int) -> duration', ([value]) => new CelDuration(value as bigint)),
  global('duration', 'string_to_duration', '(string) -> duration', ([value]) => toDuration(value as string)),
  global('dyn', 'to_dyn', '(A) -> dyn', identity),
  global('type', 'type', '(A) -> type(A)', ([value]) => new CelTypeValue(typeNameOf(value as CelValue))),
];

const size: Implementation = ([value]) => BigInt(sizeOf(value as CelValue));
const SIZED = ['string', 'bytes', 'list(A)', 'map(A, B)'];

export const CONVERSIONS: readonly Overload[] = [
  ...NUMBERS,
  ...OTHERS,
  ...SIZED.map((type) => global('size', `size_${type.split('(')[0]}`, `(${type}) -> int`, size)),
  ...SIZED.map((type) => member('size', `${type.split('(')[0]}_size`, `(${type}) -> int`, size)),
];
