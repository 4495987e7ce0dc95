import { setCondition } from '#api/meta/conditions.ts';
import { badRequest, conflict, isConflict } from '#api/object/api-error.ts';
import { type Pod, type PodDisruptionBudget, resources } from '#api/object/kinds.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { toTime } from '#base/clock.ts';
import type { RequestContext } from '../../chain/request-context.ts';
import type {
  DeleteObjectOptions,
  SubresourceDefinition,
  SubresourceServices,
} from '../../registry/resource-definition.ts';
import { budgetOf, chargeBudget, isBeyondBudgets, notProcessed, sparesUnready } from './disruption-budget.ts';

interface Eviction {
  readonly metadata?: { readonly name?: string };
  readonly deleteOptions?: {
    readonly gracePeriodSeconds?: number;
    readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
    readonly propagationPolicy?: string;
    readonly dryRun?: readonly string[];
  };
}

/** An eviction that races with other writes of the pod starts over this often. */
const MAX_TRIES = 20;

/** POST pods/<name>/eviction: a delete that asks the pod's disruption budget first. */
export const podEviction: SubresourceDefinition = {
  name: 'eviction',
  verbs: ['create'],
  kind: { group: 'policy', version: 'v1', kind: 'Eviction', alsoSentAs: ['policy/v1beta1'] },
  async handle(context, services) {
    const eviction = (await services.readBody(context)) as unknown as Eviction;
    const { name, query } = context.info;
    if (eviction.metadata?.name !== undefined && eviction.metadata.name !== name) {
      throw badRequest('name in URL does not match name in Eviction object');
    }
    const { gracePeriodSeconds, preconditions, propagationPolicy, dryRun = [] } = eviction.deleteOptions ?? {};
    await evict(context, services, {
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

async function evict(context: RequestContext, services: SubresourceServices, wish: DeleteObjectOptions): Promise<void> {
  const isOwnVersion = wish.preconditions?.resourceVersion === undefined;
  for (let tries = 1; ; tries++) {
    const pod = (await services.currentObject()) as unknown as Pod;
    if (!isBeyondBudgets(pod)) return evictWithinBudget(context, services, { wish, pod, isOwnVersion });
    try {
      // A pod that is about to start may be one that a budget counts on by now.
      const mayStart = pod.status?.phase === 'Pending' && pod.metadata.deletionTimestamp === undefined;
      return await markAndDelete(context, services, mayStart && isOwnVersion ? atVersionOf(pod, wish) : wish);
    } catch (err) {
      if (!isConflict(err) || !isOwnVersion || tries === MAX_TRIES) throw err;
    }
  }
}

interface Candidate {
  readonly wish: DeleteObjectOptions;
  readonly pod: Pod;
  /** The client has not said at which version the pod must be. */
  readonly isOwnVersion: boolean;
}

async function evictWithinBudget(
  context: RequestContext,
  services: SubresourceServices,
  { wish, pod, isOwnVersion }: Candidate,
): Promise<void> {
  const { name, namespace = '' } = pod.metadata;
  const budgets = await services.listOther(resources.podDisruptionBudgets, namespace);
  const budget = budgetOf(pod, budgets as unknown as readonly PodDisruptionBudget[]);
  if (budget === undefined) return markAndDelete(context, services, wish);
  if (!sparesUnready(budget, pod)) {
    const charge = (current: PodDisruptionBudget) => chargeBudget(current, name, context.receivedAtMs);
    if (wish.dryRun) charge(budget);
    else {
      // Decided on the newest state of the budget, whoever evicts at the same time.
      await services.updateOther(context, resources.podDisruptionBudgets, {
        namespace,
        name: budget.metadata.name,
        as: 'status',
        subresource: 'status',
        change: (current) => charge(current as unknown as PodDisruptionBudget) as unknown as KubeObject,
      });
    }
    return markAndDelete(context, services, wish);
  }
  try {
    // It must not have become ready since.
    await markAndDelete(context, services, isOwnVersion ? atVersionOf(pod, wish) : wish);
  } catch (err) {
    throw isConflict(err) && isOwnVersion ? notProcessed(budget.metadata.name) : err;
  }
}

const atVersionOf = ({ metadata }: Pod, wish: DeleteObjectOptions): DeleteObjectOptions => ({
  ...wish,
  preconditions: { ...wish.preconditions, resourceVersion: metadata.resourceVersion },
});

/** Says in the pod's status why it goes, then deletes it. */
async function markAndDelete(
  context: RequestContext,
  services: SubresourceServices,
  wish: DeleteObjectOptions,
): Promise<void> {
  const { namespace, name } = context.info;
  let { preconditions } = wish;
  if (!wish.dryRun) {
    const change = (pod: KubeObject) => marked(pod as unknown as Pod, preconditions, context.receivedAtMs);
    const { metadata } = await services.updateObject(
      context,
      namespace,
      name,
      (pod) => change(pod) as unknown as KubeObject,
      { as: 'raw', subresource: 'eviction' },
    );
    // The mark itself gave the pod another version.
    if (preconditions?.resourceVersion !== undefined) {
      preconditions = { ...preconditions, resourceVersion: metadata.resourceVersion };
    }
  }
  await services.deleteObject(context, namespace, name, { ...wish, preconditions });
}

function marked(pod: Pod, preconditions: DeleteObjectOptions['preconditions'], nowMs: number): Pod {
  const { metadata, status } = pod;
  const { uid, resourceVersion } = preconditions ?? {};
  const refuse = (what: string, happened: string) =>
    conflict({ group: '', resource: 'pods' }, metadata.name, `the ${what}. The object might have been ${happened}`);
  if (uid && uid !== metadata.uid) {
    const what = `UID in the precondition (${uid}) does not match the UID in record (${metadata.uid})`;
    throw refuse(what, 'deleted and then recreated');
  }
  if (resourceVersion && resourceVersion !== metadata.resourceVersion) {
    const what = `ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (${metadata.resourceVersion})`;
    throw refuse(what, 'modified');
  }
  const condition = {
    type: 'DisruptionTarget',
    status: 'True',
    reason: 'EvictionByEvictionAPI',
    message: 'Eviction API: evicting',
    observedGeneration: metadata.generation,
  };
  const conditions = setCondition(status?.conditions, condition, toTime(nowMs));
  return { ...pod, status: { ...status, conditions: [...conditions] } };
}
