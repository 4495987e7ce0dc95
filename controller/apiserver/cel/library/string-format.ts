import { CelEvaluationError } from '../values/evaluation-error.ts';
import { CelDuration, CelTimestamp, CelTypeValue, CelUint } from '../values/scalars.ts';
import { formatDuration, formatTimestamp } from '../values/time-text.ts';
import { CelList, CelMap, type CelValue, typeNameOf } from '../values/value.ts';

/** Longer precisions only cost memory; JavaScript stops at this one as well. */
const MAX_PRECISION = 100;
/** Longer texts fit into no object: they could only fill the memory. */
const MAX_TEXT = 2 ** 24;
const CLAUSE = /%(?:%|(?:\.(\d+))?([sdfebxXo])|)/g;

/** `"%s is %d".format([...])`. Throws CelEvaluationError for arguments that do not fit. */
export function formatText(template: string, args: readonly CelValue[]): string {
  let next = 0;
  let length = template.length;
  return template.replace(CLAUSE, (clause, precisionText: string | undefined, verb: string | undefined) => {
    if (clause === '%%') return '%';
    if (verb === undefined) throw new CelEvaluationError('could not parse formatting clause');
    const precision = precisionText === undefined ? undefined : Number(precisionText);
    if (precision !== undefined && precision > MAX_PRECISION) {
      throw new CelEvaluationError(`precision ${precisionText} exceeds maximum allowed precision of ${MAX_PRECISION}`);
    }
    const index = next++;
    if (index >= args.length) throw new CelEvaluationError(`index ${index} out of range`);
    const text = formatOne(verb, args[index] as CelValue, precision ?? 6);
    length += text.length;
    if (length > MAX_TEXT) throw new CelEvaluationError('string is too large');
    return text;
  });
}

function formatOne(verb: string, value: CelValue, precision: number): string {
  switch (verb) {
    case 's':
      return textOf(value, false);
    case 'd':
      return decimal(value);
    case 'f':
      return fixed(value, precision);
    case 'e':
      return scientific(value, precision);
    case 'b':
      return typeof value === 'boolean' ? String(Number(value)) : inBase(value, 2, 'binary');
    case 'o':
      return inBase(value, 8, 'octal');
    default:
      return verb === 'X' ? hexadecimal(value).toUpperCase() : hexadecimal(value);
  }
}

const mismatch = (verb: string, wanted: string, value: CelValue): CelEvaluationError =>
  new CelEvaluationError(
    `error during formatting: ${verb} clause can only be used on ${wanted}, was given ${typeNameOf(value)}`,
  );

function special(value: number): string | undefined {
  if (Number.isNaN(value)) return 'NaN';
  return Number.isFinite(value) ? undefined : value > 0 ? '∞' : '-∞';
}

function decimal(value: CelValue): string {
  if (typeof value === 'bigint') return String(value);
  if (value instanceof CelUint) return String(value.value);
  throw mismatch('decimal', 'integers', value);
}

function doubleOf(value: CelValue, verb: string): number {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  if (value instanceof CelUint) return Number(value.value);
  const named = new Map([
    ['NaN', Number.NaN],
    ['Infinity', Number.POSITIVE_INFINITY],
    ['-Infinity', Number.NEGATIVE_INFINITY],
  ]).get(String(value));
  if (typeof value === 'string' && named !== undefined) return named;
  throw mismatch(verb, 'doubles', value);
}

function fixed(value: CelValue, precision: number): string {
  const number = doubleOf(value, 'fixed-point');
  return special(number) ?? number.toFixed(precision);
}

const SUPERSCRIPT = '⁰¹²³⁴⁵⁶⁷⁸⁹';

/** `2.718280 × 10⁰⁰`, with narrow spaces: the notation of cel-go's locale. */
function scientific(value: CelValue, precision: number): string {
  const number = doubleOf(value, 'scientific');
  const named = special(number);
  if (named !== undefined) return named;
  const [digits, exponent] = number.toExponential(precision).split('e') as [string, string];
  const magnitude = exponent.slice(1).padStart(2, '0');
  const raised = Array.from(magnitude, (digit) => SUPERSCRIPT[Number(digit)]).join('');
  return `${digits}\u202f×\u202f10${exponent.startsWith('-') ? '⁻' : ''}${raised}`;
}

function inBase(value: CelValue, base: number, verb: string): string {
  if (typeof value === 'bigint') return value.toString(base);
  if (value instanceof CelUint) return value.value.toString(base);
  throw mismatch(verb, base === 2 ? 'integers and bools' : 'integers', value);
}

function hexadecimal(value: CelValue): string {
  if (typeof value === 'string') return Buffer.from(value).toString('hex');
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (typeof value === 'bigint' || value instanceof CelUint) return inBase(value, 16, 'hex');
  throw mismatch('hex', 'integers, byte buffers, and strings', value);
}

/** Texts inside of lists and maps are quoted. */
function textOf(value: CelValue, isNested: boolean): string {
  if (typeof value === 'string') return isNested ? `"${value}"` : value;
  if (typeof value === 'number') return doubleText(value);
  if (value === null || typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  if (value instanceof CelUint) return String(value.value);
  if (value instanceof CelList) return listText(value);
  if (value instanceof CelMap) return mapText(value);
  if (value instanceof CelTimestamp)
    return isNested ? `timestamp("${formatTimestamp(value)}")` : formatTimestamp(value);
  if (value instanceof CelDuration) return isNested ? `duration("${formatDuration(value)}")` : formatDuration(value);
  if (value instanceof CelTypeValue) return value.typeName;
  if (value instanceof Uint8Array) {
    const text = new TextDecoder().decode(value);
    return isNested ? `b"${text}"` : text;
  }
  throw mismatch(
    'string',
    'strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps',
    value,
  );
}

const doubleText = (value: number): string =>
  special(value) ?? (Number.isInteger(value) ? value.toFixed(6) : String(value));

function listText(list: CelList): string {
  const parts: string[] = [];
  let length = 0;
  for (const item of list) {
    const text = textOf(item, true);
    length += text.length;
    if (length > MAX_TEXT) throw new CelEvaluationError('string is too large');
    parts.push(text);
  }
  return `[${parts.join(', ')}]`;
}

function mapText(map: CelMap): string {
  const entries = [...map.entries()].map(([key, value]) => [textOf(key, true), textOf(value, true)] as const);
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, value]) => `${key}:${value}`).join(', ')}}`;
}
