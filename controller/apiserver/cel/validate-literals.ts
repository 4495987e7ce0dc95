import { PatternError } from './regex/pattern-syntax.ts';
import { SafePattern } from './regex/safe-pattern.ts';
import { type Call, childrenOf, type Expression } from './syntax/expression.ts';
import type { SourceIssue } from './syntax/source-issue.ts';
import { parseDuration, parseTimestamp } from './values/time-text.ts';

/** Literal arguments that can never be right are mistakes of the expression, not of the object that meets it. */
export function validateLiterals(root: Expression): SourceIssue[] {
  const issues: SourceIssue[] = [];
  const visit = (node: Expression): void => {
    if (node.kind === 'call' && !isSound(node)) {
      const argument = literalArgument(node);
      issues.push({ offset: argument?.offset ?? node.offset, message: `invalid ${node.name} argument` });
    }
    for (const child of childrenOf(node)) visit(child);
  };
  visit(root);
  return issues;
}

/** The only argument of a conversion, the pattern of a match. */
const literalArgument = ({ args, name }: Call): Expression | undefined =>
  name === 'matches' ? args.at(-1) : args.length === 1 ? args[0] : undefined;

function isSound(call: Call): boolean {
  const argument = literalArgument(call);
  if (argument?.kind !== 'const' || typeof argument.value !== 'string') return true;
  switch (call.name) {
    case 'duration':
      return parseDuration(argument.value) !== undefined;
    case 'timestamp':
      return parseTimestamp(argument.value) !== undefined;
    case 'matches':
      return isPattern(argument.value);
    default:
      return true;
  }
}

function isPattern(source: string): boolean {
  try {
    SafePattern.compile(source);
    return true;
  } catch (error) {
    if (error instanceof PatternError) return false;
    throw error;
  }
}
