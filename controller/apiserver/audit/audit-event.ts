import { ApiError } from '#api/object/api-error.ts';
import { toMicroTime } from '#base/clock.ts';
import type { RequestContext, UserInfo } from '../chain/request-context.ts';
import type { AuditStage } from './audit-policy.ts';
import type { AuditRecord } from './audit-record.ts';

/*
 * An event is written for every change, so it is put together as text from few objects: their absent fields stand as undefined, which
 * JSON leaves out, and users, whom authenticators answer as the same object again and again, are rendered once.
 */

const renderedUsers = new WeakMap<UserInfo, string>();

function renderUser(user: UserInfo): string {
  let text = renderedUsers.get(user);
  if (text === undefined) {
    const { name, uid, groups, extra } = user;
    text = JSON.stringify({
      username: name || undefined,
      uid,
      groups: groups.length === 0 ? undefined : groups,
      extra,
    });
    renderedUsers.set(user, text);
  }
  return text;
}

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
  const { stage, nowMs } = outcome;
  const isBegun = stage !== 'RequestReceived';
  const uri = request.query === '' ? request.path : `${request.path}?${request.query}`;
  const annotations = Object.keys(context.auditAnnotations).length === 0 ? undefined : context.auditAnnotations;
  const fields = [
    '"kind":"Event","apiVersion":"audit.k8s.io/v1"',
    field('level', JSON.stringify(record.decision.level)),
    field('auditID', JSON.stringify(context.auditId)),
    field('stage', JSON.stringify(stage)),
    field('requestURI', JSON.stringify(uri)),
    field('verb', JSON.stringify(info.verb)),
    field('user', renderUser(impersonator ?? user)),
    field('impersonatedUser', impersonator === undefined ? undefined : renderUser(user)),
    field('sourceIPs', JSON.stringify(sourceIps(context))),
    field('userAgent', JSON.stringify(request.header('user-agent'))),
    field('objectRef', info.isResourceRequest ? JSON.stringify(objectReference(context, record)) : undefined),
    field('responseStatus', JSON.stringify(responseStatus(outcome))),
    // The objects are texts already: decoding and encoding them once more would double the cost of the level.
    field('requestObject', isBegun ? record.renderRequest() : undefined),
    field('responseObject', isBegun ? record.responseText : undefined),
    field('requestReceivedTimestamp', `"${toMicroTime(context.receivedAtMs)}"`),
    field('stageTimestamp', `"${toMicroTime(nowMs)}"`),
    field('annotations', JSON.stringify(annotations)),
  ];
  return `{${fields.filter((one) => one !== undefined).join(',')}}`;
}

/** Undefined for a value that is absent. */
const field = (name: string, json: string | undefined) => (json === undefined ? undefined : `"${name}":${json}`);
