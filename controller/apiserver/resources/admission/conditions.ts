import type { IMatchCondition } from 'kubernetes-models/admissionregistration.k8s.io/v1/MatchCondition';
import type { IParamKind } from 'kubernetes-models/admissionregistration.k8s.io/v1/ParamKind';
import type { IParamRef } from 'kubernetes-models/admissionregistration.k8s.io/v1/ParamRef';
import type { IVariable } from 'kubernetes-models/admissionregistration.k8s.io/v1/Variable';
import { dns1035Label, dns1123Subdomain, pathSegmentName } from '#api/meta/names.ts';
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalid,
  notSupported,
  required,
  tooMany,
} from '#api/object/field-error.ts';
import { formatLabelSelector } from '../printing/cells.ts';
import { validateQualifiedName } from '../validation/format.ts';
import { validateLabelSelector } from '../validation/label-selector.ts';
import type { PolicyExpression } from './policy-expressions.ts';

const MAX_CONDITIONS = 64;
const CEL_IDENTIFIER = /^[_a-zA-Z][_a-zA-Z0-9]*$/;
const CEL_RESERVED: ReadonlySet<string> = new Set(
  'true false null in as break const continue else for function if import let loop package namespace return var void while'.split(
    ' ',
  ),
);

export const isBlank = (text: string | undefined): boolean => text === undefined || text.trim() === '';

export function validateMatchConditions(
  conditions: readonly IMatchCondition[] | undefined,
  path: string,
): FieldError[] {
  const list = conditions ?? [];
  const errors = list.length > MAX_CONDITIONS ? [tooMany(path, list.length, MAX_CONDITIONS)] : [];
  const seen = new Set<string>();
  for (const [i, { name, expression }] of list.entries()) {
    const at = `${path}[${i}]`;
    if (isBlank(expression)) errors.push(required(`${at}.expression`));
    if (!name) errors.push(required(`${at}.name`));
    else {
      errors.push(...validateQualifiedName(name, `${at}.name`));
      if (seen.has(name)) errors.push(duplicate(`${at}.name`, name));
      seen.add(name);
    }
  }
  return errors;
}

export function conditionExpressions(
  conditions: readonly IMatchCondition[] | undefined,
  path: string,
  hasParams: boolean,
): PolicyExpression[] {
  return (conditions ?? []).map(({ expression }, i) => ({
    path: `${path}[${i}].expression`,
    expression: (expression ?? '').trim(),
    role: 'matchCondition',
    hasParams,
    hasAuthorizer: true,
  }));
}

export function validateVariables(variables: readonly IVariable[] | undefined, path: string): FieldError[] {
  return (variables ?? []).flatMap(({ name, expression }, i) => {
    const errors: FieldError[] = [];
    if (isBlank(name)) errors.push(required(`${path}[${i}].name`, 'name is not specified'));
    else if (!CEL_IDENTIFIER.test(name) || CEL_RESERVED.has(name)) {
      errors.push(invalid(`${path}[${i}].name`, name, 'name is not a valid CEL identifier'));
    }
    if (isBlank(expression)) errors.push(required(`${path}[${i}].expression`, 'expression is not specified'));
    return errors;
  });
}

export function variableExpressions(
  variables: readonly IVariable[] | undefined,
  path: string,
  hasParams: boolean,
): PolicyExpression[] {
  return (variables ?? []).map(({ name, expression }, i) => ({
    path: `${path}[${i}].expression`,
    expression: expression ?? '',
    role: 'variable',
    hasParams,
    hasAuthorizer: true,
    variable: name,
  }));
}

function validateApiVersion(apiVersion: string, path: string): FieldError[] {
  const parts = apiVersion.split('/');
  if (parts.length > 2) return [invalid(path, apiVersion, `unexpected GroupVersion string: ${apiVersion}`)];
  const version = parts.at(-1) ?? '';
  const group = parts.length === 2 ? (parts[0] ?? '') : '';
  const errors: FieldError[] = [];
  const groupErrors = group === '' ? [] : dns1123Subdomain(group);
  if (groupErrors.length > 0) errors.push(invalid(path, group, groupErrors.join(',')));
  if (version === '') return [...errors, invalid(path, apiVersion, 'version must be specified')];
  const versionErrors = dns1035Label(version);
  if (versionErrors.length > 0) errors.push(invalid(path, version, versionErrors.join(',')));
  return errors;
}

export function validateParamKind(paramKind: IParamKind | undefined, path: string): FieldError[] {
  if (paramKind === undefined) return [];
  const { apiVersion, kind } = paramKind;
  const errors = apiVersion ? validateApiVersion(apiVersion, `${path}.apiVersion`) : [required(`${path}.apiVersion`)];
  if (!kind) return [...errors, required(`${path}.kind`)];
  const kindErrors = dns1035Label(kind.toLowerCase());
  if (kindErrors.length === 0) return errors;
  const detail = `may have mixed case, but should otherwise match: ${kindErrors.join(',')}`;
  return [...errors, invalid(`${path}.kind`, kind, detail)];
}

const NOT_FOUND_ACTIONS = ['Deny', 'Allow'];

export function validateParamRef(paramRef: IParamRef | undefined, path: string): FieldError[] {
  if (paramRef === undefined) return [];
  const { name, selector, parameterNotFoundAction } = paramRef;
  const errors: FieldError[] = [];
  if (name) {
    errors.push(...pathSegmentName(name).map((message) => invalid(`${path}.name`, name, message)));
    if (selector !== undefined) errors.push(forbiddenField(`${path}.name`, 'name and selector are mutually exclusive'));
  }
  if (selector !== undefined) {
    errors.push(...validateLabelSelector(selector, `${path}.selector`));
    if (name) errors.push(forbiddenField(`${path}.selector`, 'name and selector are mutually exclusive'));
  }
  if (!name && selector === undefined) {
    errors.push(required(path, 'one of name or selector must be specified'));
  }
  if (!parameterNotFoundAction) errors.push(required(`${path}.parameterNotFoundAction`));
  else if (!NOT_FOUND_ACTIONS.includes(parameterNotFoundAction)) {
    errors.push(notSupported(`${path}.parameterNotFoundAction`, parameterNotFoundAction, NOT_FOUND_ACTIONS));
  }
  return errors;
}

export function validatePolicyName(policyName: string | undefined): FieldError[] {
  if (!policyName) return [required('spec.policyName')];
  return dns1123Subdomain(policyName).map((message) => invalid('spec.policyName', policyName, message));
}

const UNSET = '<unset>';

/** The ParamKind cell. */
export function paramKindCell(paramKind: IParamKind | undefined): string {
  return paramKind === undefined ? UNSET : `${paramKind.apiVersion}/${paramKind.kind}`;
}

/** The ParamRef cell. */
export function paramRefCell(paramRef: IParamRef | undefined): string {
  if (paramRef === undefined) return UNSET;
  const { namespace, name, selector } = paramRef;
  if (name) return `${namespace || '*'}/${name}`;
  return selector === undefined ? UNSET : formatLabelSelector(selector);
}
