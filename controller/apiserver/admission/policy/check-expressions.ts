import { invalid } from '#api/object/field-error.ts';
import type { ExpressionCheck } from '../../resources/admission/policy-expressions.ts';
import { PolicyCompiler } from './policy-environment.ts';

/** What the strategies of policies and webhooks ask before they store an expression. */
export const checkExpressions: ExpressionCheck = (expressions, isStored) => {
  const compiler = new PolicyCompiler();
  return expressions.flatMap((expression) => {
    const result = compiler.compile(expression);
    if (expression.variable !== undefined) {
      compiler.define(expression.variable, result.ok ? result.compiled.resultType : undefined);
    }
    if (result.ok || isStored(expression)) return [];
    return [invalid(expression.path, expression.expression, result.detail)];
  });
};
