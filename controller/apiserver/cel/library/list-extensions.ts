import { SORT_BY_KEYS } from '../syntax/expression.ts';
import { compareValues, isEqualMetered } from '../values/compare.ts';
import { CelEvaluationError } from '../values/evaluation-error.ts';
import {
  ArrayList,
  CelList,
  CelOptional,
  type CelValue,
  RangeList,
  requireListSize,
  typeNameOf,
} from '../values/value.ts';
import { type EvaluationContext, global, type Implementation, member, type Overload } from './function-table.ts';

/** What can be sorted; the type's name is part of the overload. */
const COMPARABLE = ['int', 'uint', 'double', 'bool', 'duration', 'timestamp', 'string', 'bytes'];

const slice: Implementation = ([value, from, to]) => {
  const list = value as CelList;
  const [start, end] = [from as bigint, to as bigint];
  const call = `cannot slice(${start}, ${end})`;
  if (start < 0n || end < 0n) throw new CelEvaluationError(`${call}, negative indexes not supported`);
  if (start > end) throw new CelEvaluationError(`${call}, start index must be less than or equal to end index`);
  if (BigInt(list.size) < end) throw new CelEvaluationError(`${call}, list is length ${list.size}`);
  const items: CelValue[] = [];
  for (let index = Number(start); index < Number(end); index++) items.push(list.get(index) as CelValue);
  return new ArrayList(items);
};

/** Kubernetes' price knows the outer list only; what the lists inside have beyond this is charged, an element 1. */
const FREE_ELEMENTS = 10_000;

function flattenInto(items: CelValue[], list: CelList, depth: bigint, context: EvaluationContext): void {
  for (const item of list) {
    if (item instanceof CelList && depth > 0n) flattenInto(items, item, depth - 1n, context);
    else {
      items.push(item);
      if (items.length > FREE_ELEMENTS) context.charge(1);
      requireListSize(items.length);
    }
  }
}

const flatten: Implementation = ([list, levels], context) => {
  const depth = (levels as bigint | undefined) ?? 1n;
  if (depth < 0n) throw new CelEvaluationError('level must be non-negative');
  const items: CelValue[] = [];
  flattenInto(items, list as CelList, depth, context);
  return new ArrayList(items);
};

const distinct: Implementation = ([list], context) => {
  const kept: CelValue[] = [];
  const charge = (cost: number) => context.charge(cost);
  for (const item of list as CelList) {
    if (!kept.some((other) => isEqualMetered(item, other, charge))) kept.push(item);
  }
  return new ArrayList(kept);
};

const reverse: Implementation = ([list]) => new ArrayList([...(list as CelList)].reverse());

function requireComparable(keys: readonly CelValue[]): void {
  const [first] = keys;
  if (first === undefined) return;
  if (compareValues(first, first) === undefined) throw new CelEvaluationError('list elements must be comparable');
  const type = typeNameOf(first);
  if (keys.some((key) => typeNameOf(key) !== type)) {
    throw new CelEvaluationError('list elements must have the same type');
  }
}

/** Elements of the first list in the order of the keys in the second one; equal keys keep their order. */
const sortByKeys: Implementation = ([values, keyList]) => {
  const items = [...(values as CelList)];
  const keys = [...(keyList as CelList)];
  requireComparable(keys);
  const order = items.map((_, index) => index);
  order.sort((a, b) => compareValues(keys[a] as CelValue, keys[b] as CelValue) || a - b);
  return new ArrayList(order.map((index) => items[index] as CelValue));
};

const sort: Implementation = ([list], context) => sortByKeys([list as CelValue, list as CelValue], context);

const range: Implementation = ([count]) => new RangeList(Number(count as bigint));

const elementAt =
  (place: (list: CelList) => number): Implementation =>
  ([value]) => {
    const list = value as CelList;
    return list.size === 0 ? CelOptional.none : new CelOptional(list.get(place(list)));
  };

const unwrap: Implementation = ([list]) => {
  const present: CelValue[] = [];
  for (const item of list as CelList) {
    if (!(item instanceof CelOptional))
      throw new CelEvaluationError(`value of type ${typeNameOf(item)} is not optional`);
    if (item.value !== undefined) present.push(item.value);
  }
  return new ArrayList(present);
};

/** cel-go's lists extension in version 3, and what its optional types in version 2 do with lists. */
export const LIST_EXTENSIONS: readonly Overload[] = [
  member('slice', 'list_slice', '(list(T), int, int) -> list(T)', slice),
  member('flatten', 'list_flatten', '(list(list(T))) -> list(T)', flatten),
  member('flatten', 'list_flatten_int', '(list(dyn), int) -> list(dyn)', flatten),
  member('distinct', 'list_distinct', '(list(T)) -> list(T)', distinct),
  member('reverse', 'list_reverse', '(list(T)) -> list(T)', reverse),
  global('lists.range', 'lists_range', '(int) -> list(int)', range),
  ...COMPARABLE.flatMap((type) => [
    member('sort', `list_${type}_sort`, `(list(${type})) -> list(${type})`, sort),
    member(SORT_BY_KEYS, `list_${type}_sortByAssociatedKeys`, `(list(T), list(${type})) -> list(T)`, sortByKeys),
  ]),
  member(
    'first',
    'list_first',
    '(list(V)) -> optional(V)',
    elementAt(() => 0),
  ),
  member(
    'last',
    'list_last',
    '(list(V)) -> optional(V)',
    elementAt(({ size }) => size - 1),
  ),
  global('optional.unwrap', 'optional_unwrap', '(list(optional(V))) -> list(V)', unwrap),
  member('unwrapOpt', 'optional_unwrapOpt', '(list(optional(V))) -> list(V)', unwrap),
];
