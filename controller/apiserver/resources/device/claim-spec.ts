import type { IDeviceClaim } from 'kubernetes-models/resource.k8s.io/v1/DeviceClaim';
import type { IDeviceConstraint } from 'kubernetes-models/resource.k8s.io/v1/DeviceConstraint';
import type { IDeviceRequest } from 'kubernetes-models/resource.k8s.io/v1/DeviceRequest';
import type { IDeviceSelector } from 'kubernetes-models/resource.k8s.io/v1/DeviceSelector';
import type { IDeviceSubRequest } from 'kubernetes-models/resource.k8s.io/v1/DeviceSubRequest';
import type { IDeviceToleration } from 'kubernetes-models/resource.k8s.io/v1/DeviceToleration';
import type { IExactDeviceRequest } from 'kubernetes-models/resource.k8s.io/v1/ExactDeviceRequest';
import type { IOpaqueDeviceConfiguration } from 'kubernetes-models/resource.k8s.io/v1/OpaqueDeviceConfiguration';
import { type FieldError, invalid, notSupported, required, tooLong } from '#api/object/field-error.ts';
import { isJsonObject } from '#api/object/json.ts';
import { compileDeviceSelector } from '../../cel/device-selector.ts';
import { validateDriverName } from '../storage/validate-class.ts';
import {
  validateDnsLabel,
  validateDnsSubdomain,
  validateLabelValue,
  validateQualifiedName,
} from '../validation/format.ts';
import { byItself, byName, validateDistinct, validateList } from './lists.ts';
import { validateQualifiedAttribute } from './names.ts';

const MAX_REQUESTS = 32;
const MAX_SUB_REQUESTS = 8;
export const MAX_SELECTORS = 32;
export const MAX_CONFIGS = 32;
const MAX_EXPRESSION_BYTES = 10 * 1024;
const MAX_PARAMETER_BYTES = 10 * 1024;
const TAINT_EFFECTS = ['NoExecute', 'NoSchedule', 'None'];

/** One device is what is asked for where nothing else is said. */
export function applyClaimDefaults(claim: IDeviceClaim | undefined): void {
  for (const { exactly, firstAvailable = [] } of claim?.requests ?? []) {
    for (const request of [...(exactly === undefined ? [] : [exactly]), ...firstAvailable]) {
      request.allocationMode ||= 'ExactCount';
      if (request.allocationMode === 'ExactCount') request.count ||= 1;
      for (const toleration of request.tolerations ?? []) toleration.operator ||= 'Equal';
    }
  }
}

export function validateSelector({ cel }: IDeviceSelector, path: string): FieldError[] {
  if (cel === undefined) return [required(`${path}.cel`)];
  const expression = cel.expression ?? '';
  if (Buffer.byteLength(expression) > MAX_EXPRESSION_BYTES) {
    return [tooLong(`${path}.cel.expression`, MAX_EXPRESSION_BYTES)];
  }
  if (expression.trim() === '') return [required(`${path}.cel.expression`)];
  const compiled = compileDeviceSelector(expression);
  return compiled.ok ? [] : [invalid(`${path}.cel.expression`, expression, compiled.message)];
}

/** Any JSON object, of a size that can be stored. */
export function validateRawObject(value: unknown, path: string): FieldError[] {
  if (value === undefined || value === null) return [required(path)];
  if (Buffer.byteLength(JSON.stringify(value)) > MAX_PARAMETER_BYTES) return [tooLong(path, MAX_PARAMETER_BYTES)];
  return isJsonObject(value) ? [] : [invalid(path, '<value omitted>', 'must be a valid JSON object')];
}

export function validateConfiguration(
  { opaque }: { readonly opaque?: IOpaqueDeviceConfiguration },
  path: string,
): FieldError[] {
  if (opaque === undefined) return [required(`${path}.opaque`)];
  return [
    ...validateDriverName(opaque.driver, `${path}.opaque.driver`),
    ...validateRawObject(opaque.parameters, `${path}.opaque.parameters`),
  ];
}

function validateToleration({ key, operator, value = '', effect }: IDeviceToleration, path: string): FieldError[] {
  const errors = key ? validateQualifiedName(key, `${path}.key`) : [];
  if (operator === 'Exists') {
    if (value !== '') errors.push(invalid(`${path}.value`, value, 'must be empty for operator `Exists`'));
  } else if (operator === 'Equal') {
    errors.push(...validateLabelValue(value, `${path}.value`));
  } else if (!operator) {
    errors.push(required(`${path}.operator`));
  } else {
    errors.push(notSupported(`${path}.operator`, operator, ['Equal', 'Exists']));
  }
  if (effect && !TAINT_EFFECTS.includes(effect)) {
    errors.push(notSupported(`${path}.effect`, effect, TAINT_EFFECTS));
  }
  return errors;
}

export function validateTaintEffect(effect: string | undefined, path: string): FieldError[] {
  if (!effect) return [required(path)];
  return TAINT_EFFECTS.includes(effect) ? [] : [notSupported(path, effect, TAINT_EFFECTS)];
}

