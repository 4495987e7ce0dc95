import type { IMutatingWebhook } from 'kubernetes-models/admissionregistration.k8s.io/v1/MutatingWebhook';
import type { IMutatingWebhookConfiguration } from 'kubernetes-models/admissionregistration.k8s.io/v1/MutatingWebhookConfiguration';
import { dns1035Label } from '#api/meta/names.ts';
import { deepEqual } from '#api/object/deep-equal.ts';
import { duplicate, type FieldError, invalid, notSupported, required } from '#api/object/field-error.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../../registry/define-resource.ts';
import type { ResourceDefinition } from '../../registry/resource-definition.ts';
import { age } from '../printing/cells.ts';
import { ageColumn, integer, nameColumn } from '../printing/columns.ts';
import { validateOptionalOneOf } from '../validation/format.ts';
import { validateLabelSelector } from '../validation/label-selector.ts';
import { validateFullyQualifiedName, validateWebhookClientConfig } from '../validation/webhook-client.ts';
import { conditionExpressions, validateMatchConditions } from './conditions.ts';
import {
  applyRuleDefaults,
  FAILURE_POLICIES,
  MATCH_POLICIES,
  REINVOCATION_POLICIES,
  validateOperationRule,
} from './match-rules.ts';
import { checkNewExpressions, type ExpressionCheck, type PolicyExpression } from './policy-expressions.ts';

/** Both kinds as one: a ValidatingWebhook is a MutatingWebhook without `reinvocationPolicy`. */
type Webhook = IMutatingWebhook;
type WebhookConfiguration = Stored<Omit<IMutatingWebhookConfiguration, 'kind'> & { kind: string }>;

const DEFAULT_TIMEOUT_S = 10;
const MAX_TIMEOUT_S = 30;
const DEFAULT_PORT = 443;
const REVIEW_VERSIONS = ['v1', 'v1beta1'];
const SIDE_EFFECTS = ['None', 'NoneOnDryRun'];

function applyWebhookDefaults(webhook: Webhook, isMutating: boolean): void {
  webhook.failurePolicy ??= 'Fail';
  webhook.matchPolicy ??= 'Equivalent';
  webhook.namespaceSelector ??= {};
  webhook.objectSelector ??= {};
  webhook.timeoutSeconds ??= DEFAULT_TIMEOUT_S;
  if (isMutating) webhook.reinvocationPolicy ??= 'Never';
  applyRuleDefaults(webhook.rules);
  const service = webhook.clientConfig?.service;
  if (service !== undefined) service.port ??= DEFAULT_PORT;
}

/** What is forgiven on update because the old object had it already: rules that came after the kind. */
interface Leniency {
  readonly sideEffects: boolean;
  readonly reviewVersions: boolean;
  readonly names: boolean;
}

const STRICT: Leniency = { sideEffects: false, reviewVersions: false, names: false };

function leniencyOf(old: readonly Webhook[]): Leniency {
  const names = old.map(({ name }) => name);
  return {
    sideEffects: old.some(({ sideEffects }) => !SIDE_EFFECTS.includes(sideEffects)),
    reviewVersions: old.some(
      ({ admissionReviewVersions: versions }) =>
        (versions ?? []).length > 0 && !versions.some((version) => REVIEW_VERSIONS.includes(version)),
    ),
    names: new Set(names).size < names.length,
  };
}

function validateReviewVersions(versions: readonly string[] | undefined, path: string, lenient: boolean): FieldError[] {
  const known = REVIEW_VERSIONS.join(', ');
  if (versions === undefined || versions.length === 0) return [required(path, `must specify one of ${known}`)];
  const errors = versions.flatMap((version, i) =>
    versions.indexOf(version) < i
      ? [invalid(`${path}[${i}]`, version, 'duplicate version')]
      : dns1035Label(version).map((message) => invalid(`${path}[${i}]`, version, message)),
  );
  if (!lenient && !versions.some((version) => REVIEW_VERSIONS.includes(version))) {
    errors.push(invalid(path, versions, `must include at least one of ${known}`));
  }
  return errors;
}

function validateSideEffects(sideEffects: string | undefined, path: string, lenient: boolean): FieldError[] {
  const allowed = lenient ? [...SIDE_EFFECTS, 'Some', 'Unknown'] : SIDE_EFFECTS;
  if (sideEffects === undefined) return [required(path, `must specify one of ${allowed.join(', ')}`)];
  return allowed.includes(sideEffects) ? [] : [notSupported(path, sideEffects, allowed)];
}

