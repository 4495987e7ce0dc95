import { ApiError } from '#api/object/api-error.ts';
import type { Clock } from '#base/clock.ts';
import { toMicroTime } from '#base/clock.ts';
import type { Filter, RequestContext, UserInfo } from '../request-context.ts';

export type AuditLevel = 'None' | 'Metadata';

export interface AuditDeps {
  /** Takes one JSON line without its newline; must not block. See AuditBuffer. Undefined: nothing is written. */
  readonly write: ((line: string) => void) | undefined;
  readonly clock: Clock;
  readonly policy?: (context: RequestContext) => AuditLevel;
}

const READ_VERBS: ReadonlySet<string> = new Set(['get', 'list', 'watch', 'head', 'options']);

/**
 * What is worth wearing out an SD card for: who changed what, and who was refused. Not: reads, heartbeats, events, and questions
 * (access and token reviews), which change nothing.
 */
export function defaultAuditPolicy({ info, user }: RequestContext): AuditLevel {
  if (READ_VERBS.has(info.verb) || !info.isResourceRequest) return 'None';
  if (info.resource === 'events') return 'None';
  if (info.group === 'authorization.k8s.io' || info.group === 'authentication.k8s.io') return 'None';
  const isComponent = user.name.startsWith('system:');
  if (isComponent && info.resource === 'leases') return 'None';
  return isComponent && info.resource === 'nodes' && info.subresource === 'status' ? 'None' : 'Metadata';
}

const auditUser = ({ name, uid, groups, extra }: UserInfo) => ({
  username: name,
  ...(uid === undefined ? {} : { uid }),
  groups,
  ...(extra === undefined ? {} : { extra }),
});

function objectReference({ info }: RequestContext) {
  const { resource, namespace, name, group, version, subresource } = info;
  return {
    resource,
    ...(namespace === '' ? {} : { namespace }),
    ...(name === '' ? {} : { name }),
    ...(group === '' ? {} : { apiGroup: group }),
    apiVersion: version,
    ...(subresource === '' ? {} : { subresource }),
  };
}

interface Outcome {
  readonly code: number;
  readonly error: unknown;
  readonly nowMs: number;
}

/** An `audit.k8s.io/v1` Event at level Metadata, stage ResponseComplete. */
export function renderAuditEvent(context: RequestContext, { code, error, nowMs }: Outcome): string {
  const { request, info, user, impersonator } = context;
  const userAgent = request.header('user-agent');
  return JSON.stringify({
    kind: 'Event',
    apiVersion: 'audit.k8s.io/v1',
    level: 'Metadata',
    auditID: context.auditId,
    stage: 'ResponseComplete',
    requestURI: request.query === '' ? request.path : `${request.path}?${request.query}`,
    verb: info.verb,
    user: auditUser(impersonator ?? user),
    ...(impersonator === undefined ? {} : { impersonatedUser: auditUser(user) }),
    sourceIPs: request.peer.address === '' ? [] : [request.peer.address],
    ...(userAgent === undefined ? {} : { userAgent }),
    ...(info.isResourceRequest ? { objectRef: objectReference(context) } : {}),
    responseStatus: {
      metadata: {},
      ...(error instanceof ApiError ? { status: 'Failure', message: error.message, reason: error.reason } : {}),
      code,
    },
    requestReceivedTimestamp: toMicroTime(context.receivedAtMs),
    stageTimestamp: toMicroTime(nowMs),
    ...(Object.keys(context.auditAnnotations).length === 0 ? {} : { annotations: context.auditAnnotations }),
  });
}

/** Writes one line per request that the policy names, and per refusal (403), once the answer is complete. */
export function createAuditFilter({ write, clock, policy = defaultAuditPolicy }: AuditDeps): Filter {
  return {
    name: 'audit',
    async run(context, next) {
      if (write === undefined) return next();
      let error: unknown;
      try {
        await next();
      } catch (err) {
        error = err;
        throw err;
      } finally {
        const code = error === undefined ? context.statusCode : error instanceof ApiError ? error.code : 500;
        if (code === 403 || policy(context) !== 'None') {
          write(renderAuditEvent(context, { code, error, nowMs: clock.now() }));
        }
      }
    },
  };
}
