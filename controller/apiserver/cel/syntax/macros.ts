import { ACCUMULATOR, type Expression, SORT_BY_KEYS } from './expression.ts';
import type { NodeFactory } from './node-factory.ts';
import { SourceError } from './source-issue.ts';

export interface MacroCall {
  readonly offset: number;
  readonly target: Expression | undefined;
  readonly name: string;
  readonly args: readonly Expression[];
}

type Fold = {
  readonly init: Expression;
  readonly condition: Expression;
  readonly step: Expression;
  readonly result: Expression;
};

/** `element` is the value bound by the last iteration variable. */
type FoldMaker = (make: NodeFactory, offset: number, body: readonly Expression[], element: string) => Fold;

const accu = (make: NodeFactory, offset: number) => make.accumulator(offset);

const notStrictlyFalse = (make: NodeFactory, offset: number, value: Expression) =>
  make.call(offset, '@not_strictly_false', [value]);

const all: FoldMaker = (make, offset, [predicate]) => ({
  init: make.constant(offset, true),
  condition: notStrictlyFalse(make, offset, accu(make, offset)),
  step: make.call(offset, '_&&_', [accu(make, offset), predicate as Expression]),
  result: accu(make, offset),
});

const exists: FoldMaker = (make, offset, [predicate]) => ({
  init: make.constant(offset, false),
  condition: notStrictlyFalse(make, offset, make.call(offset, '!_', [accu(make, offset)])),
  step: make.call(offset, '_||_', [accu(make, offset), predicate as Expression]),
  result: accu(make, offset),
});

const existsOne: FoldMaker = (make, offset, [predicate]) => {
  const added = make.call(offset, '_+_', [accu(make, offset), make.constant(offset, 1n)]);
  return {
    init: make.constant(offset, 0n),
    condition: make.constant(offset, true),
    step: make.call(offset, '_?_:_', [predicate as Expression, added, accu(make, offset)]),
    result: make.call(offset, '_==_', [accu(make, offset), make.constant(offset, 1n)]),
  };
};

/** A fold whose accumulator grows by `add`, for elements that pass the filter when there is one. */
function growing(
  init: (make: NodeFactory, offset: number) => Expression,
  add: (make: NodeFactory, offset: number, transform: Expression) => Expression,
): FoldMaker {
  return (make, offset, body) => {
    const transform = body.at(-1) as Expression;
    const added = add(make, offset, transform);
    const step =
      body.length === 1 ? added : make.call(offset, '_?_:_', [body[0] as Expression, added, accu(make, offset)]);
    return {
      init: init(make, offset),
      condition: make.constant(offset, true),
      step,
      result: accu(make, offset),
    };
  };
}

const toList = growing(
  (make, offset) => make.list(offset, []),
  (make, offset, transform) => make.call(offset, '_+_', [accu(make, offset), make.list(offset, [transform])]),
);

const toMapEntry = growing(
  (make, offset) => make.map({ offset, entries: [] }),
  (make, offset, transform) => make.call(offset, 'cel.@mapInsert', [accu(make, offset), transform]),
);

const filter: FoldMaker = (make, offset, [predicate], element) =>
  toList(make, offset, [predicate as Expression, make.ident(offset, element)], element);

function nameOf(expression: Expression | undefined, message: string): string {
  if (expression?.kind === 'ident' && expression.name !== ACCUMULATOR) return expression.name;
  throw new SourceError(message, expression?.offset ?? 0);
}

function fold(make: NodeFactory, call: MacroCall, maker: FoldMaker, variables: 1 | 2): Expression {
  const names = call.args.slice(0, variables).map((arg) => nameOf(arg, 'argument must be a simple name'));
  if (variables === 2 && names[0] === names[1]) {
    throw new SourceError(`duplicate variable name: ${names[0]}`, call.args[1]?.offset ?? 0);
  }
  const body = call.args.slice(variables);
  const { init, condition, step, result } = maker(make, call.offset, body, names.at(-1) as string);
  return make.comprehension({
    offset: call.offset,
    range: call.target as Expression,
    iterVar: names[0] as string,
    iterVar2: names[1],
    accuVar: ACCUMULATOR,
    accuInit: init,
    loopCondition: condition,
    loopStep: step,
    result,
  });
}

/** The keyed form needs the name of the key: the value goes in under it. */
function transformMap(make: NodeFactory, call: MacroCall): Expression {
  const key = nameOf(call.args[0], 'argument must be a simple name');
  const keyed = growing(
    (factory, offset) => factory.map({ offset, entries: [] }),
    (factory, offset, transform) =>
      factory.call(offset, 'cel.@mapInsert', [accu(factory, offset), factory.ident(offset, key), transform]),
  );
  return fold(make, call, keyed, 2);
}

