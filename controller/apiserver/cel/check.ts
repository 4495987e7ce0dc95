import type { CelEnvironment } from './environment.ts';
import type { Overload } from './library/function-table.ts';
import {
  type Call,
  type Comprehension,
  type Expression,
  type Identifier,
  type ListLiteral,
  type MapLiteral,
  qualifiedName,
  type Select,
  type StructLiteral,
} from './syntax/expression.ts';
import type { SourceIssue } from './syntax/source-issue.ts';
import { assign, assignAll, Substitution, substitute } from './types/assignable.ts';
import {
  BOOL,
  BYTES,
  type CelType,
  DOUBLE,
  DYN,
  formatType,
  INT,
  isDyn,
  listOf,
  mapOf,
  NULL,
  optionalOf,
  param,
  STRING,
  typeOf,
  UINT,
} from './types/cel-type.ts';
import { CelUint } from './values/scalars.ts';

/** What a name turned out to be. */
export type Reference =
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'type'; readonly type: CelType };

/** What the checker found, by node id. */
export interface CheckedTypes {
  readonly types: ReadonlyMap<number, CelType>;
  /** Candidates at run time, in the order to try them. */
  readonly overloads: ReadonlyMap<number, readonly Overload[]>;
  /** For identifiers, and for selections that are dotted names. */
  readonly references: ReadonlyMap<number, Reference>;
  readonly issues: readonly SourceIssue[];
}

/** Finds the type of every node, as far as it is known before an object is. */
export function checkExpression(expression: Expression, environment: CelEnvironment): CheckedTypes {
  const checker = new Checker(environment);
  checker.check(expression);
  return checker.finish();
}

/** After a mistake that was reported: fits everywhere, so that nothing else is reported for it. */
const UNKNOWN = DYN;

class Checker {
  readonly #environment: CelEnvironment;
  readonly #types = new Map<number, CelType>();
  readonly #overloads = new Map<number, readonly Overload[]>();
  readonly #references = new Map<number, Reference>();
  readonly #issues: SourceIssue[] = [];
  #locals: ReadonlyMap<string, CelType> = new Map();
  readonly #substitution = new Substitution();
  /** Above 0 inside of `format` calls: there literals may hold values of different types. */
  #mixedDepth = 0;
  #fresh = 0;

  constructor(environment: CelEnvironment) {
    this.#environment = environment;
  }

  finish(): CheckedTypes {
    const types = new Map<number, CelType>();
    for (const [id, type] of this.#types) types.set(id, substitute(this.#substitution, type, true));
    return { types, overloads: this.#overloads, references: this.#references, issues: this.#issues };
  }

  check(expression: Expression): CelType {
    const type = this.#checkNode(expression);
    this.#types.set(expression.id, type);
    return type;
  }

  #checkNode(node: Expression): CelType {
    switch (node.kind) {
      case 'const':
        return constantType(node.value);
      case 'ident':
        return this.#checkIdent(node);
      case 'select':
        return this.#checkSelect(node);
      case 'call':
        return this.#checkCall(node);
      case 'list':
        return this.#checkList(node);
      case 'map':
        return this.#checkMap(node);
      case 'struct':
        return this.#checkStruct(node);
      case 'comprehension':
        return this.#checkComprehension(node);
    }
  }

  #report(offset: number, message: string): CelType {
    this.#issues.push({ offset, message });
    return UNKNOWN;
  }

