import type { IMatchResources } from 'kubernetes-models/admissionregistration.k8s.io/v1/MatchResources';
import type { INamedRuleWithOperations } from 'kubernetes-models/admissionregistration.k8s.io/v1/NamedRuleWithOperations';
import { pathSegmentName } from '#api/meta/names.ts';
import { duplicate, type FieldError, invalid, notSupported, required } from '#api/object/field-error.ts';
import { validateOneOf, validateOptionalOneOf } from '../validation/format.ts';
import { validateLabelSelector } from '../validation/label-selector.ts';

const OPERATIONS = ['*', 'CONNECT', 'CREATE', 'DELETE', 'UPDATE'];
/** What a MutatingAdmissionPolicy can change. */
const MUTABLE_OPERATIONS = ['*', 'CREATE', 'UPDATE'];
const SCOPES = ['*', 'Cluster', 'Namespaced'];
export const MATCH_POLICIES: readonly string[] = ['Equivalent', 'Exact'];
export const FAILURE_POLICIES: readonly string[] = ['Fail', 'Ignore'];
export const REINVOCATION_POLICIES: readonly string[] = ['IfNeeded', 'Never'];

/** What the rules of webhooks and those of policies have in common. */
export interface OperationRule {
  operations?: readonly string[];
  apiGroups?: readonly string[];
  apiVersions?: readonly string[];
  resources?: readonly string[];
  scope?: string;
}

export function applyRuleDefaults(rules: readonly { scope?: string }[] | undefined): void {
  for (const rule of rules ?? []) rule.scope ??= '*';
}

/** Which requests a policy or binding asks for: all but those of excluded rules, by labels of namespace and object. */
export function applyMatchResourcesDefaults(match: IMatchResources | undefined): void {
  if (match === undefined) return;
  match.matchPolicy ??= 'Equivalent';
  match.namespaceSelector ??= {};
  match.objectSelector ??= {};
  applyRuleDefaults(match.resourceRules);
  applyRuleDefaults(match.excludeResourceRules);
}

/** A list that is not empty and holds `*` alone or not at all. */
function validateWildcardList(list: readonly string[], what: string, path: string): FieldError[] {
  if (list.length === 0) return [required(path)];
  return list.length > 1 && list.includes('*')
    ? [invalid(path, list, `if '*' is present, must not specify other ${what}`)]
    : [];
}

/** `pods`, `pods/status`, `pods/*`, `*\/scale`, `*`, `*\/*`: nothing that another entry says already. */
function validateResources(resources: readonly string[], path: string): FieldError[] {
  if (resources.length === 0) return [required(path)];
  const errors: FieldError[] = [];
  const allOf = new Set<string>();
  const everywhere = new Set<string>();
  for (const [i, text] of resources.entries()) {
    if (text === '') errors.push(required(`${path}[${i}]`));
    const slash = text.indexOf('/');
    if (slash < 0) continue;
    const [resource, subresource] = [text.slice(0, slash), text.slice(slash + 1)];
    const refuse = (pattern: string) =>
      errors.push(invalid(`${path}[${i}]`, text, `if '${pattern}' is present, must not specify ${text}`));
    if (allOf.has(resource)) refuse(`${resource}/*`);
    if (everywhere.has(subresource)) refuse(`*/${subresource}`);
    if (subresource === '*') allOf.add(resource);
    if (resource === '*') everywhere.add(subresource);
  }
  if (resources.length > 1 && resources.includes('*/*')) {
    errors.push(invalid(path, resources, "if '*/*' is present, must not specify other resources"));
  }
  if (resources.includes('*') && resources.some((text) => text !== '' && text !== '*' && !text.includes('/'))) {
    errors.push(invalid(path, resources, "if '*' is present, must not specify other resources without subresources"));
  }
  return errors;
}

/** One rule of a webhook. */
export function validateOperationRule(rule: OperationRule, path: string): FieldError[] {
  const { operations = [], apiGroups = [], apiVersions = [], resources = [] } = rule;
  return [
    ...validateWildcardList(operations, 'operations', `${path}.operations`),
    ...operations.flatMap((operation, i) =>
      OPERATIONS.includes(operation) ? [] : [notSupported(`${path}.operations[${i}]`, operation, OPERATIONS)],
    ),
    ...validateWildcardList(apiGroups, 'API groups', `${path}.apiGroups`),
    ...validateWildcardList(apiVersions, 'API versions', `${path}.apiVersions`),
    ...apiVersions.flatMap((version, i) => (version === '' ? [required(`${path}.apiVersions[${i}]`)] : [])),
    ...validateResources(resources, `${path}.resources`),
    ...validateOptionalOneOf(rule.scope, SCOPES, `${path}.scope`),
  ];
}

function validateNamedRule(rule: INamedRuleWithOperations, path: string): FieldError[] {
  const seen = new Set<string>();
  const errors = (rule.resourceNames ?? []).flatMap((name, i) => {
    const at = `${path}.resourceNames[${i}]`;
    const found = pathSegmentName(name).map((message) => invalid(at, name, message));
    if (seen.has(name)) found.push(duplicate(at, name));
    seen.add(name);
    return found;
  });
  return [...errors, ...validateOperationRule(rule, path)];
}

export function validateMatchResources(match: IMatchResources | undefined, path: string): FieldError[] {
  if (match === undefined) return [];
  const errors = validateOneOf(match.matchPolicy, MATCH_POLICIES, `${path}.matchPolicy`);
  for (const field of ['namespaceSelector', 'objectSelector'] as const) {
    if (match[field] === undefined) errors.push(required(`${path}.${field}`));
    else errors.push(...validateLabelSelector(match[field], `${path}.${field}`));
  }
  for (const field of ['resourceRules', 'excludeResourceRules'] as const) {
    errors.push(...(match[field] ?? []).flatMap((rule, i) => validateNamedRule(rule, `${path}.${field}[${i}]`)));
  }
  return errors;
}

/** `matchConstraints` of a policy: there, and with at least one rule, which says what types its expressions see. */
export function validateMatchConstraints(match: IMatchResources | undefined, path: string): FieldError[] {
  if (match === undefined) return [required(path)];
  const errors = validateMatchResources(match, path);
  if ((match.resourceRules ?? []).length === 0) errors.push(required(`${path}.resourceRules`));
  return errors;
}

/** Deletions and connections carry nothing that could be changed. */
export function validateMutableOperations(match: IMatchResources | undefined, path: string): FieldError[] {
  return (match?.resourceRules ?? [])
    .flatMap((rule) => rule.operations ?? [])
    .filter((operation) => !MUTABLE_OPERATIONS.includes(operation))
    .map((operation) => notSupported(`${path}.resourceRules.operations`, operation, MUTABLE_OPERATIONS));
}
