import type { CheckedTypes } from './check.ts';
import { callCost } from './cost/runtime-cost.ts';
import type { EvaluationContext, Overload } from './library/function-table.ts';
import type {
  Call,
  Comprehension,
  Expression,
  ListLiteral,
  MapLiteral,
  Select,
  StructLiteral,
} from './syntax/expression.ts';
import { type CelType, isDyn, runtimeTypeName } from './types/cel-type.ts';
import { CelEvaluationError, noSuchKey, noSuchOverload } from './values/evaluation-error.ts';
import { CelTypeValue } from './values/scalars.ts';
import {
  ArrayList,
  CelList,
  CelMap,
  CelOpaque,
  CelOptional,
  CelStruct,
  type CelValue,
  EntryMap,
  GrowingList,
  keyText,
  typeNameOf,
} from './values/value.ts';

/** One evaluation: its variables and what it cost so far. */
export interface Frame extends EvaluationContext {
  /** Undefined for a variable that was not given. */
  variable(name: string): CelValue | undefined;
  /** Runs `body` with local variables on top. */
  readonly locals: Map<string, CelValue>;
}

export type Step = (frame: Frame) => CelValue;

const COST = { name: 1, select: 1, list: 10, map: 30, struct: 40 } as const;

/** Turns a checked tree into closures: the tree is walked once, not once per object. */
export function planExpression(expression: Expression, checked: CheckedTypes): Step {
  return new Planner(checked).plan(expression);
}

class Planner {
  readonly #checked: CheckedTypes;

  constructor(checked: CheckedTypes) {
    this.#checked = checked;
  }

  plan(node: Expression): Step {
    switch (node.kind) {
      case 'const': {
        const { value } = node;
        return () => value;
      }
      case 'ident':
        return this.#planReference(node.id);
      case 'select':
        return this.#checked.references.has(node.id) ? this.#planReference(node.id) : this.#planSelect(node);
      case 'call':
        return this.#planCall(node);
      case 'list':
        return this.#planList(node);
      case 'map':
        return this.#planMap(node);
      case 'struct':
        return this.#planStruct(node);
      case 'comprehension':
        return this.#planComprehension(node);
    }
  }

