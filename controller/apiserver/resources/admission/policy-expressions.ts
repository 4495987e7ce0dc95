import type { FieldError } from '#api/object/field-error.ts';

/** One CEL expression of a policy or webhook, and what it may speak of besides `object`, `oldObject` and `request`. */
export interface PolicyExpression {
  /** Where it stands: findings are told at this path. */
  readonly path: string;
  readonly expression: string;
  /** What it has to answer. */
  readonly role:
    | 'matchCondition'
    | 'variable'
    | 'validation'
    | 'messageExpression'
    | 'auditAnnotation'
    | 'jsonPatch'
    | 'applyConfiguration';
  /** `params` is there. */
  readonly hasParams: boolean;
  /** `authorizer` is there. */
  readonly hasAuthorizer: boolean;
  /** Name of the variable that it defines; it sees those defined before it. */
  readonly variable?: string;
}

/**
 * Compiles all expressions of one object, in order, and answers with what is wrong. Expressions for which `isStored` answers true stood
 * in the object before: they were valid when they were written, and stay.
 */
export type ExpressionCheck = (
  expressions: readonly PolicyExpression[],
  isStored: (expression: PolicyExpression) => boolean,
) => readonly FieldError[];

/** The check of the new expressions of an object, given those of the old one. */
export function checkNewExpressions(
  check: ExpressionCheck | undefined,
  next: readonly PolicyExpression[],
  old: readonly PolicyExpression[],
): readonly FieldError[] {
  // Blank ones are told by the structural rules.
  const written = next.filter(({ expression }) => expression.trim() !== '');
  if (check === undefined || written.length === 0) return [];
  const stored = new Set(old.map(keyOf));
  return check(written, (expression) => stored.has(keyOf(expression)));
}

const keyOf = ({ role, expression }: PolicyExpression): string => `${role}/${expression}`;
