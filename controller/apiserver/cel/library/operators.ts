import { compareValues, isEqualMetered } from '../values/compare.ts';
import { CelEvaluationError, noSuchOverload } from '../values/evaluation-error.ts';
import { CelDuration, type CelTimestamp, CelUint, MAX_INT, MAX_UINT, MIN_INT } from '../values/scalars.ts';
import { timestampOf } from '../values/time-text.ts';
import {
  CelList,
  CelMap,
  CelOptional,
  type CelValue,
  type EntryMap,
  GrowingMap,
  keyText,
  typeNameOf,
} from '../values/value.ts';
import { type EvaluationContext, global, type Implementation, type Overload } from './function-table.ts';

const overflow = (type: string): CelEvaluationError => new CelEvaluationError(`${type} overflow`);

function int(value: bigint): bigint {
  if (BigInt.asIntN(64, value) !== value) throw overflow('integer');
  return value;
}

function uint(value: bigint): CelUint {
  if (value > MAX_UINT || value < 0n) throw overflow('unsigned integer');
  return new CelUint(value);
}

function timestamp(nanos: bigint): CelTimestamp {
  const value = timestampOf(nanos);
  if (value === undefined) throw overflow('timestamp');
  return value;
}

function duration(nanos: bigint): CelDuration {
  if (nanos > MAX_INT || nanos < MIN_INT) throw overflow('duration');
  return new CelDuration(nanos);
}

type IntegerOperation = (a: bigint, b: bigint) => bigint;

const onInts =
  (operation: IntegerOperation): Implementation =>
  ([a, b]) =>
    int(operation(a as bigint, b as bigint));
const onUints =
  (operation: IntegerOperation): Implementation =>
  ([a, b]) =>
    uint(operation((a as CelUint).value, (b as CelUint).value));
const onDoubles =
  (operation: (a: number, b: number) => number): Implementation =>
  ([a, b]) =>
    operation(a as number, b as number);

function divide(a: bigint, b: bigint): bigint {
  if (b === 0n) throw new CelEvaluationError('division by zero');
  return a / b;
}

function modulo(a: bigint, b: bigint): bigint {
  if (b === 0n) throw new CelEvaluationError('modulus by zero');
  return a % b;
}

type Nanos = { readonly nanos: bigint };
const nanosOf = (value: CelValue | undefined): bigint => (value as Nanos).nanos;