function validateCount({ allocationMode, count = 0 }: IExactDeviceRequest, path: string): FieldError[] {
  switch (allocationMode) {
    case 'All':
      return count === 0
        ? []
        : [invalid(`${path}.count`, count, `must not be specified when allocationMode is '${allocationMode}'`)];
    case 'ExactCount':
      return count > 0 ? [] : [invalid(`${path}.count`, count, 'must be greater than zero')];
    default:
      return [notSupported(`${path}.allocationMode`, allocationMode ?? '', ['All', 'ExactCount'])];
  }
}

function validateWish(request: IExactDeviceRequest, path: string): FieldError[] {
  const { deviceClassName } = request;
  return [
    ...(deviceClassName
      ? validateDnsSubdomain(deviceClassName, `${path}.deviceClassName`)
      : [required(`${path}.deviceClassName`)]),
    ...validateList(request.selectors, MAX_SELECTORS, validateSelector, `${path}.selectors`),
    ...validateCount(request, path),
    ...(request.tolerations ?? []).flatMap((toleration, i) =>
      validateToleration(toleration, `${path}.tolerations[${i}]`),
    ),
  ];
}

const requestName = (name: string | undefined, path: string) =>
  name ? validateDnsLabel(name, path) : [required(path)];

const validateSubRequest = (request: IDeviceSubRequest, path: string): FieldError[] => [
  ...requestName(request.name, `${path}.name`),
  ...validateWish(request, path),
];

function validateRequest({ name, exactly, firstAvailable = [] }: IDeviceRequest, path: string): FieldError[] {
  const errors = requestName(name, `${path}.name`);
  const at = `${path}.firstAvailable`;
  errors.push(
    ...validateList(firstAvailable, MAX_SUB_REQUESTS, validateSubRequest, at),
    ...validateDistinct(firstAvailable, byName, at),
  );
  if (exactly !== undefined) errors.push(...validateWish(exactly, `${path}.exactly`));
  if (exactly === undefined && firstAvailable.length === 0) {
    errors.push(required(path, 'exactly one of `exactly` or `firstAvailable` is required'));
  }
  if (exactly !== undefined && firstAvailable.length > 0) {
    const detail = 'exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set';
    errors.push(invalid(path, undefined, detail));
  }
  return errors;
}

/** What the rest of a claim may call its requests: `name`, or `name/subrequest`. */
export function requestNamesOf(claim: IDeviceClaim | undefined): ReadonlySet<string> {
  return new Set(
    (claim?.requests ?? []).flatMap(({ name, firstAvailable = [] }) => [
      name,
      ...firstAvailable.map((request) => `${name}/${request.name}`),
    ]),
  );
}

export function validateRequestReference(name: string, names: ReadonlySet<string>, path: string): FieldError[] {
  const detail =
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
  const parts = name.split('/');
  if (parts.length > 2) return [invalid(path, name, detail)];
  const errors = parts.flatMap((part) => requestName(part, path));
  return names.has(name) ? errors : [...errors, invalid(path, name, detail)];
}

export function validateRequestReferences(
  requests: readonly string[] | undefined,
  names: ReadonlySet<string>,
  path: string,
): FieldError[] {
  return [
    ...validateList(requests, MAX_REQUESTS, (name, at) => validateRequestReference(name, names, at), path),
    ...validateDistinct(requests, byItself, path),
  ];
}

function validateConstraint(constraint: IDeviceConstraint, names: ReadonlySet<string>, path: string): FieldError[] {
  const { requests, matchAttribute, distinctAttribute } = constraint;
  const errors = validateRequestReferences(requests, names, `${path}.requests`);
  if (matchAttribute !== undefined) {
    return [...errors, ...validateQualifiedAttribute(matchAttribute, `${path}.matchAttribute`)];
  }
  if (distinctAttribute !== undefined) {
    return [...errors, ...validateQualifiedAttribute(distinctAttribute, `${path}.distinctAttribute`)];
  }
  return [...errors, required(path, 'exactly one of "matchAttribute" or "distinctAttribute" is required')];
}

/** `devices` of a claim and of a claim template. */
export function validateClaim(claim: IDeviceClaim | undefined, path: string): FieldError[] {
  const names = requestNamesOf(claim);
  return [
    ...validateList(claim?.requests, MAX_REQUESTS, validateRequest, `${path}.requests`),
    ...validateDistinct(claim?.requests, byName, `${path}.requests`),
    ...validateList(
      claim?.constraints,
      MAX_REQUESTS,
      (constraint, at) => validateConstraint(constraint, names, at),
      `${path}.constraints`,
    ),
    ...validateList(
      claim?.config,
      MAX_CONFIGS,
      (config, at) => [
        ...validateRequestReferences(config.requests, names, `${at}.requests`),
        ...validateConfiguration(config, at),
      ],
      `${path}.config`,
    ),
  ];
}
