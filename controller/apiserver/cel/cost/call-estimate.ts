import type { Overload } from '../library/function-table.ts';
import { SORT_BY_KEYS } from '../syntax/expression.ts';
import type { CelType } from '../types/cel-type.ts';
import { add, type CostRange, exactly, multiply, priced, UNBOUNDED, UNKNOWN_SIZE } from './cost-range.ts';

/** An argument as far as it is known without an object. Receivers are the first argument. */
export interface SizedNode {
  readonly size: CostRange;
  readonly type: CelType | undefined;
  readonly literal: unknown;
  /** Of a list's elements. */
  readonly elementSize: CostRange | undefined;
}

export interface CallEstimate {
  /** Without the arguments' own costs. */
  readonly cost: CostRange;
  /** Of the result, where that is a text or a container. */
  readonly size?: CostRange;
}

const PER_CHARACTER = 0.1;
const PER_PATTERN_CHARACTER = 0.25;
const ONE: CallEstimate = { cost: exactly(1) };
/** Bytes of an IPv4 and of an IPv6 address. */
const ADDRESS: CostRange = { min: 4, max: 16 };
/** Longest pattern of the named formats, as Kubernetes assumes it. */
const FORMAT_PATTERN = exactly(300);

type EstimateRule = (args: readonly SizedNode[], id: string) => CallEstimate;

/** The same table of prices as at run time (`runtime-cost.ts`), on sizes that are only bounded. */
export function estimateCall({ name, id }: Overload, args: readonly SizedNode[]): CallEstimate {
  return (BY_NAME.get(name) ?? BY_OVERLOAD.get(id))?.(args, id) ?? ONE;
}

const sizeAt = (args: readonly SizedNode[], index: number): CostRange => args[index]?.size ?? UNKNOWN_SIZE;

const traversal =
  (index: number): EstimateRule =>
  (args) => ({ cost: priced(sizeAt(args, index), PER_CHARACTER) });

/** Functions whose result is as long as their receiver. */
const sameSize: EstimateRule = (args) => ({ cost: priced(sizeAt(args, 0), PER_CHARACTER), size: sizeAt(args, 0) });

const patternCost = (text: CostRange, pattern: CostRange): CostRange =>
  multiply(priced(add(text, exactly(1)), PER_CHARACTER), priced(pattern, PER_PATTERN_CHARACTER));

const matches: EstimateRule = (args) => ({ cost: patternCost(sizeAt(args, 0), sizeAt(args, 1)) });

const find: EstimateRule = (args) => ({
  cost: patternCost(sizeAt(args, 0), sizeAt(args, 1)),
  size: { min: 0, max: sizeAt(args, 0).max },
});

const isText = (type: CelType | undefined): boolean =>
  type?.kind === 'simple' && (type.name === 'string' || type.name === 'bytes');

/** Every element once, and every character of elements that are texts; a text's own indexOf reads it once. */
const overElements: EstimateRule = ([list]) => {
  if (list?.type?.kind !== 'list') return { cost: priced(list?.size ?? UNKNOWN_SIZE, PER_CHARACTER) };
  const perElement = isText(list.type.element)
    ? add(exactly(1), priced(list.elementSize ?? UNKNOWN_SIZE, PER_CHARACTER))
    : exactly(1);
  return { cost: multiply(list.size, perElement) };
};

const replace: EstimateRule = (args) => {
  const [text, from, to] = [sizeAt(args, 0), sizeAt(args, 1), sizeAt(args, 2)];
  let [countMax, keptMax, countMin, keptMin] = [0, 0, 0, 0];
  if (from.min === 0) [countMax, keptMax] = [Math.min(text.max + 1, UNBOUNDED), text.max];
  else if (to.max <= from.min) keptMax = text.max;
  else countMax = Math.ceil(text.max / from.min);
  if (from.max === 0) [countMin, keptMin] = [text.min + 1, text.min];
  else if (from.max <= to.min) keptMin = text.min;
  else countMin = Math.ceil(text.min / from.max);
  const size = add(multiply({ min: countMin, max: countMax }, to), { min: keptMin, max: keptMax });
  return { cost: priced(text, 2 * PER_CHARACTER), size };
};

const split: EstimateRule = (args) => {
  const limit = args[2]?.literal;
  const max = typeof limit === 'bigint' && limit >= 0n ? Number(limit) : sizeAt(args, 0).max;
  return { cost: priced(sizeAt(args, 0), 2 * PER_CHARACTER), size: { min: 0, max } };
};

const join: EstimateRule = ([list, separator]) => {
  const count = list?.size ?? UNKNOWN_SIZE;
  const separators = { min: Math.max(0, count.min - 1), max: Math.max(0, count.max - 1) };
  const elements = multiply(count, list?.elementSize ?? UNKNOWN_SIZE);
  const size = separator === undefined ? elements : add(elements, multiply(separator.size, separators));
  return { cost: priced(size, PER_CHARACTER), size };
};

const containsAddress: EstimateRule = (args, id) => {
  const compared = priced(add(ADDRESS, ADDRESS), PER_CHARACTER);
  return { cost: id.endsWith('_string') ? add(compared, priced(sizeAt(args, 1), PER_CHARACTER)) : compared };
};

const containsCidr: EstimateRule = (args, id) => ({
  cost: add(containsAddress(args, id).cost, priced(ADDRESS, PER_CHARACTER), exactly(1)),
});

