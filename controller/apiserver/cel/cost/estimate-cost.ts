import type { CompiledExpression } from '../compile.ts';
import type { Overload } from '../library/function-table.ts';
import type { Call, Comprehension, Expression, ListLiteral, MapLiteral, Select } from '../syntax/expression.ts';
import type { CelType } from '../types/cel-type.ts';
import type { SchemaType } from '../types/schema-type.ts';
import { sizeOf } from '../values/compare.ts';
import { estimateCall, type SizedNode } from './call-estimate.ts';
import { add, type CostRange, exactly, multiply, NOTHING, UNBOUNDED, UNKNOWN_SIZE, union } from './cost-range.ts';

/** Schemas of the variables, whose limits bound the sizes. */
export type VariableSchemas = Readonly<Record<string, SchemaType | undefined>>;

/**
 * What an expression may cost at least and at most, before there is an object: cel-go's rules with Kubernetes' prices, since a rule
 * that Kubernetes accepts must be accepted here and the other way round.
 */
export function estimateCost({ expression, checked }: CompiledExpression, schemas: VariableSchemas): CostRange {
  return new CostEstimator(checked.types, checked.overloads, schemas).cost(expression);
}

/** Sizes of a container's keys and values. */
interface EntrySizes {
  readonly container: 'list' | 'map';
  readonly key: CostRange;
  readonly value: CostRange;
}

interface Local {
  readonly path: readonly string[] | undefined;
  readonly size: CostRange | undefined;
  readonly entries: EntrySizes | undefined;
}

const NAME_COST = exactly(1);
const LIST_COST = exactly(10);
const MAP_COST = exactly(30);
const STRUCT_COST = exactly(40);

class CostEstimator {
  readonly #types: ReadonlyMap<number, CelType>;
  readonly #overloads: ReadonlyMap<number, readonly Overload[]>;
  readonly #schemas: VariableSchemas;
  readonly #paths = new Map<number, readonly string[] | undefined>();
  readonly #sizes = new Map<number, CostRange>();
  readonly #entries = new Map<number, EntrySizes>();
  #locals: ReadonlyMap<string, Local> = new Map();

  constructor(
    types: ReadonlyMap<number, CelType>,
    overloads: ReadonlyMap<number, readonly Overload[]>,
    schemas: VariableSchemas,
  ) {
    this.#types = types;
    this.#overloads = overloads;
    this.#schemas = schemas;
  }

  cost(node: Expression): CostRange {
    switch (node.kind) {
      case 'const':
        return NOTHING;
      case 'ident': {
        const local = this.#locals.get(node.name);
        this.#paths.set(node.id, local === undefined ? [node.name] : local.path);
        return NAME_COST;
      }
      case 'select':
        return this.#costSelect(node);
      case 'call':
        return this.#costCall(node);
      case 'list':
        return this.#costList(node);
      case 'map':
        return this.#costMap(node);
      case 'struct':
        return add(...node.fields.map(({ value }) => this.cost(value)), STRUCT_COST);
      case 'comprehension':
        return this.#costComprehension(node);
    }
  }

