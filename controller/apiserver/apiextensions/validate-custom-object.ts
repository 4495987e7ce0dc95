import type { FieldError } from '#api/object/field-error.ts';
import { invalid } from '#api/object/field-error.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { JsonSchema, ScalePaths } from './custom-resource-definition.ts';
import { embeddedErrors, hasEmbedded } from './embedded-resources.ts';
import { dottedSteps, valueAtPath } from './field-path.ts';
import { listTypeErrors } from './list-type-errors.ts';
import { validateSchemaValue } from './validate-schema-value.ts';

export interface CustomValidation {
  readonly schema: JsonSchema;
  readonly scale: ScalePaths | undefined;
  /** Rules in CEL; run only where the rest found nothing that makes them pointless. */
  readonly rules: ((object: KubeObject, old: KubeObject | undefined) => readonly FieldError[]) | undefined;
}

/** Findings on a new object of a custom kind, or on a changed one where `old` is given. */
export function customObjectErrors(
  validation: CustomValidation,
  object: KubeObject,
  old: KubeObject | undefined,
): FieldError[] {
  const { schema, scale, rules } = validation;
  const errors = [
    ...validateSchemaValue(object, schema, '', old === undefined ? undefined : { old }),
    ...(scale === undefined ? [] : scaleErrors(object, scale)),
    ...(hasEmbedded(schema) ? embeddedErrors(object, schema) : []),
    // What was wrong before this rule of the schema may stay so.
    ...(old !== undefined && listTypeErrors(old, schema).length > 0 ? [] : listTypeErrors(object, schema)),
  ];
  if (rules === undefined) return errors;
  return errors.some(({ type }) => BLOCKING.has(type)) ? [...errors, NOT_CHECKED] : [...errors, ...rules(object, old)];
}

const BLOCKING: ReadonlySet<string> = new Set([
  'FieldValueNotSupported',
  'FieldValueRequired',
  'FieldValueTooLong',
  'FieldValueTooMany',
  'FieldValueTypeInvalid',
]);

const NOT_CHECKED: FieldError = invalid(
  '<nil>',
  null,
  'some validation rules were not checked because the object was invalid; correct the existing errors to complete validation',
);

const INT32_MAX = 2 ** 31 - 1;

function scaleErrors(
  object: KubeObject,
  { specReplicasPath, statusReplicasPath, labelSelectorPath }: ScalePaths,
): FieldError[] {
  const count = (path: string): FieldError[] => {
    const value = valueAtPath(object, dottedSteps(path));
    if (typeof value !== 'number') return [];
    if (value < 0) return [invalid(path, value, 'should be a non-negative integer')];
    return value > INT32_MAX ? [invalid(path, value, `should be less than or equal to ${INT32_MAX}`)] : [];
  };
  const selector = labelSelectorPath ? valueAtPath(object, dottedSteps(labelSelectorPath)) : undefined;
  const isWrong = selector !== undefined && selector !== null && typeof selector !== 'string';
  return [
    ...count(specReplicasPath),
    ...count(statusReplicasPath),
    ...(isWrong && labelSelectorPath ? [invalid(labelSelectorPath, selector, 'must be a string')] : []),
  ];
}
