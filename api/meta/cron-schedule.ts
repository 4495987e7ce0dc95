/** Thrown for a schedule that is none; the message is that of Kubernetes' own parser. */
export class CronError extends Error {
  override readonly name = 'CronError';
}

/** When a CronJob starts: at every minute that all sets contain, or every so often. */
export type CronSchedule =
  | {
      readonly kind: 'calendar';
      readonly minutes: ReadonlySet<number>;
      readonly hours: ReadonlySet<number>;
      readonly daysOfMonth: ReadonlySet<number>;
      readonly months: ReadonlySet<number>;
      /** 0 is Sunday. */
      readonly daysOfWeek: ReadonlySet<number>;
      /** A day must fit both sets when one of them is written as `*`, else either. */
      readonly isAnyDay: boolean;
      /** From a `TZ=` prefix; '' without one. */
      readonly timeZone: string;
    }
  | { readonly kind: 'every'; readonly intervalMs: number; readonly timeZone: string };

interface Field {
  readonly from: number;
  readonly to: number;
  readonly names?: Readonly<Record<string, number>>;
}

const numbered = (names: string, first: number): Readonly<Record<string, number>> =>
  Object.fromEntries(names.split(' ').map((name, i) => [name, i + first]));

const FIELDS: readonly [Field, Field, Field, Field, Field] = [
  { from: 0, to: 59 },
  { from: 0, to: 23 },
  { from: 1, to: 31 },
  { from: 1, to: 12, names: numbered('jan feb mar apr may jun jul aug sep oct nov dec', 1) },
  { from: 0, to: 6, names: numbered('sun mon tue wed thu fri sat', 0) },
];

const MACROS: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
};

const EVERY = '@every ';
const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Five fields, a macro such as `@daily`, or `@every 1h30m`; each may follow `TZ=<zone> `. Throws CronError. */
export function parseCron(text: string): CronSchedule {
  if (text === '') throw new CronError('empty spec string');
  const { timeZone, rest } = splitZone(text);
  if (rest.startsWith('@')) return parseMacro(rest, timeZone);
  return parseFields(rest, timeZone);
}

function splitZone(text: string): { timeZone: string; rest: string } {
  if (!text.startsWith('TZ=') && !text.startsWith('CRON_TZ=')) return { timeZone: '', rest: text };
  const end = text.indexOf(' ');
  const timeZone = text.slice(text.indexOf('=') + 1, end < 0 ? undefined : end);
  if (!isTimeZone(timeZone)) throw new CronError(`provided bad location ${timeZone}: unknown time zone ${timeZone}`);
  return { timeZone, rest: end < 0 ? '' : text.slice(end).trim() };
}

function parseMacro(text: string, timeZone: string): CronSchedule {
  const fields = Object.hasOwn(MACROS, text) ? MACROS[text] : undefined;
  if (fields !== undefined) return parseFields(fields, timeZone);
  if (!text.startsWith(EVERY)) throw new CronError(`unrecognized descriptor: ${text}`);
  return { kind: 'every', intervalMs: parseInterval(text.slice(EVERY.length), text), timeZone };
}

/** A Go duration, rounded to whole seconds, at least one. */
function parseInterval(duration: string, text: string): number {
  const fail = (why: string) =>
    new CronError(`failed to parse duration ${text}: time: ${why} ${JSON.stringify(duration)}`);
  const match = /^([+-]?)((?:\d+(?:\.\d*)?|\.\d+)[a-zµ]+)+$/.exec(duration);
  if (match === null) {
    throw fail(/^[+-]?(\d+(\.\d*)?|\.\d+)$/.test(duration) ? 'missing unit in duration' : 'invalid duration');
  }
  let totalMs = 0;
  for (const [, amount, unit = ''] of duration.matchAll(/(\d+(?:\.\d*)?|\.\d+)([a-zµ]+)/g)) {
    const factor = Object.hasOwn(UNIT_MS, unit) ? UNIT_MS[unit] : undefined;
    if (factor === undefined) throw fail(`unknown unit ${JSON.stringify(unit)} in duration`);
    totalMs += Number(amount) * factor;
  }
  const isNegative = match[1] === '-';
  return Math.max(Math.floor((isNegative ? -totalMs : totalMs) / 1000), 1) * 1000;
}

function parseFields(text: string, timeZone: string): CronSchedule {
  const fields = text.split(/\s+/).filter((field) => field !== '');
  if (fields.length !== 5) {
    throw new CronError(`expected exactly 5 fields, found ${fields.length}: [${fields.join(' ')}]`);
  }
  const [minutes, hours, daysOfMonth, months, daysOfWeek] = FIELDS.map((field, i) =>
    parseField(fields[i] as string, field),
  ) as [Set<number>, Set<number>, Set<number>, Set<number>, Set<number>];
  const isOpen = (field: string | undefined) => /(^|,)[*?](\/1)?(,|$)/.test(field ?? '');
  const isAnyDay = !isOpen(fields[2]) && !isOpen(fields[4]);
  return { kind: 'calendar', minutes, hours, daysOfMonth, months, daysOfWeek, isAnyDay, timeZone };
}

function parseField(text: string, field: Field): Set<number> {
  const values = new Set<number>();
  for (const range of text.split(',').filter((part) => part !== '')) {
    for (const value of parseRange(range, field)) values.add(value);
  }
  return values;
}

/** `*`, `5`, `1-5`, each with an optional `/step`. */
function* parseRange(text: string, field: Field): Generator<number> {
  const [range = '', stepText, ...moreSteps] = text.split('/');
  const [low = '', high, ...moreEnds] = range.split('-');
  const isOpen = low === '*' || low === '?';
  if (!isOpen && moreEnds.length > 0) throw new CronError(`too many hyphens: ${text}`);
  if (moreSteps.length > 0) throw new CronError(`too many slashes: ${text}`);
  const from = isOpen ? field.from : parseValue(low, field);
  const step = stepText === undefined ? 1 : parseNumber(stepText);
  // `5/15` means from 5 to the end.
  const single = stepText === undefined ? from : field.to;
  const to = isOpen ? field.to : high === undefined ? single : parseValue(high, field);
  if (from < field.from) throw new CronError(`beginning of range (${from}) below minimum (${field.from}): ${text}`);
  if (to > field.to) throw new CronError(`end of range (${to}) above maximum (${field.to}): ${text}`);
  if (from > to) throw new CronError(`beginning of range (${from}) beyond end of range (${to}): ${text}`);
  if (step === 0) throw new CronError(`step of range should be a positive number: ${text}`);
  for (let value = from; value <= to; value += step) yield value;
}

function parseValue(text: string, { names }: Field): number {
  const name = text.toLowerCase();
  return names !== undefined && Object.hasOwn(names, name) ? (names[name] as number) : parseNumber(text);
}

function parseNumber(text: string): number {
  if (!/^[+-]?\d{1,9}$/.test(text)) {
    throw new CronError(
      `failed to parse int from ${text}: strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`,
    );
  }
  const value = Number(text);
  if (value < 0) throw new CronError(`negative number (${value}) not allowed: ${text}`);
  return value;
}

/** A zone of the IANA database, by its name. */
export function isTimeZone(name: string): boolean {
  // Offsets such as `+01:00` are time zones to JavaScript, but not to Kubernetes.
  if (!/^[A-Za-z][A-Za-z0-9._+-]*(\/[A-Za-z0-9._+-]+)*$/.test(name)) return false;
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch (err) {
    if (err instanceof RangeError) return false;
    throw err;
  }
}
