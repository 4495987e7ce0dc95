import { compareValues, isEqualMetered } from '../values/compare.ts';
import { CelEvaluationError, noSuchOverload } from '../values/evaluation-error.ts';
import { CelDuration, CelUint, MAX_INT, MAX_UINT, MIN_INT } from '../values/scalars.ts';
import type { CelList, CelValue } from '../values/value.ts';
import { type EvaluationContext, global, type Implementation, member, type Overload } from './function-table.ts';

const SORTABLE = ['int', 'uint', 'double', 'bool', 'duration', 'timestamp', 'string', 'bytes'];

function order(a: CelValue, b: CelValue): number {
  const result = compareValues(a, b);
  if (result === undefined) throw noSuchOverload();
  return result;
}

const isSorted: Implementation = ([list]) => {
  let previous: CelValue | undefined;
  for (const item of list as CelList) {
    if (previous !== undefined && order(previous, item) > 0) return false;
    previous = item;
  }
  return true;
};

function extreme(name: string, sign: 1 | -1): Implementation {
  return ([list]) => {
    let best: CelValue | undefined;
    for (const item of list as CelList) {
      if (best === undefined || order(item, best) * sign > 0) best = item;
    }
    if (best === undefined) throw new CelEvaluationError(`${name} called on empty list`);
    return best;
  };
}

function within(value: bigint, min: bigint, max: bigint): bigint {
  if (value < min || value > max) throw new CelEvaluationError('integer overflow');
  return value;
}

/** The type of an empty list's sum is known before it runs; that is why there is an implementation per type. */
const sums: Readonly<Record<string, Implementation>> = {
  int: ([list]) =>
    within(
      [...(list as CelList)].reduce<bigint>((sum, item) => sum + (item as bigint), 0n),
      MIN_INT,
      MAX_INT,
    ),
  uint: ([list]) =>
    new CelUint(
      within(
        [...(list as CelList)].reduce<bigint>((sum, item) => sum + (item as CelUint).value, 0n),
        0n,
        MAX_UINT,
      ),
    ),
  double: ([list]) => [...(list as CelList)].reduce<number>((sum, item) => sum + (item as number), 0),
  duration: ([list]) =>
    new CelDuration(
      within(
        [...(list as CelList)].reduce<bigint>((sum, item) => sum + (item as CelDuration).nanos, 0n),
        MIN_INT,
        MAX_INT,
      ),
    ),
};

/** A list whose elements' type is not known statically is summed by what it holds. */
const sum: Implementation = (args, context) => {
  const [first] = args[0] as CelList;
  const type =
    first instanceof CelUint
      ? 'uint'
      : first instanceof CelDuration
        ? 'duration'
        : typeof first === 'number'
          ? 'double'
          : 'int';
  if (type === 'int' && first !== undefined && typeof first !== 'bigint') throw noSuchOverload();
  for (const item of args[0] as CelList) if (typeof item !== typeof first) throw noSuchOverload();
  return (sums[type] as Implementation)(args, context);
};

/** With elements the sum is theirs; an empty list has the zero of its static type. */
const sumOf =
  (type: string): Implementation =>
  (args, context) =>
    ((args[0] as CelList).size === 0 ? (sums[type] as Implementation) : sum)(args, context);

type IsSame = (a: CelValue, b: CelValue) => boolean;

const sameIn =
  (context: EvaluationContext): IsSame =>
  (a, b) =>
    isEqualMetered(a, b, (cost) => context.charge(cost));

const indexOf: Implementation = ([list, wanted], context) => {
  const isSame = sameIn(context);
  let index = 0n;
  for (const item of list as CelList) {
    if (isSame(item, wanted as CelValue)) return index;
    index++;
  }
  return -1n;
};

const lastIndexOf: Implementation = ([list, wanted], context) => {
  const isSame = sameIn(context);
  for (let index = (list as CelList).size - 1; index >= 0; index--) {
    if (isSame((list as CelList).get(index) as CelValue, wanted as CelValue)) return BigInt(index);
  }
  return -1n;
};

type Has = (item: CelValue) => boolean;

/** Elements that are no plain values: Kubernetes' price may be nothing for as many comparisons as there are pairs of them. */
const PER_COMPARISON = 0.25;

/** Texts are looked up, whatever else there is is compared one by one. */
function membersOf(list: readonly CelValue[], context: EvaluationContext): Has {
  const isSame = sameIn(context);
  const texts = new Set(list.filter((item) => typeof item === 'string'));
  const others = list.filter((item) => typeof item !== 'string');
  const scan: Has = (item) =>
    others.some((mine) => {
      if (typeof mine === 'object') context.charge(PER_COMPARISON);
      return isSame(mine, item);
    });
  return (item) => (typeof item === 'string' ? texts.has(item) : scan(item));
}

interface Operand {
  readonly items: readonly CelValue[];
  readonly has: Has;
}
type TestLists = (a: Operand, b: Operand) => boolean;

const contains: TestLists = (a, b) => b.items.every(a.has);
const equivalent: TestLists = (a, b) => contains(a, b) && contains(b, a);
const intersects: TestLists = (a, b) => b.items.some(a.has);

const onLists =
  (test: TestLists): Implementation =>
  (lists, context) => {
    const [a, b] = lists.map((list): Operand => {
      const items = [...(list as CelList)];
      let members: Has | undefined;
      return {
        items,
        has: (item) => {
          members ??= membersOf(items, context);
          return members(item);
        },
      };
    });
    return test(a as Operand, b as Operand);
  };

const SETS: readonly Overload[] = [
  global('sets.contains', 'list_sets_contains_list', '(list(T), list(T)) -> bool', onLists(contains)),
  global('sets.equivalent', 'list_sets_equivalent_list', '(list(T), list(T)) -> bool', onLists(equivalent)),
  global('sets.intersects', 'list_sets_intersects_list', '(list(T), list(T)) -> bool', onLists(intersects)),
];

export const LISTS: readonly Overload[] = [
  ...SORTABLE.flatMap((type) => [
    member('isSorted', `list_${type}_is_sorted_bool`, `(list(${type})) -> bool`, isSorted),
    member('max', `list_${type}_max_${type}`, `(list(${type})) -> ${type}`, extreme('max', 1)),
    member('min', `list_${type}_min_${type}`, `(list(${type})) -> ${type}`, extreme('min', -1)),
  ]),
  ...Object.keys(sums).map((type) =>
    member('sum', `list_${type}_sum_${type}`, `(list(${type})) -> ${type}`, sumOf(type)),
  ),
  member('indexOf', 'list_a_index_of_int', '(list(A), A) -> int', indexOf),
  member('lastIndexOf', 'list_a_last_index_of_int', '(list(A), A) -> int', lastIndexOf),
  ...SETS,
];
