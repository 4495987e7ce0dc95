import { ApiError, forbidden, internalError, notFound } from '#api/object/api-error.ts';
import type { JsonObject } from '#api/object/json.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Store } from '../../store/store.ts';
import type { AdmissionRequest } from '../admission/admission-plugin.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { type ReviewVerdict, readReview, refusalOf, renderReview } from './admission-review.ts';
import { WebhookCallError, type WebhookClient } from './webhook-client.ts';
import type { Candidate, MatchCondition, Webhook } from './webhook-configurations.ts';
import type { CallLabels, WebhookMetrics, WebhookType } from './webhook-metrics.ts';
import { awaitSeenObjects, type SeenObjects } from './webhook-objects.ts';

/** What the CEL expressions of match conditions see. */
export interface ConditionFacts extends SeenObjects {
  readonly request: AdmissionRequest;
  /** `request` of the AdmissionReview without its objects. */
  readonly review: JsonObject;
}

/** `error` where at least one condition could not be evaluated and none is false. */
export type ConditionsVerdict = { readonly matches: boolean } | { readonly error: string };
export type CheckConditions = (conditions: readonly MatchCondition[], facts: ConditionFacts) => ConditionsVerdict;

export interface WebhookDeps {
  readonly store: Pick<Store, 'snapshot'>;
  readonly client: WebhookClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly newUid: () => string;
  readonly metrics: WebhookMetrics;
  readonly checkConditions?: CheckConditions;
}

/** No usable answer came from a webhook: `failurePolicy` decides what that means. */
class WebhookFailure extends Error {
  override readonly name = 'WebhookFailure';
  readonly statusCode: number;
  constructor(webhook: string, reason: string, statusCode: number, options?: { cause: unknown }) {
    super(`failed calling webhook ${JSON.stringify(webhook)}: ${reason}`, options);
    this.statusCode = statusCode;
  }
}

/** True when the webhook wants to see this request. Throws ApiError where that cannot be found out. */
export async function wantsRequest(
  deps: WebhookDeps,
  type: WebhookType,
  { webhook, as }: Candidate,
  request: AdmissionRequest,
): Promise<boolean> {
  if (!matchesObject(webhook, request)) return false;
  if (!matchesNamespace(deps.store, webhook, request)) return false;
  if (webhook.matchConditions.length === 0) return true;
  const verdict = await checkConditions(deps, webhook, as, request);
  if ('matches' in verdict) {
    if (!verdict.matches) deps.metrics.observeExclusion(labelsOf(webhook, type, request));
    return verdict.matches;
  }
  if (webhook.ignoresFailure) return false;
  throw forbidden(request.resource, request.name, verdict.error);
}

async function checkConditions(
  deps: WebhookDeps,
  webhook: Webhook,
  as: ResourceDefinition,
  request: AdmissionRequest,
): Promise<ConditionsVerdict> {
  if (deps.checkConditions === undefined) return { error: 'this server evaluates no match conditions' };
  const objects = await awaitSeenObjects(request, as);
  const review = renderReview({
    uid: '',
    request,
    as,
    object: undefined,
    oldObject: undefined,
    reviewVersions: [],
  });
  return deps.checkConditions(webhook.matchConditions, { request, review: review.request as JsonObject, ...objects });
}

/** True when the selector fits the new object or the old one. */
export function matchesObject(
  { objectSelector }: Pick<Webhook, 'objectSelector'>,
  { object, oldObject }: AdmissionRequest,
): boolean {
  if (objectSelector.isEmpty) return true;
  const matches = (one: KubeObject | undefined) =>
    one?.metadata !== undefined && objectSelector.matches(one.metadata.labels ?? {});
  return matches(object) || matches(oldObject);
}

/** Cluster-scoped objects are in no namespace that could be excepted; a Namespace counts with its own labels. */
export function matchesNamespace(
  store: WebhookDeps['store'],
  { namespaceSelector }: Pick<Webhook, 'namespaceSelector'>,
  { resource, subresource, operation, namespace, object }: AdmissionRequest,
): boolean {
  if (namespaceSelector.isEmpty) return true;
  const isNamespace = resource.group === '' && resource.resource === 'namespaces';
  if (namespace === '' && !isNamespace) return true;
  if (isNamespace && subresource === '' && (operation === 'CREATE' || operation === 'UPDATE')) {
    return namespaceSelector.matches(object?.metadata.labels ?? {});
  }
  const found = store.snapshot().get(`/registry/namespaces/${namespace}`);
  if (found === undefined) throw notFound({ group: '', resource: 'namespaces' }, namespace);
  return namespaceSelector.matches(found.labels);
}