  #freshType(): CelType {
    return param(`#${this.#fresh++}`);
  }

  #known(type: CelType): CelType {
    return substitute(this.#substitution, type, false);
  }

  #show(type: CelType): string {
    return formatType(substitute(this.#substitution, type, true));
  }

  #assign(from: CelType, to: CelType): boolean {
    return assign(this.#substitution, from, to);
  }

  #lookup(id: number, name: string): CelType | undefined {
    const variable = this.#locals.get(name) ?? this.#environment.variables.get(name);
    if (variable !== undefined) {
      this.#references.set(id, { kind: 'variable', name });
      return variable;
    }
    const type = this.#environment.typeNames.get(name);
    if (type === undefined) return undefined;
    this.#references.set(id, { kind: 'type', type });
    return typeOf(type);
  }

  #checkIdent({ id, name, offset }: Identifier): CelType {
    return this.#lookup(id, name) ?? this.#report(offset, `undeclared reference to '${name}' (in container '')`);
  }

  /** The dotted name when it may mean a declaration, undefined when it starts at a variable of a fold. */
  #globalName(node: Expression): string | undefined {
    const name = qualifiedName(node);
    if (name === undefined) return undefined;
    return this.#locals.has(name.split('.', 1)[0] as string) ? undefined : name;
  }

  #checkSelect(node: Select): CelType {
    const name = node.testOnly ? undefined : this.#globalName(node);
    if (name !== undefined) {
      const found = this.#lookup(node.id, name);
      if (found !== undefined) return found;
    }
    const operand = this.#known(this.check(node.operand));
    const type = this.#fieldType(operand, node.field, node.offset);
    return node.testOnly ? BOOL : type;
  }

  /** A field of what is in an optional is optional itself. */
  #fieldType(operand: CelType, field: string, offset: number): CelType {
    switch (operand.kind) {
      case 'optional': {
        const inner = this.#known(this.#fieldType(this.#known(operand.value), field, offset));
        return inner.kind === 'optional' ? inner : optionalOf(inner);
      }
      case 'map':
        return operand.value;
      case 'object':
        return operand.field(field) ?? this.#report(offset, `undefined field '${field}'`);
      case 'param':
        this.#assign(DYN, operand);
        return DYN;
      default:
        if (isDyn(operand)) return DYN;
        return this.#report(offset, `type '${this.#show(operand)}' does not support field selection`);
    }
  }

  #checkCall(node: Call): CelType {
    if (node.name === '_?._') return this.#checkOptionalSelect(node);
    const qualified = node.target === undefined ? node.name : this.#qualifiedFunction(node.target, node.name);
    if (qualified !== undefined) {
      const overloads = this.#environment.functions.get(qualified)?.filter(({ isMember }) => !isMember);
      if (overloads === undefined || overloads.length === 0) {
        for (const arg of node.args) this.check(arg);
        return this.#report(node.offset, `undeclared reference to '${qualified}' (in container '')`);
      }
      return this.#resolve(node, qualified, { overloads, args: node.args.map((arg) => this.check(arg)) });
    }
    const target = node.target as Expression;
    if (node.name === 'format') this.#mixedDepth++;
    const types = [this.check(target), ...node.args.map((arg) => this.check(arg))];
    if (node.name === 'format') this.#mixedDepth--;
    const overloads = this.#environment.functions.get(node.name);
    if (overloads === undefined) {
      return this.#report(node.offset, `undeclared reference to '${node.name}' (in container '')`);
    }
    return this.#resolve(node, node.name, { overloads: overloads.filter(({ isMember }) => isMember), args: types });
  }

  /** `sets.contains(...)` is written like a member function. */
  #qualifiedFunction(target: Expression, name: string): string | undefined {
    const prefix = this.#globalName(target);
    const qualified = prefix === undefined ? undefined : `${prefix}.${name}`;
    return qualified !== undefined && this.#environment.functions.has(qualified) ? qualified : undefined;
  }

  #checkOptionalSelect(node: Call): CelType {
    const [operand, field] = node.args as [Expression, Expression];
    const operandType = this.#known(this.check(operand));
    this.check(field);
    const name = field.kind === 'const' ? (field.value as string) : '';
    const type = this.#known(this.#fieldType(operandType, name, node.offset));
    return type.kind === 'optional' ? type : optionalOf(type);
  }

  #resolve(
    node: Call,
    name: string,
    { overloads, args }: { readonly overloads: readonly Overload[]; readonly args: readonly CelType[] },
  ): CelType {
    const matching: Overload[] = [];
    let result: CelType | undefined;
    for (const overload of overloads) {
      if (overload.params.length !== args.length) continue;
      const fresh = this.#instantiate(overload);
      if (!assignAll(this.#substitution, args, fresh.params)) continue;
      matching.push(overload);
      const type = this.#known(fresh.result);
      if (result === undefined) result = type;
      else if (formatType(this.#known(result)) !== formatType(type)) result = DYN;
    }
    this.#overloads.set(node.id, matching);
    return result ?? this.#report(node.offset, this.#noOverload(node, name, args));
  }

  #noOverload(node: Call, name: string, args: readonly CelType[]): string {
    const texts = args.map((type) => this.#show(type));
    const isMember = node.target !== undefined && args.length > node.args.length;
    const shown = isMember ? `${texts[0]}.(${texts.slice(1).join(', ')})` : `(${texts.join(', ')})`;
    return `found no matching overload for '${name}' applied to '${shown}'`;
  }

  #instantiate({ params, result }: Overload): { readonly params: readonly CelType[]; readonly result: CelType } {
    const variables = new Map<string, CelType>();
    const rename = (type: CelType): CelType => {
      switch (type.kind) {
        case 'param': {
          const known = variables.get(type.name) ?? this.#freshType();
          variables.set(type.name, known);
          return known;
        }
        case 'list':
          return listOf(rename(type.element));
        case 'map':
          return mapOf(rename(type.key), rename(type.value));
        case 'optional':
          return optionalOf(rename(type.value));
        case 'type':
          return typeOf(rename(type.of));
        default:
          return type;
      }
    };
    return { params: params.map(rename), result: rename(result) };
  }

  /** The common type of a literal's parts; Kubernetes wants all of one type. */
  #join(offset: number, joined: CelType | undefined, type: CelType): CelType {
    if (joined === undefined) return type;
    if (!this.#assign(type, joined) && !this.#assign(joined, type)) {
      if (this.#mixedDepth > 0) return DYN;
      this.#report(offset, `expected type '${this.#show(joined)}' but found '${this.#show(type)}'`);
      return joined;
    }
    return isDyn(this.#known(type)) ? DYN : joined;
  }

  #unwrapOptional(type: CelType, isOptional: boolean, offset: number): CelType {
    if (!isOptional) return type;
    const known = this.#known(type);
    if (known.kind === 'optional') return known.value;
    if (isDyn(known)) return DYN;
    return this.#report(offset, `expected type 'optional_type' but found '${this.#show(known)}'`);
  }

  #checkList({ elements, optional }: ListLiteral): CelType {
    let joined: CelType | undefined;
    for (const [index, element] of elements.entries()) {
      const type = this.#unwrapOptional(this.check(element), optional.has(index), element.offset);
      joined = this.#join(element.offset, joined, type);
    }
    return listOf(joined ?? this.#freshType());
  }

  #checkMap({ entries }: MapLiteral): CelType {
    let keys: CelType | undefined;
    let values: CelType | undefined;
    for (const { key, value, optional } of entries) {
      keys = this.#join(key.offset, keys, this.check(key));
      values = this.#join(value.offset, values, this.#unwrapOptional(this.check(value), optional, value.offset));
    }
    return mapOf(keys ?? this.#freshType(), values ?? this.#freshType());
  }

  #checkStruct({ typeName, fields, offset }: StructLiteral): CelType {
    const type = this.#environment.structType(typeName);
    if (type === undefined) {
      for (const { value } of fields) this.check(value);
      return this.#report(offset, `undeclared reference to '${typeName}' (in container '')`);
    }
    for (const field of fields) {
      const value = this.#unwrapOptional(this.check(field.value), field.optional, field.offset);
      const wanted = type.field(field.name);
      if (wanted === undefined) this.#report(field.offset, `undefined field '${field.name}'`);
      else if (!this.#assign(value, wanted)) {
        const message = `expected type of field '${field.name}' is '${this.#show(wanted)}' but provided type is '${this.#show(value)}'`;
        this.#report(field.offset, message);
      }
    }
    return type;
  }

  #checkComprehension(node: Comprehension): CelType {
    const range = this.#known(this.check(node.range));
    const accuType = this.check(node.accuInit);
    const outer = this.#locals;
    const withAccu = new Map(outer).set(node.accuVar, accuType);
    this.#locals = new Map([...withAccu, ...this.#iterationTypes(node, range)]);
    this.#expect(node.loopCondition, BOOL);
    this.#expect(node.loopStep, accuType);
    this.#locals = withAccu;
    const result = this.check(node.result);
    this.#locals = outer;
    return this.#known(result);
  }

  #expect(node: Expression, wanted: CelType): void {
    const type = this.check(node);
    if (this.#assign(type, wanted)) return;
    this.#report(node.offset, `expected type '${this.#show(wanted)}' but found '${this.#show(type)}'`);
  }

  #iterationTypes({ iterVar, iterVar2, range }: Comprehension, type: CelType): [string, CelType][] {
    const pair = (key: CelType, value: CelType, single: CelType): [string, CelType][] =>
      iterVar2 === undefined
        ? [[iterVar, single]]
        : [
            [iterVar, key],
            [iterVar2, value],
          ];
    if (type.kind === 'list') return pair(INT, type.element, type.element);
    if (type.kind === 'map') return pair(type.key, type.value, type.key);
    if (type.kind === 'param') this.#assign(DYN, type);
    else if (!isDyn(type)) {
      const message = `expression of type '${this.#show(type)}' cannot be range of a comprehension (must be list, map, or dynamic)`;
      this.#report(range.offset, message);
    }
    return pair(DYN, DYN, DYN);
  }
}

function constantType(value: unknown): CelType {
  switch (typeof value) {
    case 'boolean':
      return BOOL;
    case 'bigint':
      return INT;
    case 'number':
      return DOUBLE;
    case 'string':
      return STRING;
    default:
      return value === null ? NULL : value instanceof CelUint ? UINT : BYTES;
  }
}