const ARITHMETIC: readonly Overload[] = [
  global(
    '_+_',
    'add_int64',
    '(int, int) -> int',
    onInts((a, b) => a + b),
  ),
  global(
    '_+_',
    'add_uint64',
    '(uint, uint) -> uint',
    onUints((a, b) => a + b),
  ),
  global(
    '_+_',
    'add_double',
    '(double, double) -> double',
    onDoubles((a, b) => a + b),
  ),
  global('_+_', 'add_string', '(string, string) -> string', ([a, b]) => `${a as string}${b as string}`),
  global(
    '_+_',
    'add_bytes',
    '(bytes, bytes) -> bytes',
    ([a, b]) => new Uint8Array([...(a as Uint8Array), ...(b as Uint8Array)]),
  ),
  global('_+_', 'add_list', '(list(A), list(A)) -> list(A)', ([a, b]) => (a as CelList).concat(b as CelList)),
  global('_+_', 'add_timestamp_duration', '(timestamp, duration) -> timestamp', ([a, b]) =>
    timestamp(nanosOf(a) + nanosOf(b)),
  ),
  global('_+_', 'add_duration_timestamp', '(duration, timestamp) -> timestamp', ([a, b]) =>
    timestamp(nanosOf(a) + nanosOf(b)),
  ),
  global('_+_', 'add_duration_duration', '(duration, duration) -> duration', ([a, b]) =>
    duration(nanosOf(a) + nanosOf(b)),
  ),
  global(
    '_-_',
    'subtract_int64',
    '(int, int) -> int',
    onInts((a, b) => a - b),
  ),
  global(
    '_-_',
    'subtract_uint64',
    '(uint, uint) -> uint',
    onUints((a, b) => a - b),
  ),
  global(
    '_-_',
    'subtract_double',
    '(double, double) -> double',
    onDoubles((a, b) => a - b),
  ),
  global('_-_', 'subtract_timestamp_timestamp', '(timestamp, timestamp) -> duration', ([a, b]) =>
    duration(nanosOf(a) - nanosOf(b)),
  ),
  global('_-_', 'subtract_timestamp_duration', '(timestamp, duration) -> timestamp', ([a, b]) =>
    timestamp(nanosOf(a) - nanosOf(b)),
  ),
  global('_-_', 'subtract_duration_duration', '(duration, duration) -> duration', ([a, b]) =>
    duration(nanosOf(a) - nanosOf(b)),
  ),
  global(
    '_*_',
    'multiply_int64',
    '(int, int) -> int',
    onInts((a, b) => a * b),
  ),
  global(
    '_*_',
    'multiply_uint64',
    '(uint, uint) -> uint',
    onUints((a, b) => a * b),
  ),
  global(
    '_*_',
    'multiply_double',
    '(double, double) -> double',
    onDoubles((a, b) => a * b),
  ),
  global('_/_', 'divide_int64', '(int, int) -> int', onInts(divide)),
  global('_/_', 'divide_uint64', '(uint, uint) -> uint', onUints(divide)),
  global(
    '_/_',
    'divide_double',
    '(double, double) -> double',
    onDoubles((a, b) => a / b),
  ),
  global('_%_', 'modulo_int64', '(int, int) -> int', onInts(modulo)),
  global('_%_', 'modulo_uint64', '(uint, uint) -> uint', onUints(modulo)),
  global('-_', 'negate_int64', '(int) -> int', ([a]) => int(-(a as bigint))),
  global('-_', 'negate_double', '(double) -> double', ([a]) => -(a as number)),
];

/** The checker needs the conditional and the logical operators as functions; the planner has its own code for them. */
const plannedElsewhere: Implementation = () => {
  throw noSuchOverload();
};

const isEqualIn = (context: EvaluationContext, a: CelValue | undefined, b: CelValue | undefined): boolean =>
  isEqualMetered(a as CelValue, b as CelValue, (cost) => context.charge(cost));

const LOGIC: readonly Overload[] = [
  global('_&&_', 'logical_and', '(bool, bool) -> bool', plannedElsewhere),
  global('_||_', 'logical_or', '(bool, bool) -> bool', plannedElsewhere),
  global('_?_:_', 'conditional', '(bool, A, A) -> A', plannedElsewhere),
  global('@not_strictly_false', 'not_strictly_false', '(bool) -> bool', plannedElsewhere),
  global('!_', 'logical_not', '(bool) -> bool', ([a]) => {
    if (typeof a !== 'boolean') throw noSuchOverload();
    return !a;
  }),
  global('_==_', 'equals', '(A, A) -> bool', ([a, b], context) => isEqualIn(context, a, b)),
  global('_!=_', 'not_equals', '(A, A) -> bool', ([a, b], context) => !isEqualIn(context, a, b)),
];

const ORDERED = ['bool', 'int', 'uint', 'double', 'string', 'bytes', 'timestamp', 'duration'];
/** Numbers of different types are compared by value. */
const MIXED = ['int, uint', 'int, double', 'uint, int', 'uint, double', 'double, int', 'double, uint'];

function comparison(name: string, verb: string, accept: (order: number) => boolean): Overload[] {
  const implementation: Implementation = ([a, b]) => {
    const order = compareValues(a as CelValue, b as CelValue);
    if (order === undefined) throw noSuchOverload();
    return accept(order);
  };
  return [
    ...ORDERED.map((type) => global(name, `${verb}_${type}`, `(${type}, ${type}) -> bool`, implementation)),
    ...MIXED.map((types) => global(name, `${verb}_${types.replace(', ', '_')}`, `(${types}) -> bool`, implementation)),
  ];
}

function indexList(list: CelList, index: CelValue): CelValue | undefined {
  const text = keyText(index);
  if (text === undefined || !text.startsWith('n')) throw noSuchOverload();
  const at = Number(text.slice(1));
  return at < 0 || at >= list.size ? undefined : list.get(at);
}

