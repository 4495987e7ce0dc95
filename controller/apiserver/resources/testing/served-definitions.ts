import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { accessReviewResources } from '../../authorize/access-review-resources.ts';
import { connectSubresources } from '../../connect/connect-subresources.ts';
import type { ResourceDefinition } from '../../registry/resource-definition.ts';
import { builtinResources } from '../builtin-resources.ts';

const never = (): never => {
  throw new Error('definitions are looked at, not used');
};

/** Every built-in resource with every subresource, as a server has them: to look at what they tell of themselves. */
export function servedDefinitions(): readonly ResourceDefinition[] {
  const streams = connectSubresources(
    { kubeletTls: never, clock: systemClock, log: silentLogger, authorizer: { name: 'none', authorize: never } },
    { accept: never, twinProblem: never },
  );
  return [
    ...builtinResources({
      podSubresources: streams.pods,
      nodeSubresources: streams.nodes,
      serviceSubresources: streams.services,
      serviceCidr: '10.96.0.0/16',
      nodePortRange: { from: 30_000, to: 32_767 },
    }),
    ...accessReviewResources({
      authorizer: { name: 'none', authorize: never },
      rbac: { rulesFor: never },
      tokenVerifiers: { verify: never },
    } as unknown as Parameters<typeof accessReviewResources>[0]),
  ];
}
