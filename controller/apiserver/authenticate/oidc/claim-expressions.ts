import { type CompiledExpression, CostBudget, compileExpression, evaluate } from '../../cel/compile.ts';
import { createEnvironment } from '../../cel/environment.ts';
import { RUNTIME_COST_BUDGET } from '../../cel/limits.ts';
import type { Expression } from '../../cel/syntax/expression.ts';
import { DYN, formatType, isDyn, listOf, mapOf, objectType, STRING } from '../../cel/types/cel-type.ts';
import { fromJson, toJson } from '../../cel/values/json-values.ts';

/** An expression about a token's claims, or about the user that was made of them. */
export interface ClaimExpression {
  readonly source: string;
  readonly compiled: CompiledExpression;
  /** Claims that it reads by name. */
  readonly claims: ReadonlySet<string>;
}

const USER = objectType('kubernetes.UserInfo', {
  username: STRING,
  uid: STRING,
  groups: listOf(STRING),
  extra: mapOf(STRING, listOf(STRING)),
});

const ENVIRONMENTS = {
  claims: createEnvironment({ variables: { claims: mapOf(STRING, DYN) } }),
  user: createEnvironment({ variables: { user: USER } }),
};

export interface ExpressionWish {
  /** Types that it may answer, as CEL names them; what is known at run time only is asked then. */
  readonly results: readonly string[];
  readonly about: 'claims' | 'user';
}

/** The expression, or why it is none. */
export function compileClaimExpression(source: string, { results, about }: ExpressionWish): ClaimExpression | string {
  const result = compileExpression(source, ENVIRONMENTS[about]);
  if (!result.ok) return `compilation failed: ${result.message}`;
  const { resultType, expression } = result.expression;
  const type = formatType(resultType);
  const isFitting =
    isDyn(resultType) || results.includes(type) || (type === 'list(dyn)' && results.includes('list(string)'));
  if (!isFitting) return `must evaluate to ${results.join(' or ')} but got ${type}`;
  return { source, compiled: result.expression, claims: claimsNamedBy(expression) };
}

/** Claims that the source names, as fields (`claims.sub`, `claims.?sub`) and as keys (`claims["sub"]`). */
function claimsNamedBy(expression: Expression): ReadonlySet<string> {
  const found = new Set<string>();
  const visit = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    const part = node as Expression;
    if (part.kind === 'select' && isClaims(part.operand)) found.add(part.field);
    if (part.kind === 'call') {
      const [container, key] = part.args;
      if (isClaims(container) && key?.kind === 'const' && typeof key.value === 'string') found.add(key.value);
    }
    for (const below of Object.values(node)) visit(below);
  };
  visit(expression);
  return found;
}

const isClaims = (node: Expression | undefined): boolean => node?.kind === 'ident' && node.name === 'claims';

/** What the expression makes of it, as JSON. Throws CelEvaluationError and CelBudgetError. */
export function evaluateClaims({ compiled }: ClaimExpression, about: 'claims' | 'user', value: unknown): unknown {
  return toJson(evaluate(compiled, { [about]: () => fromJson(value) }, new CostBudget(RUNTIME_COST_BUDGET)));
}
