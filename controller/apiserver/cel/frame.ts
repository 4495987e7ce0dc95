import type { EvaluationContext } from './library/function-table.ts';
import { CelBudgetError, type CelEvaluationError } from './values/evaluation-error.ts';
import { CelOpaque, type CelValue } from './values/value.ts';

/** A variable's value, or how to find it: asked at most once per evaluation, and only when it is read. */
export type Binding = CelValue | (() => CelValue);

export type Activation = Readonly<Record<string, Binding | undefined>>;

/** One evaluation: its variables and what it cost so far. */
export class Frame implements EvaluationContext {
  /** Variables of folds, by the places that the planner gave them. */
  readonly slots: CelValue[] = [];
  cost = 0;
  readonly #activation: Activation;
  readonly #found = new Map<string, CelValue>();
  readonly #limit: number;

  constructor(activation: Activation, limit: number) {
    this.#activation = activation;
    this.#limit = limit;
  }

  /** Throws CelBudgetError. */
  charge(cost: number): void {
    this.cost += cost;
    if (this.cost > this.#limit) throw new CelBudgetError('call');
  }

  /** Undefined for a variable that was not given. */
  variable(name: string): CelValue | undefined {
    const known = this.#found.get(name);
    if (known !== undefined) return known;
    const binding = Object.hasOwn(this.#activation, name) ? this.#activation[name] : undefined;
    const value = typeof binding === 'function' ? binding() : binding;
    if (value !== undefined) this.#found.set(name, value);
    return value;
  }
}

export type Step = (frame: Frame) => CelValue;

/** An error in the place of a value: `&&` and `||` may not need it. No function ever sees one. */
export class Failure extends CelOpaque {
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