function validateWebhook(webhook: Webhook, path: string, lenient: Leniency): FieldError[] {
  const { timeoutSeconds: timeout = DEFAULT_TIMEOUT_S } = webhook;
  return [
    ...validateFullyQualifiedName(webhook.name ?? '', `${path}.name`),
    ...(webhook.rules ?? []).flatMap((rule, i) => validateOperationRule(rule, `${path}.rules[${i}]`)),
    ...validateOptionalOneOf(webhook.failurePolicy, FAILURE_POLICIES, `${path}.failurePolicy`),
    ...validateOptionalOneOf(webhook.matchPolicy, MATCH_POLICIES, `${path}.matchPolicy`),
    ...validateSideEffects(webhook.sideEffects, `${path}.sideEffects`, lenient.sideEffects),
    ...(timeout < 1 || timeout > MAX_TIMEOUT_S
      ? [invalid(`${path}.timeoutSeconds`, timeout, 'the timeout value must be between 1 and 30 seconds')]
      : []),
    ...validateLabelSelector(webhook.namespaceSelector, `${path}.namespaceSelector`),
    ...validateLabelSelector(webhook.objectSelector, `${path}.objectSelector`),
    ...validateOptionalOneOf(webhook.reinvocationPolicy, REINVOCATION_POLICIES, `${path}.reinvocationPolicy`),
    ...validateWebhookClientConfig(webhook.clientConfig, `${path}.clientConfig`),
    ...validateMatchConditions(webhook.matchConditions, `${path}.matchConditions`),
    ...validateReviewVersions(
      webhook.admissionReviewVersions,
      `${path}.admissionReviewVersions`,
      lenient.reviewVersions,
    ),
  ];
}

function validateWebhooks(webhooks: readonly Webhook[], lenient: Leniency): FieldError[] {
  const seen = new Set<string>();
  return webhooks.flatMap((webhook, i) => {
    const errors = validateWebhook(webhook, `webhooks[${i}]`, lenient);
    if (!lenient.names && seen.has(webhook.name)) errors.push(duplicate(`webhooks[${i}].name`, webhook.name));
    if (webhook.name) seen.add(webhook.name);
    return errors;
  });
}

function expressionsOf(webhooks: readonly Webhook[]): PolicyExpression[] {
  return webhooks.flatMap(({ matchConditions }, i) =>
    conditionExpressions(matchConditions, `webhooks[${i}].matchConditions`, false),
  );
}

export interface WebhookKind {
  readonly resource: string;
  readonly kind: string;
  readonly isMutating: boolean;
  readonly checkExpressions: ExpressionCheck | undefined;
}

/** Both kinds of webhook configurations. */
export function defineWebhooks({ resource, kind, isMutating, checkExpressions }: WebhookKind): ResourceDefinition {
  return defineResource<WebhookConfiguration>({
    group: 'admissionregistration.k8s.io',
    version: 'v1',
    resource,
    kind,
    namespaced: false,
    categories: ['api-extensions'],
    hasGeneration: true,
    allowUnconditionalUpdate: false,
    applyDefaults({ webhooks }) {
      for (const webhook of webhooks ?? []) applyWebhookDefaults(webhook, isMutating);
    },
    validateCreate: ({ webhooks = [] }) => [
      ...validateWebhooks(webhooks, STRICT),
      ...checkNewExpressions(checkExpressions, expressionsOf(webhooks), []),
    ],
    validateUpdate({ webhooks = [] }, { webhooks: old = [] }) {
      const errors = validateWebhooks(webhooks, leniencyOf(old));
      const [next, before] = [expressionsOf(webhooks), expressionsOf(old)];
      // Conditions that nobody touched are not looked at again: they may be older than today's rules.
      return deepEqual(next, before) ? errors : [...errors, ...checkNewExpressions(checkExpressions, next, before)];
    },
    columns: [nameColumn, integer('Webhooks', 'Number of webhooks of the configuration.'), ageColumn],
    tableRow: (configuration, nowMs) => [
      configuration.metadata.name,
      (configuration.webhooks ?? []).length,
      age(configuration, nowMs),
    ],
  });
}
