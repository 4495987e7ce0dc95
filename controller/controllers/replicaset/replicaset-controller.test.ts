import { afterEach, describe, expect, it } from 'vitest';
import { type Pod, type ReplicaSet, resources } from '#api/object/kinds.ts';
import { createControllerHarness } from '#test/kit/controller-harness.ts';
import { startReplicaSetController } from './replicaset-controller.ts';

let stop = () => {};
afterEach(() => stop());

async function setUp(replicas: number, minReadySeconds = 0) {
  const harness = createControllerHarness();
  stop = harness.stop;
  const sets = harness.client.resource<ReplicaSet>(resources.replicaSets);
  const pods = harness.client.resource<Pod>(resources.pods);
  const labels = { app: 'web' };
  await sets.create({
    metadata: { name: 'web', namespace: 'n' },
    spec: {
      replicas,
      minReadySeconds,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'i' }] } },
    },
  });
  const listPods = async () => (await pods.fetchList()).items;
  const fetchSet = () => sets.fetch('web', 'n');
  const scale = async (count: number) => {
    const set = await fetchSet();
    await sets.update({ ...set, spec: { ...set.spec!, replicas: count } });
    await harness.settle();
  };
  const setReady = async (pod: Pod, status: 'True' | 'False') => {
    const lastTransitionTime = new Date(harness.clock.now()).toISOString();
    const conditions = [{ type: 'Ready', status, lastTransitionTime }];
    await pods.update({ ...pod, status: { phase: 'Running', conditions } }, 'status');
    await harness.settle();
  };
  return { ...harness, sets, pods, labels, listPods, fetchSet, scale, setReady };
}

describe('replicaset controller', () => {
  it('creates the wanted pods once and reports them', async () => {
    const { start, listPods, fetchSet } = await setUp(5);
    await start(startReplicaSetController);
    const pods = await listPods();
    expect(pods).toHaveLength(5);
    const uid = (await fetchSet()).metadata.uid;
    expect(pods[0]?.metadata.ownerReferences).toEqual([
      { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web', uid, controller: true, blockOwnerDeletion: true },
    ]);
    expect((await fetchSet()).status).toMatchObject({ replicas: 5, fullyLabeledReplicas: 5, observedGeneration: 1 });
  });

  it('deletes the pods that are least useful first', async () => {
    const { start, listPods, scale, setReady } = await setUp(3);
    await start(startReplicaSetController);
    const [ready] = await listPods();
    await setReady(ready!, 'True');
    await scale(1);
    expect((await listPods()).map((pod) => pod.metadata.name)).toEqual([ready!.metadata.name]);
  });

  it('adopts matching orphans and releases pods that no longer match', async () => {
    const { start, pods, labels, listPods, settle } = await setUp(2);
    await pods.create({ metadata: { name: 'orphan', namespace: 'n', labels }, spec: { containers: [] } });
    await start(startReplicaSetController);
    expect(await listPods()).toHaveLength(2);
    const orphan = await pods.fetch('orphan', 'n');
    expect(orphan.metadata.ownerReferences?.[0]?.name).toBe('web');
    await pods.update({ ...orphan, metadata: { ...orphan.metadata, labels: { app: 'other' } } });
    await settle();
    expect(await listPods()).toHaveLength(3);
    expect((await pods.fetch('orphan', 'n')).metadata.ownerReferences).toEqual([]);
  });

  it('replaces a pod as soon as it is marked for deletion', async () => {
    const { start, pods, listPods, settle } = await setUp(1);
    await start(startReplicaSetController);
    const [pod] = await listPods();
    await pods.update({ ...pod!, spec: { ...pod!.spec!, nodeName: 'a' } });
    await pods.delete({ name: pod!.metadata.name, namespace: 'n' });
    await settle();
    expect(await listPods()).toHaveLength(2);
  });

  it('counts a pod as available only after minReadySeconds', async () => {
    const { start, listPods, setReady, fetchSet, advance } = await setUp(1, 10);
    await start(startReplicaSetController);
    await setReady((await listPods())[0]!, 'True');
    expect((await fetchSet()).status).toMatchObject({ readyReplicas: 1, availableReplicas: 0 });
    await advance(10_000);
    expect((await fetchSet()).status).toMatchObject({ availableReplicas: 1 });
  });

  it('reports why pods cannot be created and clears it afterwards', async () => {
    const { cluster, start, fetchSet, advance, listPods } = await setUp(4);
    let attempts = 0;
    cluster.intercept = ({ verb, resource }) => {
      if (verb !== 'create' || resource !== 'pods') return;
      attempts++;
      throw new Error('exceeded quota');
    };
    await start(startReplicaSetController);
    // Slow start: the first failure stops the other three; the change of status makes one more pass.
    expect(attempts).toBeLessThanOrEqual(2);
    expect((await fetchSet()).status?.conditions?.[0]).toMatchObject({
      type: 'ReplicaFailure',
      reason: 'FailedCreate',
      message: 'exceeded quota',
    });
    cluster.intercept = undefined;
    await advance(1000);
    expect(await listPods()).toHaveLength(4);
    expect((await fetchSet()).status?.conditions).toBeUndefined();
  });
});
