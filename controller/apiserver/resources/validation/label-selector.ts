import type { LabelSelectorObject } from '#api/meta/label-selector.ts';
import { type FieldError, forbiddenField, invalid, required } from '#api/object/field-error.ts';
import { validateLabelValue, validateQualifiedName } from './format.ts';

type Expression = NonNullable<LabelSelectorObject['matchExpressions']>[number];

function validateExpression({ key, operator, values = [] }: Expression, path: string): FieldError[] {
  const errors: FieldError[] = [];
  switch (operator) {
    case 'In':
    case 'NotIn':
      if (values.length === 0)
        errors.push(required(`${path}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
      break;
    case 'Exists':
    case 'DoesNotExist':
      if (values.length > 0) {
        errors.push(
          forbiddenField(`${path}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
        );
      }
      break;
    default:
      errors.push(invalid(`${path}.operator`, operator ?? '', 'not a valid selector operator'));
  }
  errors.push(...validateQualifiedName(key ?? '', `${path}.key`));
  for (const [i, value] of values.entries()) errors.push(...validateLabelValue(value, `${path}.values[${i}]`));
  return errors;
}

/** A `metav1.LabelSelector` as a field of a spec. */
export function validateLabelSelector(selector: LabelSelectorObject | null | undefined, path: string): FieldError[] {
  return [
    ...validateLabels(selector?.matchLabels, `${path}.matchLabels`),
    ...(selector?.matchExpressions ?? []).flatMap((expression, i) =>
      validateExpression(expression, `${path}.matchExpressions[${i}]`),
    ),
  ];
}

/** A plain map of labels. */
export function validateLabels(labels: Readonly<Record<string, string>> | undefined, path: string): FieldError[] {
  return Object.entries(labels ?? {}).flatMap(([key, value]) => [
    ...validateQualifiedName(key, path),
    ...validateLabelValue(value, path),
  ]);
}
