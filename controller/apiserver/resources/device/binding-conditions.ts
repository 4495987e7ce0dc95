import { type FieldError, invalid } from '#api/object/field-error.ts';
import { validateQualifiedName } from '../validation/format.ts';
import { byItself, validateDistinct, validateList } from './lists.ts';

const MAX_CONDITIONS = 4;

/** Conditions that have to come true before a pod is bound, and those that say that they never will. */
export function validateBindingConditions(
  {
    bindingConditions: good = [],
    bindingFailureConditions: bad = [],
  }: { readonly bindingConditions?: readonly string[]; readonly bindingFailureConditions?: readonly string[] },
  path: string,
): FieldError[] {
  const [goodPath, badPath] = [`${path}.bindingConditions`, `${path}.bindingFailureConditions`];
  const errors = [
    ...validateList(good, MAX_CONDITIONS, validateQualifiedName, goodPath),
    ...validateList(bad, MAX_CONDITIONS, validateQualifiedName, badPath),
    ...validateDistinct(good, byItself, goodPath),
    ...validateDistinct(bad, byItself, badPath),
  ];
  for (const [i, condition] of bad.entries()) {
    if (good.includes(condition)) {
      const detail = 'bindingFailureConditions must not overlap with bindingConditions';
      errors.push(invalid(`${badPath}[${i}]`, condition, detail));
    }
  }
  if (good.length === 0 && bad.length > 0) {
    errors.push(invalid(goodPath, good, 'bindingConditions are required to use bindingFailureConditions'));
  }
  if (bad.length === 0 && good.length > 0) {
    errors.push(invalid(badPath, bad, 'bindingFailureConditions are required to use bindingConditions'));
  }
  return errors;
}