  #typeOf(node: Expression): CelType | undefined {
    return this.#types.get(node.id);
  }

  #costSelect(node: Select): CostRange {
    const operand = this.cost(node.operand);
    // Presence tests are free, in Kubernetes' configuration.
    if (node.testOnly) return operand;
    const type = this.#typeOf(node.operand);
    const isPriced = type?.kind === 'map' || type?.kind === 'object' || type?.kind === 'param';
    const path = this.#paths.get(node.operand.id);
    this.#paths.set(node.id, path === undefined ? undefined : [...path, node.field]);
    return isPriced ? add(operand, NAME_COST) : operand;
  }

  #costList(node: ListLiteral): CostRange {
    const costs = node.elements.map((element) => this.cost(element));
    const value = unionOf(node.elements.map((element) => this.#sizeOrUnknown(element)));
    this.#entries.set(node.id, { container: 'list', key: exactly(1), value });
    return add(...costs, LIST_COST);
  }

  #costMap(node: MapLiteral): CostRange {
    const costs = node.entries.flatMap(({ key, value }) => [this.cost(key), this.cost(value)]);
    this.#entries.set(node.id, {
      container: 'map',
      key: unionOf(node.entries.map(({ key }) => this.#sizeOrUnknown(key))),
      value: unionOf(node.entries.map(({ value }) => this.#sizeOrUnknown(value))),
    });
    return add(...costs, MAP_COST);
  }

  #costCall(node: Call): CostRange {
    const argCosts = node.args.map((arg) => this.cost(arg));
    const args = add(...argCosts);
    if (node.name === 'dyn') {
      this.#copySizes(node, node.args[0] as Expression);
      return add(NAME_COST, args);
    }
    if (node.name === '_&&_' || node.name === '_||_') {
      return { min: (argCosts[0] as CostRange).min, max: args.max };
    }
    if (node.name === '_?_:_') return this.#costConditional(node, argCosts);
    if (node.name === '_?._') return add(args, NAME_COST);
    const overloads = this.#overloads.get(node.id) ?? [];
    const isMember = overloads[0]?.isMember === true;
    const target = isMember && node.target !== undefined ? this.cost(node.target) : NOTHING;
    const nodes = isMember && node.target !== undefined ? [node.target, ...node.args] : node.args;
    const sized = nodes.map((arg) => this.#sized(arg));
    let call: CostRange = { min: UNBOUNDED, max: 0 };
    let size: CostRange | undefined;
    for (const overload of overloads) {
      const estimate = estimateCall(overload, sized);
      call = union(call, estimate.cost);
      if (estimate.size !== undefined) size = size === undefined ? estimate.size : union(size, estimate.size);
      size = this.#trackContainers(node, overload.id) ?? size;
    }
    if (size !== undefined) this.#sizes.set(node.id, size);
    return add(target, args, overloads.length === 0 ? NOTHING : call);
  }

  /** Paths through indexes, sizes of what is in lists that are put together. */
  #trackContainers(node: Call, id: string): CostRange | undefined {
    const [left, right] = node.args;
    if (left === undefined) return undefined;
    if (id === 'index_list' || id === 'index_map') {
      const path = this.#paths.get(left.id);
      this.#paths.set(node.id, path === undefined ? undefined : [...path, id === 'index_list' ? '@items' : '@values']);
      return this.#entriesOf(left)?.value;
    }
    if (id === 'add_list' && right !== undefined) {
      const [a, b] = [this.#entriesOf(left), this.#entriesOf(right)];
      if (a !== undefined && b !== undefined) this.#entries.set(node.id, unionEntries(a, b));
    }
    return undefined;
  }

  #costConditional(node: Call, [condition, whenTrue, whenFalse]: readonly CostRange[]): CostRange {
    const [, yes, no] = node.args as [Expression, Expression, Expression];
    this.#sizes.set(node.id, union(this.#sizeOrUnknown(yes), this.#sizeOrUnknown(no)));
    const [a, b] = [this.#entriesOf(yes), this.#entriesOf(no)];
    if (a !== undefined && b !== undefined) this.#entries.set(node.id, unionEntries(a, b));
    return add(condition as CostRange, union(whenTrue as CostRange, whenFalse as CostRange));
  }

  #costComprehension(node: Comprehension): CostRange {
    const range = this.cost(node.range);
    const init = this.cost(node.accuInit);
    const outer = this.#locals;
    const isBinding = !node.accuVar.startsWith('@');
    const accu: Local = {
      path: isBinding ? this.#paths.get(node.accuInit.id) : undefined,
      size: this.#sizeOf(node.accuInit),
      entries: this.#entriesOf(node.accuInit),
    };
    const withAccu = new Map(outer).set(node.accuVar, accu);
    this.#locals = new Map([...withAccu, ...this.#iterationLocals(node)]);
    const loop = isBinding ? NOTHING : add(this.cost(node.loopCondition), this.cost(node.loopStep));
    const stepEntries = isBinding ? undefined : this.#entriesOf(node.loopStep);
    this.#locals = withAccu;
    const result = this.cost(node.result);
    const count = this.#sizeOrUnknown(node.range);
    if (isBinding) this.#copySizes(node, node.result);
    else if (node.accuInit.kind === 'list' || node.accuInit.kind === 'map') {
      this.#sizes.set(node.id, count);
      if (stepEntries !== undefined) this.#entries.set(node.id, stepEntries);
    }
    this.#locals = outer;
    return add(range, init, result, isBinding ? NOTHING : multiply(count, loop));
  }

  #iterationLocals({ range, iterVar, iterVar2 }: Comprehension): [string, Local][] {
    const entries = this.#entriesOf(range);
    const isList = (entries?.container ?? this.#typeOf(range)?.kind) === 'list';
    const path = this.#paths.get(range.id);
    const local = (part: string, size: CostRange | undefined): Local => ({
      path: path === undefined ? undefined : [...path, part],
      size,
      entries: undefined,
    });
    const value = local(isList ? '@items' : '@values', entries?.value);
    if (iterVar2 === undefined) return [[iterVar, isList ? value : local('@keys', entries?.key)]];
    return [
      [iterVar, local(isList ? '@indices' : '@keys', entries?.key)],
      [iterVar2, value],
    ];
  }

  #sized(node: Expression): SizedNode {
    const path = this.#paths.get(node.id);
    const type = this.#typeOf(node);
    return {
      size: this.#sizeOrUnknown(node),
      type,
      literal: node.kind === 'const' ? node.value : undefined,
      elementSize: type?.kind === 'list' ? (this.#schemaSize(path, '@items') ?? UNKNOWN_SIZE) : undefined,
    };
  }

  #copySizes(to: Expression, from: Expression): void {
    const size = this.#sizeOf(from);
    if (size !== undefined) this.#sizes.set(to.id, size);
    const entries = this.#entriesOf(from);
    if (entries !== undefined) this.#entries.set(to.id, entries);
  }

  #sizeOrUnknown(node: Expression): CostRange {
    return this.#sizeOf(node) ?? UNKNOWN_SIZE;
  }

  #sizeOf(node: Expression): CostRange | undefined {
    const known = this.#sizes.get(node.id);
    if (known !== undefined) return known;
    if (node.kind === 'const') return exactly(sizeOf(node.value));
    if (node.kind === 'list') return exactly(node.elements.length);
    if (node.kind === 'map') return exactly(node.entries.length);
    const bySchema = this.#schemaSize(this.#paths.get(node.id));
    if (bySchema !== undefined) return bySchema;
    if (isScalar(this.#typeOf(node))) return exactly(1);
    return node.kind === 'ident' ? this.#locals.get(node.name)?.size : undefined;
  }

  #entriesOf(node: Expression): EntrySizes | undefined {
    return this.#entries.get(node.id) ?? (node.kind === 'ident' ? this.#locals.get(node.name)?.entries : undefined);
  }

  #schemaSize(path: readonly string[] | undefined, more?: string): CostRange | undefined {
    if (path === undefined || path.length === 0) return undefined;
    const [root, ...rest] = more === undefined ? path : [...path, more];
    // Names of types have no schema: Kubernetes takes that of `self` for every name, and what it accepts depends on that.
    let schema = this.#schemas[root as string] ?? this.#schemas.self;
    for (const part of rest) {
      if (schema === undefined) return undefined;
      if (part === '@items' || part === '@values') schema = schema.element;
      // Keys are strings without a limit of their own: Kubernetes counts them as 0.
      else if (part === '@keys') return schema.element === undefined ? undefined : exactly(0);
      else schema = schema.fields?.get(part);
    }
    return schema === undefined ? undefined : { min: 0, max: schema.maxElements };
  }
}

function unionOf(sizes: readonly CostRange[]): CostRange {
  return sizes.length === 0 ? NOTHING : sizes.reduce(union);
}

const unionEntries = (a: EntrySizes, b: EntrySizes): EntrySizes => ({
  container: a.container,
  key: union(a.key, b.key),
  value: union(a.value, b.value),
});

const SCALARS: ReadonlySet<string> = new Set(['bool', 'double', 'duration', 'int', 'timestamp', 'uint']);

function isScalar(type: CelType | undefined): boolean {
  if (type?.kind === 'optional') return isScalar(type.value);
  return type?.kind === 'simple' && SCALARS.has(type.name);
}
