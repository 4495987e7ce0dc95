import type { Overload } from '../library/function-table.ts';
import { PER_CALL_LIMIT } from '../limits.ts';
import { SORT_BY_KEYS } from '../syntax/expression.ts';
import { sizeOf } from '../values/compare.ts';
import { CelList, CelMap, type CelValue } from '../values/value.ts';

/** Characters are cheap: ten of them cost what one comparison does. */
const PER_CHARACTER = 0.1;
/** A pattern's character; patterns are assumed to be four characters per element. */
const PER_PATTERN_CHARACTER = 0.25;

/**
 * How calls of this function are priced at run time, undefined for those that cost 1: the numbers of Kubernetes and cel-go, since
 * users' rules are written against them.
 */
export function costRuleOf({ name, id }: Overload): CostRule | undefined {
  return BY_NAME.get(name) ?? BY_OVERLOAD.get(id);
}

export interface CallFacts {
  readonly id: string;
  readonly args: readonly CelValue[];
}

export type CostRule = (call: CallFacts) => number;

const sizeAt = ({ args }: CallFacts, index: number): number => {
  const value = args[index];
  return value === undefined ? 0 : sizeOf(value);
};

const traversal =
  (index: number, times = 1): CostRule =>
  (call) =>
    Math.ceil(sizeAt(call, index) * times * PER_CHARACTER);

const fixed =
  (cost: number): CostRule =>
  () =>
    cost;

/** Of a pattern (argument 1) against a text (argument 0); one more character, so that an empty text is not free. */
export function patternCost(textSize: number, patternSize: number): number {
  return Math.ceil((1 + textSize) * PER_CHARACTER) * Math.ceil(patternSize * PER_PATTERN_CHARACTER);
}

const pattern: CostRule = (call) => patternCost(sizeAt(call, 0), sizeAt(call, 1));

/** Both operands are compared to the end of the shorter one. */
const shorter: CostRule = (call) => Math.ceil(Math.min(sizeAt(call, 0), sizeAt(call, 1)) * PER_CHARACTER);

/** Of the text that comes out. */
const joined: CostRule = ({ args: [list, separator] }) => {
  if (!(list instanceof CelList)) return 1;
  let size = separator === undefined ? 0 : sizeOf(separator) * Math.max(0, list.size - 1);
  for (const item of list) size += sizeOf(item);
  return Math.ceil(size * 2 * PER_CHARACTER);
};

/** Whatever costs more is too dear in any case; values that share their parts can be far larger than what they are made of. */
const ENOUGH = 2 * PER_CALL_LIMIT;

/** All of a value, with what is inside of it. */
function traversalCost(value: CelValue, soFar = 0): number {
  if (soFar > ENOUGH) return 0;
  if (typeof value === 'string') return Math.trunc(Buffer.byteLength(value) * PER_CHARACTER);
  if (value instanceof Uint8Array) return Math.trunc(value.length * PER_CHARACTER);
  let cost = 0;
  if (value instanceof CelList) {
    for (const item of value) cost += traversalCost(item, soFar + cost);
    return cost;
  }
  if (!(value instanceof CelMap)) return 1;
  for (const [key, entry] of value.entries()) cost += traversalCost(key) + traversalCost(entry, soFar + cost);
  return cost;
}

/**
 * What Kubernetes does not count: a text of less than ten characters is free there, so whole lists of them would be read for nothing. There
 * it happens beside other requests, here before them. Too little to be seen on lists of usual size.
 */
const PER_ELEMENT = 0.25;
const elementsCost = (...lists: readonly CelValue[]): number =>
  Math.trunc(lists.reduce<number>((sum, list) => sum + (list instanceof CelList ? list.size : 0), 0) * PER_ELEMENT);

const wholeTraversal: CostRule = ({ args: [list] }) =>
  list === undefined ? 0 : Math.max(traversalCost(list), elementsCost(list));

const containsAddress: CostRule = (call) => {
  const compared = Math.ceil(2 * sizeAt(call, 0) * PER_CHARACTER);
  return compared + (call.id.endsWith('_string') ? Math.ceil(sizeAt(call, 1) * PER_CHARACTER) : 0);
};

