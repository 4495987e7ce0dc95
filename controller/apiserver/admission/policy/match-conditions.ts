import { type Activation, CostBudget } from '../../cel/compile.ts';
import { RUNTIME_COST_BUDGET_MATCH_CONDITIONS } from '../../cel/limits.ts';
import { CelBudgetError } from '../../cel/values/evaluation-error.ts';
import type { Authorizer } from '../../chain/request-context.ts';
import type { CheckConditions, ConditionsVerdict } from '../../webhooks/webhook-dispatch.ts';
import { evaluatePolicy, type PolicyExpression, PolicyExpressions } from './evaluate-policy.ts';
import { activationOf } from './policy-activation.ts';

/**
 * All conditions must be true. One that is false decides, whatever is wrong with others; only without one an error counts. The request
 * is then neither meant nor not meant, and `failurePolicy` has the word.
 */
export function evaluateConditions(conditions: readonly PolicyExpression[], activation: Activation): ConditionsVerdict {
  const budget = new CostBudget(RUNTIME_COST_BUDGET_MATCH_CONDITIONS);
  const errors: string[] = [];
  try {
    for (const condition of conditions) {
      const result = evaluatePolicy(condition, activation, budget);
      if ('error' in result) errors.push(result.error);
      else if (result.value !== true) return { matches: false };
    }
  } catch (error) {
    if (!(error instanceof CelBudgetError)) throw error;
    errors.push(error.message);
  }
  if (errors.length === 0) return { matches: true };
  return { error: errors.length === 1 ? (errors[0] as string) : `[${errors.join(', ')}]` };
}

/** The match conditions of webhooks. Compiled once for each list: the lists live as long as their configuration. */
export function webhookConditions(authorizer: Authorizer): CheckConditions {
  const compiled = new WeakMap<object, readonly PolicyExpression[]>();
  return (conditions, facts) => {
    let known = compiled.get(conditions);
    if (known === undefined) {
      const expressions = new PolicyExpressions(false);
      known = conditions.map(({ expression }) => expressions.compile('matchCondition', expression));
      compiled.set(conditions, known);
    }
    return evaluateConditions(known, activationOf({ ...facts, authorizer }));
  };
}
