import { describe, expect, it } from 'vitest';
import { type ClusterRole, type ClusterRoleBinding, resources } from '#api/object/kinds.ts';
import { MemoryCluster } from '#test/kit/memory-client.ts';
import { BOOTSTRAP_CLUSTER_ROLE_BINDINGS, BOOTSTRAP_CLUSTER_ROLES } from './bootstrap-policy.ts';
import { computeAggregatedRules } from './cluster-role-aggregation.ts';
import { ensureBootstrapPolicy } from './ensure-bootstrap-policy.ts';

describe('the bootstrap policy', () => {
  it('binds roles that exist, under names used once', () => {
    const roles = BOOTSTRAP_CLUSTER_ROLES.map(({ name }) => name);
    expect(new Set(roles).size).toBe(roles.length);
    const bindings = BOOTSTRAP_CLUSTER_ROLE_BINDINGS.map(({ name }) => name);
    expect(new Set(bindings).size).toBe(bindings.length);
    for (const { role } of BOOTSTRAP_CLUSTER_ROLE_BINDINGS) expect(roles).toContain(role);
  });
});

describe('ensureBootstrapPolicy', () => {
  it('creates everything once, and nothing at the next start', async () => {
    const client = new MemoryCluster().client();
    expect(await ensureBootstrapPolicy(client)).toBeGreaterThan(100);
    expect(await ensureBootstrapPolicy(client)).toBe(0);
  });

  it('fills the aggregated roles as the aggregation would', async () => {
    const client = new MemoryCluster().client();
    await ensureBootstrapPolicy(client);
    const { items } = await client.resource<ClusterRole>(resources.clusterRoles).fetchList();
    for (const name of ['view', 'edit', 'admin']) {
      const role = items.find(({ metadata }) => metadata.name === name)!;
      const texts = (rules: unknown[] = []) => new Set(rules.map((rule) => JSON.stringify(rule)));
      expect(texts(role.rules)).toEqual(texts(computeAggregatedRules(role, items)));
    }
  });

  it('restores missing rules and subjects, keeps additions, and leaves frozen objects alone', async () => {
    const client = new MemoryCluster().client();
    await ensureBootstrapPolicy(client);
    const roles = client.resource<ClusterRole>(resources.clusterRoles);
    const bindings = client.resource<ClusterRoleBinding>(resources.clusterRoleBindings);
    const extra = { verbs: ['get'], apiGroups: ['example.com'], resources: ['things'] };
    await roles.update({ ...(await roles.fetch('system:kube-dns')), rules: [extra] });
    const basic = await roles.fetch('system:basic-user');
    const annotations = { 'rbac.authorization.kubernetes.io/autoupdate': 'false' };
    await roles.update({ ...basic, metadata: { ...basic.metadata, annotations }, rules: [] });
    await bindings.update({ ...(await bindings.fetch('system:discovery')), subjects: [] });
    expect(await ensureBootstrapPolicy(client)).toBe(2);
    const restored = (await roles.fetch('system:kube-dns')).rules!;
    expect(restored[0]).toEqual(extra);
    expect(restored.length).toBeGreaterThan(1);
    expect((await roles.fetch('system:basic-user')).rules).toEqual([]);
    expect((await bindings.fetch('system:discovery')).subjects).toHaveLength(1);
  });
});
