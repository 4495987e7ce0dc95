import { NODE_POLICY_NAMESPACE, nodePolicyName } from '#api/network/node-policy.ts';
import type { Authorizer } from '../chain/request-context.ts';

const PREFIX = 'coracle:netd:';
const GROUP = 'coracle:netd';

/**
 * The network part of an agent may watch what its own node has to enforce of NetworkPolicies, and no other node's. RBAC has no words for
 * "your own": that would be a role and a binding per node.
 */
export const netdAuthorizer: Authorizer = {
  name: 'netd',
  authorize({ user, isResourceRequest, verb, group, resource, subresource, namespace, name }) {
    const noOpinion = { decision: 'noOpinion', reason: '' } as const;
    if (!isResourceRequest || !user.groups.includes(GROUP) || !user.name.startsWith(PREFIX)) return noOpinion;
    if (verb !== 'watch' || group !== '' || resource !== 'configmaps' || subresource !== '') return noOpinion;
    if (namespace !== NODE_POLICY_NAMESPACE || name !== nodePolicyName(user.name.slice(PREFIX.length)))
      return noOpinion;
    return { decision: 'allow', reason: '' };
  },
};