/**
 * Asks one webhook. Answers what it wants changed (undefined: nothing); throws ApiError when it refuses, WebhookFailure when no usable
 * answer came.
 */
export async function callWebhook(
  deps: WebhookDeps,
  type: WebhookType,
  { webhook, as }: Candidate,
  { request, objects }: { readonly request: AdmissionRequest; readonly objects: SeenObjects },
): Promise<ReviewVerdict> {
  const { name } = webhook;
  if (request.dryRun && webhook.hasSideEffects) {
    throw new ApiError(400, 'BadRequest', `admission webhook ${JSON.stringify(name)} does not support dry run`);
  }
  const uid = deps.newUid();
  const body = renderReview({ uid, request, as, ...objects, reviewVersions: webhook.reviewVersions });
  const { clientConfig, timeoutMs } = webhook;
  const { signal } = request.context.request;
  let answer: JsonObject;
  try {
    answer = await deps.client.post({ clientConfig, body, timeoutMs, signal });
  } catch (err) {
    const isExplained = err instanceof WebhookCallError;
    const why = isExplained ? err.message : describeError(err);
    throw new WebhookFailure(name, `failed to call webhook: ${why}`, isExplained ? err.statusCode : 0, { cause: err });
  }
  const verdict = readVerdict(name, answer, { uid, isMutating: type === 'admit' });
  for (const [key, value] of Object.entries(verdict.auditAnnotations)) {
    request.context.auditAnnotations[`${name}/${key}`] = value;
  }
  request.context.warnings.push(...verdict.warnings);
  if (!verdict.isAllowed) throw refusalOf(name, verdict.result);
  return verdict;
}

function readVerdict(
  name: string,
  answer: JsonObject,
  { uid, isMutating }: { readonly uid: string; readonly isMutating: boolean },
): ReviewVerdict {
  try {
    return readReview(answer, uid, isMutating);
  } catch (err) {
    const reason = `received invalid webhook response: ${describeError(err)}`;
    throw new WebhookFailure(name, reason, 503, { cause: err });
  }
}

export const labelsOf = ({ name }: Webhook, type: WebhookType, { operation }: AdmissionRequest): CallLabels => ({
  name,
  type,
  operation,
});

/** Runs a call with its metrics, and applies `failurePolicy`: a failure that may be ignored answers undefined. */
export async function withPolicy<T>(
  deps: WebhookDeps,
  type: WebhookType,
  { webhook, request }: { readonly webhook: Webhook; readonly request: AdmissionRequest },
  call: () => Promise<T>,
): Promise<T | undefined> {
  const labels = labelsOf(webhook, type, request);
  const startMs = deps.clock.monotonic();
  const observe = (code: number, rejected: boolean) =>
    deps.metrics.observeCall(labels, { elapsedMs: deps.clock.monotonic() - startMs, code, rejected });
  try {
    const answer = await call();
    observe(200, false);
    return answer;
  } catch (err) {
    if (!(err instanceof WebhookFailure)) {
      const code = err instanceof ApiError ? err.code : 500;
      observe(code, true);
      deps.metrics.observeRejection(labels, err instanceof ApiError ? 'no_error' : 'apiserver_internal_error', code);
      throw err;
    }
    observe(err.statusCode, !webhook.ignoresFailure);
    if (!webhook.ignoresFailure) {
      deps.metrics.observeRejection(labels, 'calling_webhook_error', err.statusCode);
      deps.log.warn('calling a webhook failed, and the request with it', { webhook: webhook.name, err: err.message });
      throw internalError(err);
    }
    deps.metrics.observeFailOpen(labels);
    deps.log.warn('calling a webhook failed; the request goes on', { webhook: webhook.name, err: err.message });
    if (request.context.request.signal.aborted) {
      throw new ApiError(504, 'Timeout', 'Timeout: request did not complete within requested timeout');
    }
    return undefined;
  }
}
