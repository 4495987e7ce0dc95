import { attributesOf, denied } from '../../authorize/attributes.ts';
import type { SecurityMetrics } from '../../metrics/security-metrics.ts';
import type { Authorizer, Filter } from '../request-context.ts';

export interface AuthorizeDeps {
  readonly authorizer: Authorizer;
  readonly metrics: SecurityMetrics;
}

/** Verbs whose requests may turn out to be creations. */
const MAY_CREATE: ReadonlySet<string> = new Set(['update', 'patch']);

/** Asks the authorizer about every request; everything but `allow` is 403. */
export function createAuthorizeFilter({ authorizer, metrics }: AuthorizeDeps): Filter {
  return {
    name: 'authorize',
    run(context, next) {
      const attributes = attributesOf(context.user, context.info);
      // Reasons are put into words when they are read: only where somebody wants them.
      const answer = authorizer.authorize(attributes);
      metrics.decided(answer.decision);
      const isAllowed = answer.decision === 'allow';
      if (!isAllowed || context.audit !== undefined) {
        context.auditAnnotations['authorization.k8s.io/decision'] = isAllowed ? 'allow' : 'forbid';
        context.auditAnnotations['authorization.k8s.io/reason'] = answer.reason;
      }
      if (!isAllowed) return Promise.reject(denied(attributes, answer.reason));
      if (MAY_CREATE.has(attributes.verb)) {
        context.requireAlso = (verb) => {
          const also = { ...attributes, verb };
          const { decision, reason } = authorizer.authorize(also);
          if (decision !== 'allow') throw denied(also, reason);
        };
      }
      return next();
    },
  };
}
