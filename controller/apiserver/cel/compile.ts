import { type CheckedTypes, checkExpression } from './check.ts';
import type { CelEnvironment } from './environment.ts';
import { type Activation, Frame, type Step } from './frame.ts';
import { PER_CALL_LIMIT } from './limits.ts';
import { planExpression } from './plan.ts';
import type { Expression } from './syntax/expression.ts';
import { parseExpression } from './syntax/parse.ts';
import { renderIssues, SourceError, type SourceIssue } from './syntax/source-issue.ts';
import type { CelType } from './types/cel-type.ts';
import { validateLiterals } from './validate-literals.ts';
import { CelBudgetError, CelEvaluationError } from './values/evaluation-error.ts';
import type { CelValue } from './values/value.ts';

/** An expression that can be evaluated any number of times. */
export interface CompiledExpression {
  readonly source: string;
  readonly expression: Expression;
  readonly checked: CheckedTypes;
  readonly resultType: CelType;
  /** Variables that it may read, by their full names. */
  readonly variables: ReadonlySet<string>;
  readonly run: Step;
}

export type Compilation =
  | { readonly ok: true; readonly expression: CompiledExpression }
  /** `message` is what Kubernetes puts behind "compilation failed: ": every mistake with its place. */
  | { readonly ok: false; readonly issues: readonly SourceIssue[]; readonly message: string };

/** Parses and checks a source. A pure function: keep its result, compiling takes much longer than evaluating. */
export function compileExpression(source: string, environment: CelEnvironment): Compilation {
  try {
    const expression = parseExpression(source);
    const checked = checkExpression(expression, environment);
    const issues = checked.issues.length > 0 ? checked.issues : validateLiterals(expression);
    if (issues.length > 0) return { ok: false, issues, message: renderIssues(source, issues) };
    const resultType = checked.types.get(expression.id) as CelType;
    const variables = new Set<string>();
    for (const reference of checked.references.values()) {
      if (reference.kind === 'variable' && environment.variables.has(reference.name)) variables.add(reference.name);
    }
    const run = planExpression(expression, checked);
    return { ok: true, expression: { source, expression, checked, resultType, variables, run } };
  } catch (error) {
    if (!(error instanceof SourceError)) throw error;
    return { ok: false, issues: [error.issue], message: renderIssues(source, [error.issue]) };
  }
}

/** Cost that the expressions of one object may have together. */
export class CostBudget {
  #remaining: number;

  constructor(limit: number) {
    this.#remaining = limit;
  }

  get remaining(): number {
    return this.#remaining;
  }

  spend(cost: number): void {
    this.#remaining -= cost;
  }
}

export type { Activation, Binding } from './frame.ts';

export interface EvaluateOptions {
  /** What this expression may cost alone; Kubernetes' limit when left out. */
  readonly perCallLimit?: number;
}

/**
 * The value of an expression. Throws CelEvaluationError when it goes wrong, and CelBudgetError when it costs more than one expression
 * may or than the budget still holds; the budget is charged in any case.
 */
export function evaluate(
  { run }: CompiledExpression,
  activation: Activation,
  budget: CostBudget,
  { perCallLimit = PER_CALL_LIMIT }: EvaluateOptions = {},
): CelValue {
  if (budget.remaining < 0) throw new CelBudgetError('total');
  const frame = new Frame(activation, perCallLimit);
  try {
    return run(frame);
  } catch (error) {
    if (error instanceof RangeError && /call stack/.test(error.message)) {
      throw new CelEvaluationError('expression nests too deeply to be evaluated', { cause: error });
    }
    throw error;
  } finally {
    budget.spend(frame.cost);
  }
}
