import { type CompiledExpression, compileExpression } from '../cel/compile.ts';
import { createEnvironment } from '../cel/environment.ts';
import { BOOL, type CelType, formatType, optionalOf, STRING } from '../cel/types/cel-type.ts';
import { type SchemaType, schemaType } from '../cel/types/schema-type.ts';
import {
  additionalOf,
  isEmbedded,
  itemsOf,
  type JsonSchema,
  type ValidationRule,
} from './custom-resource-definition.ts';

/** A rule of a schema, compiled; or why it is none. */
export interface RuleProgram {
  readonly rule: ValidationRule;
  readonly program: CompiledExpression | undefined;
  /** What is wrong with the rule itself. */
  readonly problem: string | undefined;
  readonly message: CompiledExpression | undefined;
  readonly messageProblem: string | undefined;
  /** It compares with the former value. */
  readonly usesOldSelf: boolean;
}

/** The rules at one place of a schema and below it; places without any are left out. */
export interface RuleNode {
  readonly schema: JsonSchema;
  readonly type: SchemaType;
  readonly rules: readonly RuleProgram[];
  readonly items: RuleNode | undefined;
  readonly additional: RuleNode | undefined;
  readonly properties: ReadonlyMap<string, RuleNode>;
}

/** Compiles all rules of a schema; undefined where it has none. Parts that expressions cannot see have none that count. */
export function compileRuleTree(schema: JsonSchema, isResource = true): RuleNode | undefined {
  if (!hasRules(schema)) return undefined;
  const type = schemaType(schema as Parameters<typeof schemaType>[0], isResource);
  if (type === undefined) return undefined;
  const below = (part: JsonSchema | undefined) =>
    part === undefined ? undefined : compileRuleTree(part, isEmbedded(part));
  const properties = new Map<string, RuleNode>();
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const node = below(property);
    if (node !== undefined) properties.set(name, node);
  }
  return {
    schema,
    type,
    rules: compileRules(schema, type),
    items: below(itemsOf(schema)),
    additional: below(additionalOf(schema)),
    properties,
  };
}

/** True where the schema has a rule anywhere. */
export function hasRules(schema: JsonSchema | undefined): boolean {
  if (schema === undefined) return false;
  return (
    (schema['x-kubernetes-validations'] ?? []).length > 0 ||
    hasRules(itemsOf(schema)) ||
    hasRules(additionalOf(schema)) ||
    Object.values(schema.properties ?? {}).some(hasRules)
  );
}

/** The rules of one place, compiled for values of its type. */
export function compileRules(schema: JsonSchema, { type }: SchemaType): RuleProgram[] {
  return (schema['x-kubernetes-validations'] ?? []).map((rule) => compileRule(rule, type));
}

interface Compiled {
  readonly program?: CompiledExpression;
  readonly problem?: string;
}

function compileRule(rule: ValidationRule, type: CelType): RuleProgram {
  const oldSelf = rule.optionalOldSelf === true ? optionalOf(type) : type;
  const environment = createEnvironment({ variables: { self: type, oldSelf } });
  const compile = (source: string, wanted: CelType, subject: string): Compiled => {
    const compiled = compileExpression(source, environment);
    if (!compiled.ok) return { problem: `${subject}compilation failed: ${compiled.message}` };
    if (formatType(compiled.expression.resultType) === formatType(wanted)) return { program: compiled.expression };
    return {
      problem: wanted === BOOL ? 'cel expression must evaluate to a bool' : `${subject}must evaluate to a string`,
    };
  };
  const main: Compiled = (rule.rule ?? '').trim() === '' ? {} : compile(rule.rule, BOOL, '');
  const text = rule.messageExpression?.trim() ?? '';
  const message: Compiled = text === '' ? {} : compile(text, STRING, 'messageExpression ');
  return {
    rule,
    program: main.program,
    problem: main.problem,
    message: message.program,
    messageProblem: message.problem,
    usesOldSelf: main.program?.variables.has('oldSelf') === true,
  };
}
