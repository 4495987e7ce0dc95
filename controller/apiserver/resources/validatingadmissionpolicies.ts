import type { IValidatingAdmissionPolicy } from 'kubernetes-models/admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy';
import { duplicate, type FieldError, invalid, notSupported, required } from '#api/object/field-error.ts';
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
import { applyMatchResourcesDefaults, FAILURE_POLICIES, validateMatchConstraints } from './admission/match-rules.ts';
import { checkNewExpressions, type ExpressionCheck, type PolicyExpression } from './admission/policy-expressions.ts';
import { age } from './printing/cells.ts';
import { ageColumn, integer, nameColumn, text } from './printing/columns.ts';
import { validateConditions } from './validation/conditions.ts';
import { validateOneOf, validateQualifiedName } from './validation/format.ts';

type Policy = Stored<IValidatingAdmissionPolicy>;
type Spec = NonNullable<Policy['spec']>;
type Validation = NonNullable<Spec['validations']>[number];
type AuditAnnotation = NonNullable<Spec['auditAnnotations']>[number];

const REASONS = ['Forbidden', 'Invalid', 'RequestEntityTooLarge'];
const MAX_AUDIT_ANNOTATIONS = 20;
const MAX_VALUE_EXPRESSION_BYTES = 5 * 1024;

function validateValidation(
  { expression, message, messageExpression, reason }: Validation,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  if (isBlank(expression)) errors.push(required(`${path}.expression`, 'expression is not specified'));
  if (messageExpression && isBlank(messageExpression)) {
    errors.push(invalid(`${path}.messageExpression`, messageExpression, 'must be non-empty if specified'));
  }
  if (message && isBlank(message)) {
    errors.push(invalid(`${path}.message`, message, 'message must be non-empty if specified'));
  } else if (/[\n\r]/.test((message ?? '').trim())) {
    errors.push(invalid(`${path}.message`, message, 'message must not contain line breaks'));
  }
  if (reason !== undefined && !REASONS.includes(reason)) {
    errors.push(notSupported(`${path}.reason`, reason, REASONS));
  }
  return errors;
}

function validateAuditAnnotation({ key, valueExpression }: AuditAnnotation, name: string, path: string): FieldError[] {
  const errors = validateQualifiedName(`${name}/${key ?? ''}`, `${path}.key`);
  if (isBlank(valueExpression)) {
    errors.push(required(`${path}.valueExpression`, 'valueExpression is not specified'));
  } else if (Buffer.byteLength(valueExpression.trim()) > MAX_VALUE_EXPRESSION_BYTES) {
    errors.push(required(`${path}.valueExpression`, `must not exceed ${MAX_VALUE_EXPRESSION_BYTES} bytes in length`));
  }
  return errors;
}

function validateAuditAnnotations(annotations: readonly AuditAnnotation[], name: string): FieldError[] {
  const path = 'spec.auditAnnotations';
  const errors: FieldError[] = [];
  if (annotations.length > MAX_AUDIT_ANNOTATIONS) {
    errors.push(invalid(path, annotations, `must not have more than ${MAX_AUDIT_ANNOTATIONS} auditAnnotations`));
  }
  const seen = new Set<string>();
  for (const [i, annotation] of annotations.entries()) {
    errors.push(...validateAuditAnnotation(annotation, name, `${path}[${i}]`));
    if (seen.has(annotation.key)) errors.push(duplicate(`${path}[${i}].key`, annotation.key));
    seen.add(annotation.key);
  }
  return errors;
}

