import { ApiError } from '#api/object/api-error.ts';
import { toMicroTime } from '#base/clock.ts';
import type { RequestContext, UserInfo } from '../chain/request-context.ts';
import type { AuditStage } from './audit-policy.ts';
import type { AuditRecord } from './audit-record.ts';

const auditUser = ({ name, uid, groups, extra }: UserInfo) => ({
  ...(name === '' ? {} : { username: name }),
  ...(uid === undefined ? {} : { uid }),
  ...(groups.length === 0 ? {} : { groups }),
  ...(extra === undefined ? {} : { extra }),
});

const given = (fields: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ''));

/** The request's address, completed by what its object says: a creation knows its name from the body alone. */
function objectReference({ info }: RequestContext, { object }: AuditRecord) {
  return given({
    resource: info.resource,
    namespace: info.namespace || (object?.namespace ?? ''),
    name: info.name || (object?.name ?? ''),
    uid: object?.uid ?? '',
    apiGroup: info.group,
    apiVersion: info.version,
    resourceVersion: object?.resourceVersion ?? '',
    subresource: info.subresource,
  });
}

/** Where the request came from, through which proxies: the first is what the client claims. */
export function sourceIps(context: RequestContext): string[] {
  const { request } = context;
  const forwarded = (request.header('x-forwarded-for') ?? '').split(',').map((one) => one.trim());
  const claimed = [...forwarded, (request.header('x-real-ip') ?? '').trim()].filter(isAddress);
  const peer = request.peer.address.replace(/^::ffff:(?=\d+\.)/, '');
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
  if (code === 0) return {};
  const { status, message, reason, details } =
    error instanceof ApiError
      ? error.toStatus()
      : { status: undefined, message: undefined, reason: undefined, details: undefined };
  return {
    responseStatus: {
      metadata: {},
      ...(status === undefined ? {} : { status, message, reason }),
      ...(details === undefined ? {} : { details }),
      code,
    },
  };
}

/** One `audit.k8s.io/v1` Event as a line of JSON without its newline, fields in Kubernetes' order. */
export function renderAuditEvent(context: RequestContext, record: AuditRecord, outcome: AuditOutcome): string {
  const { request, info, user, impersonator } = context;
  const userAgent = request.header('user-agent');
  const head = JSON.stringify({
    kind: 'Event',
    apiVersion: 'audit.k8s.io/v1',
    level: record.decision.level,
    auditID: context.auditId,
    stage: outcome.stage,
    requestURI: request.query === '' ? request.path : `${request.path}?${request.query}`,
    verb: info.verb,
    user: auditUser(impersonator ?? user),
    ...(impersonator === undefined ? {} : { impersonatedUser: auditUser(user) }),
    sourceIPs: sourceIps(context),
    ...(userAgent === undefined ? {} : { userAgent }),
    ...(info.isResourceRequest ? { objectRef: objectReference(context, record) } : {}),
    ...responseStatus(outcome),
  });
  const tail = JSON.stringify({
    requestReceivedTimestamp: toMicroTime(context.receivedAtMs),
    stageTimestamp: toMicroTime(outcome.nowMs),
    ...(Object.keys(context.auditAnnotations).length === 0 ? {} : { annotations: context.auditAnnotations }),
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
