/** How a quantity was written, and so how it is written back. */
export type QuantityFormat = 'DecimalSI' | 'BinarySI' | 'DecimalExponent';

/** Thrown for text that is no quantity; the message is Kubernetes' own. */
export class QuantityError extends Error {
  override readonly name = 'QuantityError';
}

const WRONG_FORMAT = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
/** No amount needs more; the pattern's cost grows with the square of the length. */
const MAX_TEXT = 128;
const SHAPE = /^([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)$/;

const DECIMAL_EXPONENTS: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  '': 0,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};
const BINARY_EXPONENTS: Readonly<Record<string, number>> = { Ki: 10, Mi: 20, Gi: 30, Ti: 40, Pi: 50, Ei: 60 };
const DECIMAL_SUFFIXES = new Map(Object.entries(DECIMAL_EXPONENTS).map(([suffix, exponent]) => [exponent, suffix]));
const BINARY_SUFFIXES = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];

const NANO = 1_000_000_000n;
/** Kubernetes caps amounts here instead of refusing them. */
const MAX_NANO = (2n ** 63n - 1n) * NANO;
const BINARY_FROM = 1024n * NANO;

/** An exact amount of a resource. Nothing finer than 10^-9 is kept: it is rounded away from zero, as in Kubernetes. Immutable. */
export class Quantity {
  readonly format: QuantityFormat;
  /** The amount in units of 10^-9. */
  readonly nano: bigint;

  constructor(nano: bigint, format: QuantityFormat) {
    this.nano = nano > MAX_NANO ? MAX_NANO : nano < -MAX_NANO ? -MAX_NANO : nano;
    this.format = format;
  }

  static readonly zero = new Quantity(0n, 'DecimalSI');

  /** Throws QuantityError. A JSON number is read as its decimal text. */
  static parse(value: string | number): Quantity {
    const text = typeof value === 'number' ? String(value) : value;
    const match = text.length > MAX_TEXT ? null : SHAPE.exec(text);
    if (match === null || text === '') throw new QuantityError(WRONG_FORMAT);
    const [, sign, whole, fraction = '', suffix] = match as unknown as [string, string, string, string?, string?];
    if (whole === '' && fraction === '') throw new QuantityError(WRONG_FORMAT);
    const { base, exponent, format } = parseSuffix(suffix ?? '');
    const digits = BigInt(`${whole}${fraction}`);
    const magnitude =
      base === 2
        ? ceilDivide(digits * 2n ** BigInt(exponent) * NANO, 10n ** BigInt(fraction.length))
        : scaleByTen(digits, exponent - fraction.length + 9);
    return new Quantity(sign === '-' ? -magnitude : magnitude, format);
  }

  /** Milli-units (CPU): `fromMilli(1500)` is `1500m`. */
  static fromMilli(milli: number, format: QuantityFormat = 'DecimalSI'): Quantity {
    return new Quantity(BigInt(Math.ceil(milli)) * 1_000_000n, format);
  }

  static fromValue(value: number, format: QuantityFormat = 'DecimalSI'): Quantity {
    return new Quantity(BigInt(Math.ceil(value)) * NANO, format);
  }

  get isZero(): boolean {
    return this.nano === 0n;
  }

  /** -1, 0 or 1. */
  get sign(): number {
    return this.nano < 0n ? -1 : this.nano > 0n ? 1 : 0;
  }

  /** Negative, zero or positive, as sort functions want it. */
  compare(other: Quantity): number {
    return this.nano < other.nano ? -1 : this.nano > other.nano ? 1 : 0;
  }

  equals(other: Quantity): boolean {
    return this.nano === other.nano;
  }

  /** A zero takes over the format of what is added to it. */
  add(other: Quantity): Quantity {
    return new Quantity(this.nano + other.nano, this.isZero ? other.format : this.format);
  }

  sub(other: Quantity): Quantity {
    return new Quantity(this.nano - other.nano, this.isZero ? other.format : this.format);
  }

