import type { CheckedTypes } from './check.ts';
import { costRuleOf } from './cost/runtime-cost.ts';
import { Failure, type Frame, type Step } from './frame.ts';
import type { Overload } from './library/function-table.ts';
import { appendingParts, attempt, runFold } from './plan-fold.ts';
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
  CelMap,
  CelOptional,
  CelStruct,
  type CelValue,
  EntryMap,
  keyText,
  typeNameOf,
} from './values/value.ts';

const COST = { name: 1, select: 1, list: 10, map: 30, struct: 40 } as const;

/** Turns a checked tree into closures: the tree is walked once, not once per object. */
export function planExpression(expression: Expression, checked: CheckedTypes): Step {
  return new Planner(checked).plan(expression);
}

class Planner {
  readonly #checked: CheckedTypes;
  /** Places of the variables of folds; a place is used by one fold only. */
  #slots: ReadonlyMap<string, number> = new Map();
  #nextSlot = 0;

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

  #planReference(id: number): Step {
    const reference = this.#checked.references.get(id);
    if (reference?.kind === 'type') {
      const value = new CelTypeValue(runtimeTypeName(reference.type));
      return () => value;
    }
    const name = reference?.name ?? '';
    const slot = this.#slots.get(name);
    if (slot !== undefined) {
      return (frame) => {
        frame.charge(COST.name);
        return frame.slots[slot] as CelValue;
      };
    }
    return (frame) => {
      frame.charge(COST.name);
      const value = frame.variable(name);
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
    const read = readArguments(nodes.map((arg) => this.plan(arg)));
    const isKnown = nodes.every((arg) => isFullyKnown(this.#checked.types.get(arg.id) as CelType));
    if (overloads.length === 1 && isKnown) return callKnown(overloads[0] as Overload, read);
    const priced = overloads.map((overload) => ({ overload, price: costRuleOf(overload) }));
    return (frame) => {
      const values = read(frame);
      const found = priced.find(({ overload }) => accepts(overload, values));
      if (found === undefined) throw errorAmong(values) ?? noSuchOverload();
      const { overload, price } = found;
      frame.charge(price === undefined ? 1 : price({ id: overload.id, args: values }));
      return overload.implementation(values, frame);
    };
  }

  #planList({ elements, optional }: ListLiteral): Step {
    if (elements.every(({ kind }) => kind === 'const')) {
      const list = new ArrayList(elements.map((element) => (element.kind === 'const' ? element.value : null)));
      return () => list;
    }
    const steps = elements.map((element) => this.plan(element));
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
        if (made.has(text)) throw new CelEvaluationError('Failed with repeated key');
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
    const { range, accuInit, loopCondition, loopStep, result, accuVar, iterVar, iterVar2 } = node;
    const outside = { range: this.plan(range), init: this.plan(accuInit) };
    const outer = this.#slots;
    const accuSlot = this.#nextSlot++;
    const slot = this.#nextSlot++;
    const valueSlot = iterVar2 === undefined ? undefined : this.#nextSlot++;
    const withAccu = new Map(outer).set(accuVar, accuSlot);
    this.#slots = new Map(withAccu).set(iterVar, slot);
    if (iterVar2 !== undefined) this.#slots = new Map(this.#slots).set(iterVar2, valueSlot as number);
    const parts = appendingParts(node);
    const inside = {
      condition: this.plan(loopCondition),
      step: this.plan(loopStep),
      push: parts && {
        filter: parts.filter === undefined ? undefined : this.plan(parts.filter),
        element: this.plan(parts.element),
      },
    };
    this.#slots = withAccu;
    const end = this.plan(result);
    this.#slots = outer;
    const isTolerant = loopStep.kind === 'call' && (loopStep.name === '_&&_' || loopStep.name === '_||_');
    return runFold({ ...outside, ...inside, result: end, accuSlot, slot, valueSlot, isTolerant });
  }
}

type ReadArguments = (frame: Frame) => readonly CelValue[];

function readArguments(steps: readonly Step[]): ReadArguments {
  const [first, second] = steps;
  if (first !== undefined && steps.length === 1) return (frame) => [first(frame)];
  if (first !== undefined && second !== undefined && steps.length === 2)
    return (frame) => [first(frame), second(frame)];
  return (frame) => steps.map((step) => step(frame));
}

/** A call whose only overload fits whatever comes, by the types. */
function callKnown(overload: Overload, read: ReadArguments): Step {
  const { implementation, id } = overload;
  const price = costRuleOf(overload);
  return (frame) => {
    const values = read(frame);
    const failure = errorAmong(values);
    if (failure !== undefined) throw failure;
    // Paid in advance: what is too dear is not begun.
    frame.charge(price === undefined ? 1 : price({ id, args: values }));
    return implementation(values, frame);
  };
}

/** The accumulator of `all` and `exists` may hold an error. */
function errorAmong(values: readonly CelValue[]): CelEvaluationError | undefined {
  for (const value of values) if (value instanceof Failure) return value.error;
  return undefined;
}

const firstError = (...values: readonly CelValue[]): CelEvaluationError => errorAmong(values) ?? noSuchOverload();

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
  if (type.kind === 'param' || isDyn(type)) return !(value instanceof Failure);
  if (type.kind === 'object') return value instanceof CelMap || value instanceof CelStruct;
  if (type.kind === 'optional' && value instanceof CelOptional) {
    // Overloads differ by what is inside (`optional(list)`, `optional(map)`).
    return value.value === undefined || isOfType(value.value, type.value);
  }
  return typeNameOf(value) === runtimeTypeName(type);
}
