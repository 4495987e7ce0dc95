import type { FieldError } from '../object/field-error.ts';
import { invalid } from '../object/field-error.ts';
import { labelValue, qualifiedName } from './names.ts';

export type SelectorOperator = '=' | '==' | '!=' | 'in' | 'notin' | 'exists' | '!' | 'gt' | 'lt';

export interface LabelRequirement {
  readonly key: string;
  readonly operator: SelectorOperator;
  /** Empty for `exists` and `!`; one value for everything but `in` and `notin`. Sorted. */
  readonly values: readonly string[];
}

export type Labels = Readonly<Record<string, string>>;

export interface LabelSelector {
  matches(labels: Labels | undefined): boolean;
  /** Selects everything. */
  readonly isEmpty: boolean;
  readonly requirements: readonly LabelRequirement[];
  /** Text that parses back to the same selector. */
  toString(): string;
}

/** `metav1.LabelSelector`. */
export interface LabelSelectorObject {
  matchLabels?: Readonly<Record<string, string>>;
  matchExpressions?: readonly { key: string; operator: string; values?: readonly string[] }[];
}

/** Thrown for a selector that does not parse; the message is Kubernetes' own. The server answers 400. */
export class SelectorError extends Error {
  override readonly name = 'SelectorError';
}

const NO_LABELS: Labels = Object.freeze({});
const ownLabel = (labels: Labels, key: string): string | undefined =>
  Object.hasOwn(labels, key) ? labels[key] : undefined;

class Requirements implements LabelSelector {
  readonly requirements: readonly LabelRequirement[];

  constructor(requirements: readonly LabelRequirement[]) {
    this.requirements = requirements;
  }

  get isEmpty(): boolean {
    return this.requirements.length === 0;
  }

  matches(labels: Labels | undefined = NO_LABELS): boolean {
    for (const requirement of this.requirements) if (!satisfies(labels, requirement)) return false;
    return true;
  }

  toString(): string {
    return this.requirements.map(renderRequirement).join(',');
  }
}

function satisfies(labels: Labels, { key, operator, values }: LabelRequirement): boolean {
  const value = ownLabel(labels, key);
  switch (operator) {
    case '=':
    case '==':
      return value === values[0];
    case '!=':
      return value !== values[0];
    case 'in':
      return value !== undefined && values.includes(value);
    case 'notin':
      return value === undefined || !values.includes(value);
    case 'exists':
      return value !== undefined;
    case '!':
      return value === undefined;
    default: {
      if (value === undefined || !/^[+-]?[0-9]+$/.test(value)) return false;
      const [actual, bound] = [BigInt(value), BigInt(values[0]!)];
      return operator === 'gt' ? actual > bound : actual < bound;
    }
  }
}

function renderRequirement({ key, operator, values }: LabelRequirement): string {
  switch (operator) {
    case 'exists':
      return key;
    case '!':
      return `!${key}`;
    case 'in':
    case 'notin':
      return `${key} ${operator} (${values.join(',')})`;
    case 'gt':
      return `${key}>${values[0]}`;
    case 'lt':
      return `${key}<${values[0]}`;
    default:
      return `${key}${operator}${values[0]}`;
  }
}

/** Selects everything. */
export const everything: LabelSelector = new Requirements([]);

/** Selects nothing: what a missing `metav1.LabelSelector` means. */
export const nothing: LabelSelector = {
  matches: () => false,
  isEmpty: false,
  requirements: [],
  toString: () => '',
};

const byKey = (a: LabelRequirement, b: LabelRequirement) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0);

/** Reads a `labelSelector` query parameter. Throws SelectorError. */
export function parseLabelSelector(text: string): LabelSelector {
  const requirements = new SelectorParser(text).parse().sort(byKey);
  return requirements.length === 0 ? everything : new Requirements(requirements);
}

