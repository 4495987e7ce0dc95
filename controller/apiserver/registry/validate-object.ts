import { type FieldError, invalidObject } from '#api/object/field-error.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { metadataErrors, metadataUpdateErrors } from './metadata-validation.ts';
import type { ResourceDefinition, StrategyContext } from './resource-definition.ts';

/** Throws 422 with every finding on a new object. */
export function validateNew(definition: ResourceDefinition, object: KubeObject, context: StrategyContext): void {
  refuse(definition, object, [
    ...metadataErrors(definition, object),
    ...definition.validate(object, context),
    ...definition.validateCreate(object, context),
  ]);
}

/** Throws 422 with every finding on a changed one; `as` chooses the strategy's rules. */
export function validateChanged(
  definition: ResourceDefinition,
  states: { readonly next: KubeObject; readonly old: KubeObject; readonly as: 'main' | 'status' },
  context: StrategyContext,
): void {
  const { next, old, as } = states;
  const own =
    as === 'status'
      ? definition.validateStatusUpdate(next, old, context)
      : [...definition.validate(next, context, old), ...definition.validateUpdate(next, old, context)];
  refuse(definition, next, [...metadataErrors(definition, next), ...metadataUpdateErrors(next, old), ...own]);
}

function refuse(definition: ResourceDefinition, object: KubeObject, errors: readonly FieldError[]): void {
  if (errors.length > 0) throw invalidObject(definition, object.metadata.name ?? '', errors);
}
