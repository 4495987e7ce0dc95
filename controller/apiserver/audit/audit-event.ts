import { ApiError } from '#api/object/api-error.ts';
import { toMicroTime } from '#base/clock.ts';
import type { RequestContext, UserInfo } from '../chain/request-context.ts';
import type { Peer } from '../server/api-request.ts';
import type { AuditStage } from './audit-policy.ts';
import type { AuditRecord } from './audit-record.ts';

/*
 * An event is written for every change, so it is put together as text; users, whom authenticators answer as the same
 * object again and again, are rendered once.
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
function renderReference({ info }: RequestContext, { object }: AuditRecord): string {
  const fields =
    field('resource', quoted(info.resource)) +
    field('namespace', quoted(info.namespace || object?.namespace)) +
    field('name', quoted(info.name || object?.name)) +
    field('uid', quoted(object?.uid)) +
    field('apiGroup', quoted(info.group)) +
    field('apiVersion', quoted(info.version)) +
    field('resourceVersion', quoted(object?.resourceVersion)) +
    field('subresource', quoted(info.subresource));
  return `{${fields.slice(1)}}`;
}

/** Absent where there is nothing to quote. */
const quoted = (text: string | undefined) => (text ? JSON.stringify(text) : undefined);

/** Of connections, for requests that came through no proxy. */
const renderedPeers = new WeakMap<Peer, string>();

function renderSourceIps(context: RequestContext): string {
  const { request } = context;
  const isDirect = request.header('x-forwarded-for') === undefined && request.header('x-real-ip') === undefined;
  let text = isDirect ? renderedPeers.get(request.peer) : undefined;
  if (text === undefined) {
    text = JSON.stringify(sourceIps(context));
    if (isDirect) renderedPeers.set(request.peer, text);
  }
  return text;
}

/** Where the request came from, through which proxies: the first is what the client claims. */
function sourceIps(context: RequestContext): string[] {
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

function renderStatus({ code, error }: AuditOutcome): string | undefined {
  if (code === 0) return undefined;
  if (!(error instanceof ApiError)) return `{"metadata":{},"code":${code}}`;
  const { status, message, reason, details } = error.toStatus();
  return JSON.stringify({ metadata: {}, status, message, reason, details, code });
}

/** Whether an object has fields, without a list of them. */
function isEmpty(object: object): boolean {
  for (const _ in object) return false;
  return true;
}

/** One `audit.k8s.io/v1` Event as a line of JSON without its newline, fields in Kubernetes' order. */
export function renderAuditEvent(context: RequestContext, record: AuditRecord, outcome: AuditOutcome): string {
  const { request, info, user, impersonator } = context;
  const { stage, nowMs } = outcome;
  const isBegun = stage !== 'RequestReceived';
  const uri = request.query === '' ? request.path : `${request.path}?${request.query}`;
  return (
    `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"${record.decision.level}"` +
    field('auditID', JSON.stringify(context.auditId)) +
    field('stage', `"${stage}"`) +
    field('requestURI', JSON.stringify(uri)) +
    field('verb', JSON.stringify(info.verb)) +
    field('user', renderUser(impersonator ?? user)) +
    field('impersonatedUser', impersonator === undefined ? undefined : renderUser(user)) +
    field('sourceIPs', renderSourceIps(context)) +
    field('userAgent', JSON.stringify(request.header('user-agent'))) +
    field('objectRef', info.isResourceRequest ? renderReference(context, record) : undefined) +
    field('responseStatus', renderStatus(outcome)) +
    // The objects are texts already: decoding and encoding them once more would double the cost of the level.
    field('requestObject', isBegun ? record.renderRequest() : undefined) +
    field('responseObject', isBegun ? record.responseText : undefined) +
    field('requestReceivedTimestamp', `"${toMicroTime(context.receivedAtMs)}"`) +
    field('stageTimestamp', `"${toMicroTime(nowMs)}"`) +
    field('annotations', isEmpty(context.auditAnnotations) ? undefined : JSON.stringify(context.auditAnnotations)) +
    '}'
  );
}

/** Nothing for a value that is absent. */
const field = (name: string, json: string | undefined) => (json === undefined ? '' : `,"${name}":${json}`);
