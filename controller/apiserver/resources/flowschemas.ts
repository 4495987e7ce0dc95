import type { IFlowSchema } from 'kubernetes-models/flowcontrol.apiserver.k8s.io/v1/FlowSchema';
import { deepEqual } from '#api/object/deep-equal.ts';
import { type FieldError, invalid, notSupported, required } from '#api/object/field-error.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { MANDATORY_FLOW_SCHEMAS } from './flow-control/mandatory.ts';
import { validateConditionTypes, validateFlowRules } from './flow-control/validate-rules.ts';
import { age, NONE } from './printing/cells.ts';
import { ageColumn, nameColumn, text } from './printing/columns.ts';
import { validateDnsSubdomain } from './validation/format.ts';

type FlowSchema = Stored<IFlowSchema>;

const DEFAULT_PRECEDENCE = 1000;
const MAX_PRECEDENCE = 10_000;
const METHODS = ['ByNamespace', 'ByUser'];

function validatePrecedence(precedence: number, name: string): FieldError[] {
  const path = 'spec.matchingPrecedence';
  if (precedence <= 0) return [invalid(path, precedence, 'must be a positive value')];
  if (precedence > MAX_PRECEDENCE) return [invalid(path, precedence, `must not be greater than ${MAX_PRECEDENCE}`)];
  return precedence === 1 && name !== 'exempt'
    ? [invalid(path, precedence, "only the schema named 'exempt' may have matchingPrecedence 1")]
    : [];
}

function validateFlowSchema({ metadata, spec, status }: FlowSchema): FieldError[] {
  const errors = validatePrecedence(spec?.matchingPrecedence ?? 0, metadata.name);
  const method = spec?.distinguisherMethod;
  if (method !== undefined && !METHODS.includes(method.type)) {
    errors.push(notSupported('spec.distinguisherMethod.type', method, METHODS));
  }
  const level = spec?.priorityLevelConfiguration?.name ?? '';
  const path = 'spec.priorityLevelConfiguration.name';
  if (level === '') errors.push(required(path, 'must reference a priority level'));
  else errors.push(...validateDnsSubdomain(level, path));
  errors.push(...validateFlowRules(spec?.rules, 'spec.rules'));
  const name = metadata.name as keyof typeof MANDATORY_FLOW_SCHEMAS;
  if (Object.hasOwn(MANDATORY_FLOW_SCHEMAS, name) && !deepEqual(spec, MANDATORY_FLOW_SCHEMAS[name])) {
    errors.push(invalid('spec', spec, `spec of '${metadata.name}' must equal the fixed value`));
  }
  return [...errors, ...validateConditionTypes(status?.conditions)];
}

/** Whether its priority level is missing, as the controller last found it. */
function danglingCell({ status }: FlowSchema): string {
  return status?.conditions?.find((condition) => condition.type === 'Dangling')?.status ?? '?';
}

export const flowSchemas: ResourceDefinition = defineResource<FlowSchema>({
  group: 'flowcontrol.apiserver.k8s.io',
  version: 'v1',
  resource: 'flowschemas',
  kind: 'FlowSchema',
  namespaced: false,
  hasStatus: true,
  hasGeneration: true,
  allowUnconditionalUpdate: false,
  applyDefaults({ spec }) {
    if (spec !== undefined) spec.matchingPrecedence ||= DEFAULT_PRECEDENCE;
  },
  prepareForCreate(schema) {
    schema.status = {};
  },
  validate: validateFlowSchema,
  validateStatusUpdate: ({ status }) => validateConditionTypes(status?.conditions),
  columns: [
    nameColumn,
    text('PriorityLevel', 'PriorityLevelConfiguration that its requests belong to.'),
    text('MatchingPrecedence', 'Schemas with lower numbers are asked first.'),
    text('DistinguisherMethod', 'What tells the flows of its requests apart.'),
    ageColumn,
    text('MissingPL', 'Whether its priority level does not exist.'),
  ],
  tableRow: (schema, nowMs) => [
    schema.metadata.name,
    schema.spec?.priorityLevelConfiguration?.name ?? '',
    schema.spec?.matchingPrecedence ?? 0,
    schema.spec?.distinguisherMethod?.type ?? NONE,
    age(schema, nowMs),
    danglingCell(schema),
  ],
});
