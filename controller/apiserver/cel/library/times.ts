import { CelEvaluationError } from '../values/evaluation-error.ts';
import type { CelDuration, CelTimestamp } from '../values/scalars.ts';
import { type EvaluationContext, type Implementation, member, type Overload } from './function-table.ts';

const NANOS_PER_MILLI = 1_000_000n;
const FIXED_OFFSET = /^([+-]?)(\d\d):(\d\d)$/;

/** The wall clock in a time zone, as a Date whose UTC fields are that clock's. */
function wallClock({ nanos }: CelTimestamp, zone: string, context: EvaluationContext): Date {
  const ms = Number((nanos - (((nanos % NANOS_PER_MILLI) + NANOS_PER_MILLI) % NANOS_PER_MILLI)) / NANOS_PER_MILLI);
  if (zone === '' || zone === 'UTC') return new Date(ms);
  const fixed = FIXED_OFFSET.exec(zone);
  if (fixed !== null) {
    const minutes = Number(fixed[2]) * 60 + Number(fixed[3]);
    return new Date(ms + (fixed[1] === '-' ? -minutes : minutes) * 60_000);
  }
  return new Date(ms + offsetMs(ms, zone, context));
}

/** Looking a zone up takes as long as hundreds of field accesses, so that is what it costs. */
const ZONE_COST = 1_000;
const KNOWN_ZONES = 16;
const formats = new Map<string, Intl.DateTimeFormat>();

/** Of one of the zones that were asked for lately. Throws RangeError for what is none. */
function formatIn(zone: string, context: EvaluationContext): Intl.DateTimeFormat {
  const known = formats.get(zone);
  if (known !== undefined) return known;
  context.charge(ZONE_COST);
  const format = new Intl.DateTimeFormat('en-US', { timeZone: zone, timeZoneName: 'longOffset' });
  if (formats.size >= KNOWN_ZONES) formats.clear();
  formats.set(zone, format);
  return format;
}

function offsetMs(ms: number, zone: string, context: EvaluationContext): number {
  try {
    const parts = formatIn(zone, context).formatToParts(ms);
    const name = parts.find(({ type }) => type === 'timeZoneName')?.value ?? 'GMT';
    const match = /^GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/.exec(name);
    const seconds = Number(match?.[2] ?? 0) * 3600 + Number(match?.[3] ?? 0) * 60 + Number(match?.[4] ?? 0);
    return (match?.[1] === '-' ? -seconds : seconds) * 1000;
  } catch (error) {
    if (error instanceof RangeError) throw new CelEvaluationError(`unknown time zone ${zone}`, { cause: error });
    throw error;
  }
}

const dayOfYear = (date: Date): number =>
  Math.floor(
    (Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()) - Date.UTC(date.getUTCFullYear(), 0, 1)) /
      86_400_000,
  );

const DATE_PARTS: Readonly<Record<string, (date: Date) => number>> = {
  getFullYear: (date) => date.getUTCFullYear(),
  getMonth: (date) => date.getUTCMonth(),
  getDayOfYear: dayOfYear,
  getDayOfMonth: (date) => date.getUTCDate() - 1,
  getDate: (date) => date.getUTCDate(),
  getDayOfWeek: (date) => date.getUTCDay(),
};
const CLOCK_PARTS: Readonly<Record<string, (date: Date) => number>> = {
  getHours: (date) => date.getUTCHours(),
  getMinutes: (date) => date.getUTCMinutes(),
  getSeconds: (date) => date.getUTCSeconds(),
  getMilliseconds: (date) => date.getUTCMilliseconds(),
};

/** Of durations: the whole length in this unit; milliseconds are those beyond the second. */
const DURATION_PARTS: Readonly<Record<string, (nanos: bigint) => bigint>> = {
  getHours: (nanos) => nanos / 3_600_000_000_000n,
  getMinutes: (nanos) => nanos / 60_000_000_000n,
  getSeconds: (nanos) => nanos / 1_000_000_000n,
  getMilliseconds: (nanos) => (nanos / NANOS_PER_MILLI) % 1000n,
};

const datePart =
  (read: (date: Date) => number): Implementation =>
  ([timestamp, zone], context) =>
    BigInt(read(wallClock(timestamp as CelTimestamp, (zone as string | undefined) ?? '', context)));

export const TIMES: readonly Overload[] = [
  ...Object.entries({ ...DATE_PARTS, ...CLOCK_PARTS }).flatMap(([name, read]) => [
    member(name, `timestamp_${name}`, '(timestamp) -> int', datePart(read)),
    member(name, `timestamp_${name}_with_tz`, '(timestamp, string) -> int', datePart(read)),
  ]),
  ...Object.entries(DURATION_PARTS).map(([name, read]) =>
    member(name, `duration_${name}`, '(duration) -> int', ([value]) => read((value as CelDuration).nanos)),
  ),
];
