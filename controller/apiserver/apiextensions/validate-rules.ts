import { type FieldError, forbiddenField, invalid } from '#api/object/field-error.ts';
import { estimateCost } from '../cel/cost/estimate-cost.ts';
import { MAX_REQUEST_SIZE_BYTES, STATIC_COST_LIMIT, STATIC_COST_LIMIT_CRD } from '../cel/limits.ts';
import { type SchemaType, schemaType } from '../cel/types/schema-type.ts';
import { additionalOf, isEmbedded, itemsOf, type JsonSchema } from './custom-resource-definition.ts';
import { schemaAtPath } from './field-path.ts';
import { compileRules, type RuleProgram } from './rule-program.ts';

/** So many of the dearest rules are named when all together are too dear. */
const MAX_NAMED = 4;

/**
 * Findings on the rules of a schema: what does not compile, what could cost too much, alone or together, and transition rules at places
 * whose former value cannot be told.
 */
export function ruleErrors(schema: JsonSchema, path: string): FieldError[] {
  const walk: Walk = { errors: [], costs: [] };
  visit(schema, { path, isResource: true, cardinality: 1, uncorrelatable: undefined }, walk);
  const total = walk.costs.reduce((sum, { cost }) => sum + cost, 0);
  if (total <= STATIC_COST_LIMIT_CRD) return walk.errors;
  const dearest = [...walk.costs].sort((a, b) => b.cost - a.cost).slice(0, MAX_NAMED);
  const contributed = 'contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema';
  const what = 'x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema';
  return [
    ...walk.errors,
    ...dearest.map((one) => forbiddenField(one.path, contributed)),
    forbiddenField(path, tooDear(what, total, STATIC_COST_LIMIT_CRD)),
  ];
}

interface Walk {
  readonly errors: FieldError[];
  readonly costs: { readonly path: string; readonly cost: number }[];
}

interface Place {
  readonly path: string;
  readonly isResource: boolean;
  /** How often the value can occur in an object; undefined where nothing limits that. */
  readonly cardinality: number | undefined;
  /** The place above whose parts have no former values. */
  readonly uncorrelatable: string | undefined;
}

function visit(schema: JsonSchema, place: Place, walk: Walk): void {
  const { path, cardinality, uncorrelatable } = place;
  const rules = schema['x-kubernetes-validations'] ?? [];
  if (rules.length > 0) judgeRules(schema, place, walk);
  const times = (limit: number | undefined) =>
    cardinality === undefined || limit === undefined ? undefined : cardinality * limit;
  const items = itemsOf(schema);
  if (items !== undefined) {
    const hasKeys = schema['x-kubernetes-list-type'] === 'map';
    visit(
      items,
      {
        path: `${path}.items`,
        isResource: isEmbedded(items),
        cardinality: times(schema.maxItems),
        uncorrelatable: uncorrelatable ?? (hasKeys ? undefined : path),
      },
      walk,
    );
  }
  const additional = additionalOf(schema);
  if (additional !== undefined) {
    const below = { path: `${path}.additionalProperties`, isResource: isEmbedded(additional), uncorrelatable };
    visit(additional, { ...below, cardinality: times(schema.maxProperties) }, walk);
  }
  const isAtomic = schema['x-kubernetes-map-type'] === 'atomic';
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const below = { path: `${path}.properties[${name}]`, isResource: isEmbedded(property), cardinality };
    visit(property, { ...below, uncorrelatable: uncorrelatable ?? (isAtomic ? path : undefined) }, walk);
  }
}

function judgeRules(schema: JsonSchema, { path, isResource, cardinality, uncorrelatable }: Place, walk: Walk): void {
  const type = schemaType(schema as Parameters<typeof schemaType>[0], isResource);
  const base = `${path}.x-kubernetes-validations`;
  if (type === undefined) {
    const preserves = schema['x-kubernetes-preserve-unknown-fields'] === true;
    const detail = `rule declared on schema that does not support validation rules type: '${schema.type ?? ''}' x-kubernetes-preserve-unknown-fields: '${preserves}'`;
    walk.errors.push({ type: 'InternalError', field: base, message: `Internal error: ${detail}` });
    return;
  }
  const often = cardinality ?? Math.floor(MAX_REQUEST_SIZE_BYTES / (type.minSize + 1));
  for (const [index, program] of compileRules(schema, type).entries()) {
    const at = `${base}[${index}]`;
    walk.errors.push(...programErrors(program, schema, at));
    walk.errors.push(...costErrors(program, { at, type, often }, walk));
    if (program.usesOldSelf && uncorrelatable !== undefined) {
      const detail = `oldSelf cannot be used on the uncorrelatable portion of the schema within ${uncorrelatable}`;
      walk.errors.push(invalid(`${at}.rule`, program.rule.rule, detail));
    }
    if (!program.usesOldSelf && program.program !== undefined && program.rule.optionalOldSelf !== undefined) {
      const detail = 'may not be set if oldSelf is not used in rule';
      walk.errors.push(invalid(`${at}.optionalOldSelf`, program.rule.optionalOldSelf, detail));
    }
  }
}

function programErrors(program: RuleProgram, schema: JsonSchema, at: string): FieldError[] {
  const { rule, problem, messageProblem } = program;
  const fieldPath = rule.fieldPath?.trim() ?? '';
  const isLost = fieldPath !== '' && 'problem' in schemaAtPath(fieldPath, schema);
  return [
    ...(isLost ? [invalid(`${at}.fieldPath`, rule.fieldPath, 'fieldPath must be a valid path')] : []),
    ...(problem === undefined ? [] : [invalid(`${at}.rule`, rule, problem)]),
    ...(messageProblem === undefined ? [] : [invalid(`${at}.messageExpression`, rule, messageProblem)]),
  ];
}

function costErrors(
  { program, message }: RuleProgram,
  { at, type, often }: { readonly at: string; readonly type: SchemaType; readonly often: number },
  walk: Walk,
): FieldError[] {
  const errors: FieldError[] = [];
  const sizes = { self: type, oldSelf: type };
  if (program !== undefined) {
    const cost = estimateCost(program, sizes).max * often;
    if (cost > STATIC_COST_LIMIT) {
      errors.push(forbiddenField(`${at}.rule`, tooDear('estimated rule cost', cost, STATIC_COST_LIMIT)));
    }
    walk.costs.push({ path: `${at}.rule`, cost });
  }
  if (message !== undefined) {
    const cost = estimateCost(message, sizes).max;
    if (cost > STATIC_COST_LIMIT) {
      const detail = tooDear('estimated messageExpression cost', cost, STATIC_COST_LIMIT);
      errors.push(forbiddenField(`${at}.messageExpression`, detail));
    }
    walk.costs.push({ path: `${at}.messageExpression`, cost });
  }
  return errors;
}

function tooDear(what: string, cost: number, limit: number): string {
  const times = cost / limit;
  const factor = times > 100 ? 'more than 100x' : times < 1.5 ? `${times.toFixed(6)}x` : `${times.toFixed(1)}x`;
  const advice =
    'try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared';
  return `${what} exceeds budget by factor of ${factor} (${advice})`;
}