function validatePolicy({ metadata, spec }: Policy): FieldError[] {
  const { validations = [], auditAnnotations = [] } = spec ?? {};
  const errors = [
    ...validateOneOf(spec?.failurePolicy, FAILURE_POLICIES, 'spec.failurePolicy'),
    ...validateParamKind(spec?.paramKind, 'spec.paramKind'),
    ...validateMatchConstraints(spec?.matchConstraints, 'spec.matchConstraints'),
    ...validateMatchConditions(spec?.matchConditions, 'spec.matchConditions'),
    ...validateVariables(spec?.variables, 'spec.variables'),
  ];
  if (validations.length + auditAnnotations.length === 0) {
    const detail = 'validations or auditAnnotations must contain at least one item';
    return [...errors, required('spec.validations', detail), required('spec.auditAnnotations', detail)];
  }
  return [
    ...errors,
    ...validations.flatMap((validation, i) => validateValidation(validation, `spec.validations[${i}]`)),
    ...validateAuditAnnotations(auditAnnotations, metadata.name),
  ];
}

/** In the order in which they are compiled: later ones see the variables of earlier ones. */
function expressionsOf({ spec }: Policy): PolicyExpression[] {
  const hasParams = spec?.paramKind !== undefined;
  const at = (path: string, role: PolicyExpression['role'], expression: string | undefined): PolicyExpression => ({
    path,
    expression: expression ?? '',
    role,
    hasParams,
    hasAuthorizer: role !== 'messageExpression',
  });
  return [
    ...conditionExpressions(spec?.matchConditions, 'spec.matchConditions', hasParams),
    ...variableExpressions(spec?.variables, 'spec.variables', hasParams),
    ...(spec?.validations ?? []).flatMap(({ expression, messageExpression }, i) => [
      at(`spec.validations[${i}].expression`, 'validation', expression),
      ...(isBlank(messageExpression)
        ? []
        : [at(`spec.validations[${i}].messageExpression`, 'messageExpression', messageExpression)]),
    ]),
    ...(spec?.auditAnnotations ?? []).map(({ valueExpression }, i) =>
      at(`spec.auditAnnotations[${i}].valueExpression`, 'auditAnnotation', (valueExpression ?? '').trim()),
    ),
  ];
}

function validateStatus({ status }: Policy): FieldError[] {
  const path = 'status.typeChecking.expressionWarnings';
  const errors = (status?.typeChecking?.expressionWarnings ?? []).flatMap(({ warning, fieldRef }, i) => {
    const missing: FieldError[] = [];
    if (!warning) missing.push(required(`${path}[${i}].warning`));
    if (isBlank(fieldRef)) missing.push(required(`${path}[${i}].fieldRef`));
    return missing;
  });
  return [...errors, ...validateConditions(status?.conditions, 'status.conditions')];
}

/** `checkExpressions` compiles what the structural rules let pass; without it expressions are taken as they are. */
export function validatingAdmissionPolicies(checkExpressions: ExpressionCheck | undefined): ResourceDefinition {
  return defineResource<Policy>({
    group: 'admissionregistration.k8s.io',
    version: 'v1',
    resource: 'validatingadmissionpolicies',
    kind: 'ValidatingAdmissionPolicy',
    namespaced: false,
    categories: ['api-extensions'],
    hasStatus: true,
    hasGeneration: true,
    allowUnconditionalUpdate: false,
    applyDefaults({ spec }) {
      if (spec === undefined) return;
      spec.failurePolicy ??= 'Fail';
      applyMatchResourcesDefaults(spec.matchConstraints);
    },
    prepareForCreate(policy) {
      policy.status = {};
    },
    validate: validatePolicy,
    validateCreate: (policy) => checkNewExpressions(checkExpressions, expressionsOf(policy), []),
    validateUpdate: (policy, old) => checkNewExpressions(checkExpressions, expressionsOf(policy), expressionsOf(old)),
    validateStatusUpdate: validateStatus,
    columns: [
      nameColumn,
      integer('Validations', 'Number of its validations.'),
      text('ParamKind', 'Kind of the objects that hold its parameters.'),
      ageColumn,
    ],
    tableRow: (policy, nowMs) => [
      policy.metadata.name,
      (policy.spec?.validations ?? []).length,
      paramKindCell(policy.spec?.paramKind),
      age(policy, nowMs),
    ],
  });
}
