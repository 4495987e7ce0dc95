import type { KubeClient } from '#api/client/client.ts';
import { isNotFound } from '#api/object/api-error.ts';
import { deepEqual } from '#api/object/deep-equal.ts';
import type { KubeObject, Stored } from '#api/object/kube-object.ts';
import type { TypeDef } from '#api/schema/type-table.ts';
import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import type { Store } from '../../../store/store.ts';
import { mirrorPrefix, namesOfKey } from '../../authorize/store-mirror.ts';
import type { ResourceCatalog } from '../../registry/resource-catalog.ts';
import type { ResourceDefinition } from '../../registry/resource-definition.ts';
import { findParamKind } from './collect-params.ts';
import { type CheckedSpec, checkTypes, type ExpressionWarning, kindsToCheck } from './type-checking.ts';

export interface PolicyStatusDeps {
  readonly store: Store;
  /** Acts as system:serviceaccount:kube-system:validatingadmissionpolicy-status-controller. */
  readonly client: KubeClient;
  readonly catalog: ResourceCatalog;
  typeOf(definition: ResourceDefinition): TypeDef | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

interface ValidatingAdmissionPolicy extends KubeObject {
  readonly spec?: CheckedSpec;
  readonly status?: PolicyStatus;
}

interface PolicyStatus {
  readonly observedGeneration?: number;
  readonly typeChecking?: { readonly expressionWarnings?: readonly ExpressionWarning[] };
}

const PREFIX = '/registry/validatingadmissionpolicies/';
const POLICIES = {
  group: 'admissionregistration.k8s.io',
  version: 'v1',
  resource: 'validatingadmissionpolicies',
  kind: 'ValidatingAdmissionPolicy',
  namespaced: false,
} as const;
/** A kubectl apply brings several policies, and often the CustomResourceDefinitions that they mean. */
const SETTLE_MS = 200;
const RETRY_MS = 5000;

/** The status that a policy should have; undefined where it has been looked at in this generation. Pure. */
export function computeStatus(
  { metadata, spec = {}, status }: ValidatingAdmissionPolicy,
  { catalog, typeOf }: Pick<PolicyStatusDeps, 'catalog' | 'typeOf'>,
): PolicyStatus | undefined {
  const { generation = 1 } = metadata;
  if (status?.observedGeneration === generation) return undefined;
  const kinds = kindsToCheck(spec.matchConstraints?.resourceRules ?? [], catalog.definitions).flatMap((gvk) => {
    const type = typeOf(gvk);
    return type === undefined ? [] : [{ gvk, type }];
  });
  const paramKind = spec.paramKind === undefined ? undefined : findParamKind(spec.paramKind, catalog.definitions);
  const expressionWarnings = checkTypes(spec, kinds, paramKind === undefined ? undefined : typeOf(paramKind));
  return {
    observedGeneration: generation,
    typeChecking: expressionWarnings.length === 0 ? {} : { expressionWarnings },
  };
}

/** Keeps the status of ValidatingAdmissionPolicies: what their expressions would meet in the kinds that they name. Returns its end. */
export function startPolicyStatus(deps: PolicyStatusDeps): () => void {
  const { store, clock, log } = deps;
  const waiting = new Map<string, ValidatingAdmissionPolicy>();
  let cancelTimer: (() => void) | undefined;
  let running = false;
  let stopped = false;
  const schedule = (delayMs: number): void => {
    if (!stopped && !running && waiting.size > 0) cancelTimer ??= clock.after(delayMs, () => void sync());
  };
  const sync = async (): Promise<void> => {
    cancelTimer = undefined;
    running = true;
    let delayMs = SETTLE_MS;
    try {
      for (const [name, policy] of [...waiting]) {
        await writeStatus(deps, name, policy);
        // Another state may have come in the meantime.
        if (waiting.get(name) === policy) waiting.delete(name);
      }
    } catch (err) {
      log.warn('writing the status of admission policies failed, trying again', { err });
      delayMs = RETRY_MS;
    } finally {
      running = false;
    }
    schedule(delayMs);
  };
  const stopMirror = mirrorPrefix(store, PREFIX, {
    onPut: (stored) => {
      const policy = stored.object() as ValidatingAdmissionPolicy;
      if (policy.status?.observedGeneration === (policy.metadata.generation ?? 1)) return;
      waiting.set(namesOfKey(stored.key, PREFIX).name, policy);
      schedule(SETTLE_MS);
    },
    onDelete: ({ key }) => waiting.delete(namesOfKey(key, PREFIX).name),
    onReset: () => waiting.clear(),
  });
  return () => {
    stopped = true;
    stopMirror();
    cancelTimer?.();
  };
}

async function writeStatus(deps: PolicyStatusDeps, name: string, policy: ValidatingAdmissionPolicy): Promise<void> {
  const status = computeStatus(policy, deps);
  if (status === undefined || deepEqual(status, policy.status)) return;
  try {
    await deps.client.resource<Stored<KubeObject>>(POLICIES).patch({
      name,
      type: 'apply',
      subresource: 'status',
      fieldManager: 'validatingadmissionpolicy-status',
      force: true,
      patch: {
        apiVersion: `${POLICIES.group}/${POLICIES.version}`,
        kind: POLICIES.kind,
        metadata: { name, uid: policy.metadata.uid },
        status,
      },
    });
  } catch (err) {
    // A policy that is gone needs no status.
    if (!isNotFound(err)) throw err;
  }
}