function has(make: NodeFactory, { offset, args }: MacroCall): Expression {
  const [argument] = args;
  if (argument?.kind !== 'select') throw new SourceError('invalid argument to has() macro', argument?.offset ?? offset);
  return make.select({ offset, operand: argument.operand, field: argument.field, testOnly: true });
}

/** A fold over nothing: only its accumulator, which is bound to `value`, and its result count. */
function binding(
  make: NodeFactory,
  offset: number,
  [name, value, result]: [string, Expression, Expression],
): Expression {
  return make.comprehension({
    offset,
    range: make.list(offset, []),
    iterVar: '#unused',
    iterVar2: undefined,
    accuVar: name,
    accuInit: value,
    loopCondition: make.constant(offset, false),
    loopStep: make.ident(offset, name),
    result,
  });
}

/** The receiver of an optMap; no source can spell it. */
const RECEIVER = '#receiver';

/**
 * `x.optMap(v, e)`: empty stays empty, otherwise `e` with `v` bound to the value; flat when `e` is optional itself. The receiver is bound
 * as well: it is needed twice, and chains of these macros would otherwise double with every link.
 */
function optionalMap(make: NodeFactory, { offset, target, args }: MacroCall, isFlat: boolean): Expression {
  const name = nameOf(args[0], `${isFlat ? 'optFlatMap' : 'optMap'}() variable name must be a simple identifier`);
  const ask = (question: string) =>
    make.memberCall({ offset, target: make.ident(offset, RECEIVER), name: question, args: [] });
  const bound = binding(make, offset, [name, ask('value'), args[1] as Expression]);
  const mapped = make.call(offset, '_?_:_', [
    ask('hasValue'),
    isFlat ? bound : make.call(offset, 'optional.of', [bound]),
    make.call(offset, 'optional.none', []),
  ]);
  return binding(make, offset, [RECEIVER, target as Expression, mapped]);
}

/** The list of a sortBy; no source can spell it. */
const SORTED = '#sorted';
const SORTABLE_KINDS: ReadonlySet<Expression['kind']> = new Set(['list', 'select', 'ident', 'comprehension', 'call']);

/** `l.sortBy(x, key)`: the keys are computed once for each element, by a fold of their own. */
function sortBy(make: NodeFactory, { offset, target, args }: MacroCall): Expression {
  const list = target as Expression;
  if (!SORTABLE_KINDS.has(list.kind)) {
    const allowed = 'a list, identifier, comprehension, call or select expression';
    throw new SourceError(`sortBy can only be applied to ${allowed}`, list.offset);
  }
  const sorted = () => make.ident(offset, SORTED);
  const keys = fold(make, { offset, target: sorted(), name: 'map', args }, toList, 1);
  const call = make.memberCall({ offset, target: sorted(), name: SORT_BY_KEYS, args: [keys] });
  return binding(make, offset, [SORTED, list, call]);
}

type Macro = (make: NodeFactory, call: MacroCall) => Expression;

const one =
  (maker: FoldMaker): Macro =>
  (make, call) =>
    fold(make, call, maker, 1);
const two =
  (maker: FoldMaker): Macro =>
  (make, call) =>
    fold(make, call, maker, 2);

/** By name and number of arguments. */
const MEMBER_MACROS: ReadonlyMap<string, Macro> = new Map<string, Macro>([
  ['all/2', one(all)],
  ['exists/2', one(exists)],
  ['exists_one/2', one(existsOne)],
  ['existsOne/2', one(existsOne)],
  ['map/2', one(toList)],
  ['map/3', one(toList)],
  ['filter/2', one(filter)],
  ['all/3', two(all)],
  ['exists/3', two(exists)],
  ['exists_one/3', two(existsOne)],
  ['existsOne/3', two(existsOne)],
  ['transformList/3', two(toList)],
  ['transformList/4', two(toList)],
  ['transformMap/3', transformMap],
  ['transformMap/4', transformMap],
  ['transformMapEntry/3', two(toMapEntry)],
  ['transformMapEntry/4', two(toMapEntry)],
  ['sortBy/2', sortBy],
  ['optMap/2', (make, call) => optionalMap(make, call, false)],
  ['optFlatMap/2', (make, call) => optionalMap(make, call, true)],
]);

/** What the call stands for when it is a macro, undefined when it is a function. Throws SourceError. */
export function expandMacro(make: NodeFactory, call: MacroCall): Expression | undefined {
  if (call.target === undefined) {
    return call.name === 'has' && call.args.length === 1 ? has(make, call) : undefined;
  }
  return MEMBER_MACROS.get(`${call.name}/${call.args.length}`)?.(make, call);
}
