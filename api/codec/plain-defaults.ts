import { deepCopy } from '../object/deep-copy.ts';
import type { JsonObject } from '../object/json.ts';
import { isJsonObject } from '../object/json.ts';
import type { KubeObject } from '../object/kube-object.ts';
import { setOwn } from '../object/own-property.ts';
import type { FieldDef, TypeDef } from '../schema/type-table.ts';

/** Fields of one type that have a default, or that lead to a type which has. */
interface DefaultPlan {
  readonly defaulted: readonly FieldDef[];
  readonly nested: readonly FieldDef[];
}

/** Null: neither the type nor anything below it has a default. */
const plans = new WeakMap<TypeDef, DefaultPlan | null>();

/** Fills in the unconditional defaults of the type table, in place. Conditional ones are the strategy's. */
export function applyPlainDefaults(object: KubeObject, type: TypeDef): void {
  applyPlan(object, planOf(type));
}

function applyPlan(object: JsonObject, plan: DefaultPlan | null): void {
  if (plan === null) return;
  for (const field of plan.defaulted) {
    const value = object[field.name];
    const isUnset = value === undefined || value === null || (field.omit === 'zero' && (value === '' || value === 0));
    if (isUnset) setOwn(object, field.name, deepCopy(field.default));
  }
  for (const field of plan.nested) {
    const value = object[field.name];
    if (value === undefined || value === null) continue;
    const below = planOf(field.type!);
    if (field.cardinality === 'one') {
      if (isJsonObject(value)) applyPlan(value, below);
    } else {
      for (const item of Object.values(value)) if (isJsonObject(item)) applyPlan(item, below);
    }
  }
}

function planOf(type: TypeDef): DefaultPlan | null {
  const known = plans.get(type);
  if (known !== undefined) return known;
  const plan = hasDefaults(type, new Set()) ? buildPlan(type) : null;
  plans.set(type, plan);
  return plan;
}

function buildPlan(type: TypeDef): DefaultPlan {
  const fields = [...type.fields.values()];
  return {
    defaulted: fields.filter((field) => field.default !== undefined),
    nested: fields.filter((field) => field.kind === 'message' && hasDefaults(field.type!, new Set())),
  };
}

function hasDefaults(type: TypeDef, visited: Set<TypeDef>): boolean {
  if (visited.has(type)) return false;
  visited.add(type);
  for (const field of type.fields.values()) {
    if (field.default !== undefined) return true;
    if (field.kind === 'message' && hasDefaults(field.type!, visited)) return true;
  }
  return false;
}
