import { type CharTest, folded, inRanges, not, PERL, POSIX, unicodeTest } from './char-classes.ts';

export type PatternNode =
  | { readonly kind: 'empty' }
  | { readonly kind: 'chars'; readonly matches: (codePoint: number) => boolean }
  | { readonly kind: 'assert'; readonly assertion: Assertion }
  | { readonly kind: 'sequence'; readonly nodes: readonly PatternNode[] }
  | { readonly kind: 'choice'; readonly nodes: readonly PatternNode[] }
  | {
      readonly kind: 'repeat';
      readonly node: PatternNode;
      readonly min: number;
      /** Infinity for an open end. */
      readonly max: number;
      readonly isGreedy: boolean;
    };

export type Assertion = 'lineStart' | 'lineEnd' | 'textStart' | 'textEnd' | 'wordBoundary' | 'noWordBoundary';

/** A pattern that RE2 refuses; messages are those of Go's regexp package. */
export class PatternError extends Error {
  override readonly name = 'PatternError';

  constructor(problem: string, part: string) {
    super(`error parsing regexp: ${problem}: \`${part}\``);
  }
}

interface Flags {
  readonly ignoreCase: boolean;
  readonly multiLine: boolean;
  readonly dotAll: boolean;
  readonly ungreedy: boolean;
}

const NO_FLAGS: Flags = { ignoreCase: false, multiLine: false, dotAll: false, ungreedy: false };
const FLAG_NAMES: Readonly<Record<string, keyof Flags>> = {
  i: 'ignoreCase',
  m: 'multiLine',
  s: 'dotAll',
  U: 'ungreedy',
};

/** RE2's own limit of one repetition. */
const MAX_REPEAT = 1000;
const MAX_NESTING = 200;

const SIMPLE_ESCAPES: Readonly<Record<string, number>> = { a: 7, f: 12, n: 10, r: 13, t: 9, v: 11 };

/** Reads RE2's syntax. Throws PatternError; what RE2 does not have (look-around, back references) is refused as there. */
export function parsePattern(source: string): PatternNode {
  return new PatternParser(source).parse();
}

class PatternParser {
  readonly #source: string;
  readonly #characters: readonly string[];
  #at = 0;
  #flags = NO_FLAGS;
  #nesting = 0;

  constructor(source: string) {
    this.#source = source;
    this.#characters = Array.from(source);
  }

  parse(): PatternNode {
    const node = this.#choice();
    if (this.#at < this.#characters.length) throw new PatternError('unexpected )', this.#source);
    return node;
  }

  #peek(ahead = 0): string | undefined {
    return this.#characters[this.#at + ahead];
  }

  #take(text: string): boolean {
    for (let index = 0; index < text.length; index++) if (this.#peek(index) !== text[index]) return false;
    this.#at += text.length;
    return true;
  }

