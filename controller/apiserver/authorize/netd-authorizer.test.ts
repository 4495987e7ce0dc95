import { expect, it } from 'vitest';
import type { AuthorizationAttributes } from '../chain/request-context.ts';
import { netdAuthorizer } from './netd-authorizer.ts';

const OWN = {
  user: { name: 'coracle:netd:n1', uid: '', groups: ['coracle:netd'], extra: {} },
  isResourceRequest: true,
  verb: 'watch',
  group: '',
  resource: 'configmaps',
  subresource: '',
  namespace: 'kube-system',
  name: 'coracle-network-policy-n1',
};

it.each([
  { name: 'its own policy', change: {}, want: 'allow' },
  { name: "another node's", change: { name: 'coracle-network-policy-n2' }, want: 'noOpinion' },
  { name: 'all of them', change: { name: '' }, want: 'noOpinion' },
  { name: 'another namespace', change: { namespace: 'default' }, want: 'noOpinion' },
  { name: 'a secret of that name', change: { resource: 'secrets' }, want: 'noOpinion' },
  { name: 'writing it', change: { verb: 'update' }, want: 'noOpinion' },
  { name: 'the name without the group', change: { user: { ...OWN.user, groups: [] } }, want: 'noOpinion' },
])('the network part of an agent and $name: $want', ({ change, want }) => {
  const attributes = { ...OWN, ...change } as unknown as AuthorizationAttributes;
  expect(netdAuthorizer.authorize(attributes)).toMatchObject({ decision: want });
});
