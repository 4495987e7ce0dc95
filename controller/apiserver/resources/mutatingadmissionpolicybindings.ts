import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { definePolicyBinding } from './admission/define-policy-binding.ts';
import { validateMutableOperations } from './admission/match-rules.ts';

export const mutatingAdmissionPolicyBindings: ResourceDefinition = definePolicyBinding({
  resource: 'mutatingadmissionpolicybindings',
  kind: 'MutatingAdmissionPolicyBinding',
  validateSpec: (spec) => validateMutableOperations(spec?.matchResources, 'spec.matchResources'),
});
