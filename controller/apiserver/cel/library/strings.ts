import { CelEvaluationError, noSuchOverload } from '../values/evaluation-error.ts';
import { ArrayList, type CelList, type CelValue } from '../values/value.ts';
import { global, type Implementation, member, type Overload } from './function-table.ts';
import { formatText } from './string-format.ts';

/** Positions count code points; most texts have one per UTF-16 unit and need no array. */
const charactersOf = (text: string): readonly string[] => Array.from(text);

const outOfRange = (index: bigint): CelEvaluationError => new CelEvaluationError(`index out of range: ${index}`);

function position(index: CelValue | undefined, length: number): number {
  const value = index as bigint;
  if (value < 0n || value > BigInt(length)) throw outOfRange(value);
  return Number(value);
}

/** The most results of a text this long: nothing is gained by counting further. */
const atMost = (limit: bigint, length: number): number =>
  limit < 0n || limit > BigInt(length) ? Number.POSITIVE_INFINITY : Number(limit);

/** Kubernetes takes 1 for a character of any text, although all before it are counted; so much of them is free here. */
const FREE_CHARACTERS = 1_000;

const charAt: Implementation = ([text, index], context) => {
  context.charge(Math.trunc((text as string).length / FREE_CHARACTERS) * 10);
  const characters = charactersOf(text as string);
  return characters[position(index, characters.length)] ?? '';
};

const startsAt = (characters: readonly string[], wanted: readonly string[], at: number): boolean =>
  wanted.every((character, offset) => characters[at + offset] === character);

const codePointsBefore = (text: string, offset: number): bigint =>
  BigInt(offset < 0 ? -1 : Array.from(text.slice(0, offset)).length);

const indexOf: Implementation = ([text, wanted, from]) => {
  if (from === undefined) return codePointsBefore(text as string, (text as string).indexOf(wanted as string));
  const characters = charactersOf(text as string);
  const start = position(from, characters.length);
  const rest = characters.slice(start).join('');
  const found = codePointsBefore(rest, rest.indexOf(wanted as string));
  return found < 0n ? -1n : found + BigInt(start);
};

const lastIndexOf: Implementation = ([text, wanted, from]) => {
  if (from === undefined) return codePointsBefore(text as string, (text as string).lastIndexOf(wanted as string));
  const characters = charactersOf(text as string);
  const part = charactersOf(wanted as string);
  for (let at = position(from, characters.length); at >= 0; at--) {
    if (startsAt(characters, part, at)) return BigInt(at);
  }
  return -1n;
};

/** Longer texts fit into no object: they could only fill the memory. */
const MAX_TEXT = 2 ** 24;

function requireLength(length: number): void {
  if (length > MAX_TEXT) throw new CelEvaluationError('string is too large');
}

const replace: Implementation = ([text, from, to, limit]) => {
  const [source, old, fresh] = [text, from, to] as [string, string, string];
  const places = old === '' ? source.length + 1 : source.split(old).length - 1;
  requireLength(source.length + places * Math.max(0, fresh.length - old.length));
  const count = limit === undefined ? Number.POSITIVE_INFINITY : atMost(limit as bigint, source.length + 1);
  if (count === Number.POSITIVE_INFINITY && old !== '') return source.replaceAll(old, () => fresh);
  const parts = old === '' ? ['', ...charactersOf(source)] : source.split(old);
  // Between the parts stands what is replaced: an empty text stands between all characters, and at both ends.
  let result = parts[0] ?? '';
  for (const [index, part] of parts.slice(1).entries()) result += (index < count ? fresh : old) + part;
  return old === '' && parts.length - 1 < count ? result + fresh : result;
};

const split: Implementation = ([text, separator, limit]) => {
  const [source, mark] = [text, separator] as [string, string];
  const count = limit === undefined ? Number.POSITIVE_INFINITY : atMost(limit as bigint, source.length + 1);
  if (count === 0) return new ArrayList([]);
  const parts = mark === '' ? charactersOf(source) : source.split(mark);
  if (parts.length <= count) return new ArrayList(parts);
  return new ArrayList([...parts.slice(0, count - 1), parts.slice(count - 1).join(mark)]);
};

