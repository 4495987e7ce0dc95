import { MAX_EXPRESSION_DEPTH, MAX_EXPRESSION_LENGTH } from '../limits.ts';
import { MAX_INT, MIN_INT } from '../values/scalars.ts';
import { type Expression, type MapEntry, qualifiedName, type StructField } from './expression.ts';
import { expandMacro } from './macros.ts';
import { NodeFactory } from './node-factory.ts';
import { SourceError } from './source-issue.ts';
import { type Token, tokenize } from './tokens.ts';

/** Words that cannot name a variable; after a dot they name fields. */
const RESERVED: ReadonlySet<string> = new Set(
  'as break const continue else for function if import let loop package namespace return var void while'.split(' '),
);
const LITERALS = new Map<string, null | boolean>([
  ['true', true],
  ['false', false],
  ['null', null],
]);
const RELATIONS: ReadonlySet<string> = new Set(['==', '!=', '<', '<=', '>', '>=']);
const SUMS: ReadonlySet<string> = new Set(['+', '-']);
const PRODUCTS: ReadonlySet<string> = new Set(['*', '/', '%']);

/** The tree of one expression, macros expanded. Throws SourceError for the first thing that is wrong. */
export function parseExpression(source: string): Expression {
  if (source.length > MAX_EXPRESSION_LENGTH) {
    const size = Array.from(source).length;
    const message = `expression code point size exceeds limit: size: ${size}, limit ${MAX_EXPRESSION_LENGTH}`;
    if (size > MAX_EXPRESSION_LENGTH) throw new SourceError(message, 0);
  }
  return new Parser(tokenize(source)).parse();
}

class Parser {
  readonly #tokens: readonly Token[];
  readonly #make = new NodeFactory();
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  parse(): Expression {
    const expression = this.#ternary();
    const token = this.#peek();
    if (token.kind !== 'end') throw this.#unexpected(token, '<EOF>');
    return expression;
  }