const equality: EstimateRule = (args) => {
  const max = Math.min(sizeAt(args, 0).max, sizeAt(args, 1).max);
  return { cost: priced({ min: max > 0 ? 1 : 0, max }, PER_CHARACTER) };
};

const concatenation: EstimateRule = (args, id) => {
  const size = add(sizeAt(args, 0), sizeAt(args, 1));
  return { cost: id === 'add_list' ? exactly(1) : priced(size, PER_CHARACTER), size };
};

const quote: EstimateRule = (args) => {
  const text = sizeAt(args, 0);
  const size = { min: text.min + 2, max: Math.min(text.max * 2 + 2, UNBOUNDED) };
  return { cost: priced(text, PER_CHARACTER), size };
};

const everyPair: EstimateRule = (args) => ({ cost: add(exactly(1), multiply(sizeAt(args, 0), sizeAt(args, 1))) });

/** A call that makes a list of so many elements, each at this price. */
const newList = (size: CostRange, perElement = 1): CallEstimate => ({
  cost: add(priced(size, perElement), exactly(1), exactly(10)),
  size,
});

/** What an argument says when it is written out, and what is assumed otherwise. */
const intAt = (args: readonly SizedNode[], index: number, otherwise: number): number => {
  const literal = args[index]?.literal;
  return typeof literal === 'bigint' ? Math.max(0, Number(literal)) : otherwise;
};

const slice: EstimateRule = (args) => {
  const count = intAt(args, 2, sizeAt(args, 0).max) - intAt(args, 1, 0);
  // Bounds the wrong way round are counted in 64 bits without a sign, and come out as no bound at all.
  return newList(exactly(count < 0 ? UNBOUNDED : count));
};

const flatten: EstimateRule = (args) => newList(sizeAt(args, 0), args.length === 1 ? 1 : intAt(args, 1, UNBOUNDED));

/** Every element with every other one; cel-go takes the product for the size of the result as well. */
const selfComparison =
  (index: number): EstimateRule =>
  (args, id) =>
    newList(
      multiply(sizeAt(args, index), sizeAt(args, index)),
      /^list_(string|bytes)_/.test(id) ? 2 + PER_CHARACTER : 2,
    );

const fixed =
  (cost: number): EstimateRule =>
  () => ({ cost: exactly(cost) });

const table = (rules: readonly (readonly [names: string, rule: EstimateRule])[]): ReadonlyMap<string, EstimateRule> =>
  new Map(rules.flatMap(([names, rule]) => names.split(' ').map((name): [string, EstimateRule] => [name, rule])));

const BY_NAME = table([
  ['check', fixed(350_000)],
  ['fieldSelector labelSelector', traversal(1)],
  ['isSorted sum max min indexOf lastIndexOf', overElements],
  ['url cidr isIP isCIDR quantity isQuantity semver isSemver', traversal(0)],
  ['lowerAscii upperAscii substring trim', sameSize],
  ['replace', replace],
  ['split', split],
  ['join', join],
  ['find findAll', find],
  ['ip', (args, id) => (id === 'cidr_ip' ? ONE : traversal(0)(args, id))],
  ['ip.isCanonical', (args) => ({ cost: priced(sizeAt(args, 0), 2 * PER_CHARACTER) })],
  ['containsIP', containsAddress],
  ['containsCIDR', containsCidr],
  ['sets.contains sets.intersects sets.equivalent', everyPair],
  ['slice', slice],
  ['flatten', flatten],
  ['reverse', (args) => newList(sizeAt(args, 0))],
  ['lists.range', (args) => newList(exactly(intAt(args, 0, UNBOUNDED)))],
  ['distinct sort', selfComparison(0)],
  [SORT_BY_KEYS, selfComparison(1)],
  ['validate', (args) => ({ cost: patternCost(sizeAt(args, 1), FORMAT_PATTERN) })],
  ['strings.quote', quote],
]);

const ORDERED_TEXT = ['less', 'less_equals', 'greater', 'greater_equals']
  .flatMap((verb) => [`${verb}_string`, `${verb}_bytes`])
  .join(' ');

const BY_OVERLOAD = table([
  ['starts_with_string ends_with_string', traversal(1)],
  [
    'string_to_bytes',
    (args) => {
      const { min, max } = sizeAt(args, 0);
      return { cost: priced({ min, max }, PER_CHARACTER), size: { min, max: Math.min(max * 4, UNBOUNDED) } };
    },
  ],
  [
    'bytes_to_string',
    (args) => {
      const { min, max } = sizeAt(args, 0);
      return { cost: priced({ min, max }, PER_CHARACTER), size: { min: Math.floor(min / 4), max } };
    },
  ],
  ['string_format', (args) => ({ cost: priced(sizeAt(args, 0), PER_CHARACTER) })],
  ['in_list', (args) => ({ cost: sizeAt(args, 1) })],
  ['matches matches_string', matches],
  [
    'contains_string',
    (args) => ({ cost: multiply(priced(sizeAt(args, 0), PER_CHARACTER), priced(sizeAt(args, 1), PER_CHARACTER)) }),
  ],
  ['add_string add_bytes add_list', concatenation],
  [`equals not_equals ${ORDERED_TEXT}`, equality],
  ['not_strictly_false', fixed(1)],
]);