const showKey = (key: CelValue): string => (typeof key === 'string' ? key : (keyText(key)?.slice(1) ?? ''));

function index(container: CelValue, key: CelValue): CelValue {
  const found = lookUp(container, key);
  if (found !== undefined) return found;
  throw new CelEvaluationError(
    container instanceof CelList ? `index out of bounds: ${showKey(key)}` : `no such key: ${showKey(key)}`,
  );
}

function lookUp(container: CelValue, key: CelValue): CelValue | undefined {
  if (container instanceof CelList) return indexList(container, key);
  if (container instanceof CelMap) return container.get(key);
  throw noSuchOverload();
}

/** An index into an optional container, or an optional index: empty where there is nothing. */
function optionalIndex(container: CelValue, key: CelValue): CelValue {
  const inner = container instanceof CelOptional ? container.value : container;
  const found = inner === undefined ? undefined : lookUp(inner, key);
  return found === undefined ? CelOptional.none : found instanceof CelOptional ? found : new CelOptional(found);
}

const plainIndex: Implementation = ([container, key]) => index(container as CelValue, key as CelValue);
const optionally: Implementation = ([container, key]) => optionalIndex(container as CelValue, key as CelValue);

const INDEX: readonly Overload[] = [
  global('_[_]', 'index_list', '(list(A), int) -> A', plainIndex),
  global('_[_]', 'index_map', '(map(A, B), A) -> B', plainIndex),
  global('_[_]', 'optional_list_index_int', '(optional(list(V)), int) -> optional(V)', optionally),
  global('_[_]', 'optional_map_index_value', '(optional(map(K, V)), K) -> optional(V)', optionally),
  global('_[?_]', 'list_optindex_optional_int', '(list(V), int) -> optional(V)', optionally),
  global('_[?_]', 'optional_list_optindex_optional_int', '(optional(list(V)), int) -> optional(V)', optionally),
  global('_[?_]', 'map_optindex_optional_value', '(map(K, V), K) -> optional(V)', optionally),
  global('_[?_]', 'optional_map_optindex_optional_value', '(optional(map(K, V)), K) -> optional(V)', optionally),
  global('@in', 'in_list', '(A, list(A)) -> bool', ([item, list], context) => {
    for (const element of list as CelList) if (isEqualIn(context, item, element)) return true;
    return false;
  }),
  global('@in', 'in_map', '(A, map(A, B)) -> bool', ([key, map]) => (map as CelMap).get(key as CelValue) !== undefined),
];

/** In place from the second entry on: a new map for each would cost the square. */
function insert(map: CelMap, key: CelValue, value: CelValue): CelMap {
  const text = keyText(key);
  if (text === undefined) throw new CelEvaluationError(`unsupported key type: ${typeNameOf(key)}`);
  if (map.get(key) !== undefined) throw new CelEvaluationError(`insert failed: key ${showKey(key)} already exists`);
  const result = map instanceof GrowingMap ? map : (map as EntryMap).growing();
  result.insert(key, text, value);
  return result;
}

/** What the two-variable macros that make maps are written with. */
const INSERT: readonly Overload[] = [
  global('cel.@mapInsert', 'cel_@mapInsert_map_key_value', '(map(K, V), K, V) -> map(K, V)', ([map, key, value]) =>
    insert(map as CelMap, key as CelValue, value as CelValue),
  ),
  global('cel.@mapInsert', 'cel_@mapInsert_map_map', '(map(K, V), map(K, V)) -> map(K, V)', ([map, more]) => {
    let result = map as CelMap;
    for (const [key, value] of (more as CelMap).entries()) result = insert(result, key, value);
    return result;
  }),
];

export const OPERATORS: readonly Overload[] = [
  ...LOGIC,
  ...ARITHMETIC,
  ...comparison('_<_', 'less', (order) => order < 0),
  ...comparison('_<=_', 'less_equals', (order) => order <= 0),
  ...comparison('_>_', 'greater', (order) => order > 0),
  ...comparison('_>=_', 'greater_equals', (order) => order >= 0),
  ...INDEX,
  ...INSERT,
];
