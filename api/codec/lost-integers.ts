import { parse } from 'yaml';
import { isJsonObject } from '../object/json.ts';

/** An integer of a body that a double would silently make another one of. */
export interface LostInteger {
  /** Names and indexes from the root of the document. */
  readonly steps: readonly (string | number)[];
  readonly digits: string;
}

/** Every number that a double may not hold exactly is one of these; most of these are not such numbers. */
const isHuge = (value: unknown) => typeof value === 'number' && Math.abs(value) > Number.MAX_SAFE_INTEGER;

/** The cheap question that comes first: only where it is answered with yes is a body worth a second reading. */
export function holdsHugeNumber(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(holdsHugeNumber);
  if (!isJsonObject(value)) return isHuge(value);
  for (const key in value) if (holdsHugeNumber(value[key])) return true;
  return false;
}

/** Reads a well-formed body again, slowly, and answers the integers in it whose digits its plain reading changed. */
export function findLostIntegers(text: string, mediaType: 'json' | 'yaml'): LostInteger[] {
  const found: LostInteger[] = [];
  collect(readExactly(text, mediaType), [], found);
  return found;
}

/** `spec.ports[0].port` */
export function renderSteps(steps: readonly (string | number)[]): string {
  return steps.map((step, at) => (typeof step === 'number' ? `[${step}]` : at === 0 ? step : `.${step}`)).join('');
}

/** What happened, and what its author can do about it. */
export const describeLostInteger = ({ steps, digits }: LostInteger): string =>
  `${renderSteps(steps)}: the number ${digits} cannot be kept exactly: integers of custom objects are exact between ` +
  `-${Number.MAX_SAFE_INTEGER} and ${Number.MAX_SAFE_INTEGER} (2^53-1) here; use a string for more digits`;

class Lost {
  readonly digits: string;

  constructor(digits: string) {
    this.digits = digits;
  }
}

/** The document with a Lost in place of each integer that is none of a double's. */
function readExactly(text: string, mediaType: 'json' | 'yaml'): unknown {
  if (mediaType === 'yaml') {
    const isJson = text.startsWith('{');
    // Flow mappings of YAML begin as JSON does.
    if (!isJson || !isWellFormed(text))
      return parse(text, { version: '1.1', merge: true, intAsBigInt: true, uniqueKeys: false });
  }
  return JSON.parse(text, (_key: string, value: unknown, context?: { readonly source?: string }) => {
    const { source } = context ?? {};
    if (source === undefined || !isHuge(value)) return value;
    if (value === Infinity || value === -Infinity) return new Lost(source);
    return INTEGER.test(source) && isChanged(BigInt(source)) ? new Lost(source) : value;
  });
}

const INTEGER = /^-?\d+$/;

function isWellFormed(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** What counts is the text that others will read: -2^63 is a double, but is written as -9223372036854776000. */
function isChanged(exact: bigint): boolean {
  const double = Number(exact);
  if (!Number.isFinite(double)) return true;
  const written = String(double);
  return (written.includes('e') ? BigInt(double) : BigInt(written)) !== exact;
}

function collect(value: unknown, steps: readonly (string | number)[], found: LostInteger[]): void {
  if (value instanceof Lost) found.push({ steps, digits: value.digits });
  else if (typeof value === 'bigint') {
    if (isChanged(value)) found.push({ steps, digits: String(value) });
  } else if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) collect(item, [...steps, index], found);
  } else if (isJsonObject(value)) {
    for (const key of Object.keys(value)) collect(value[key], [...steps, key], found);
  }
}
