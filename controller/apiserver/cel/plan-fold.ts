import { Failure, type Frame, type Step } from './frame.ts';
import type { Comprehension, Expression } from './syntax/expression.ts';
import { CelEvaluationError, noSuchOverload } from './values/evaluation-error.ts';
import { CelList, CelMap, type CelValue, GrowingList } from './values/value.ts';

/** The parts of a fold, planned, and the slots of its variables. */
export interface FoldPlan {
  readonly range: Step;
  readonly init: Step;
  readonly condition: Step;
  readonly step: Step;
  readonly result: Step;
  readonly accuSlot: number;
  readonly slot: number;
  /** Set for folds with two variables: then `slot` is that of the index or key. */
  readonly valueSlot: number | undefined;
  /** `all` and `exists` keep an error in the accumulator: a later element may still decide. */
  readonly isTolerant: boolean;
  /** What is appended for each element, where the fold builds a list. */
  readonly push: { readonly filter: Step | undefined; readonly element: Step } | undefined;
}

/** What the written-out step of a list costs besides its element: the accumulator's name, the new list, the sum. */
const PUSH_COST = 12;
const SKIP_COST = 1;

export function runFold(plan: FoldPlan): Step {
  const { range, init, result, accuSlot, push } = plan;
  return (frame) => {
    const over = range(frame);
    const start = init(frame);
    const accu = push === undefined ? fold(plan, frame, { over, start }) : build(plan, frame, over);
    if (accu instanceof Failure) throw accu.error;
    frame.slots[accuSlot] = accu;
    return result(frame);
  };
}

/** Calls `visit` for each element with its variables in place, until it answers false. */
function forEachElement(
  { slot, valueSlot }: FoldPlan,
  frame: Frame,
  over: CelValue,
  visit: (frame: Frame) => boolean,
): void {
  const { slots } = frame;
  if (over instanceof CelList) {
    const { size } = over;
    for (let index = 0; index < size; index++) {
      const value = over.get(index) as CelValue;
      slots[slot] = valueSlot === undefined ? value : BigInt(index);
      if (valueSlot !== undefined) slots[valueSlot] = value;
      if (!visit(frame)) return;
    }
  } else if (over instanceof CelMap) {
    for (const key of over.keys()) {
      slots[slot] = key;
      if (valueSlot !== undefined) slots[valueSlot] = over.get(key) as CelValue;
      if (!visit(frame)) return;
    }
  } else throw noSuchOverload();
}

function fold(
  plan: FoldPlan,
  frame: Frame,
  { over, start }: { readonly over: CelValue; readonly start: CelValue },
): CelValue {
  const { condition, step, accuSlot, isTolerant } = plan;
  frame.slots[accuSlot] = start;
  forEachElement(plan, frame, over, () => {
    if (condition(frame) !== true) return false;
    frame.slots[accuSlot] = isTolerant ? attempt(step, frame) : step(frame);
    return true;
  });
  return frame.slots[accuSlot] as CelValue;
}

/** `accu + [x]`, perhaps behind a filter, in place: a new list for every element would cost the square. */
function build(plan: FoldPlan, frame: Frame, over: CelValue): CelValue {
  const { filter, element } = plan.push as NonNullable<FoldPlan['push']>;
  const list = new GrowingList();
  forEachElement(plan, frame, over, () => {
    const passes = filter === undefined || filter(frame);
    if (typeof passes !== 'boolean') throw noSuchOverload();
    frame.charge(passes ? PUSH_COST : SKIP_COST);
    if (passes) list.push(element(frame));
    return true;
  });
  return list;
}

/** The parts of a fold that only appends: undefined for any other. */
export function appendingParts({
  accuVar,
  accuInit,
  loopStep,
}: Comprehension): { readonly filter: Expression | undefined; readonly element: Expression } | undefined {
  if (accuInit.kind !== 'list' || accuInit.elements.length > 0) return undefined;
  const always = appendedBy(loopStep, accuVar);
  if (always !== undefined) return { filter: undefined, element: always };
  if (loopStep.kind !== 'call' || loopStep.name !== '_?_:_') return undefined;
  const [filter, added] = loopStep.args as [Expression, Expression];
  const element = appendedBy(added, accuVar);
  return element === undefined ? undefined : { filter, element };
}

/** The `x` of `accu + [x]`. */
function appendedBy(node: Expression, accuVar: string): Expression | undefined {
  if (node.kind !== 'call' || node.name !== '_+_') return undefined;
  const [left, right] = node.args as [Expression, Expression];
  const isAccu = left.kind === 'ident' && left.name === accuVar && accuVar.startsWith('@');
  return isAccu && right.kind === 'list' && right.elements.length === 1 ? right.elements[0] : undefined;
}

/** The step's value, or its error in the place of one. */
export function attempt(step: Step, frame: Frame): CelValue {
  try {
    return step(frame);
  } catch (error) {
    if (error instanceof CelEvaluationError) return new Failure(error);
    throw error;
  }
}
