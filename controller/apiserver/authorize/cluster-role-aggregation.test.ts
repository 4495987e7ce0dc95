import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ClusterRole, resources } from '#api/object/kinds.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { asComponent, createSecuredServer, type SecuredServer } from '../testing/secured-server.ts';
import { startClusterRoleAggregation } from './cluster-role-aggregation.ts';

let api: SecuredServer;
let stop: () => void;
const clock = new FakeClock();

beforeAll(async () => {
  api = await createSecuredServer();
  const client = api.clientAs(asComponent('system:serviceaccount:kube-system:clusterrole-aggregation-controller'));
  stop = startClusterRoleAggregation({ store: api.store, client, clock, log: silentLogger });
});
afterAll(() => {
  stop();
  api.stop();
});

/** Until no pass is waiting any more: levels settle one after the other. */
async function settle(): Promise<void> {
  for (let idle = 0; idle < 20; ) {
    const { revision } = api.store;
    await clock.advance(200);
    idle = api.store.revision === revision ? idle + 1 : 0;
  }
}

describe('the ClusterRole aggregation', () => {
  it('carries a labelled role through all levels, under its own role, and takes it back', async () => {
    const roles = api.clientAs(asComponent('system:apiserver')).resource<ClusterRole>(resources.clusterRoles);
    const rule = { verbs: ['get'], apiGroups: ['example.com'], resources: ['things'] };
    const labels = { 'rbac.authorization.k8s.io/aggregate-to-view': 'true' };
    await roles.create({ metadata: { name: 'things', labels }, rules: [rule] });
    await settle();
    const holds = async (name: string) => JSON.stringify((await roles.fetch(name)).rules).includes('example.com');
    expect(await Promise.all(['view', 'edit', 'admin'].map(holds))).toEqual([true, true, true]);
    await roles.delete({ name: 'things' });
    await settle();
    expect(await Promise.all(['view', 'edit', 'admin'].map(holds))).toEqual([false, false, false]);
  });

  it('writes nothing when everything is in place', async () => {
    await settle();
    const { revision } = api.store;
    await settle();
    expect(api.store.revision).toBe(revision);
  });
});
