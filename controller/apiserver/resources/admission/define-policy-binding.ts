import type { IMutatingAdmissionPolicyBindingSpec } from 'kubernetes-models/admissionregistration.k8s.io/v1/MutatingAdmissionPolicyBindingSpec';
import type { IValidatingAdmissionPolicyBindingSpec } from 'kubernetes-models/admissionregistration.k8s.io/v1/ValidatingAdmissionPolicyBindingSpec';
import type { FieldError } from '#api/object/field-error.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { defineResource } from '../../registry/define-resource.ts';
import type { ResourceDefinition } from '../../registry/resource-definition.ts';
import { age } from '../printing/cells.ts';
import { ageColumn, nameColumn, text } from '../printing/columns.ts';
import { paramRefCell, validateParamRef, validatePolicyName } from './conditions.ts';
import { applyMatchResourcesDefaults, validateMatchResources } from './match-rules.ts';

export type PolicyBindingSpec = IMutatingAdmissionPolicyBindingSpec &
  Partial<Pick<IValidatingAdmissionPolicyBindingSpec, 'validationActions'>>;
type PolicyBinding = KubeObject & { spec?: PolicyBindingSpec };

export interface PolicyBindingKind {
  readonly resource: string;
  readonly kind: string;
  /** What is asked beyond the rules of both kinds. */
  validateSpec(spec: PolicyBindingSpec | undefined): FieldError[];
}

/** Both kinds of policy bindings. */
export function definePolicyBinding({ resource, kind, validateSpec }: PolicyBindingKind): ResourceDefinition {
  return defineResource<PolicyBinding>({
    group: 'admissionregistration.k8s.io',
    version: 'v1',
    resource,
    kind,
    namespaced: false,
    categories: ['api-extensions'],
    hasGeneration: true,
    allowUnconditionalUpdate: false,
    applyDefaults: ({ spec }) => applyMatchResourcesDefaults(spec?.matchResources),
    validate: ({ spec }) => [
      ...validatePolicyName(spec?.policyName),
      ...validateParamRef(spec?.paramRef, 'spec.paramRef'),
      ...validateMatchResources(spec?.matchResources, 'spec.matchResources'),
      ...validateSpec(spec),
    ],
    columns: [
      nameColumn,
      text('PolicyName', 'Policy that it puts into force.'),
      text('ParamRef', 'Objects that hold the parameters.'),
      ageColumn,
    ],
    tableRow: (binding, nowMs) => [
      binding.metadata.name,
      binding.spec?.policyName ?? '',
      paramRefCell(binding.spec?.paramRef),
      age(binding, nowMs),
    ],
  });
}
