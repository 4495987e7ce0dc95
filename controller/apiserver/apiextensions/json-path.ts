import { deepEqual } from '#api/object/deep-equal.ts';
import { isJsonObject } from '#api/object/json.ts';

type Step =
  | { readonly kind: 'field'; readonly name: string }
  | { readonly kind: 'every' }
  | { readonly kind: 'descend' }
  | { readonly kind: 'slice'; readonly from: number | undefined; readonly to: number | undefined; readonly by: number }
  | { readonly kind: 'index'; readonly index: number }
  | {
      readonly kind: 'filter';
      readonly path: JsonPath;
      readonly operator: string;
      readonly operand: Operand | undefined;
    };

type Operand = { readonly path: JsonPath } | { readonly value: unknown };

/** A JSONPath as client-go reads it, without braces: what printer columns may say. */
export type JsonPath = readonly Step[];

/** Undefined for text that is no path. */
export function parseJsonPath(text: string): JsonPath | undefined {
  const steps: Step[] = [];
  let at = text.startsWith('$') || text.startsWith('@') ? 1 : 0;
  while (at < text.length) {
    const read = text[at] === '[' ? readBrackets(text, at) : readDot(text, at);
    if (read === undefined) return undefined;
    steps.push(...read.steps);
    at = read.end;
  }
  return steps;
}

interface Read {
  readonly steps: readonly Step[];
  readonly end: number;
}

function readDot(text: string, at: number): Read | undefined {
  if (text[at] !== '.') return undefined;
  if (text[at + 1] === '.') return { steps: [{ kind: 'descend' }], end: at + (text[at + 2] === '[' ? 2 : 1) };
  if (text[at + 1] === '*') return { steps: [{ kind: 'every' }], end: at + 2 };
  if (text[at + 1] === '[' || at + 1 === text.length) return { steps: [], end: at + 1 };
  let name = '';
  let end = at + 1;
  for (; end < text.length && text[end] !== '.' && text[end] !== '['; end++) {
    if (text[end] === '\\') end++;
    name += text[end] ?? '';
  }
  return { steps: [{ kind: 'field', name }], end };
}

function readBrackets(text: string, at: number): Read | undefined {
  const close = closingBracket(text, at);
  if (close < 0) return undefined;
  const inside = text.slice(at + 1, close).trim();
  const step = readBracketStep(inside);
  return step === undefined ? undefined : { steps: [step], end: close + 1 };
}

/** The bracket that ends the one at `at`; those in quotes and in nested filters do not count. */
function closingBracket(text: string, at: number): number {
  let depth = 0;
  let quote = '';
  for (let index = at; index < text.length; index++) {
    const char = text[index]!;
    if (quote !== '') {
      if (char === '\\') index++;
      else if (char === quote) quote = '';
    } else if (char === '"' || char === "'") quote = char;
    else if (char === '[') depth++;
    else if (char === ']' && --depth === 0) return index;
  }
  return -1;
}

function readBracketStep(inside: string): Step | undefined {
  if (inside === '*') return { kind: 'every' };
  const quoted = /^(['"])(.*)\1$/s.exec(inside);
  if (quoted !== null) return { kind: 'field', name: quoted[2]!.replaceAll(/\\(.)/g, '$1') };
  if (/^-?\d+$/.test(inside)) return { kind: 'index', index: Number(inside) };
  const slice = /^(-?\d*):(-?\d*)(?::(\d*))?$/.exec(inside);
  if (slice !== null) {
    const number = (text: string | undefined) => (text === undefined || text === '' ? undefined : Number(text));
    return { kind: 'slice', from: number(slice[1]), to: number(slice[2]), by: number(slice[3]) ?? 1 };
  }
  const filter = /^\?\((.*)\)$/s.exec(inside);
  return filter === null ? undefined : readFilter(filter[1]!);
}

function readFilter(text: string): Step | undefined {
  const match = /^(.*?)(==|!=|<=|>=|<|>)(.*)$/s.exec(text);
  const path = parseJsonPath((match?.[1] ?? text).trim());
  if (path === undefined) return undefined;
  if (match === null) return { kind: 'filter', path, operator: 'exists', operand: undefined };
  const operand = readOperand(match[3]!.trim());
  return operand === undefined ? undefined : { kind: 'filter', path, operator: match[2]!, operand };
}

function readOperand(text: string): Operand | undefined {
  if (text.startsWith('@') || text.startsWith('$') || text.startsWith('.')) {
    const path = parseJsonPath(text);
    return path === undefined ? undefined : { path };
  }
  const quoted = /^(['"])(.*)\1$/s.exec(text);
  if (quoted !== null) return { value: quoted[2]!.replaceAll(/\\(.)/g, '$1') };
  if (text === 'true' || text === 'false') return { value: text === 'true' };
  return text !== '' && !Number.isNaN(Number(text)) ? { value: Number(text) } : undefined;
}

/** Everything that the path leads to; nothing where a part of it is missing. */
export function findByJsonPath(root: unknown, path: JsonPath): unknown[] {
  let values: unknown[] = [root];
  for (const step of path) values = values.flatMap((value) => follow(value, step));
  return values;
}

function follow(value: unknown, step: Step): unknown[] {
  switch (step.kind) {
    case 'field':
      return isJsonObject(value) && Object.hasOwn(value, step.name) ? [value[step.name]] : [];
    case 'every':
      return childrenOf(value);
    case 'descend':
      return [value, ...childrenOf(value).flatMap((child) => follow(child, step))];
    case 'index':
      return Array.isArray(value) && value.at(step.index) !== undefined ? [value.at(step.index)] : [];
    case 'slice':
      if (!Array.isArray(value)) return [];
      return value.slice(step.from ?? 0, step.to ?? value.length).filter((_item, index) => index % step.by === 0);
    case 'filter':
      return Array.isArray(value) ? value.filter((item) => passes(item, step)) : [];
  }
}

const childrenOf = (value: unknown): unknown[] =>
  Array.isArray(value) ? value : isJsonObject(value) ? Object.values(value) : [];

function passes(item: unknown, { path, operator, operand }: Extract<Step, { kind: 'filter' }>): boolean {
  const left = findByJsonPath(item, path);
  if (operand === undefined) return left.length > 0;
  const right = 'path' in operand ? findByJsonPath(item, operand.path) : [operand.value];
  if (left.length === 0 || right.length === 0) return false;
  const [a, b] = [left[0], right[0]];
  switch (operator) {
    case '==':
      return deepEqual(a, b);
    case '!=':
      return !deepEqual(a, b);
    default:
      return compares(a, operator, b);
  }
}

function compares(a: unknown, operator: string, b: unknown): boolean {
  if (typeof a !== typeof b || (typeof a !== 'number' && typeof a !== 'string')) return false;
  const [x, y] = [a as number, b as number];
  switch (operator) {
    case '<':
      return x < y;
    case '<=':
      return x <= y;
    case '>':
      return x > y;
    default:
      return x >= y;
  }
}