  #typeOf(node: Expression): CelType {
    return this.#checked.types.get(node.id) as CelType;
  }

  #planReference(id: number): Step {
    const reference = this.#checked.references.get(id);
    if (reference?.kind === 'type') {
      const value = new CelTypeValue(runtimeTypeName(reference.type));
      return () => value;
    }
    const name = reference?.name ?? '';
    return (frame) => {
      frame.charge(COST.name);
      const value = frame.locals.get(name) ?? frame.variable(name);
      if (value === undefined) throw new CelEvaluationError(`no such attribute(s): ${name}`);
      return value;
    };
  }

  #planSelect({ operand, field, testOnly }: Select): Step {
    const base = this.plan(operand);
    if (testOnly) return (frame) => fieldOf(base(frame), field) !== undefined;
    return (frame) => {
      const value = base(frame);
      frame.charge(COST.select);
      return select(value, field);
    };
  }

  #planCall(node: Call): Step {
    switch (node.name) {
      case '_&&_':
        return this.#planLogical(node, false);
      case '_||_':
        return this.#planLogical(node, true);
      case '_?_:_':
        return this.#planConditional(node);
      case '_?._':
        return this.#planOptionalSelect(node);
      case '@not_strictly_false':
        return this.#planNotStrictlyFalse(node);
      default:
        return this.#planFunction(node);
    }
  }

  /** An error on one side does not count when the other side decides alone. */
  #planLogical({ args }: Call, decisive: boolean): Step {
    const [left, right] = args.map((arg) => this.plan(arg)) as [Step, Step];
    return (frame) => {
      const first = attempt(left, frame);
      if (first === decisive) return decisive;
      const second = attempt(right, frame);
      if (second === decisive) return decisive;
      if (first === !decisive && second === !decisive) return !decisive;
      throw firstError(first, second);
    };
  }

  #planConditional({ args }: Call): Step {
    const [condition, whenTrue, whenFalse] = args.map((arg) => this.plan(arg)) as [Step, Step, Step];
    return (frame) => {
      const value = condition(frame);
      if (typeof value !== 'boolean') throw noSuchOverload();
      return value ? whenTrue(frame) : whenFalse(frame);
    };
  }

  #planNotStrictlyFalse({ args }: Call): Step {
    const value = this.plan(args[0] as Expression);
    return (frame) => {
      frame.charge(1);
      return attempt(value, frame) !== false;
    };
  }

  #planOptionalSelect({ args }: Call): Step {
    const base = this.plan(args[0] as Expression);
    const field = args[1]?.kind === 'const' ? String(args[1].value) : '';
    return (frame) => {
      const value = base(frame);
      frame.charge(COST.select);
      const found = fieldOf(value, field);
      return found === undefined ? CelOptional.none : found instanceof CelOptional ? found : new CelOptional(found);
    };
  }

  #planFunction(node: Call): Step {
    const overloads = this.#checked.overloads.get(node.id) ?? [];
    const isMember = overloads[0]?.isMember === true;
    const nodes = isMember ? [node.target as Expression, ...node.args] : node.args;
    const steps = nodes.map((arg) => this.plan(arg));
    const only =
      overloads.length === 1 && nodes.every((arg) => isFullyKnown(this.#typeOf(arg))) ? overloads[0] : undefined;
    return (frame) => {
      const values = steps.map((step) => step(frame));
      const overload = only ?? overloads.find((candidate) => accepts(candidate, values));
      if (overload === undefined) throw noSuchOverload();
      const result = overload.implementation(values, frame);
      frame.charge(callCost(overload, values, result));
      return result;
    };
  }

  #planList({ elements, optional }: ListLiteral): Step {
    const steps = elements.map((element) => this.plan(element));
    const isConstant = elements.every(({ kind }) => kind === 'const');
    if (isConstant) {
      const list = new ArrayList(elements.map((element) => (element.kind === 'const' ? element.value : null)));
      return () => list;
    }
    return (frame) => {
      const items: CelValue[] = [];
      for (const [index, step] of steps.entries()) {
        const value = step(frame);
        if (!optional.has(index)) items.push(value);
        else if (!(value instanceof CelOptional)) throw noSuchOverload();
        else if (value.value !== undefined) items.push(value.value);
      }
      frame.charge(COST.list);
      return new ArrayList(items);
    };
  }

  #planMap({ entries }: MapLiteral): Step {
    const steps = entries.map(({ key, value, optional }) => ({
      key: this.plan(key),
      value: this.plan(value),
      optional,
    }));
    return (frame) => {
      const made = new Map<string, readonly [CelValue, CelValue]>();
      for (const { key, value, optional } of steps) {
        const name = key(frame);
        const text = keyText(name);
        if (text === undefined) throw new CelEvaluationError(`unsupported key type: ${typeNameOf(name)}`);
        let entry: CelValue | undefined = value(frame);
        if (optional) {
          if (!(entry instanceof CelOptional)) throw noSuchOverload();
          entry = entry.value;
        }
        if (made.has(text)) throw new CelEvaluationError(`Failed with repeated key`);
        if (entry !== undefined) made.set(text, [name, entry]);
      }
      frame.charge(COST.map);
      return new EntryMap(made);
    };
  }

  #planStruct({ typeName, fields }: StructLiteral): Step {
    const steps = fields.map(({ name, value, optional }) => ({ name, value: this.plan(value), optional }));
    return (frame) => {
      const made = new Map<string, CelValue>();
      for (const { name, value, optional } of steps) {
        const field = value(frame);
        if (!optional) made.set(name, field);
        else if (!(field instanceof CelOptional)) throw noSuchOverload();
        else if (field.value !== undefined) made.set(name, field.value);
      }
      frame.charge(COST.struct);
      return new CelStruct(typeName, made);
    };
  }

  #planComprehension(node: Comprehension): Step {
    const [range, init, result] = [node.range, node.accuInit, node.result].map((part) => this.plan(part)) as Step[];
    const body = {
      condition: this.plan(node.loopCondition),
      step: this.plan(node.loopStep),
      push: this.#planPush(node),
    };
    return (frame) => {
      const over = (range as Step)(frame);
      const saved = names(node).map((name) => [name, frame.locals.get(name)] as const);
      let accu = (init as Step)(frame);
      if (body.push !== undefined) accu = new GrowingList();
      try {
        accu = runLoop(node, body, { over, accu, frame });
        frame.locals.set(node.accuVar, accu);
        return (result as Step)(frame);
      } finally {
        for (const [name, value] of saved) {
          if (value === undefined) frame.locals.delete(name);
          else frame.locals.set(name, value);
        }
      }
    };
  }

  /** `accu + [x]`, perhaps behind a filter, is done in place: a new list for every element would cost the square. */
  #planPush({ accuVar, accuInit, loopStep }: Comprehension): Push | undefined {
    if (accuInit.kind !== 'list' || accuInit.elements.length > 0) return undefined;
    const append = appendedBy(loopStep, accuVar);
    if (append !== undefined) return { filter: undefined, element: this.plan(append) };
    if (loopStep.kind !== 'call' || loopStep.name !== '_?_:_') return undefined;
    const [filter, added] = loopStep.args as [Expression, Expression];
    const element = appendedBy(added, accuVar);
    return element === undefined ? undefined : { filter: this.plan(filter), element: this.plan(element) };
  }
}

interface Push {
  readonly filter: Step | undefined;
  readonly element: Step;
}

interface LoopBody {
  readonly condition: Step;
  readonly step: Step;
  readonly push: Push | undefined;
}

