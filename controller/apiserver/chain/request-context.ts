import type { Logger } from '#base/logger.ts';
import type { AuditRecord } from '../audit/audit-record.ts';
import type { ApiRequest, ApiResponse } from '../server/api-request.ts';

/** `user.Info` of Kubernetes. */
export interface UserInfo {
  readonly name: string;
  readonly uid?: string;
  /** Includes `system:authenticated` or `system:unauthenticated`. */
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** The request's meaning, computed once from method and path (`RequestInfo` of Kubernetes). */
export interface RequestInfo {
  readonly isResourceRequest: boolean;
  /** Percent-encoded path, for non-resource rules. */
  readonly path: string;
  /** get, list, watch, create, update, patch, delete, deletecollection; for non-resource paths the lower-case method. */
  readonly verb: string;
  readonly group: string;
  readonly version: string;
  /** '' when the request is not namespaced; for the namespaces resource itself its own name. */
  readonly namespace: string;
  readonly resource: string;
  readonly subresource: string;
  readonly name: string;
  /** What follows the subresource (proxy). */
  readonly rest: string;
  readonly query: URLSearchParams;
  /** Field selector of list/watch that the Node authorizer and `metadata.name` rules look at. */
  readonly fieldSelector: string;
}

/** One request on its way through the chain; links add what they find out. */
export interface RequestContext {
  /** Audit puts one in its place that notes the body. */
  request: ApiRequest;
  /** A watch or log over a WebSocket puts its own in its place. */
  response: ApiResponse;
  readonly info: RequestInfo;
  readonly log: Logger;
  /** Unique per request; the audit id. */
  readonly auditId: string;
  readonly receivedAtMs: number;
  /** Set by authenticate, replaced by impersonate. */
  user: UserInfo;
  /** The authenticated user behind an impersonation. */
  impersonator: UserInfo | undefined;
  /** Warnings for the client (`Warning: 299 - "..."` headers). */
  readonly warnings: string[];
  readonly auditAnnotations: Record<string, string>;
  /** Status code that was sent, for audit and metrics. */
  statusCode: number;
  /**
   * Asks whether the user may do something else with the same object too: creating it, where an update or an apply finds none. Throws 403.
   * Set by the link that authorized the request.
   */
  requireAlso?: (verb: string) => void;
  /** The priority level and schema that the request belongs to; set by flow control, told in headers. */
  flow?: { readonly schemaUid: string; readonly levelUid: string };
  /** What audit wants to know of the request; undefined where it is not written. */
  audit?: AuditRecord;
  /** Called once, when the answer begins. Whoever sets it calls what was there before. */
  onAnswer?: (() => void) | undefined;
  /** Called when a write was handed to the store: it waits for the disk from then on. */
  onHandedToStore?: (() => void) | undefined;
}

/**
 * A link of the chain: does its part, then calls `next`, or answers with an ApiError, thrown or as a rejection. A link that has nothing to wait
 * for is no async function: each of those costs a request as much as looking its object up.
 */
export interface Filter {
  readonly name: string;
  run(context: RequestContext, next: () => Promise<void>): Promise<void>;
}

export type AuthorizerDecision = { readonly decision: 'allow' | 'deny' | 'noOpinion'; readonly reason: string };

/** What an authorizer sees; also the shape of SubjectAccessReview. */
export interface AuthorizationAttributes {
  readonly user: UserInfo;
  readonly verb: string;
  readonly isResourceRequest: boolean;
  readonly path: string;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly fieldSelector?: string;
}

/** Synchronous on purpose: rules live in memory, and this runs on every request. */
export interface Authorizer {
  readonly name: string;
  authorize(attributes: AuthorizationAttributes): AuthorizerDecision;
}

/** Answers the user behind the request, undefined when this method does not apply, or throws 401 when it applies and fails. */
export interface Authenticator {
  readonly name: string;
  authenticate(request: ApiRequest): Promise<UserInfo | undefined> | UserInfo | undefined;
}
