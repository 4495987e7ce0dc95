import type { CelUint } from '../values/scalars.ts';

export type ConstantValue = null | boolean | bigint | number | string | Uint8Array | CelUint;

interface Node {
  /** Unique within one expression; types and overloads are kept by it. */
  readonly id: number;
  /** UTF-16 offset into the source of the token that names the node: what an error points at. */
  readonly offset: number;
  /** Height of the tree below, itself included. */
  readonly depth: number;
}

export interface Constant extends Node {
  readonly kind: 'const';
  readonly value: ConstantValue;
}

export interface Identifier extends Node {
  readonly kind: 'ident';
  readonly name: string;
}

export interface Select extends Node {
  readonly kind: 'select';
  readonly operand: Expression;
  readonly field: string;
  /** `has(operand.field)`. */
  readonly testOnly: boolean;
}

/** Function calls and operators: the latter by CEL's internal names (`_+_`, `@in`). */
export interface Call extends Node {
  readonly kind: 'call';
  readonly target: Expression | undefined;
  readonly name: string;
  readonly args: readonly Expression[];
}

export interface ListLiteral extends Node {
  readonly kind: 'list';
  readonly elements: readonly Expression[];
  /** Positions written as `?element`: left out where the optional is empty. */
  readonly optional: ReadonlySet<number>;
}

export interface MapEntry {
  readonly key: Expression;
  readonly value: Expression;
  readonly optional: boolean;
}

export interface MapLiteral extends Node {
  readonly kind: 'map';
  readonly entries: readonly MapEntry[];
}

export interface StructField {
  readonly name: string;
  readonly offset: number;
  readonly value: Expression;
  readonly optional: boolean;
}

/** `Object.spec{replicas: 1}`. */
export interface StructLiteral extends Node {
  readonly kind: 'struct';
  readonly typeName: string;
  readonly fields: readonly StructField[];
}

/** What every macro over lists and maps becomes: a fold. */
export interface Comprehension extends Node {
  readonly kind: 'comprehension';
  readonly range: Expression;
  /** The element of a list, the key of a map; with `iterVar2` the index or key. */
  readonly iterVar: string;
  readonly iterVar2: string | undefined;
  readonly accuVar: string;
  readonly accuInit: Expression;
  readonly loopCondition: Expression;
  readonly loopStep: Expression;
  readonly result: Expression;
}

export type Expression =
  | Constant
  | Identifier
  | Select
  | Call
  | ListLiteral
  | MapLiteral
  | StructLiteral
  | Comprehension;

/** The name of a fold's accumulator; no source can spell it. */
export const ACCUMULATOR = '@result';
/** The function behind the macro `sortBy`; no source can spell it either. */
export const SORT_BY_KEYS = '@sortByAssociatedKeys';

/** `a.b.c` for a chain of plain selections, undefined for anything else. */
export function qualifiedName(expression: Expression): string | undefined {
  if (expression.kind === 'ident') return expression.name;
  if (expression.kind !== 'select' || expression.testOnly) return undefined;
  const operand = qualifiedName(expression.operand);
  return operand === undefined ? undefined : `${operand}.${expression.field}`;
}

/** The direct children, in the order of evaluation. */
export function childrenOf(expression: Expression): readonly Expression[] {
  switch (expression.kind) {
    case 'const':
    case 'ident':
      return [];
    case 'select':
      return [expression.operand];
    case 'call':
      return expression.target === undefined ? expression.args : [expression.target, ...expression.args];
    case 'list':
      return expression.elements;
    case 'map':
      return expression.entries.flatMap(({ key, value }) => [key, value]);
    case 'struct':
      return expression.fields.map(({ value }) => value);
    case 'comprehension': {
      const { range, accuInit, loopCondition, loopStep, result } = expression;
      return [range, accuInit, loopCondition, loopStep, result];
    }
  }
}
