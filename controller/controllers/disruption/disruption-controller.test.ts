import { afterEach, describe, expect, it } from 'vitest';
import {
  type Deployment,
  type Event,
  type Pod,
  type PodDisruptionBudget,
  type ReplicaSet,
  resources,
} from '#api/object/kinds.ts';
import { createControllerHarness } from '#test/kit/controller-harness.ts';
import { demandOf } from './compute-status.ts';
import { startDisruptionController } from './disruption-controller.ts';

type Spec = NonNullable<PodDisruptionBudget['spec']>;

describe('what a budget demands', () => {
  it.each<[spec: Spec, scale: number, expectedPods: number, desiredHealthy: number]>([
    [{ minAvailable: 2 }, 0, 7, 2],
    [{ minAvailable: '50%' }, 5, 5, 3],
    [{ minAvailable: '100%' }, 3, 3, 3],
    [{ maxUnavailable: 1 }, 3, 3, 2],
    [{ maxUnavailable: 9 }, 3, 3, 0],
    [{ maxUnavailable: '30%' }, 10, 10, 7],
    // A part of a pod counts as one.
    [{ maxUnavailable: '10%' }, 5, 5, 4],
    [{}, 3, 0, 0],
  ])('%j of %d replicas and seven pods: %d pods, %d of them healthy', (spec, scale, expectedPods, desiredHealthy) => {
    const budget = { metadata: {}, spec } as unknown as PodDisruptionBudget;
    expect(demandOf(budget, 7, scale)).toEqual({ expectedPods, desiredHealthy });
  });
});

let stop = () => {};
afterEach(() => stop());

const labels = { app: 'web' };
const ownedBy = (kind: string, name: string, uid: string, apiVersion = 'apps/v1') => [
  { apiVersion, kind, name, uid, controller: true },
];

async function setUp() {
  const harness = createControllerHarness();
  stop = harness.stop;
  const { client, clock, cluster, settle } = harness;
  const pods = client.resource<Pod>(resources.pods);
  const budgets = client.resource<PodDisruptionBudget>(resources.podDisruptionBudgets);
  const now = () => new Date(clock.now()).toISOString().replace(/\.\d+Z$/, 'Z');
  const addPod = async (name: string, isReady: boolean, ownerReferences?: Pod['metadata']['ownerReferences']) => {
    const metadata = { name, namespace: 'n', labels, ...(ownerReferences === undefined ? {} : { ownerReferences }) };
    const pod = await pods.create({ metadata, spec: { containers: [{ name: 'c', image: 'i' }] } });
    const conditions = [{ type: 'Ready', status: isReady ? 'True' : 'False', lastTransitionTime: now() }];
    await pods.update({ ...pod, status: { phase: 'Running', conditions } }, 'status');
  };
  return {
    ...harness,
    pods,
    budgets,
    addPod,
    now,
    addBudget: (spec: Spec) =>
      budgets.create({ metadata: { name: 'b', namespace: 'n' }, spec: { selector: { matchLabels: labels }, ...spec } }),
    status: async () => (await budgets.fetch('b', 'n')).status,
    reasons: async () => {
      await settle();
      return (await client.resource<Event>(resources.events).fetchList()).items.map(({ reason }) => reason);
    },
    /** What discovery tells, and what the scale subresource of one StatefulSet says. */
    serveScale: (uid: string, replicas: number) => {
      const sets = {
        resource: 'statefulsets',
        responseKind: { kind: 'StatefulSet' },
        scope: 'Namespaced',
        verbs: ['get'],
      };
      cluster.rawAnswers.set('/api', { items: [] });
      cluster.rawAnswers.set('/apis', {
        items: [{ metadata: { name: 'apps' }, versions: [{ version: 'v1', resources: [sets] }] }],
      });
      const path = '/apis/apps/v1/namespaces/n/statefulsets/db/scale';
      cluster.rawAnswers.set(path, { metadata: { name: 'db', uid }, spec: { replicas } });
    },
  };
}

