import type { IMutatingAdmissionPolicy } from 'kubernetes-models/admissionregistration.k8s.io/v1/MutatingAdmissionPolicy';
import { type FieldError, invalid, notSupported, required } from '#api/object/field-error.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import {
  conditionExpressions,
  isBlank,
  paramKindCell,
  validateMatchConditions,
  validateParamKind,
  validateVariables,
  variableExpressions,
} from './admission/conditions.ts';
import {
  applyMatchResourcesDefaults,
  FAILURE_POLICIES,
  REINVOCATION_POLICIES,
  validateMatchConstraints,
  validateMutableOperations,
} from './admission/match-rules.ts';
import { checkNewExpressions, type ExpressionCheck, type PolicyExpression } from './admission/policy-expressions.ts';
import { age } from './printing/cells.ts';
import { ageColumn, integer, nameColumn, text } from './printing/columns.ts';
import { validateOneOf } from './validation/format.ts';

type Policy = Stored<IMutatingAdmissionPolicy>;
type Spec = NonNullable<Policy['spec']>;
type Mutation = NonNullable<Spec['mutations']>[number];

/** Patch type and the field that goes with it. */
const PATCHES = [
  ['ApplyConfiguration', 'applyConfiguration'],
  ['JSONPatch', 'jsonPatch'],
] as const;

function validateMutation(mutation: Mutation, path: string): FieldError[] {
  const { patchType } = mutation;
  if (!patchType) return [required(`${path}.patchType`)];
  if (!PATCHES.some(([type]) => type === patchType)) {
    const known = PATCHES.map(([type]) => type);
    return [notSupported(`${path}.patchType`, patchType, known)];
  }
  return PATCHES.flatMap(([type, field]) => {
    const patch = mutation[field];
    if (type !== patchType) {
      const detail = `must not be specified when patchType is ${patchType}`;
      return patch === undefined ? [] : [invalid(`${path}.${field}`, `{${field}}`, detail)];
    }
    if (patch === undefined) return [required(`${path}.${field}`, `must be specified when patchType is ${type}`)];
    return isBlank(patch.expression) ? [required(`${path}.${field}.expression`)] : [];
  });
}

function validatePolicy({ spec }: Policy): FieldError[] {
  const mutations = spec?.mutations ?? [];
  return [
    ...validateOneOf(spec?.failurePolicy, FAILURE_POLICIES, 'spec.failurePolicy'),
    ...validateParamKind(spec?.paramKind, 'spec.paramKind'),
    ...validateMatchConstraints(spec?.matchConstraints, 'spec.matchConstraints'),
    ...validateMutableOperations(spec?.matchConstraints, 'spec.matchConstraints'),
    ...validateMatchConditions(spec?.matchConditions, 'spec.matchConditions'),
    ...validateVariables(spec?.variables, 'spec.variables'),
    ...(mutations.length === 0 ? [required('spec.mutations', 'mutations must contain at least one item')] : []),
    ...mutations.flatMap((mutation, i) => validateMutation(mutation, `spec.mutations[${i}]`)),
    ...validateOneOf(spec?.reinvocationPolicy, REINVOCATION_POLICIES, 'spec.reinvocationPolicy'),
  ];
}

/** In the order in which they are compiled: later ones see the variables of earlier ones. */
function expressionsOf({ spec }: Policy): PolicyExpression[] {
  const hasParams = spec?.paramKind !== undefined;
  const mutations = (spec?.mutations ?? []).flatMap((mutation, i) =>
    PATCHES.flatMap(([, field]): PolicyExpression[] => {
      const expression = mutation[field]?.expression?.trim();
      if (expression === undefined) return [];
      const path = `spec.mutations[${i}].${field}.expression`;
      return [{ path, expression, role: field, hasParams, hasAuthorizer: true }];
    }),
  );
  return [
    ...conditionExpressions(spec?.matchConditions, 'spec.matchConditions', hasParams),
    ...variableExpressions(spec?.variables, 'spec.variables', hasParams),
    ...mutations,
  ];
}

/** `checkExpressions` compiles what the structural rules let pass; without it expressions are taken as they are. */
export function mutatingAdmissionPolicies(checkExpressions: ExpressionCheck | undefined): ResourceDefinition {
  return defineResource<Policy>({
    group: 'admissionregistration.k8s.io',
    version: 'v1',
    resource: 'mutatingadmissionpolicies',
    kind: 'MutatingAdmissionPolicy',
    namespaced: false,
    categories: ['api-extensions'],
    hasGeneration: true,
    allowUnconditionalUpdate: false,
    applyDefaults({ spec }) {
      if (spec === undefined) return;
      spec.failurePolicy ??= 'Fail';
      applyMatchResourcesDefaults(spec.matchConstraints);
    },
    validate: validatePolicy,
    validateCreate: (policy) => checkNewExpressions(checkExpressions, expressionsOf(policy), []),
    validateUpdate: (policy, old) => checkNewExpressions(checkExpressions, expressionsOf(policy), expressionsOf(old)),
    columns: [
      nameColumn,
      integer('Mutations', 'Number of its mutations.'),
      text('ParamKind', 'Kind of the objects that hold its parameters.'),
      ageColumn,
    ],
    tableRow: (policy, nowMs) => [
      policy.metadata.name,
      (policy.spec?.mutations ?? []).length,
      paramKindCell(policy.spec?.paramKind),
      age(policy, nowMs),
    ],
  });
}
