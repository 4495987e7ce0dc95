import { patternCost } from '../cost/runtime-cost.ts';
import { PatternError } from '../regex/pattern-syntax.ts';
import { SafePattern } from '../regex/safe-pattern.ts';
import { sizeOf } from '../values/compare.ts';
import { CelEvaluationError } from '../values/evaluation-error.ts';
import { ArrayList, type CelValue } from '../values/value.ts';
import { type EvaluationContext, global, type Implementation, member, type Overload } from './function-table.ts';

/** Throws CelEvaluationError for a pattern that RE2 would refuse. */
function compilePattern(source: string): SafePattern {
  try {
    return SafePattern.compile(source);
  } catch (error) {
    if (error instanceof PatternError) throw new CelEvaluationError(error.message, { cause: error });
    throw error;
  }
}

/** Instructions of the matcher for one unit of cost. */
const STEPS_PER_COST = 20;

/**
 * Kubernetes prices a match by the lengths of text and pattern. Repetitions like `(a{100}){9}` do more than their length says:
 * what goes beyond the price is charged while it runs, so that the budget bounds the time as well.
 */
function chargeExcess(context: EvaluationContext, text: string, pattern: string): (steps: number) => void {
  let paid = patternCost(sizeOf(text), sizeOf(pattern)) * STEPS_PER_COST;
  return (steps) => {
    paid -= steps;
    if (paid >= 0) return;
    context.charge(-paid / STEPS_PER_COST);
    paid = 0;
  };
}

const matches: Implementation = ([text, pattern], context) =>
  compilePattern(pattern as string).test(text as string, chargeExcess(context, text as string, pattern as string));

const findAll = (args: readonly CelValue[], limit: number, context: EvaluationContext): string[] => {
  const [text, pattern] = args as [string, string];
  return compilePattern(pattern).findAll(text, limit, chargeExcess(context, text, pattern));
};

const allFound: Implementation = (args, context) => {
  const limit = args[2] === undefined || (args[2] as bigint) < 0n ? Number.POSITIVE_INFINITY : Number(args[2]);
  return new ArrayList(findAll(args, limit, context));
};

export const STANDARD_STRINGS: readonly Overload[] = [
  member('contains', 'contains_string', '(string, string) -> bool', ([a, b]) => (a as string).includes(b as string)),
  member('startsWith', 'starts_with_string', '(string, string) -> bool', ([a, b]) =>
    (a as string).startsWith(b as string),
  ),
  member('endsWith', 'ends_with_string', '(string, string) -> bool', ([a, b]) => (a as string).endsWith(b as string)),
  global('matches', 'matches', '(string, string) -> bool', matches),
  member('matches', 'matches_string', '(string, string) -> bool', matches),
  member(
    'find',
    'string_find_string',
    '(string, string) -> string',
    (args, context) => findAll(args, 1, context)[0] ?? '',
  ),
  member('findAll', 'string_find_all_string', '(string, string) -> list(string)', allFound),
  member('findAll', 'string_find_all_string_int', '(string, string, int) -> list(string)', allFound),
];
