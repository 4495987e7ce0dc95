import { afterEach, describe, expect, it } from 'vitest';
import { type ConfigMap, type Pod, resources } from '#api/object/kinds.ts';
import type { ResourceQuota } from '#api/quota/quota.ts';
import { createControllerHarness } from '#test/kit/controller-harness.ts';
import { startResourceQuotaController } from './resource-quota-controller.ts';

let stop = () => {};
afterEach(() => stop());

function setUp() {
  const harness = createControllerHarness();
  stop = harness.stop;
  const verbs = ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'];
  const maps = { resource: 'configmaps', responseKind: { kind: 'ConfigMap' }, scope: 'Namespaced', verbs };
  harness.cluster.rawAnswers.set('/api', { items: [{ versions: [{ version: 'v1', resources: [maps] }] }] });
  harness.cluster.rawAnswers.set('/apis', { items: [] });
  const quotas = harness.client.resource<ResourceQuota>(resources.resourceQuotas);
  const container = { name: 'c', resources: { requests: { cpu: '1' } } };
  return {
    ...harness,
    quotas,
    pods: harness.client.resource<Pod>(resources.pods),
    maps: harness.client.resource<ConfigMap>(resources.configMaps),
    addQuota: (hard: Record<string, string>) =>
      quotas.create({ metadata: { name: 'q', namespace: 'n' }, spec: { hard } }),
    addPod: (name: string) =>
      harness.client
        .resource<Pod>(resources.pods)
        .create({ metadata: { name, namespace: 'n' }, spec: { containers: [container] } }),
    status: async () => (await quotas.fetch('q', 'n')).status,
  };
}

describe('resource quota controller', () => {
  it('tells what is bounded and what of it is used', async () => {
    const { addQuota, addPod, maps, start, status } = setUp();
    await addPod('a');
    await maps.create({ metadata: { name: 'm', namespace: 'n' } });
    await maps.create({ metadata: { name: 'm', namespace: 'other' } });
    await addQuota({ cpu: '4', pods: '3', configmaps: '5', 'count/widgets.example.com': '1', nonsense: '1' });
    await start(startResourceQuotaController);
    expect(await status()).toEqual({
      hard: { configmaps: '5', 'count/widgets.example.com': '1', cpu: '4', nonsense: '1', pods: '3' },
      used: { configmaps: '1', 'count/widgets.example.com': '0', cpu: '1', pods: '1' },
    });
  });

  it('follows a new spec', async () => {
    const { addQuota, addPod, quotas, start, settle, status } = setUp();
    await addPod('a');
    await addQuota({ pods: '3' });
    await start(startResourceQuotaController);
    await quotas.update({ ...(await quotas.fetch('q', 'n')), spec: { hard: { cpu: '2' } } });
    await settle();
    expect(await status()).toEqual({ hard: { cpu: '2' }, used: { cpu: '1' } });
  });

  it('gives back what went, and what came to its end', async () => {
    const { addQuota, addPod, pods, maps, start, advance, status } = setUp();
    await addPod('a');
    const ending = await addPod('b');
    await maps.create({ metadata: { name: 'm', namespace: 'n' } });
    await addQuota({ pods: '3', configmaps: '1' });
    await start(startResourceQuotaController);
    expect((await status())?.used).toEqual({ configmaps: '1', pods: '2' });
    await pods.delete({ name: 'a', namespace: 'n' });
    await maps.delete({ name: 'm', namespace: 'n' });
    await pods.update({ ...ending, status: { phase: 'Succeeded' } }, 'status');
    await advance(1_000);
    expect((await status())?.used).toEqual({ configmaps: '0', pods: '0' });
  });

  it('does not count too low while charges come in whose objects are on their way', async () => {
    const { addQuota, addPod, pods, quotas, start, advance, status } = setUp();
    await addPod('a');
    await addQuota({ pods: '9' });
    await start(startResourceQuotaController);
    await advance(1_000);
    const charge = async (used: string) =>
      quotas.update(
        { ...(await quotas.fetch('q', 'n')), status: { hard: { pods: '9' }, used: { pods: used } } },
        'status',
      );
    await charge('2');
    await pods.delete({ name: 'a', namespace: 'n' });
    await advance(100);
    expect((await status())?.used).toEqual({ pods: '2' });
    await addPod('b');
    await advance(1_000);
    expect((await status())?.used).toEqual({ pods: '1' });
  });
});
