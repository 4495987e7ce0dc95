import { badRequest, conflict } from '#api/object/api-error.ts';
import { type FieldError, invalid, invalidObject, notSupported, required } from '#api/object/field-error.ts';
import { type Pod, resources } from '#api/object/kinds.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { toTime } from '#base/clock.ts';
import type { RequestContext } from '../../chain/request-context.ts';
import type { OtherKinds, SubresourceDefinition } from '../../registry/resource-definition.ts';

export interface Binding {
  readonly metadata?: {
    readonly name?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly annotations?: Record<string, string>;
    readonly labels?: Record<string, string>;
  };
  readonly target?: { readonly kind?: string; readonly name?: string };
}

const PODS = { group: '', resource: 'pods' };

function validateBinding({ target }: Binding): FieldError[] {
  const errors: FieldError[] = [];
  if (target?.kind && target.kind !== 'Node')
    errors.push(notSupported('target.kind', target.kind, ['Node', '<empty>']));
  if (!target?.name) errors.push(required('target.name'));
  else if (/[/%]/.test(target.name)) errors.push(invalid('target.name', target.name, `may not contain '/' or '%'`));
  return errors;
}

/** The pod after it was given to a node. Throws 409 when it cannot be. */
function bindPod(pod: Pod, binding: Binding, nowMs: number): Pod {
  const { metadata, spec } = pod;
  const refuse = (why: string) => conflict({ group: '', resource: 'pods/binding' }, metadata.name, why);
  const { uid, resourceVersion, annotations, labels } = binding.metadata ?? {};
  if (uid && uid !== metadata.uid) {
    throw conflict(
      PODS,
      metadata.name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${metadata.uid}`,
    );
  }
  if (resourceVersion && resourceVersion !== metadata.resourceVersion) {
    throw conflict(
      PODS,
      metadata.name,
      `Precondition failed: ResourceVersion in precondition: ${resourceVersion}, ResourceVersion in object meta: ${metadata.resourceVersion}`,
    );
  }
  if (metadata.deletionTimestamp !== undefined)
    throw refuse(`pod ${metadata.name} is being deleted, cannot be assigned to a host`);
  if (spec?.nodeName) throw refuse(`pod ${metadata.name} is already assigned to node "${spec.nodeName}"`);
  if ((spec?.schedulingGates ?? []).length > 0)
    throw refuse(`pod ${metadata.name} has non-empty .spec.schedulingGates`);
  const others = (pod.status?.conditions ?? []).filter((condition) => condition.type !== 'PodScheduled');
  const scheduled = { type: 'PodScheduled', status: 'True', lastProbeTime: null, lastTransitionTime: toTime(nowMs) };
  return {
    ...pod,
    metadata: {
      ...metadata,
      ...(annotations === undefined ? {} : { annotations: { ...metadata.annotations, ...annotations } }),
      ...(labels === undefined ? {} : { labels: { ...metadata.labels, ...labels } }),
    },
    spec: { ...(spec as NonNullable<Pod['spec']>), nodeName: binding.target?.name },
    status: { ...pod.status, conditions: [...others, scheduled] as NonNullable<Pod['status']>['conditions'] },
  };
}

const BOUND = { apiVersion: 'v1', kind: 'Status', metadata: {}, status: 'Success', code: 201 };

/** Gives the pod that a Binding names to a node; answers what the client is to hear. Throws 404, 409 and 422. */
export async function applyBinding(
  context: RequestContext,
  others: OtherKinds,
  name: string,
  body: KubeObject,
): Promise<KubeObject> {
  const binding = body as unknown as Binding;
  const errors = validateBinding(binding);
  if (errors.length > 0) throw invalidObject({ group: '', version: 'v1', kind: 'Binding' }, name, errors);
  await others.updateOther(context, resources.pods, {
    namespace: context.info.namespace,
    name,
    as: 'raw',
    subresource: 'binding',
    dryRun: context.info.query.get('dryRun') === 'All',
    change: (pod) => bindPod(pod as unknown as Pod, binding, context.receivedAtMs) as unknown as KubeObject,
  });
  return BOUND;
}

/** POST pods/<name>/binding: what the scheduler calls. */
export const podBinding: SubresourceDefinition = {
  name: 'binding',
  verbs: ['create'],
  kind: { group: '', version: 'v1', kind: 'Binding' },
  async handle(context, services) {
    const body = await services.readBody(context);
    const bodyName = body.metadata?.name;
    if (bodyName !== undefined && bodyName !== context.info.name) {
      throw badRequest('name in URL does not match name in Binding object');
    }
    services.respond(context, 201, await applyBinding(context, services, context.info.name, body));
  },
};