/** All these labels with exactly these values. Nothing is checked: the labels come from an object that was validated. */
export function selectorFromLabels(labels: Labels | undefined): LabelSelector {
  const requirements: LabelRequirement[] = [];
  for (const [key, value] of Object.entries(labels ?? {})) requirements.push({ key, operator: '=', values: [value] });
  return requirements.length === 0 ? everything : new Requirements(requirements.sort(byKey));
}

const OBJECT_OPERATORS: Readonly<Record<string, SelectorOperator>> = {
  In: 'in',
  NotIn: 'notin',
  Exists: 'exists',
  DoesNotExist: '!',
};

/** Undefined selects nothing, an empty selector everything. Throws SelectorError for what validation should have refused. */
export function labelSelectorFrom(selector: LabelSelectorObject | null | undefined): LabelSelector {
  if (selector === undefined || selector === null) return nothing;
  const requirements = Object.entries(selector.matchLabels ?? {}).map(([key, value]) =>
    requirementOf(key, '=', [value]),
  );
  for (const expression of selector.matchExpressions ?? []) {
    const operator = OBJECT_OPERATORS[expression.operator];
    if (operator === undefined) {
      throw new SelectorError(`"${expression.operator}" is not a valid label selector operator`);
    }
    requirements.push(requirementOf(expression.key, operator, expression.values ?? []));
  }
  return requirements.length === 0 ? everything : new Requirements(requirements.sort(byKey));
}

/** Checks a requirement as Kubernetes does when it builds one. */
function requirementOf(key: string, operator: SelectorOperator, values: readonly string[]): LabelRequirement {
  const errors: FieldError[] = qualifiedName(key).map((why) => invalid('key', key, why));
  const list = [...values].sort();
  const shown = [...values];
  switch (operator) {
    case 'in':
    case 'notin':
      if (list.length === 0) {
        errors.push(invalid('values', shown, "for 'in', 'notin' operators, values set can't be empty"));
      }
      break;
    case '=':
    case '==':
    case '!=':
      if (list.length !== 1)
        errors.push(invalid('values', shown, 'exact-match compatibility requires one single value'));
      break;
    case 'exists':
    case '!':
      if (list.length !== 0) {
        errors.push(invalid('values', shown, 'values set must be empty for exists and does not exist'));
      }
      break;
    default:
      if (list.length !== 1) {
        errors.push(invalid('values', shown, "for 'Gt', 'Lt' operators, exactly one value is required"));
      } else if (!/^[+-]?[0-9]+$/.test(list[0]!)) {
        errors.push(invalid('values[0]', list[0], "for 'Gt', 'Lt' operators, the value must be an integer"));
      }
  }
  for (const [index, value] of values.entries()) {
    errors.push(...labelValue(value).map((why) => invalid(`values[${index}][${key}]`, value, why)));
  }
  if (errors.length > 0) {
    const lines = errors.map((error) => `${error.field}: ${error.message}`);
    throw new SelectorError(lines.length === 1 ? lines[0]! : `[${lines.join(', ')}]`);
  }
  return { key, operator, values: list };
}

type Token = {
  readonly kind: 'identifier' | 'end' | 'error' | SelectorOperator | ',' | '(' | ')';
  readonly text: string;
};

const SYMBOLS: Readonly<Record<string, Token['kind']>> = {
  ')': ')',
  ',': ',',
  '!': '!',
  '==': '==',
  '=': '=',
  '>': 'gt',
  '<': 'lt',
  '!=': '!=',
  '(': '(',
};
const SPECIAL = new Set('()=!,<>');
const isSpace = (char: string) => char === ' ' || char === '\t' || char === '\r' || char === '\n';

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    const char = text[at]!;
    const start = at;
    if (isSpace(char)) {
      at++;
      continue;
    }
    if (SPECIAL.has(char)) {
      const pair = text.slice(at, at + 2);
      const symbol = SYMBOLS[pair] !== undefined ? pair : char;
      at += symbol.length;
      tokens.push({ kind: SYMBOLS[symbol]!, text: symbol });
      continue;
    }
    while (at < text.length && !SPECIAL.has(text[at]!) && !isSpace(text[at]!)) at++;
    const word = text.slice(start, at);
    tokens.push({ kind: word === 'in' || word === 'notin' ? word : 'identifier', text: word });
  }
  return tokens;
}