const substring: Implementation = ([text, from, to]) => {
  const characters = charactersOf(text as string);
  const start = position(from, characters.length);
  const end = to === undefined ? characters.length : position(to, characters.length);
  if (start > end) throw new CelEvaluationError(`invalid substring range. start: ${start}, end: ${end}`);
  return characters.slice(start, end).join('');
};

const join: Implementation = ([list, separator]) => {
  const parts = [...(list as CelList)].map((part) => {
    if (typeof part !== 'string') throw noSuchOverload();
    return part;
  });
  const mark = (separator as string | undefined) ?? '';
  requireLength(parts.reduce((sum, part) => sum + part.length + mark.length, 0));
  return parts.join(mark);
};

const ESCAPED: Readonly<Record<string, string>> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
  '"': '\\"',
};

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that are escaped
const TO_ESCAPE = /[\x07\b\f\n\r\t\v\\"]/g;

const quote: Implementation = ([text]) =>
  `"${(text as string).replace(TO_ESCAPE, (character) => ESCAPED[character] ?? '')}"`;

/** Go's `unicode.IsSpace`: JavaScript's `trim` has U+FEFF besides, and lacks U+0085. */
const SPACE = '[\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+';
const LEADING = new RegExp(`^${SPACE}`);

function trim(text: string): string {
  const start = LEADING.exec(text)?.[0].length ?? 0;
  const isSpace = new RegExp(SPACE);
  let end = text.length;
  // From the end by hand: a pattern anchored there is tried at every space of the text.
  while (end > start && isSpace.test(text[end - 1] as string)) end--;
  return text.slice(start, end);
}

/** Paid is the pattern alone, and one list may come out as a text of megabytes. */
const format: Implementation = ([text, args], context) => {
  const result = formatText(text as string, [...(args as CelList)]);
  context.charge(Math.trunc(result.length / FREE_CHARACTERS) * 100);
  return result;
};

/** cel-go's strings extension in version 2. */
export const STRINGS: readonly Overload[] = [
  member('charAt', 'string_char_at_int', '(string, int) -> string', charAt),
  member('indexOf', 'string_index_of_string', '(string, string) -> int', indexOf),
  member('indexOf', 'string_index_of_string_int', '(string, string, int) -> int', indexOf),
  member('lastIndexOf', 'string_last_index_of_string', '(string, string) -> int', lastIndexOf),
  member('lastIndexOf', 'string_last_index_of_string_int', '(string, string, int) -> int', lastIndexOf),
  member('lowerAscii', 'string_lower_ascii', '(string) -> string', ([text]) =>
    (text as string).replace(/[A-Z]+/g, (part) => part.toLowerCase()),
  ),
  member('upperAscii', 'string_upper_ascii', '(string) -> string', ([text]) =>
    (text as string).replace(/[a-z]+/g, (part) => part.toUpperCase()),
  ),
  member('replace', 'string_replace_string_string', '(string, string, string) -> string', replace),
  member('replace', 'string_replace_string_string_int', '(string, string, string, int) -> string', replace),
  member('split', 'string_split_string', '(string, string) -> list(string)', split),
  member('split', 'string_split_string_int', '(string, string, int) -> list(string)', split),
  member('substring', 'string_substring_int', '(string, int) -> string', substring),
  member('substring', 'string_substring_int_int', '(string, int, int) -> string', substring),
  member('trim', 'string_trim', '(string) -> string', ([text]) => trim(text as string)),
  member('join', 'list_join', '(list(string)) -> string', join),
  member('join', 'list_join_string', '(list(string), string) -> string', join),
  member('format', 'string_format', '(string, list(dyn)) -> string', format),
  global('strings.quote', 'strings_quote', '(string) -> string', quote),
];
