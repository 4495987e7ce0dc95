import type { KubeClient, ResourceClient } from '#api/client/client.ts';
import { isAlreadyExists, isConflict, isNotFound } from '#api/object/api-error.ts';
import type { ResourceInfo } from '#api/object/group-version.ts';
import type { ClusterRole, ClusterRoleBinding, Role, RoleBinding } from '#api/object/kinds.ts';
import { resources } from '#api/object/kinds.ts';
import type { Stored, StoredMeta } from '#api/object/kube-object.ts';
import {
  BOOTSTRAP_CLUSTER_ROLE_BINDINGS,
  BOOTSTRAP_CLUSTER_ROLES,
  BOOTSTRAP_ROLE_BINDINGS,
  BOOTSTRAP_ROLES,
  type BootstrapBinding,
} from './bootstrap-policy.ts';
import type { BootstrapClusterRole } from './bootstrap-user-roles.ts';
import { compileRule, type PolicyRule, uncoveredRules } from './rule-resolver.ts';

const AUTOUPDATE = 'rbac.authorization.kubernetes.io/autoupdate';
const BOOTSTRAP_LABELS = { 'kubernetes.io/bootstrapping': 'rbac-defaults' };
const RBAC_GROUP = 'rbac.authorization.k8s.io';

type AnyRole = ClusterRole | Role;
type AnyBinding = ClusterRoleBinding | RoleBinding;
type Wanted<T> = Partial<Omit<T, 'metadata'>> & { metadata: Partial<StoredMeta> & { name: string } };

const metadataOf = (name: string, namespace?: string, labels: Readonly<Record<string, string>> = {}) => ({
  name,
  ...(namespace === undefined ? {} : { namespace }),
  annotations: { [AUTOUPDATE]: 'true' },
  labels: { ...BOOTSTRAP_LABELS, ...labels },
});

function clusterRole(role: BootstrapClusterRole): Wanted<ClusterRole> {
  return {
    metadata: metadataOf(role.name, undefined, role.labels),
    ...(role.aggregates === undefined
      ? { rules: [...role.rules] }
      : {
          rules: aggregated(role.aggregates),
          aggregationRule: { clusterRoleSelectors: [{ matchLabels: { [role.aggregates]: 'true' } }] },
        }),
  };
}

/** First content of an aggregated role, so that it holds before the aggregation controller has run. */
function aggregated(label: string): PolicyRule[] {
  return BOOTSTRAP_CLUSTER_ROLES.filter((role) => role.labels?.[label] === 'true').flatMap((role) =>
    role.aggregates === undefined ? role.rules : aggregated(role.aggregates),
  );
}

const binding = (bound: BootstrapBinding, namespace?: string): Wanted<AnyBinding> => ({
  metadata: metadataOf(bound.name, namespace),
  roleRef: { apiGroup: RBAC_GROUP, kind: bound.roleKind, name: bound.role },
  ...(bound.subjects.length === 0 ? {} : { subjects: [...bound.subjects] }),
});

const isFrozen = (object: Stored<object>): boolean => object.metadata.annotations?.[AUTOUPDATE] === 'false';

/** What must be added to a role that exists: rules it does not cover (its own additions stay). Undefined when nothing. */
function roleUpdate(existing: AnyRole, wanted: Wanted<AnyRole>): AnyRole | undefined {
  const missing = uncoveredRules((existing.rules ?? []).map(compileRule), wanted.rules ?? []);
  const isAggregated = 'aggregationRule' in wanted;
  if (isFrozen(existing) || isAggregated || missing.length === 0) return undefined;
  return { ...existing, rules: [...(existing.rules ?? []), ...missing] };
}

