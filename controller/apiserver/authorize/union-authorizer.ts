import type { AuthorizationAttributes, Authorizer, AuthorizerDecision } from '../chain/request-context.ts';

/** `system:masters` may do everything: it is how a cluster is repaired whose roles are broken. */
export const superuserAuthorizer: Authorizer = {
  name: 'superuser',
  authorize: ({ user }) =>
    user.groups.includes('system:masters') ? { decision: 'allow', reason: '' } : { decision: 'noOpinion', reason: '' },
};

/** The first authorizer with an opinion decides; without any the answer is noOpinion, with all their reasons. */
export function createUnionAuthorizer(authorizers: readonly Authorizer[]): Authorizer {
  return {
    name: 'union',
    authorize(attributes: AuthorizationAttributes): AuthorizerDecision {
      const reasons: string[] = [];
      for (const authorizer of authorizers) {
        const answer = authorizer.authorize(attributes);
        if (answer.decision !== 'noOpinion') return answer;
        if (answer.reason !== '') reasons.push(answer.reason);
      }
      return { decision: 'noOpinion', reason: reasons.join('\n') };
    },
  };
}
