import { deepEqual } from '#api/object/deep-equal.ts';
import { duplicate, type FieldError, forbiddenField, invalid, required } from '#api/object/field-error.ts';
import { isJsonObject } from '#api/object/json.ts';
import { type Activation, CostBudget, evaluate } from '../cel/compile.ts';
import { MAX_EVALUATED_MESSAGE_BYTES, RUNTIME_COST_BUDGET } from '../cel/limits.ts';
import { CelBudgetError, CelEvaluationError } from '../cel/values/evaluation-error.ts';
import { CelOptional, type CelValue } from '../cel/values/value.ts';
import type { ValidationRule } from './custom-resource-definition.ts';
import type { RuleNode, RuleProgram } from './rule-program.ts';
import { type Correlated, oldField, oldItems } from './validate-schema-value.ts';

/** Findings of all rules on a whole object; `old` is its former state. They share one budget, and the rest is skipped beyond it. */
export function evaluateRules(tree: RuleNode, object: unknown, old: unknown): FieldError[] {
  const run: Run = { budget: new CostBudget(RUNTIME_COST_BUDGET), errors: [], isOver: false };
  const correlated = old === undefined ? undefined : { old };
  visit(tree, { value: object, path: '', correlated, isUnchanged: () => false }, run);
  return run.errors;
}

interface Run {
  readonly budget: CostBudget;
  readonly errors: FieldError[];
  /** The budget is spent. */
  isOver: boolean;
}

interface Place {
  readonly value: unknown;
  /** '' for the object itself. */
  readonly path: string;
  readonly correlated: Correlated | undefined;
  /** Whether the next place above that has a former value still has it. */
  readonly isUnchanged: () => boolean;
}

function visit(node: RuleNode, place: Place, run: Run): void {
  const { value, path, correlated } = place;
  if (value === null || value === undefined || run.isOver) return;
  const isUnchanged = correlated === undefined ? place.isUnchanged : memoized(() => deepEqual(value, correlated.old));
  if (node.rules.length > 0) runRules(node, { ...place, isUnchanged }, run);
  if (Array.isArray(value)) {
    if (node.items === undefined) return;
    const oldItem = oldItems(node.schema, correlated);
    for (const [index, item] of value.entries()) {
      visit(node.items, { value: item, path: `${path}[${index}]`, correlated: oldItem(item), isUnchanged }, run);
    }
  } else if (isJsonObject(value)) {
    const isAtomic = node.schema['x-kubernetes-map-type'] === 'atomic';
    for (const name of Object.keys(value)) {
      const property = node.properties.get(name);
      const below = property ?? node.additional;
      if (below === undefined) continue;
      const at = property === undefined ? `${path}[${name}]` : path === '' ? name : `${path}.${name}`;
      const former = isAtomic ? undefined : oldField(correlated, name);
      visit(below, { value: value[name], path: at, correlated: former, isUnchanged }, run);
    }
  }
}

function memoized(compute: () => boolean): () => boolean {
  let known: boolean | undefined;
  return () => {
    known ??= compute();
    return known;
  };
}

function runRules({ rules, type, schema }: RuleNode, place: Place, run: Run): void {
  const { value, correlated, isUnchanged } = place;
  const path = place.path === '' ? '<nil>' : place.path;
  const shown = schema.type ?? '';
  const self = type.fromJson(value);
  const hasOld = correlated !== undefined && correlated.old !== null && correlated.old !== undefined;
  const former = hasOld ? type.fromJson(correlated.old) : undefined;
  for (const program of rules) {
    const { rule } = program;
    if (program.problem !== undefined) {
      run.errors.push(invalid(path, shown, `rule compile error: ${program.problem}`));
      continue;
    }
    if (program.program === undefined || (program.usesOldSelf && !hasOld && rule.optionalOldSelf !== true)) continue;
    const activation = activationOf(rule, self, former);
    const verdict = judge(program, activation, run);
    if (verdict === true) continue;
    const fieldPath = rule.fieldPath === undefined || rule.fieldPath === '' ? '' : rule.fieldPath.trim();
    // Evaluation errors stand at the value; only a broken rule may point to a field below it.
    if (typeof verdict === 'string') run.errors.push(invalid(path, shown, verdict));
    else if (program.usesOldSelf || !isUnchanged()) {
      const at = fieldPath === '' ? path : `${place.path}${fieldPath}`.replace(/^\./, '');
      run.errors.push(errorFor(rule, { path: at, shown, detail: detailOf(program, activation, run) }));
    }
    if (run.isOver) return;
  }
}

function activationOf(rule: ValidationRule, self: CelValue, former: CelValue | undefined): Activation {
  if (rule.optionalOldSelf === true) {
    return { self, oldSelf: former === undefined ? new CelOptional(undefined) : new CelOptional(former) };
  }
  return former === undefined ? { self } : { self, oldSelf: former };
}

const OUT_OF_BUDGET = 'validation failed due to running out of cost budget, no further validation rules will be run';

/** True and false are the rule's answer; a text says why there is none. */
function judge({ rule, program }: RuleProgram, activation: Activation, run: Run): boolean | string {
  const text = (rule.message || rule.rule).trim();
  try {
    const result = evaluate(program!, activation, run.budget);
    if (run.budget.remaining >= 0) return result === true;
    run.isOver = true;
    return OUT_OF_BUDGET;
  } catch (err) {
    if (err instanceof CelBudgetError) {
      run.isOver = true;
      if (err.exceeded === 'total') return OUT_OF_BUDGET;
      return `'${err.message}': no further validation rules will be run due to call cost exceeds limit for rule: ${text}`;
    }
    if (!(err instanceof CelEvaluationError)) throw err;
    if (err.message.startsWith('no such overload')) {
      return `'${err.message}': call arguments did not match a supported operator, function or macro signature for rule: ${text}`;
    }
    return `${err.message} evaluating rule: ${text}`;
  }
}

/** What its author has to say about a broken rule. A messageExpression that fails gives way to the message. */
function detailOf({ rule, message }: RuleProgram, activation: Activation, run: Run): string {
  const plain = rule.message ? rule.message.trim() : `failed rule: ${rule.rule.trim()}`;
  if (message === undefined || run.isOver) return plain;
  try {
    const text = evaluate(message, activation, run.budget);
    if (typeof text !== 'string') return plain;
    const trimmed = text.trim();
    const isUsable =
      trimmed !== '' && !trimmed.includes('\n') && Buffer.byteLength(trimmed) <= MAX_EVALUATED_MESSAGE_BYTES;
    return isUsable ? trimmed : plain;
  } catch (err) {
    if (err instanceof CelBudgetError) {
      run.isOver = true;
      return 'messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run';
    }
    if (err instanceof CelEvaluationError) return plain;
    throw err;
  }
}

function errorFor(
  { reason }: ValidationRule,
  { path, shown, detail }: { readonly path: string; readonly shown: string; readonly detail: string },
): FieldError {
  switch (reason) {
    case 'FieldValueForbidden':
      return forbiddenField(path, detail);
    case 'FieldValueRequired':
      return required(path, detail);
    case 'FieldValueDuplicate':
      return duplicate(path, shown);
    default:
      return invalid(path, shown, detail);
  }
}
