import type { LabelSelectorObject } from '#api/meta/label-selector.ts';
import { type FieldError, forbiddenField, invalid, required } from '#api/object/field-error.ts';
import { validateLabelValue, validateQualifiedName } from './format.ts';

/** What the requirements of label selectors and of node selectors have in common. */
interface Requirement {
  readonly key?: string;
  readonly operator?: string;
  readonly values?: readonly string[];
}

export interface RequirementRules {
  /** Nodes can be compared by number too. */
  readonly allowsOrder: boolean;
  /** Preferences tolerate values that no label can have. */
  readonly checksValues: boolean;
}

const LABEL_RULES: RequirementRules = { allowsOrder: false, checksValues: true };

/** One entry of `matchExpressions`. */
export function validateRequirement(
  { key, operator, values = [] }: Requirement,
  path: string,
  { allowsOrder, checksValues }: RequirementRules = LABEL_RULES,
): FieldError[] {
  const errors: FieldError[] = [];
  if (operator === 'In' || operator === 'NotIn') {
    if (values.length === 0)
      errors.push(required(`${path}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
  } else if (operator === 'Exists' || operator === 'DoesNotExist') {
    if (values.length > 0)
      errors.push(
        forbiddenField(`${path}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
      );
  } else if (allowsOrder && (operator === 'Gt' || operator === 'Lt')) {
    if (values.length !== 1)
      errors.push(required(`${path}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'"));
  } else {
    errors.push(invalid(`${path}.operator`, operator ?? '', 'not a valid selector operator'));
  }
  errors.push(...validateQualifiedName(key ?? '', `${path}.key`));
  if (checksValues)
    for (const [i, value] of values.entries()) errors.push(...validateLabelValue(value, `${path}.values[${i}]`));
  return errors;
}

/** A `metav1.LabelSelector` as a field of a spec. */
export function validateLabelSelector(selector: LabelSelectorObject | null | undefined, path: string): FieldError[] {
  return [
    ...validateLabels(selector?.matchLabels, `${path}.matchLabels`),
    ...(selector?.matchExpressions ?? []).flatMap((expression, i) =>
      validateRequirement(expression, `${path}.matchExpressions[${i}]`),
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
