import { Quantity, QuantityError } from '#api/meta/quantity.ts';
import { CelEvaluationError } from '../values/evaluation-error.ts';
import { MAX_INT, MIN_INT } from '../values/scalars.ts';
import { CelOpaque, type CelValue } from '../values/value.ts';
import { global, member, type Overload } from './function-table.ts';

const NANO = 1_000_000_000n;

class CelQuantity extends CelOpaque {
  override readonly typeName = 'kubernetes.Quantity';
  readonly quantity: Quantity;

  constructor(quantity: Quantity) {
    super();
    this.quantity = quantity;
  }

  override equals(other: CelOpaque): boolean {
    return other instanceof CelQuantity && other.quantity.equals(this.quantity);
  }
}

function read(text: string): Quantity | undefined {
  try {
    return Quantity.parse(text);
  } catch (error) {
    if (error instanceof QuantityError) return undefined;
    throw error;
  }
}

function parse(text: string): CelQuantity {
  const quantity = read(text);
  if (quantity !== undefined) return new CelQuantity(quantity);
  throw new CelEvaluationError(
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
  );
}

/** A quantity that an object holds. Throws CelEvaluationError where it is none. */
export const quantityValue = (text: string): CelOpaque => parse(text);

const of = (value: CelValue | undefined): Quantity => (value as CelQuantity).quantity;
const whole = (value: CelValue | undefined): Quantity => new Quantity((value as bigint) * NANO, 'DecimalSI');

/** The integer that a quantity is, or undefined when it has a fraction or does not fit. */
function integerOf({ nano }: Quantity): bigint | undefined {
  const value = nano / NANO;
  return nano % NANO === 0n && value <= MAX_INT && value >= MIN_INT ? value : undefined;
}

function asInteger(quantity: Quantity): bigint {
  const value = integerOf(quantity);
  if (value === undefined) throw new CelEvaluationError('cannot convert value to integer');
  return value;
}

const TYPE = 'kubernetes.Quantity';
const PAIR = `(${TYPE}, ${TYPE})`;
const sign = (value: number): bigint => BigInt(Math.sign(value));

export const QUANTITIES: readonly Overload[] = [
  global('quantity', 'string_to_quantity', `(string) -> ${TYPE}`, ([text]) => parse(text as string)),
  global('isQuantity', 'is_quantity_string', '(string) -> bool', ([text]) => read(text as string) !== undefined),
  member('sign', 'quantity_sign', `(${TYPE}) -> int`, ([value]) => BigInt(of(value).sign)),
  member('isInteger', 'quantity_is_integer', `(${TYPE}) -> bool`, ([value]) => integerOf(of(value)) !== undefined),
  member('asInteger', 'quantity_get_int', `(${TYPE}) -> int`, ([value]) => asInteger(of(value))),
  member('asApproximateFloat', 'quantity_get_float', `(${TYPE}) -> double`, ([value]) => of(value).toNumber()),
  member('isGreaterThan', 'quantity_is_greater_than', `${PAIR} -> bool`, ([a, b]) => of(a).compare(of(b)) > 0),
  member('isLessThan', 'quantity_is_less_than', `${PAIR} -> bool`, ([a, b]) => of(a).compare(of(b)) < 0),
  member('compareTo', 'quantity_compare_to', `${PAIR} -> int`, ([a, b]) => sign(of(a).compare(of(b)))),
  member('add', 'quantity_add', `${PAIR} -> ${TYPE}`, ([a, b]) => new CelQuantity(of(a).add(of(b)))),
  member('add', 'quantity_add_int', `(${TYPE}, int) -> ${TYPE}`, ([a, b]) => new CelQuantity(of(a).add(whole(b)))),
  member('sub', 'quantity_sub', `${PAIR} -> ${TYPE}`, ([a, b]) => new CelQuantity(of(a).sub(of(b)))),
  member('sub', 'quantity_sub_int', `(${TYPE}, int) -> ${TYPE}`, ([a, b]) => new CelQuantity(of(a).sub(whole(b)))),
];
