/** Thrown for a scalar whose text does not fit its kind; the message is worded as Go words it. */
export class ScalarError extends Error {
  override readonly name = 'ScalarError';
}

const CANONICAL_TIME = /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$/;
const RFC3339 = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:[.,](\d+))?(?:Z|([+-])(\d{2}):(\d{2}))$/;
const DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const isDay = (year: number, month: number, day: number) =>
  day >= 1 &&
  day <= DAYS[month - 1]! &&
  (month !== 2 || day < 29 || (year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)));

/** RFC 3339 in UTC with whole seconds; other zones are converted, fractions cut off. Throws ScalarError. */
export function canonicalTime(text: string): string {
  if (
    CANONICAL_TIME.test(text) &&
    text.charCodeAt(8) < 0x33 &&
    !text.startsWith('02-29', 5) &&
    !text.startsWith('02-30', 5)
  ) {
    return text;
  }
  const { epochMs } = parseTime(text);
  return `${new Date(epochMs).toISOString().slice(0, 19)}Z`;
}

/** RFC 3339 in UTC with exactly six decimals. Throws ScalarError. */
export function canonicalMicroTime(text: string): string {
  if (text.length === 27 && text.endsWith('Z') && text[19] === '.' && CANONICAL_TIME.test(`${text.slice(0, 19)}Z`)) {
    parseTime(text);
    return text;
  }
  const { epochMs, fraction } = parseTime(text);
  return `${new Date(epochMs).toISOString().slice(0, 19)}.${fraction.padEnd(6, '0').slice(0, 6)}Z`;
}

/** Quoted for an error message, which must not grow with what a client sends. */
function shown(text: string): string {
  return JSON.stringify(text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}...` : text);
}

const MAX_SHOWN = 100;

function parseTime(text: string): { epochMs: number; fraction: string } {
  const match = RFC3339.exec(text);
  if (match === null) throw new ScalarError(timeError(text));
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const isValid = month >= 1 && month <= 12 && isDay(year, month, day) && hour < 24 && minute < 60 && second < 60;
  const offsetMinutes = Number(match[9] ?? 0) * 60 + Number(match[10] ?? 0);
  if (!isValid || offsetMinutes > 24 * 60) throw new ScalarError(`parsing time ${shown(text)}: value out of range`);
  const utc = new Date(0);
  utc.setUTCFullYear(year, month - 1, day);
  utc.setUTCHours(hour, minute, second);
  return { epochMs: utc.getTime() - (match[8] === '-' ? -1 : 1) * offsetMinutes * 60_000, fraction: match[7] ?? '' };
}

const timeError = (text: string) =>
  `parsing time ${shown(text)} as "2006-01-02T15:04:05Z07:00": cannot parse ${shown(text)} as RFC 3339`;

const NOT_BASE64 = /[^A-Za-z0-9+/]/;

/** Looks for a wrong character rather than matching the whole: ten times faster on a Secret of a megabyte. */
function isBase64(text: string): boolean {
  if (text.length % 4 !== 0) return false;
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  return !NOT_BASE64.test(padding === 0 ? text : text.slice(0, -padding));
}

/** Standard base64 with padding; line breaks are dropped, as Go's decoder does. Throws ScalarError. */
export function canonicalBytes(text: string): string {
  if (isBase64(text)) return text;
  const joined = text.replaceAll(/[\r\n]/g, '');
  if (joined !== text && isBase64(joined)) return joined;
  const wrong = /[^A-Za-z0-9+/\r\n]/.exec(text)?.index ?? text.length;
  throw new ScalarError(`illegal base64 data at input byte ${wrong}`);
}

const DURATION = /^[+-]?(?:0|(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)$/;

/** Go's duration text; kept as written. Throws ScalarError. */
export function checkDuration(text: string): string {
  if (!DURATION.test(text)) throw new ScalarError(`time: invalid duration ${shown(text)}`);
  return text;
}
