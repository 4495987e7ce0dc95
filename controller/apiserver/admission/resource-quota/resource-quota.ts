import { encodeCanonical } from '#api/codec/canonical.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { type Amounts, exceedingAmounts, parseAmounts, renderAmounts } from '#api/quota/amounts.ts';
import { evaluatorFor, type QuotaEvaluator } from '#api/quota/evaluators.ts';
import type { ResourceQuota } from '#api/quota/quota.ts';
import type { Clock } from '#base/clock.ts';
import type { Store, StoredObject } from '../../../store/store.ts';
import { mirrorPrefix, namesOfKey } from '../../authorize/store-mirror.ts';
import type { AdmissionPlugin, AdmissionRequest, AdmissionTarget } from '../admission-plugin.ts';
import { charge, type Demand, demandOf, isConcerned } from './check-quotas.ts';

const PREFIX = '/registry/resourcequotas/';

export interface ResourceQuotaDeps {
  readonly store: Store;
  readonly clock: Pick<Clock, 'now'>;
}

/** Names of the namespaces that have quotas, kept in step with the store. */
function followNamespaces(store: Store): { readonly has: (namespace: string) => boolean; readonly stop: () => void } {
  const counts = new Map<string, number>();
  const change = (key: string, by: number) => {
    const { namespace } = namesOfKey(key, PREFIX);
    const count = (counts.get(namespace) ?? 0) + by;
    if (count > 0) counts.set(namespace, count);
    else counts.delete(namespace);
  };
  const stop = mirrorPrefix(store, PREFIX, {
    onPut: ({ key }, previous) => {
      if (previous === undefined) change(key, 1);
    },
    onDelete: ({ key }) => change(key, -1),
    onReset: () => counts.clear(),
  });
  return { has: (namespace) => counts.has(namespace), stop };
}

/** Virtual kinds store nothing; events are too many to be worth counting and expire by themselves. */
const isCounted = ({ resource }: AdmissionTarget): boolean =>
  resource.virtualCreate === undefined && !(resource.resource === 'events' && resource.volatileTtlMs !== undefined);

function couldCharge({ operation, subresource, resource }: AdmissionTarget): boolean {
  if (operation === 'CREATE') return subresource === '';
  if (operation !== 'UPDATE' || (subresource !== '' && subresource !== 'resize')) return false;
  return evaluatorFor(resource).chargesUpdate !== undefined;
}

/**
 * What a namespace's quotas allow, charged before the object is written: each quota's `status.used` is raised by a read-modify-write of
 * its own, on the pending head, so that of two requests that race for the last piece exactly one gets it. Where the object is not
 * written in the end, the charge is taken back; where the process dies in between, the quota controller recounts.
 */
export function createResourceQuota(deps: ResourceQuotaDeps): {
  readonly plugin: AdmissionPlugin;
  readonly stop: () => void;
} {
  const namespaces = followNamespaces(deps.store);
  const plugin: AdmissionPlugin = {
    name: 'ResourceQuota',
    isAsynchronous: true,
    handles: (target) => namespaces.has(target.namespace) && couldCharge(target) && isCounted(target),
    validate: (request) => admit(deps, request),
  };
  return { plugin, stop: namespaces.stop };
}

async function admit({ store, clock }: ResourceQuotaDeps, request: AdmissionRequest): Promise<void> {
  const { resource, operation, subresource, object, oldObject, namespace } = request;
  const evaluator = evaluatorFor(resource);
  if (operation === 'UPDATE' && !isChargedUpdate(evaluator, subresource, object, oldObject)) return;
  const quotas = [...store.snapshot().range(`${PREFIX}${namespace}/`)]
    .map((stored) => ({ key: stored.key, quota: stored.object() as ResourceQuota }))
    .filter(({ quota }) => isConcerned(quota, evaluator, object as KubeObject));
  const demand = demandOf(request, evaluator, clock.now());
  if (quotas.length === 0 || demand === undefined) return;
  // All are asked before any is charged: a refusal by the second should not show in the first.
  for (const { quota } of quotas) charge(request, quota, demand);
  if (request.dryRun) return;
  const refund: Refund = { store, charged: [] };
  request.reservations ??= [];
  request.reservations.push({ release: () => giveBack(request, refund) });
  for (const { key } of quotas) await chargeStored(request, refund, key, demand);
}

const isChargedUpdate = (
  evaluator: QuotaEvaluator,
  subresource: string,
  object: KubeObject | undefined,
  old: KubeObject | undefined,
): boolean => object !== undefined && old !== undefined && evaluator.chargesUpdate?.(subresource, object, old) === true;

interface Refund {
  readonly store: Store;
  readonly charged: { readonly key: string; readonly uid: string | undefined; readonly amounts: Amounts }[];
}

async function chargeStored(request: AdmissionRequest, refund: Refund, key: string, demand: Demand): Promise<void> {
  let charged: Refund['charged'][number] | undefined;
  await refund.store.write(key, (current) => {
    charged = undefined;
    // Deleted a moment ago: nothing is bounded any more.
    if (current === undefined) return { kind: 'unchanged' };
    const quota = current.object() as ResourceQuota;
    const after = charge(request, quota, demand);
    if (after === undefined) return { kind: 'unchanged' };
    const amounts = exceedingAmounts(after, parseAmounts(quota.status?.used));
    charged = { key, uid: quota.metadata.uid, amounts };
    return { kind: 'put', value: withUsed(request, current, after) };
  });
  if (charged !== undefined) refund.charged.push(charged);
}

async function giveBack(request: AdmissionRequest, { store, charged }: Refund): Promise<void> {
  for (const { key, uid, amounts } of charged.splice(0)) {
    await store.write(key, (current) => {
      const quota = current?.object() as ResourceQuota | undefined;
      if (current === undefined || quota?.metadata.uid !== uid) return { kind: 'unchanged' };
      const used = parseAmounts(quota?.status?.used);
      return { kind: 'put', value: withUsed(request, current, exceedingAmounts(used, amounts)) };
    });
  }
}

function withUsed({ objects }: AdmissionRequest, current: StoredObject, used: Amounts) {
  const quota = current.object() as ResourceQuota;
  const { resourceVersion: _, ...metadata } = quota.metadata;
  const next = { ...quota, metadata, status: { ...quota.status, used: renderAmounts(used) } } as KubeObject;
  const definition = objects?.catalog.find('', 'v1', 'resourcequotas');
  if (objects === undefined || definition === undefined) throw new Error('quotas are charged where nobody serves them');
  const bytes = encodeCanonical(objects.format.canonicalize(next, definition));
  return { bytes, labels: current.labels, fields: current.fields, durability: 'durable' as const };
}
