import { CelEvaluationError } from '../values/evaluation-error.ts';
import { CelDuration, CelTimestamp, CelUint } from '../values/scalars.ts';
import { CelList, CelMap, CelOptional, CelStruct, type CelValue } from '../values/value.ts';
import { global, type Implementation, member, type Overload } from './function-table.ts';

const DEFAULTS: ReadonlySet<CelValue> = new Set<CelValue>([null, false, 0n, 0, '']);

function isZero(value: CelValue): boolean {
  if (value instanceof CelList || value instanceof CelMap) return value.size === 0;
  if (value instanceof CelStruct) return value.fields.size === 0;
  if (value instanceof CelUint) return value.value === 0n;
  if (value instanceof CelDuration || value instanceof CelTimestamp) return value.nanos === 0n;
  if (value instanceof Uint8Array) return value.length === 0;
  return value instanceof CelOptional ? value.value === undefined : DEFAULTS.has(value);
}

const present: Implementation = ([optional]) => {
  const { value } = optional as CelOptional;
  if (value === undefined) throw new CelEvaluationError('optional.none() dereference');
  return value;
};

export const OPTIONALS: readonly Overload[] = [
  global('optional.none', 'optional_none', '() -> optional(V)', () => CelOptional.none),
  global('optional.of', 'optional_of', '(V) -> optional(V)', ([value]) => new CelOptional(value)),
  global('optional.ofNonZeroValue', 'optional_ofNonZeroValue', '(V) -> optional(V)', ([value]) =>
    isZero(value as CelValue) ? CelOptional.none : new CelOptional(value),
  ),
  member('value', 'optional_value', '(optional(V)) -> V', present),
  member(
    'hasValue',
    'optional_hasValue',
    '(optional(V)) -> bool',
    ([value]) => (value as CelOptional).value !== undefined,
  ),
  member('or', 'optional_or_optional', '(optional(V), optional(V)) -> optional(V)', ([value, other]) =>
    (value as CelOptional).value === undefined ? (other as CelValue) : (value as CelValue),
  ),
  member('orValue', 'optional_orValue_value', '(optional(V), V) -> V', ([optional, other]) => {
    const { value } = optional as CelOptional;
    return value === undefined ? (other as CelValue) : value;
  }),
];
