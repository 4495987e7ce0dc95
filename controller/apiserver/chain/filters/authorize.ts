import { attributesOf, denied } from '../../authorize/attributes.ts';
import type { Authorizer, Filter } from '../request-context.ts';

/** Asks the authorizer about every request; everything but `allow` is 403. */
export function createAuthorizeFilter({ authorizer }: { readonly authorizer: Authorizer }): Filter {
  return {
    name: 'authorize',
    run(context, next) {
      const attributes = attributesOf(context.user, context.info);
      const { decision, reason } = authorizer.authorize(attributes);
      if (decision === 'allow') {
        if (context.audit !== undefined) {
          context.auditAnnotations['authorization.k8s.io/decision'] = 'allow';
          context.auditAnnotations['authorization.k8s.io/reason'] = reason;
        }
        return next();
      }
      context.auditAnnotations['authorization.k8s.io/decision'] = 'forbid';
      context.auditAnnotations['authorization.k8s.io/reason'] = reason;
      return Promise.reject(denied(attributes, reason));
    },
  };
}
