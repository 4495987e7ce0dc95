import { ApiError } from '#api/object/api-error.ts';
import { toMicroTime } from '#base/clock.ts';
import type { RequestContext, UserInfo } from '../chain/request-context.ts';
import type { AuditStage } from './audit-policy.ts';
import type { AuditRecord } from './audit-record.ts';

/* What is absent stands as undefined in the objects of this file: JSON leaves it out, and they are built for every write. */

const auditUser = ({ name, uid, groups, extra }: UserInfo) => ({
  username: name || undefined,
  uid,
  groups: groups.length === 0 ? undefined : groups,
  extra,
});

/** The request's address, completed by what its object says: a creation knows its name from the body alone. */
function objectReference({ info }: RequestContext, { object }: AuditRecord) {
  return {
    resource: info.resource || undefined,
    namespace: info.namespace || object?.namespace || undefined,
    name: info.name || object?.name || undefined,
    uid: object?.uid || undefined,
    apiGroup: info.group || undefined,
    apiVersion: info.version || undefined,
    resourceVersion: object?.resourceVersion || undefined,
    subresource: info.subresource || undefined,
  };
}

/** Where the request came from, through which proxies: the first is what the client claims. */
export function sourceIps(context: RequestContext): string[] {
  const { request } = context;
  const peer = request.peer.address.replace(/^::ffff:(?=\d+\.)/, '');
  const forwardedFor = request.header('x-forwarded-for');
  const realIp = request.header('x-real-ip');
  if (forwardedFor === undefined && realIp === undefined) return peer === '' ? [] : [peer];
  const forwarded = (forwardedFor ?? '').split(',').map((one) => one.trim());
  const claimed = [...forwarded, (realIp ?? '').trim()].filter(isAddress);
  return [...new Set([...claimed, peer])].filter((one) => one !== '');
}

const isAddress = (text: string) => /^(?:\d{1,3}(?:\.\d{1,3}){3}|[\da-fA-F]*:[\da-fA-F:.]+)$/.test(text);

export interface AuditOutcome {
  readonly stage: AuditStage;
  /** 0 while there is none. */
  readonly code: number;
  readonly error?: unknown;
  readonly nowMs: number;
}

function responseStatus({ code, error }: AuditOutcome) {
  if (code === 0) return undefined;
  if (!(error instanceof ApiError)) return { metadata: {}, code };
  const { status, message, reason, details } = error.toStatus();
  return { metadata: {}, status, message, reason, details, code };
}

/** One `audit.k8s.io/v1` Event as a line of JSON without its newline, fields in Kubernetes' order. */
export function renderAuditEvent(context: RequestContext, record: AuditRecord, outcome: AuditOutcome): string {
  const { request, info, user, impersonator } = context;
  const head = JSON.stringify({
    kind: 'Event',
    apiVersion: 'audit.k8s.io/v1',
    level: record.decision.level,
    auditID: context.auditId,
    stage: outcome.stage,
    requestURI: request.query === '' ? request.path : `${request.path}?${request.query}`,
    verb: info.verb,
    user: auditUser(impersonator ?? user),
    impersonatedUser: impersonator === undefined ? undefined : auditUser(user),
    sourceIPs: sourceIps(context),
    userAgent: request.header('user-agent'),
    objectRef: info.isResourceRequest ? objectReference(context, record) : undefined,
    responseStatus: responseStatus(outcome),
  });
  const tail = JSON.stringify({
    requestReceivedTimestamp: toMicroTime(context.receivedAtMs),
    stageTimestamp: toMicroTime(outcome.nowMs),
    annotations: Object.keys(context.auditAnnotations).length === 0 ? undefined : context.auditAnnotations,
  });
  // The objects are texts already: decoding and encoding them once more would double the cost of the level.
  const isBegun = outcome.stage !== 'RequestReceived';
  const requestText = isBegun ? record.renderRequest() : undefined;
  const responseText = isBegun ? record.responseText : undefined;
  return [
    head.slice(0, -1),
    ...(requestText === undefined ? [] : [`"requestObject":${requestText}`]),
    ...(responseText === undefined ? [] : [`"responseObject":${responseText}`]),
    tail.slice(1),
  ].join(',');
}
