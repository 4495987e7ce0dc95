import { type Activation, type CompiledExpression, type CostBudget, evaluate } from '../../cel/compile.ts';
import { CelBudgetError, CelEvaluationError } from '../../cel/values/evaluation-error.ts';
import type { CelValue } from '../../cel/values/value.ts';
import { type ExpressionRole, PolicyCompiler } from './policy-environment.ts';

/** An expression of a policy; `compiled` is a text where it did not compile, and says why. */
export interface PolicyExpression {
  readonly source: string;
  readonly compiled: CompiledExpression | string;
}

/** What an expression came to; `error` is told to the user. */
export type PolicyResult = { readonly value: CelValue } | { readonly error: string };

/** Compiles the expressions of one policy in their order. Nothing throws: what does not compile fails when it is asked. */
export class PolicyExpressions {
  readonly #compiler = new PolicyCompiler();
  readonly #hasParams: boolean;
  /** By name, in order. */
  readonly variables = new Map<string, CompiledExpression | string>();

  constructor(hasParams: boolean) {
    this.#hasParams = hasParams;
  }

  compile(role: ExpressionRole, source: string): PolicyExpression {
    const hasAuthorizer = role !== 'messageExpression';
    const result = this.#compiler.compile({ expression: source, role, hasParams: this.#hasParams, hasAuthorizer });
    return { source, compiled: result.ok ? result.compiled : result.detail };
  }

  defineVariables(variables: readonly { readonly name: string; readonly expression: string }[] | undefined): void {
    for (const { name, expression } of variables ?? []) {
      const { compiled } = this.compile('variable', expression);
      this.#compiler.define(name, typeof compiled === 'string' ? undefined : compiled.resultType);
      this.variables.set(name, compiled);
    }
  }
}

/** Throws CelBudgetError once the policy has used up what it may; an expression that is too dear alone is its own error. */
export function evaluatePolicy(
  { source, compiled }: PolicyExpression,
  activation: Activation,
  budget: CostBudget,
): PolicyResult {
  if (typeof compiled === 'string') return { error: `compilation error: ${compiled}` };
  try {
    return { value: evaluate(compiled, activation, budget) };
  } catch (error) {
    if (error instanceof CelBudgetError && error.exceeded === 'total') throw error;
    if (error instanceof CelBudgetError || error instanceof CelEvaluationError) {
      return { error: `expression '${source}' resulted in error: ${error.message}` };
    }
    throw error;
  }
}