const containsCidr: CostRule = (call) => containsAddress(call) + Math.ceil(sizeAt(call, 0) * PER_CHARACTER) + 1;

const everyPair: CostRule = ({ args: [a, b] }) =>
  a === undefined || b === undefined ? 1 : 1 + Math.max(traversalCost(a) * traversalCost(b), elementsCost(a, b));

const table = (rules: readonly (readonly [names: string, rule: CostRule])[]): ReadonlyMap<string, CostRule> =>
  new Map(rules.flatMap(([names, rule]) => names.split(' ').map((name): [string, CostRule] => [name, rule])));

/** Calling, and making the list that comes out. */
const NEW_LIST = 1 + 10;
const newList = (size: number, perElement = 1): number => Math.trunc(size * perElement) + NEW_LIST;

const intAt = ({ args }: CallFacts, index: number, otherwise: number): number => {
  const value = args[index];
  return typeof value === 'bigint' ? Number(value) : otherwise;
};

/** Every element with every other one, at worst; of texts there is a little more to compare. */
const selfComparison =
  (index: number): CostRule =>
  ({ args }) => {
    const list = args[index];
    if (!(list instanceof CelList)) return NEW_LIST;
    const first = list.get(0);
    const isText = typeof first === 'string' || first instanceof Uint8Array;
    return newList(list.size ** 2, 2 + (isText ? PER_CHARACTER : 0));
  };

/** One authorization check: two of them fit into one expression's budget of a webhook. */
const AUTHORIZATION_CHECK = 350_000;

const BY_NAME = table([
  ['check', fixed(AUTHORIZATION_CHECK)],
  ['serviceAccount path group resource subresource namespace name allowed reason error errored', fixed(1)],
  ['fieldSelector labelSelector', traversal(1)],
  ['isSorted sum max min indexOf lastIndexOf', wholeTraversal],
  [
    'url lowerAscii upperAscii substring trim strings.quote cidr isIP isCIDR quantity isQuantity semver isSemver',
    traversal(0),
  ],
  ['replace split ip.isCanonical', traversal(0, 2)],
  ['join', joined],
  ['find findAll', pattern],
  ['ip', (call) => (call.id === 'cidr_ip' ? 1 : traversal(0)(call))],
  ['containsIP', containsAddress],
  ['containsCIDR', containsCidr],
  ['sets.contains sets.intersects sets.equivalent', everyPair],
  ['slice', (call) => newList(Math.max(0, Math.min(intAt(call, 2, 0), sizeAt(call, 0)) - intAt(call, 1, 0)))],
  ['flatten', (call) => newList(sizeAt(call, 0), Math.max(0, intAt(call, 1, 1)))],
  ['reverse', (call) => newList(sizeAt(call, 0))],
  ['lists.range', (call) => newList(Math.max(0, intAt(call, 0, 0)))],
  ['distinct sort', selfComparison(0)],
  [SORT_BY_KEYS, selfComparison(1)],
  [
    'validate',
    ({ args }) => patternCost(args[1] === undefined ? 0 : sizeOf(args[1]), args[0] === undefined ? 0 : sizeOf(args[0])),
  ],
]);

const ORDERED_TEXT = ['less', 'less_equals', 'greater', 'greater_equals']
  .flatMap((verb) => [`${verb}_string`, `${verb}_bytes`])
  .join(' ');

const BY_OVERLOAD = table([
  ['starts_with_string ends_with_string string_to_bytes bytes_to_string', traversal(0)],
  ['in_list', (call) => sizeAt(call, 1)],
  [`equals not_equals ${ORDERED_TEXT}`, shorter],
  ['add_string add_bytes', (call) => Math.ceil((sizeAt(call, 0) + sizeAt(call, 1)) * PER_CHARACTER)],
  ['matches matches_string', pattern],
  ['contains_string', (call) => traversal(0)(call) * traversal(1)(call)],
]);
