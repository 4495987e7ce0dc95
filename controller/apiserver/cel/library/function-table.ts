import { parseSignature, type Signature } from '../types/signature.ts';
import type { CelValue } from '../values/value.ts';

/** What a function may ask besides its arguments. */
export interface EvaluationContext {
  /** The cost that a function adds beyond the fixed rules: none does by default. */
  charge(cost: number): void;
}

export type Implementation = (args: readonly CelValue[], context: EvaluationContext) => CelValue;

/** One way of calling a function. Member functions have their receiver as the first parameter. */
export interface Overload extends Signature {
  readonly name: string;
  readonly id: string;
  readonly isMember: boolean;
  readonly implementation: Implementation;
}

export type FunctionTable = ReadonlyMap<string, readonly Overload[]>;

type Declare = (name: string, id: string, signature: string, implementation: Implementation) => Overload;

const declare =
  (isMember: boolean): Declare =>
  (name, id, signature, implementation) => ({ name, id, isMember, implementation, ...parseSignature(signature) });

/** `receiver.name(args)`; the receiver is the signature's first parameter. */
export const member: Declare = declare(true);
/** `name(args)`; the name may have dots (`optional.of`). */
export const global: Declare = declare(false);

/** Functions by name. Overloads stay in the order in which they are tried at run time. */
export function functionTable(declarations: readonly Overload[]): FunctionTable {
  const table = new Map<string, Overload[]>();
  for (const overload of declarations) {
    const overloads = table.get(overload.name);
    if (overloads === undefined) table.set(overload.name, [overload]);
    else overloads.push(overload);
  }
  return table;
}
