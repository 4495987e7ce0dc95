import { CelUint, MAX_UINT } from '../values/scalars.ts';
import type { ConstantValue } from './expression.ts';
import { SourceError } from './source-issue.ts';
import { unescapeBytes, unescapeText } from './string-literal.ts';

export type TokenKind = 'ident' | 'literal' | 'number' | 'punctuation' | 'end';

export interface Token {
  readonly kind: TokenKind;
  /** The identifier, the punctuation, or the source of a literal. */
  readonly text: string;
  readonly offset: number;
  readonly value?: ConstantValue;
  /** Whole numbers are made into values by the parser: only it sees the minus sign of the smallest one. */
  readonly digits?: bigint;
}

const SPACE = /(?:[ \t\r\n\f]|\/\/[^\n]*)*/y;
const NUMBER = /0x[0-9a-fA-F]+u?|(?:\d+\.\d+|\.\d+)(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\d+[uU]?/y;
const IDENTIFIER = /[A-Za-z_][A-Za-z0-9_]*/y;
const PUNCTUATION = /==|!=|<=|>=|&&|\|\||[-+*/%<>!?:.,()[\]{}]/y;
/** Prefix, then the opening quotes. */
const STRING_START = /([rR][bB]|[bB][rR]|[rR]|[bB])?("""|'''|"|')/y;

function matchAt(pattern: RegExp, source: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(source);
}

/** All tokens of a source, an `end` token last. Throws SourceError. */
export function tokenize(source: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  for (;;) {
    at += matchAt(SPACE, source, at)?.[0].length ?? 0;
    if (at >= source.length) {
      tokens.push({ kind: 'end', text: '<EOF>', offset: source.length });
      return tokens;
    }
    const [token, end] = readToken(source, at);
    tokens.push(token);
    at = end;
  }
}

function readToken(source: string, offset: number): [Token, number] {
  const string = matchAt(STRING_START, source, offset);
  if (string !== null) return readString(source, offset, string);
  const number = matchAt(NUMBER, source, offset)?.[0];
  if (number !== undefined) return [numberToken(number, offset), offset + number.length];
  const name = matchAt(IDENTIFIER, source, offset)?.[0];
  if (name !== undefined) return [{ kind: 'ident', text: name, offset }, offset + name.length];
  const mark = matchAt(PUNCTUATION, source, offset)?.[0];
  if (mark !== undefined) return [{ kind: 'punctuation', text: mark, offset }, offset + mark.length];
  const character = String.fromCodePoint(source.codePointAt(offset) as number);
  throw new SourceError(`Syntax error: token recognition error at: '${character}'`, offset);
}

function numberToken(text: string, offset: number): Token {
  const isHex = text.startsWith('0x');
  if (!isHex && /[.eE]/.test(text)) {
    const value = Number(text);
    if (!Number.isFinite(value)) throw new SourceError('invalid double literal', offset);
    return { kind: 'literal', text, offset, value };
  }
  if (!/[uU]$/.test(text)) return { kind: 'number', text, offset, digits: BigInt(text) };
  const value = BigInt(text.slice(0, -1));
  if (value > MAX_UINT) throw new SourceError('invalid uint literal', offset);
  return { kind: 'literal', text, offset, value: new CelUint(value) };
}

function readString(source: string, offset: number, start: RegExpExecArray): [Token, number] {
  const prefix = (start[1] ?? '').toLowerCase();
  const quotes = start[2] as string;
  const isRaw = prefix.includes('r');
  const from = offset + start[0].length;
  let at = from;
  while (!source.startsWith(quotes, at)) {
    const character = source[at];
    if (character === undefined || (quotes.length === 1 && (character === '\n' || character === '\r'))) {
      throw new SourceError(`Syntax error: token recognition error at: '${source.slice(offset, at)}'`, offset);
    }
    at += character === '\\' && !isRaw ? 2 : 1;
  }
  const body = source.slice(from, at);
  const end = at + quotes.length;
  const text = source.slice(offset, end);
  const value = prefix.includes('b')
    ? isRaw
      ? new TextEncoder().encode(body)
      : unescapeBytes(body, offset)
    : isRaw
      ? body
      : unescapeText(body, offset);
  return [{ kind: 'literal', text, offset, value }, end];
}