  #since(start: number): string {
    return this.#characters.slice(start, this.#at).join('');
  }

  #choice(): PatternNode {
    if (++this.#nesting > MAX_NESTING) throw new PatternError('expression nests too deeply', this.#source);
    const nodes = [this.#sequence()];
    while (this.#take('|')) nodes.push(this.#sequence());
    this.#nesting--;
    return nodes.length === 1 ? (nodes[0] as PatternNode) : { kind: 'choice', nodes };
  }

  #sequence(): PatternNode {
    const nodes: PatternNode[] = [];
    for (let next = this.#peek(); next !== undefined && next !== '|' && next !== ')'; next = this.#peek()) {
      if (this.#take('\\Q')) {
        while (this.#peek() !== undefined && !this.#take('\\E')) nodes.push(this.#literal(this.#next()));
        continue;
      }
      nodes.push(this.#repeated());
    }
    return nodes.length === 1 ? (nodes[0] as PatternNode) : { kind: 'sequence', nodes };
  }

  #next(): string {
    return this.#characters[this.#at++] as string;
  }

  #repeated(): PatternNode {
    const start = this.#at;
    if (/^[*+?]$/.test(this.#peek() as string)) {
      throw new PatternError('missing argument to repetition operator', this.#next());
    }
    const node = this.#atom();
    const bounds = this.#bounds();
    if (bounds === undefined) return node;
    const isLazy = this.#take('?');
    const next = this.#bounds();
    if (next !== undefined) throw new PatternError('invalid nested repetition operator', this.#since(start));
    if (bounds.max !== Number.POSITIVE_INFINITY && bounds.max > MAX_REPEAT) {
      throw new PatternError('invalid repeat count', this.#since(start));
    }
    return { kind: 'repeat', node, ...bounds, isGreedy: isLazy === this.#flags.ungreedy };
  }

  #bounds(): { readonly min: number; readonly max: number } | undefined {
    if (this.#take('*')) return { min: 0, max: Number.POSITIVE_INFINITY };
    if (this.#take('+')) return { min: 1, max: Number.POSITIVE_INFINITY };
    if (this.#take('?')) return { min: 0, max: 1 };
    if (this.#peek() !== '{') return undefined;
    const match = /^\{(\d+)(,(\d*))?\}/.exec(this.#characters.slice(this.#at, this.#at + 20).join(''));
    // Braces that are no count stand for themselves.
    if (match === null) return undefined;
    this.#at += match[0].length;
    const min = Number(match[1]);
    const max = match[2] === undefined ? min : match[3] === '' ? Number.POSITIVE_INFINITY : Number(match[3]);
    if (min > MAX_REPEAT || min > max) throw new PatternError('invalid repeat count', match[0]);
    return { min, max };
  }

  #chars(test: CharTest): PatternNode {
    return { kind: 'chars', matches: this.#flags.ignoreCase ? folded(test) : test };
  }

  #literal(character: string): PatternNode {
    const wanted = character.codePointAt(0) as number;
    return this.#chars((code) => code === wanted);
  }

  #assert(assertion: Assertion): PatternNode {
    return { kind: 'assert', assertion };
  }

  #atom(): PatternNode {
    const character = this.#next();
    switch (character) {
      case '(':
        return this.#group();
      case '[':
        return this.#class();
      case '.': {
        const { dotAll } = this.#flags;
        return this.#chars((code) => dotAll || code !== 10);
      }
      case '^':
        return this.#assert(this.#flags.multiLine ? 'lineStart' : 'textStart');
      case '$':
        return this.#assert(this.#flags.multiLine ? 'lineEnd' : 'textEnd');
      case '\\':
        return this.#escape();
      default:
        return this.#literal(character);
    }
  }

  #escape(): PatternNode {
    if (this.#take('A')) return this.#assert('textStart');
    if (this.#take('z')) return this.#assert('textEnd');
    if (this.#take('b')) return this.#assert('wordBoundary');
    if (this.#take('B')) return this.#assert('noWordBoundary');
    if (this.#take('C')) return { kind: 'chars', matches: () => true };
    return this.#chars(this.#namedClass() ?? this.#escapedIs());
  }

  #escapedIs(): CharTest {
    const wanted = this.#escapedCodePoint();
    return (code) => code === wanted;
  }

  /** `\d`, `\pL` ... after the backslash, or undefined. */
  #namedClass(): CharTest | undefined {
    const name = this.#peek();
    if (name === undefined) throw new PatternError('trailing backslash at end of expression', '');
    const perl = PERL[name.toLowerCase()];
    if (perl !== undefined) {
      this.#at++;
      return name === name.toLowerCase() ? inRanges(perl) : not(inRanges(perl));
    }
    return name === 'p' || name === 'P' ? this.#unicodeClass() : undefined;
  }

  #unicodeClass(): CharTest {
    const start = this.#at;
    const isNegated = this.#next() === 'P';
    let name = this.#peek() ?? '';
    this.#at++;
    if (name === '{') {
      name = '';
      while (this.#peek() !== undefined && this.#peek() !== '}') name += this.#next();
      if (!this.#take('}')) throw new PatternError('invalid character class range', `\\${this.#since(start)}`);
    }
    const isCaret = name.startsWith('^');
    const test = unicodeTest(isCaret ? name.slice(1) : name);
    if (test === undefined) throw new PatternError('invalid character class range', `\\${this.#since(start)}`);
    return isNegated !== isCaret ? not(test) : test;
  }

  /** After the backslash: `\n`, `\x{10FFFF}`, `\123`, or a mark that stands for itself. */
  #escapedCodePoint(): number {
    const start = this.#at;
    const rest = this.#characters.slice(this.#at, this.#at + 12).join('');
    const match = /^(?:x([0-9a-fA-F]{2})|x\{([0-9a-fA-F]{1,6})\}|(0[0-7]{0,2}|[1-7][0-7]{1,2}))/.exec(rest);
    if (match !== null) {
      this.#at += match[0].length;
      const [, short, long, octal] = match;
      const code = octal === undefined ? Number.parseInt((short ?? long) as string, 16) : Number.parseInt(octal, 8);
      if (code <= 0x10ffff) return code;
      throw new PatternError('invalid escape sequence', `\\${match[0]}`);
    }
    const character = this.#next();
    const simple = SIMPLE_ESCAPES[character];
    if (simple !== undefined) return simple;
    if (/^[!-/:-@[-`{-~]$/.test(character)) return character.codePointAt(0) as number;
    throw new PatternError('invalid escape sequence', `\\${this.#since(start)}`);
  }

  #group(): PatternNode {
    const outer = this.#flags;
    if (this.#take('?')) {
      const isNamed =
        this.#take('P<') || (this.#peek() === '<' && !/[=!]/.test(this.#peek(1) ?? '') && this.#take('<'));
      if (isNamed) this.#groupName();
      else if (!this.#readFlags()) return { kind: 'empty' };
    }
    const node = this.#choice();
    if (!this.#take(')')) throw new PatternError('missing closing )', this.#source);
    this.#flags = outer;
    return node;
  }

  #groupName(): void {
    let name = '';
    while (this.#peek() !== undefined && this.#peek() !== '>') name += this.#next();
    if (!this.#take('>') || !/^\w+$/.test(name)) throw new PatternError('invalid named capture', `(?P<${name}>`);
  }

  /** True for `(?i:`, false for `(?i)`, which sets the flags for the rest of the surrounding group. */
  #readFlags(): boolean {
    const start = this.#at;
    let value = true;
    let flags = this.#flags;
    for (;;) {
      const character = this.#peek();
      this.#at++;
      if (character === ':' || character === ')') {
        this.#flags = flags;
        return character === ':';
      }
      const name = FLAG_NAMES[character ?? ''];
      if (character === '-' && value) value = false;
      else if (name !== undefined) flags = { ...flags, [name]: value };
      else throw new PatternError('invalid or unsupported Perl syntax', `(?${this.#since(start)}`);
    }
  }

  #class(): PatternNode {
    const start = this.#at - 1;
    const isNegated = this.#take('^');
    const tests: CharTest[] = [];
    for (let isFirst = true; isFirst || this.#peek() !== ']'; isFirst = false) {
      if (this.#peek() === undefined) throw new PatternError('missing closing ]', this.#since(start));
      tests.push(this.#classItem());
    }
    this.#at++;
    let test: CharTest = (code) => tests.some((item) => item(code));
    if (this.#flags.ignoreCase) test = folded(test);
    return { kind: 'chars', matches: isNegated ? not(test) : test };
  }

  #classItem(): CharTest {
    if (this.#peek() === '[' && this.#peek(1) === ':') {
      const match = /^\[:(\^?)(\w+):\]/.exec(this.#characters.slice(this.#at, this.#at + 14).join(''));
      const ranges = match === null ? undefined : POSIX[match[2] as string];
      if (match !== null && ranges === undefined) throw new PatternError('invalid character class range', match[0]);
      if (match !== null && ranges !== undefined) {
        this.#at += match[0].length;
        return match[1] === '^' ? not(inRanges(ranges)) : inRanges(ranges);
      }
    }
    const start = this.#at;
    if (this.#take('\\')) {
      const named = this.#namedClass();
      if (named !== undefined) return named;
      this.#at = start;
    }
    const from = this.#classCodePoint();
    if (this.#peek() !== '-' || this.#peek(1) === ']' || this.#peek(1) === undefined) return (code) => code === from;
    this.#at++;
    const to = this.#classCodePoint();
    if (to < from) throw new PatternError('invalid character class range', this.#since(start));
    return (code) => code >= from && code <= to;
  }

  #classCodePoint(): number {
    if (this.#take('\\')) return this.#escapedCodePoint();
    return this.#next().codePointAt(0) as number;
  }
}