describe('the disruption controller', () => {
  it('tells how many pods may go, and follows pods and spec', async () => {
    const { start, addBudget, addPod, budgets, pods, settle, status } = await setUp();
    for (const name of ['a', 'b', 'c']) await addPod(name, name !== 'c');
    await addBudget({ minAvailable: 1 });
    await start(startDisruptionController);
    expect(await status()).toEqual({
      conditions: [
        {
          type: 'DisruptionAllowed',
          status: 'True',
          reason: 'SufficientPods',
          message: '',
          observedGeneration: 1,
          lastTransitionTime: expect.any(String),
        },
      ],
      currentHealthy: 2,
      desiredHealthy: 1,
      disruptionsAllowed: 1,
      expectedPods: 3,
      observedGeneration: 1,
    });
    await pods.delete({ name: 'a', namespace: 'n', gracePeriodSeconds: 0 });
    await settle();
    expect(await status()).toMatchObject({ currentHealthy: 1, disruptionsAllowed: 0 });
    expect((await status())?.conditions?.[0]).toMatchObject({ status: 'False', reason: 'InsufficientPods' });
    const budget = await budgets.fetch('b', 'n');
    await budgets.update({ ...budget, spec: { ...budget.spec, minAvailable: 0 } });
    await settle();
    expect(await status()).toMatchObject({ disruptionsAllowed: 1, observedGeneration: 2 });
  });

  it('allows nothing while there are no pods', async () => {
    const { start, addBudget, reasons, status } = await setUp();
    await addBudget({ minAvailable: 0 });
    await start(startDisruptionController);
    expect(await status()).toMatchObject({ disruptionsAllowed: 0, expectedPods: 0, observedGeneration: 1 });
    expect(await reasons()).toEqual(['NoPods']);
  });

  it('counts what the Deployment behind the ReplicaSets wants', async () => {
    const { start, addBudget, addPod, client, status } = await setUp();
    const spec = { selector: { matchLabels: labels }, template: { metadata: { labels } } };
    const deployments = client.resource<Deployment>(resources.deployments);
    const deployment = await deployments.create({
      metadata: { name: 'd', namespace: 'n' },
      spec: { ...spec, replicas: 4 },
    });
    const ownerReferences = ownedBy('Deployment', 'd', deployment.metadata.uid);
    for (const name of ['old', 'new']) {
      const sets = client.resource<ReplicaSet>(resources.replicaSets);
      const set = await sets.create({
        metadata: { name, namespace: 'n', ownerReferences },
        spec: { ...spec, replicas: 3 },
      });
      for (const index of [1, 2]) await addPod(`${name}-${index}`, true, ownedBy('ReplicaSet', name, set.metadata.uid));
    }
    await addBudget({ maxUnavailable: '25%' });
    await start(startDisruptionController);
    expect(await status()).toMatchObject({
      expectedPods: 4,
      desiredHealthy: 3,
      currentHealthy: 4,
      disruptionsAllowed: 1,
    });
  });

  it('asks the scale of any other controller', async () => {
    const { start, addBudget, addPod, serveScale, status } = await setUp();
    serveScale('u1', 5);
    for (const index of [0, 1, 2]) await addPod(`db-${index}`, true, ownedBy('StatefulSet', 'db', 'u1'));
    await addBudget({ minAvailable: '40%' });
    await start(startDisruptionController);
    expect(await status()).toMatchObject({ expectedPods: 5, desiredHealthy: 2, disruptionsAllowed: 1 });
  });

  it('allows nothing where a share of nobody knows what is asked for, and says why', async () => {
    const { start, addBudget, addPod, serveScale, status, reasons } = await setUp();
    serveScale('another', 5);
    await addPod('db-0', true, ownedBy('StatefulSet', 'db', 'u1'));
    await addBudget({ maxUnavailable: 1 });
    await start(startDisruptionController);
    const message = 'found no controllers for pod "db-0"';
    expect(await status()).toMatchObject({ disruptionsAllowed: 0 });
    expect((await status())?.conditions?.[0]).toMatchObject({ status: 'False', reason: 'SyncFailed', message });
    expect(await reasons()).toEqual(['CalculateExpectedPodCountFailed']);
  });

  it('warns of pods without a controller', async () => {
    const { start, addBudget, addPod, reasons, status } = await setUp();
    await addPod('a', true);
    await addBudget({ maxUnavailable: 1 });
    await start(startDisruptionController);
    expect(await status()).toMatchObject({ expectedPods: 0, disruptionsAllowed: 0 });
    expect(await reasons()).toEqual(['UnmanagedPods']);
  });

  it('does not count a pod whose eviction was granted, for two minutes', async () => {
    const { start, addBudget, addPod, advance, budgets, now, reasons, settle, status } = await setUp();
    for (const name of ['a', 'b', 'c']) await addPod(name, true);
    await addBudget({ minAvailable: 1 });
    await start(startDisruptionController);
    const granted = await budgets.fetch('b', 'n');
    const disruptedPods = { a: now(), gone: now() };
    await budgets.update(
      { ...granted, status: { ...granted.status!, disruptionsAllowed: 1, disruptedPods } },
      'status',
    );
    await settle();
    expect(await status()).toMatchObject({ currentHealthy: 2, disruptionsAllowed: 1, disruptedPods: { a: now() } });
    await advance(121_000);
    expect(await status()).toMatchObject({ currentHealthy: 3, disruptionsAllowed: 2 });
    expect(await status()).not.toHaveProperty('disruptedPods');
    expect(await reasons()).toEqual(['NotDeleted']);
  });

  it('takes the mark back from a pod that stays', async () => {
    const { start, addPod, advance, pods, now } = await setUp();
    await addPod('a', true);
    const pod = await pods.fetch('a', 'n');
    const mark = {
      type: 'DisruptionTarget',
      status: 'True',
      reason: 'EvictionByEvictionAPI',
      lastTransitionTime: now(),
    };
    await pods.update({ ...pod, status: { ...pod.status, conditions: [...pod.status!.conditions!, mark] } }, 'status');
    await start(startDisruptionController);
    const marks = async () =>
      (await pods.fetch('a', 'n')).status?.conditions?.map(({ type, status }) => `${type} ${status}`);
    await advance(119_000);
    expect(await marks()).toContain('DisruptionTarget True');
    await advance(2_000);
    expect(await marks()).toEqual(['Ready True', 'DisruptionTarget False']);
  });
});
