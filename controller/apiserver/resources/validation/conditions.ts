import { duplicate, type FieldError, invalid, required } from '#api/object/field-error.ts';
import { validateNonNegative, validateOneOf, validateQualifiedName } from './format.ts';

/** `metav1.Condition`. */
interface StrictCondition {
  readonly type?: string;
  readonly status?: string;
  readonly observedGeneration?: number;
  readonly lastTransitionTime?: string | null;
  readonly reason?: string;
  readonly message?: string;
}

const STATUSES = ['False', 'True', 'Unknown'];
const MAX_REASON_BYTES = 1024;
const MAX_MESSAGE_BYTES = 32 * 1024;
const REASON = '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?';
const reasonPattern = new RegExp(`^(?:${REASON})$`);
const REASON_FORM =
  "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' " +
  `(e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '${REASON}')`;

const tooLong = (path: string, maxBytes: number): FieldError => ({
  type: 'FieldValueTooLong',
  field: path,
  message: `Too long: may not be more than ${maxBytes} bytes`,
});

function validateReason(reason: string | undefined, path: string): FieldError[] {
  if (!reason) return [required(path)];
  const errors: FieldError[] = [];
  if (reason.length > MAX_REASON_BYTES) errors.push(tooLong(path, MAX_REASON_BYTES));
  else if (!reasonPattern.test(reason)) errors.push(invalid(path, reason, REASON_FORM));
  return errors;
}

/** The conditions of newer kinds, of which each type occurs once and every field but the generation is there. */
export function validateConditions(conditions: readonly StrictCondition[] | undefined, path: string): FieldError[] {
  const seen = new Set<string>();
  return (conditions ?? []).flatMap((condition, i) => {
    const at = `${path}[${i}]`;
    const type = condition.type ?? '';
    const errors: FieldError[] = [];
    if (seen.has(type)) errors.push(duplicate(`${at}.type`, type));
    seen.add(type);
    errors.push(
      ...(type === '' ? [required(`${at}.type`)] : validateQualifiedName(type, `${at}.type`)),
      ...validateOneOf(condition.status, STATUSES, `${at}.status`),
      ...validateNonNegative(condition.observedGeneration, `${at}.observedGeneration`),
    );
    if (!condition.lastTransitionTime) errors.push(required(`${at}.lastTransitionTime`));
    errors.push(...validateReason(condition.reason, `${at}.reason`));
    if (Buffer.byteLength(condition.message ?? '') > MAX_MESSAGE_BYTES) {
      errors.push(tooLong(`${at}.message`, MAX_MESSAGE_BYTES));
    }
    return errors;
  });
}