  #peek(): Token {
    return this.#tokens[this.#at] as Token;
  }

  #next(): Token {
    return this.#tokens[this.#at++] as Token;
  }

  #isMark(text: string): boolean {
    const token = this.#peek();
    return token.kind === 'punctuation' && token.text === text;
  }

  #take(text: string): Token | undefined {
    return this.#isMark(text) ? this.#next() : undefined;
  }

  #expect(text: string): Token {
    const token = this.#take(text);
    if (token === undefined) throw this.#unexpected(this.#peek(), `'${text}'`);
    return token;
  }

  #unexpected(token: Token, expected?: string): SourceError {
    const what = token.kind === 'end' ? '<EOF>' : token.text;
    const tail = expected === undefined ? '' : ` expecting ${expected}`;
    return new SourceError(`Syntax error: mismatched input '${what}'${tail}`, token.offset);
  }

  #ternary(): Expression {
    if (++this.#depth > MAX_EXPRESSION_DEPTH) {
      throw new SourceError(`expression recursion limit exceeded: ${MAX_EXPRESSION_DEPTH}`, this.#peek().offset);
    }
    let expression = this.#logical('||', '_||_', () => this.#logical('&&', '_&&_', () => this.#relation()));
    const mark = this.#take('?');
    if (mark !== undefined) {
      const whenTrue = this.#logical('||', '_||_', () => this.#logical('&&', '_&&_', () => this.#relation()));
      this.#expect(':');
      expression = this.#make.call(mark.offset, '_?_:_', [expression, whenTrue, this.#ternary()]);
    }
    this.#depth--;
    return expression;
  }

  /** Long chains become a balanced tree: the operators are associative, and the tree stays shallow. */
  #logical(mark: string, name: string, operand: () => Expression): Expression {
    const terms = [operand()];
    const offsets: number[] = [];
    for (let token = this.#take(mark); token !== undefined; token = this.#take(mark)) {
      offsets.push(token.offset);
      terms.push(operand());
    }
    const balance = (from: number, to: number): Expression => {
      if (from === to) return terms[from] as Expression;
      const middle = Math.floor((from + to) / 2);
      const args = [balance(from, middle), balance(middle + 1, to)];
      return this.#make.call(offsets[middle] as number, name, args);
    };
    return balance(0, terms.length - 1);
  }

  #relation(): Expression {
    let left = this.#chain(SUMS, () => this.#chain(PRODUCTS, () => this.#unary()));
    for (;;) {
      const token = this.#peek();
      const isIn = token.kind === 'ident' && token.text === 'in';
      if (!isIn && !(token.kind === 'punctuation' && RELATIONS.has(token.text))) return left;
      this.#next();
      const right = this.#chain(SUMS, () => this.#chain(PRODUCTS, () => this.#unary()));
      left = this.#make.call(token.offset, isIn ? '@in' : `_${token.text}_`, [left, right]);
    }
  }

  #chain(marks: ReadonlySet<string>, operand: () => Expression): Expression {
    let left = operand();
    for (;;) {
      const token = this.#peek();
      if (token.kind !== 'punctuation' || !marks.has(token.text)) return left;
      this.#next();
      left = this.#make.call(token.offset, `_${token.text}_`, [left, operand()]);
    }
  }

  /** An even number of signs is none. */
  #unary(): Expression {
    const mark = this.#isMark('!') ? '!' : this.#isMark('-') ? '-' : undefined;
    if (mark === undefined) return this.#member();
    const { offset } = this.#peek();
    let count = 0;
    while (this.#take(mark) !== undefined) count++;
    const token = this.#peek();
    if (mark === '-' && count % 2 === 1 && (token.kind === 'number' || typeof token.value === 'number')) {
      return this.#postfix(this.#negativeNumber());
    }
    const operand = this.#member();
    return count % 2 === 0 ? operand : this.#make.call(offset, mark === '!' ? '!_' : '-_', [operand]);
  }

  /** The sign belongs to the literal: the smallest integer can only be written with it. */
  #negativeNumber(): Expression {
    const token = this.#peek();
    if (token.kind === 'number') return this.#number(-1n);
    this.#next();
    return this.#make.constant(token.offset, -(token.value as number));
  }

  #number(sign: 1n | -1n): Expression {
    const { digits, offset } = this.#next();
    const value = sign * (digits as bigint);
    if (value > MAX_INT || value < MIN_INT) throw new SourceError('invalid int literal', offset);
    return this.#make.constant(offset, value);
  }

  #member(): Expression {
    return this.#postfix(this.#primary());
  }

  #postfix(start: Expression): Expression {
    let operand = start;
    for (;;) {
      const token = this.#peek();
      if (this.#take('.') !== undefined) operand = this.#access(operand, token);
      else if (this.#take('[') !== undefined) {
        const isOptional = this.#take('?') !== undefined;
        const index = this.#ternary();
        this.#expect(']');
        operand = this.#make.call(token.offset, isOptional ? '_[?_]' : '_[_]', [operand, index]);
      } else if (this.#isMark('{')) {
        const typeName = qualifiedName(operand);
        if (typeName === undefined) return operand;
        operand = this.#struct(typeName, operand.offset);
      } else return operand;
    }
  }

  #access(operand: Expression, dot: Token): Expression {
    const isOptional = this.#take('?') !== undefined;
    const token = this.#next();
    if (token.kind !== 'ident' || LITERALS.has(token.text) || token.text === 'in') {
      throw this.#unexpected(token, 'IDENTIFIER');
    }
    if (isOptional) {
      const field = this.#make.constant(token.offset, token.text);
      return this.#make.call(dot.offset, '_?._', [operand, field]);
    }
    const paren = this.#take('(');
    if (paren === undefined) {
      return this.#make.select({ offset: dot.offset, operand, field: token.text, testOnly: false });
    }
    const args = this.#arguments(')').expressions;
    const call = { offset: paren.offset, target: operand, name: token.text, args };
    return expandMacro(this.#make, call) ?? this.#make.memberCall(call);
  }

  /** Up to and with the closing mark; a comma may stand before it. */
  #arguments(close: string): { readonly expressions: Expression[]; readonly optional: Set<number> } {
    const expressions: Expression[] = [];
    const optional = new Set<number>();
    while (this.#take(close) === undefined) {
      if (close === ']' && this.#take('?') !== undefined) optional.add(expressions.length);
      expressions.push(this.#ternary());
      if (this.#take(',') === undefined && !this.#isMark(close)) throw this.#unexpected(this.#peek(), `'${close}'`);
      if (close === ')' && this.#isMark(')') && this.#tokens[this.#at - 1]?.text === ',') {
        throw this.#unexpected(this.#peek());
      }
    }
    return { expressions, optional };
  }

  #primary(): Expression {
    const token = this.#peek();
    if (token.kind === 'number') return this.#number(1n);
    if (token.kind === 'ident') return this.#identifier();
    this.#next();
    if (token.kind === 'literal') return this.#make.constant(token.offset, token.value ?? null);
    if (token.kind === 'end') throw this.#unexpected(token);
    switch (token.text) {
      case '(': {
        const expression = this.#ternary();
        this.#expect(')');
        return expression;
      }
      case '[': {
        const { expressions, optional } = this.#arguments(']');
        return this.#make.list(token.offset, expressions, optional);
      }
      case '{':
        return this.#map(token.offset);
      case '.':
        // A leading dot asks for the root scope, and there is no other here.
        return this.#identifier();
      default:
        throw this.#unexpected(token);
    }
  }

  #identifier(): Expression {
    const token = this.#next();
    if (token.kind !== 'ident' || token.text === 'in') throw this.#unexpected(token);
    const literal = LITERALS.get(token.text);
    if (literal !== undefined) return this.#make.constant(token.offset, literal);
    if (RESERVED.has(token.text)) throw new SourceError(`reserved identifier: ${token.text}`, token.offset);
    const paren = this.#take('(');
    if (paren === undefined) return this.#make.ident(token.offset, token.text);
    const args = this.#arguments(')').expressions;
    const call = { offset: paren.offset, target: undefined, name: token.text, args };
    return expandMacro(this.#make, call) ?? this.#make.call(paren.offset, token.text, args);
  }

  #map(offset: number): Expression {
    const entries: MapEntry[] = [];
    while (this.#take('}') === undefined) {
      const optional = this.#take('?') !== undefined;
      const key = this.#ternary();
      this.#expect(':');
      entries.push({ key, value: this.#ternary(), optional });
      if (this.#take(',') === undefined && !this.#isMark('}')) throw this.#unexpected(this.#peek(), "'}'");
    }
    return this.#make.map({ offset, entries });
  }

  #struct(typeName: string, offset: number): Expression {
    this.#expect('{');
    const fields: StructField[] = [];
    while (this.#take('}') === undefined) {
      const optional = this.#take('?') !== undefined;
      const token = this.#next();
      if (token.kind !== 'ident') throw this.#unexpected(token, 'IDENTIFIER');
      const colon = this.#expect(':');
      fields.push({ name: token.text, offset: colon.offset, value: this.#ternary(), optional });
      if (this.#take(',') === undefined && !this.#isMark('}')) throw this.#unexpected(this.#peek(), "'}'");
    }
    return this.#make.struct({ offset, typeName, fields });
  }
}
