import { MAX_EXPRESSION_DEPTH } from '../limits.ts';
import {
  ACCUMULATOR,
  type Call,
  type Comprehension,
  type Constant,
  type ConstantValue,
  childrenOf,
  type Expression,
  type Identifier,
  type ListLiteral,
  type MapLiteral,
  type Select,
  type StructLiteral,
} from './expression.ts';
import { SourceError } from './source-issue.ts';

type Facts<T extends Expression> = Omit<T, 'id' | 'depth' | 'kind'>;

/** Makes the nodes of one expression: numbers them and keeps the tree shallow enough for recursion. */
export class NodeFactory {
  #nextId = 1;

  #node<T extends Expression>(facts: Omit<T, 'id' | 'depth'>): T {
    const draft = { ...facts, id: this.#nextId++, depth: 1 } as unknown as T;
    let depth = 0;
    for (const child of childrenOf(draft)) if (child.depth > depth) depth = child.depth;
    if (depth + 1 > MAX_EXPRESSION_DEPTH) {
      throw new SourceError(`expression recursion limit exceeded: ${MAX_EXPRESSION_DEPTH}`, draft.offset);
    }
    return { ...draft, depth: depth + 1 };
  }

  constant(offset: number, value: ConstantValue): Constant {
    return this.#node<Constant>({ kind: 'const', offset, value });
  }

  ident(offset: number, name: string): Identifier {
    return this.#node<Identifier>({ kind: 'ident', offset, name });
  }

  accumulator(offset: number): Identifier {
    return this.ident(offset, ACCUMULATOR);
  }

  select(facts: Facts<Select>): Select {
    return this.#node<Select>({ kind: 'select', ...facts });
  }

  call(offset: number, name: string, args: readonly Expression[]): Call {
    return this.#node<Call>({ kind: 'call', offset, name, args, target: undefined });
  }

  memberCall(facts: Facts<Call>): Call {
    return this.#node<Call>({ kind: 'call', ...facts });
  }

  list(offset: number, elements: readonly Expression[], optional: ReadonlySet<number> = new Set()): ListLiteral {
    return this.#node<ListLiteral>({ kind: 'list', offset, elements, optional });
  }

  map(facts: Facts<MapLiteral>): MapLiteral {
    return this.#node<MapLiteral>({ kind: 'map', ...facts });
  }

  struct(facts: Facts<StructLiteral>): StructLiteral {
    return this.#node<StructLiteral>({ kind: 'struct', ...facts });
  }

  comprehension(facts: Facts<Comprehension>): Comprehension {
    return this.#node<Comprehension>({ kind: 'comprehension', ...facts });
  }
}