  negate(): Quantity {
    return new Quantity(-this.nano, this.format);
  }

  /** Whole units, fractions rounded away from zero. */
  value(): number {
    return Number(roundAwayFromZero(this.nano, NANO));
  }

  /** Thousandths, finer fractions rounded away from zero. */
  milliValue(): number {
    return Number(roundAwayFromZero(this.nano, 1_000_000n));
  }

  /** The exact amount as a double, for ratios and metrics. */
  toNumber(): number {
    return Number(this.nano) / 1e9;
  }

  /** The canonical text. */
  toString(): string {
    if (this.nano === 0n) return '0';
    const isBinary =
      this.format === 'BinarySI' && (this.nano >= BINARY_FROM || this.nano <= -BINARY_FROM) && this.nano % NANO === 0n;
    return isBinary ? renderBinary(this.nano / NANO) : renderDecimal(this.nano, this.format === 'DecimalExponent');
  }

  toJSON(): string {
    return this.toString();
  }
}

function parseSuffix(suffix: string): { base: 2 | 10; exponent: number; format: QuantityFormat } {
  const decimal = DECIMAL_EXPONENTS[suffix];
  if (decimal !== undefined) return { base: 10, exponent: decimal, format: 'DecimalSI' };
  const binary = BINARY_EXPONENTS[suffix];
  if (binary !== undefined) return { base: 2, exponent: binary, format: 'BinarySI' };
  const scientific = /^[eE]([+-]?[0-9]{1,9})$/.exec(suffix);
  if (scientific === null) throw new QuantityError(WRONG_FORMAT);
  // Beyond this every non-zero amount is capped or rounded anyway; it also bounds the work that a client can ask for.
  const exponent = Math.max(-100, Math.min(100, Number(scientific[1])));
  return { base: 10, exponent, format: 'DecimalExponent' };
}

const ceilDivide = (a: bigint, b: bigint): bigint => (a + b - 1n) / b;

function scaleByTen(digits: bigint, exponent: number): bigint {
  return exponent >= 0 ? digits * 10n ** BigInt(exponent) : ceilDivide(digits, 10n ** BigInt(-exponent));
}

function roundAwayFromZero(amount: bigint, unit: bigint): bigint {
  return amount < 0n ? -ceilDivide(-amount, unit) : ceilDivide(amount, unit);
}

function renderBinary(value: bigint): string {
  let mantissa = value;
  let power = 0;
  while (power < BINARY_SUFFIXES.length - 1 && mantissa % 1024n === 0n) {
    mantissa /= 1024n;
    power++;
  }
  return `${mantissa}${BINARY_SUFFIXES[power]}`;
}

/** The largest suffix that needs no fraction. */
function renderDecimal(nano: bigint, scientific: boolean): string {
  let mantissa = nano;
  let exponent = -9;
  while (exponent < 18 && mantissa % 1000n === 0n) {
    mantissa /= 1000n;
    exponent += 3;
  }
  if (!scientific) return `${mantissa}${DECIMAL_SUFFIXES.get(exponent)}`;
  return exponent === 0 ? String(mantissa) : `${mantissa}e${exponent}`;
}

/** Texts met before; objects of one cluster share a few dozen quantities. */
const canonicalTexts = new Map<string, string>();
const MAX_CANONICAL_TEXTS = 1024;

/** The canonical text of a quantity, without building one where the text was met before. Throws QuantityError. */
export function canonicalQuantity(value: string | number): string {
  const text = typeof value === 'number' ? String(value) : value;
  let canonical = canonicalTexts.get(text);
  if (canonical === undefined) {
    canonical = Quantity.parse(text).toString();
    if (canonicalTexts.size >= MAX_CANONICAL_TEXTS) canonicalTexts.clear();
    if (text.length <= 32) canonicalTexts.set(text, canonical);
  }
  return canonical;
}