/** The same for subjects. A binding of another role is left alone: roleRef cannot be changed, and somebody meant it. */
function bindingUpdate(existing: AnyBinding, wanted: Wanted<AnyBinding>): AnyBinding | undefined {
  const present = new Set((existing.subjects ?? []).map((s) => `${s.kind}/${s.namespace ?? ''}/${s.name}`));
  const missing = (wanted.subjects ?? []).filter((s) => !present.has(`${s.kind}/${s.namespace ?? ''}/${s.name}`));
  if (isFrozen(existing) || missing.length === 0 || existing.roleRef.name !== wanted.roleRef?.name) return undefined;
  return { ...existing, subjects: [...(existing.subjects ?? []), ...missing] };
}

interface Reconcile<T extends Stored<object>> {
  readonly info: ResourceInfo;
  readonly namespace?: string;
  readonly wanted: readonly Wanted<T>[];
  readonly update: (existing: T, wanted: Wanted<T>) => T | undefined;
}

/** Creates what is absent, completes what is there. Another API server may do the same: its write is as good as ours. */
async function reconcile<T extends Stored<object>>(client: KubeClient, plan: Reconcile<T>): Promise<number> {
  const api: ResourceClient<T> = client.resource<T>(plan.info);
  const { items } = await api.fetchList(plan.namespace === undefined ? {} : { namespace: plan.namespace });
  const existing = new Map(items.map((item) => [item.metadata.name, item]));
  const writes = plan.wanted.map(async (wanted) => {
    const current = existing.get(wanted.metadata.name);
    const updated = current === undefined ? undefined : plan.update(current, wanted);
    if (current !== undefined && updated === undefined) return 0;
    try {
      await (updated === undefined ? api.create(wanted as never) : api.update(updated));
      return 1;
    } catch (err) {
      if (isAlreadyExists(err) || isConflict(err) || isNotFound(err)) return 0;
      throw err;
    }
  });
  return (await Promise.all(writes)).reduce<number>((sum, count) => sum + count, 0);
}

/**
 * Brings Kubernetes' default roles and bindings, and ours, into the cluster; answers how many objects were written. Run at every start
 * as `system:apiserver`, once the namespaces of the system exist. Objects annotated `rbac.authorization.kubernetes.io/autoupdate: "false"`
 * are left as they are.
 */
export async function ensureBootstrapPolicy(client: KubeClient): Promise<number> {
  const counts = await Promise.all([
    reconcile<ClusterRole>(client, {
      info: resources.clusterRoles,
      wanted: BOOTSTRAP_CLUSTER_ROLES.map(clusterRole),
      update: (existing, wanted) => roleUpdate(existing, wanted) as ClusterRole | undefined,
    }),
    reconcile<ClusterRoleBinding>(client, {
      info: resources.clusterRoleBindings,
      wanted: BOOTSTRAP_CLUSTER_ROLE_BINDINGS.map((bound) => binding(bound) as Wanted<ClusterRoleBinding>),
      update: (existing, wanted) => bindingUpdate(existing, wanted) as ClusterRoleBinding | undefined,
    }),
    ...[...new Set(BOOTSTRAP_ROLES.map(({ namespace }) => namespace))].flatMap((namespace) => [
      reconcile<Role>(client, {
        info: resources.roles,
        namespace,
        wanted: BOOTSTRAP_ROLES.filter((role) => role.namespace === namespace).map(({ name, rules }) => ({
          metadata: metadataOf(name, namespace),
          rules: [...rules],
        })),
        update: (existing, wanted) => roleUpdate(existing, wanted) as Role | undefined,
      }),
      reconcile<RoleBinding>(client, {
        info: resources.roleBindings,
        namespace,
        wanted: BOOTSTRAP_ROLE_BINDINGS.filter((bound) => bound.namespace === namespace).map(
          (bound) => binding(bound, namespace) as Wanted<RoleBinding>,
        ),
        update: (existing, wanted) => bindingUpdate(existing, wanted) as RoleBinding | undefined,
      }),
    ]),
  ]);
  return counts.reduce((sum, count) => sum + count, 0);
}
