import { badRequest } from '#api/object/api-error.ts';
import type { SubresourceDefinition } from '../../registry/resource-definition.ts';

interface Eviction {
  readonly metadata?: { readonly name?: string };
  readonly deleteOptions?: {
    readonly gracePeriodSeconds?: number;
    readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
    readonly propagationPolicy?: string;
    readonly dryRun?: readonly string[];
  };
}

/**
 * POST pods/<name>/eviction: a delete that asks first. No PodDisruptionBudget is consulted yet, so every eviction is granted.
 */
export const podEviction: SubresourceDefinition = {
  name: 'eviction',
  verbs: ['create'],
  kind: { group: 'policy', version: 'v1', kind: 'Eviction' },
  async handle(context, services) {
    const eviction = (await services.readBody(context)) as unknown as Eviction;
    const { namespace, name, query } = context.info;
    if (eviction.metadata?.name !== undefined && eviction.metadata.name !== name) {
      throw badRequest('name in URL does not match name in Eviction object');
    }
    const { gracePeriodSeconds, preconditions, propagationPolicy, dryRun = [] } = eviction.deleteOptions ?? {};
    await services.deleteObject(context, namespace, name, {
      gracePeriodSeconds,
      preconditions,
      propagationPolicy,
      dryRun: dryRun.includes('All') || query.get('dryRun') === 'All',
    });
    services.respond(context, 201, {
      apiVersion: 'v1',
      kind: 'Status',
      metadata: {},
      status: 'Success',
      code: 201,
    });
  },
};
