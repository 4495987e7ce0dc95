import { duplicate, type FieldError, invalid, notSupported, required } from '#api/object/field-error.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { definePolicyBinding } from './admission/define-policy-binding.ts';

const ACTIONS = ['Audit', 'Deny', 'Warn'];

function validateActions(actions: readonly string[]): FieldError[] {
  const path = 'spec.validationActions';
  if (actions.length === 0) return [required(path, 'at least one validation action is required')];
  const errors = actions.flatMap((action, i) => [
    ...(ACTIONS.includes(action) ? [] : [notSupported(`${path}[${i}]`, action, ACTIONS)]),
    ...(actions.indexOf(action) < i ? [duplicate(`${path}[${i}]`, action)] : []),
  ]);
  if (actions.includes('Deny') && actions.includes('Warn')) {
    const detail =
      'must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)';
    errors.push(invalid(path, actions, detail));
  }
  return errors;
}

export const validatingAdmissionPolicyBindings: ResourceDefinition = definePolicyBinding({
  resource: 'validatingadmissionpolicybindings',
  kind: 'ValidatingAdmissionPolicyBinding',
  validateSpec: (spec) => validateActions(spec?.validationActions ?? []),
});