const names = ({ iterVar, iterVar2, accuVar }: Comprehension): string[] =>
  iterVar2 === undefined ? [iterVar, accuVar] : [iterVar, iterVar2, accuVar];

/** The `x` of `accu + [x]`. */
function appendedBy(node: Expression, accuVar: string): Expression | undefined {
  if (node.kind !== 'call' || node.name !== '_+_') return undefined;
  const [left, right] = node.args as [Expression, Expression];
  const isAccu = left.kind === 'ident' && left.name === accuVar && accuVar.startsWith('@');
  return isAccu && right.kind === 'list' && right.elements.length === 1 ? right.elements[0] : undefined;
}

function runLoop(
  { iterVar, iterVar2, accuVar, loopStep }: Comprehension,
  { condition, step, push }: LoopBody,
  { over, accu: start, frame }: { readonly over: CelValue; readonly accu: CelValue; readonly frame: Frame },
): CelValue {
  const { locals } = frame;
  // `all` and `exists` keep an error in the accumulator: a later element may still decide.
  const isTolerant = loopStep.kind === 'call' && (loopStep.name === '_&&_' || loopStep.name === '_||_');
  let accu = start;
  for (const [key, value] of iterate(over)) {
    if (iterVar2 === undefined) locals.set(iterVar, over instanceof CelMap ? key : value);
    else {
      locals.set(iterVar, key);
      locals.set(iterVar2, value);
    }
    if (push !== undefined) {
      pushElement(push, accu as GrowingList, frame);
      continue;
    }
    locals.set(accuVar, accu);
    if (condition(frame) !== true) break;
    accu = isTolerant ? attempt(step, frame) : step(frame);
  }
  return unwrapFailure(accu);
}

/** What the same step costs when it is written out: names, the new list, the sum. */
function pushElement({ filter, element }: Push, list: GrowingList, frame: Frame): void {
  if (filter !== undefined) {
    const passes = filter(frame);
    if (typeof passes !== 'boolean') throw noSuchOverload();
    if (!passes) {
      frame.charge(COST.name);
      return;
    }
  }
  frame.charge(COST.name + COST.list + 1);
  list.push(element(frame));
}

function* iterate(over: CelValue): IterableIterator<[CelValue, CelValue]> {
  if (over instanceof CelMap) yield* over.entries();
  else if (over instanceof CelList) {
    let index = 0n;
    for (const item of over) yield [index++, item];
  } else throw noSuchOverload();
}

/** A value, or the error in its place: `&&` and `||` may not need it. */
class Failure extends CelOpaque {
  override readonly typeName = 'error';
  readonly error: CelEvaluationError;

  constructor(error: CelEvaluationError) {
    super();
    this.error = error;
  }

  override equals(): boolean {
    return false;
  }
}

function attempt(step: Step, frame: Frame): CelValue {
  try {
    return step(frame);
  } catch (error) {
    if (error instanceof CelEvaluationError) return new Failure(error);
    throw error;
  }
}

function unwrapFailure(value: CelValue): CelValue {
  if (value instanceof Failure) throw value.error;
  return value;
}

function firstError(...values: readonly CelValue[]): CelEvaluationError {
  const failure = values.find((value) => value instanceof Failure);
  return failure instanceof Failure ? failure.error : noSuchOverload();
}

/** Undefined for what is not there. Throws for values that have no fields. */
function fieldOf(value: CelValue, field: string): CelValue | undefined {
  if (value instanceof CelMap) return value.get(field);
  if (value instanceof CelStruct) return value.fields.get(field);
  if (value instanceof CelOptional) {
    const inner = value.value === undefined ? undefined : fieldOf(value.value, field);
    return inner === undefined || inner instanceof CelOptional ? inner : new CelOptional(inner);
  }
  throw noSuchOverload();
}

function select(value: CelValue, field: string): CelValue {
  const found = fieldOf(value, field);
  if (found !== undefined) return found;
  if (value instanceof CelOptional) return CelOptional.none;
  throw noSuchKey(field);
}

/** False where the value may be of another type at run time than the checker can say. */
function isFullyKnown(type: CelType): boolean {
  return !isDyn(type) && type.kind !== 'param';
}

function accepts({ params }: Overload, values: readonly CelValue[]): boolean {
  return params.every((type, index) => isOfType(values[index] as CelValue, type));
}

function isOfType(value: CelValue, type: CelType): boolean {
  if (type.kind === 'param' || isDyn(type)) return true;
  if (type.kind === 'object') return value instanceof CelMap || value instanceof CelStruct;
  if (type.kind === 'optional' && value instanceof CelOptional) {
    // Overloads differ by what is inside (`optional(list)`, `optional(map)`).
    return value.value === undefined || isOfType(value.value, type.value);
  }
  return typeNameOf(value) === runtimeTypeName(type);
}
