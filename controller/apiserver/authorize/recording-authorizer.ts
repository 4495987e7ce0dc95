import type { AuthorizationAttributes, Authorizer, AuthorizerDecision } from '../chain/request-context.ts';

/** One question and its answer, as a line of the authorization log. Empty strings where a field does not apply. */
export interface RecordedDecision {
  readonly user: string;
  readonly groups: readonly string[];
  readonly verb: string;
  /** Of requests for no resource; '' for all others. */
  readonly path: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly decision: AuthorizerDecision['decision'];
  readonly reason: string;
}

/**
 * Hands every question that `authorizer` answers to `record`: those of the request chain, and those that admission and access reviews
 * ask about a user. Wrapped around the authorizer only where a log is wanted, so that it costs nothing elsewhere.
 */
export function createRecordingAuthorizer(
  authorizer: Authorizer,
  record: (decision: RecordedDecision) => void,
): Authorizer {
  return {
    name: authorizer.name,
    authorize(attributes: AuthorizationAttributes): AuthorizerDecision {
      const { decision, reason } = authorizer.authorize(attributes);
      const { user, verb, isResourceRequest, path, group, resource, subresource, namespace, name } = attributes;
      record({
        user: user.name,
        groups: user.groups,
        verb,
        path: isResourceRequest ? '' : path,
        group,
        resource,
        subresource,
        namespace,
        name,
        decision,
        reason,
      });
      return { decision, reason };
    },
  };
}