const END: Token = { kind: 'end', text: '' };
/** `in` and `notin` are ordinary words where an operator cannot stand. */
const asValue = (token: Token): Token =>
  token.kind === 'in' || token.kind === 'notin' ? { kind: 'identifier', text: token.text } : token;

class SelectorParser {
  readonly #tokens: readonly Token[];
  #position = 0;

  constructor(text: string) {
    this.#tokens = tokenize(text);
  }

  parse(): LabelRequirement[] {
    const requirements: LabelRequirement[] = [];
    for (;;) {
      const token = this.#peekValue();
      if (token.kind === 'end') return requirements;
      if (token.kind !== 'identifier' && token.kind !== '!') {
        throw new SelectorError(`found '${token.text}', expected: !, identifier, or 'end of string'`);
      }
      requirements.push(this.#wrapped(() => this.#requirement()));
      const after = this.#nextValue();
      if (after.kind === 'end') return requirements;
      if (after.kind !== ',') throw new SelectorError(`found '${after.text}', expected: ',' or 'end of string'`);
      const following = this.#peekValue();
      if (following.kind !== 'identifier' && following.kind !== '!') {
        throw new SelectorError(`found '${following.text}', expected: identifier after ','`);
      }
    }
  }

  #wrapped<T>(parse: () => T): T {
    try {
      return parse();
    } catch (err) {
      if (!(err instanceof SelectorError)) throw err;
      throw new SelectorError(`unable to parse requirement: ${err.message}`, { cause: err });
    }
  }

  #requirement(): LabelRequirement {
    const isNegated = this.#peekValue().kind === '!';
    if (isNegated) this.#next();
    const key = this.#nextValue();
    if (key.kind !== 'identifier') throw new SelectorError(`found '${key.text}', expected: identifier`);
    const following = this.#peekValue();
    if (isNegated) return requirementOf(key.text, '!', []);
    if (following.kind === 'end' || following.kind === ',') return requirementOf(key.text, 'exists', []);
    const operator = this.#next();
    switch (operator.kind) {
      case 'in':
      case 'notin':
        return requirementOf(key.text, operator.kind, this.#valueList());
      case '=':
      case '==':
      case '!=':
      case 'gt':
      case 'lt':
        return requirementOf(key.text, operator.kind, [this.#exactValue()]);
      default:
        throw new SelectorError(`found '${operator.text}', expected: in, notin, =, ==, !=, gt, lt`);
    }
  }

  #valueList(): string[] {
    const open = this.#nextValue();
    if (open.kind !== '(') throw new SelectorError(`found '${open.text}' expected: '('`);
    const values = new Set<string>();
    for (;;) {
      const token = this.#nextValue();
      if (token.kind === 'identifier') {
        values.add(token.text);
        const after = this.#nextValue();
        if (after.kind === ')') return [...values];
        if (after.kind !== ',') throw new SelectorError(`found '${after.text}', expected: ',' or ')'`);
      } else if (token.kind === ')') {
        // A list that ends with a comma, or is empty, holds the empty value.
        values.add('');
        return [...values];
      } else if (token.kind === ',') {
        values.add('');
      } else {
        throw new SelectorError(`found '${token.text}', expected: ',', ')' or identifier`);
      }
    }
  }

  #exactValue(): string {
    const token = this.#peekValue();
    if (token.kind === 'end' || token.kind === ',') return '';
    if (token.kind !== 'identifier') throw new SelectorError(`found '${token.text}', expected: identifier`);
    return this.#nextValue().text;
  }

  #peekValue(): Token {
    return asValue(this.#tokens[this.#position] ?? END);
  }

  #next(): Token {
    return this.#tokens[this.#position++] ?? END;
  }

  #nextValue(): Token {
    return asValue(this.#next());
  }
}
