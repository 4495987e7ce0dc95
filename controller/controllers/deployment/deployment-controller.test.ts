import { afterEach, describe, expect, it } from 'vitest';
import { type Deployment, type Pod, type ReplicaSet, resources } from '#api/object/kinds.ts';
import { createControllerHarness } from '#test/kit/controller-harness.ts';
import { startReplicaSetController } from '../replicaset/replicaset-controller.ts';
import { startDeploymentController } from './deployment-controller.ts';
import { computeTemplateHash } from './template-hash.ts';

let stop = () => {};
afterEach(() => stop());

type Spec = NonNullable<Deployment['spec']>;

async function setUp(spec: Partial<Spec> = {}) {
  const harness = createControllerHarness();
  stop = harness.stop;
  const deployments = harness.client.resource<Deployment>(resources.deployments);
  const sets = harness.client.resource<ReplicaSet>(resources.replicaSets);
  const pods = harness.client.resource<Pod>(resources.pods);
  const labels = { app: 'web' };
  const template = (image: string) => ({
    metadata: { labels },
    spec: { containers: [{ name: 'c', image }] },
  });
  await deployments.create({
    metadata: { name: 'web', namespace: 'n' },
    spec: {
      replicas: 4,
      progressDeadlineSeconds: 600,
      selector: { matchLabels: labels },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 1 } },
      template: template('v1'),
      ...spec,
    },
  });
  const fetch = () => deployments.fetch('web', 'n');
  const change = async (part: Partial<Spec>) => {
    const deployment = await fetch();
    await deployments.update({ ...deployment, spec: { ...deployment.spec!, ...part } });
    await harness.settle();
  };
  const listSets = async () => (await sets.fetchList()).items;
  const listPods = async () => (await pods.fetchList()).items;
  /** Makes every pod of this image ready, as a node would. */
  const makeReady = async (image: string) => {
    for (const pod of await listPods()) {
      if (pod.spec?.containers[0]?.image !== image || pod.status?.phase === 'Running') continue;
      const conditions = [
        { type: 'Ready', status: 'True' as const, lastTransitionTime: pod.metadata.creationTimestamp },
      ];
      await pods.update({ ...pod, status: { phase: 'Running', conditions } }, 'status');
    }
    await harness.settle();
  };
  const condition = async (type: string) => (await fetch()).status?.conditions?.find((c) => c.type === type);
  await harness.start(startDeploymentController, startReplicaSetController);
  return { ...harness, deployments, sets, pods, fetch, change, listSets, listPods, makeReady, condition, template };
}

describe('deployment controller', () => {
  it('creates a ReplicaSet with hash and revision and reports completion as kubectl reads it', async () => {
    const { fetch, listSets, listPods, makeReady, condition } = await setUp();
    const [set] = await listSets();
    const hash = set?.metadata.labels?.['pod-template-hash'];
    expect(hash).toMatch(/^[bcdfghjklmnpqrstvwxz2456789]+$/);
    expect(set?.metadata.name).toBe(`web-${hash}`);
    expect(set?.metadata.annotations?.['deployment.kubernetes.io/revision']).toBe('1');
    expect((await listPods())[0]?.metadata.labels).toEqual({ app: 'web', 'pod-template-hash': hash });
    await makeReady('v1');
    expect(await fetch()).toMatchObject({
      metadata: { annotations: { 'deployment.kubernetes.io/revision': '1' } },
      status: { observedGeneration: 1, replicas: 4, updatedReplicas: 4, availableReplicas: 4 },
    });
    expect(await condition('Available')).toMatchObject({ status: 'True', reason: 'MinimumReplicasAvailable' });
    expect(await condition('Progressing')).toMatchObject({
      status: 'True',
      reason: 'NewReplicaSetAvailable',
      message: `ReplicaSet "web-${hash}" has successfully progressed.`,
    });
  });

  it('rolls over step by step within surge and unavailability', async () => {
    const { change, makeReady, listPods, listSets, template, fetch } = await setUp();
    await makeReady('v1');
    await change({ template: template('v2') });
    const count = async (image: string) =>
      (await listPods()).filter((pod) => pod.spec?.containers[0]?.image === image).length;
    const steps: string[] = [];
    for (let i = 0; i < 6; i++) {
      steps.push(`${await count('v1')}+${await count('v2')}`);
      await makeReady('v2');
    }
    expect(steps).toEqual(['3+2', '1+4', '0+4', '0+4', '0+4', '0+4']);
    expect((await fetch()).metadata.annotations?.['deployment.kubernetes.io/revision']).toBe('2');
    expect((await listSets()).map((set) => set.spec?.replicas).sort()).toEqual([0, 4]);
  });

  it('gives a template that comes back a new revision and remembers the old one', async () => {
    const { change, makeReady, listSets, template } = await setUp();
    await change({ template: template('v2') });
    await makeReady('v2');
    await change({ template: template('v1') });
    await makeReady('v1');
    const first = (await listSets()).find((set) => set.spec?.template?.spec?.containers[0]?.image === 'v1');
    expect(first?.metadata.annotations).toMatchObject({
      'deployment.kubernetes.io/revision': '3',
      'deployment.kubernetes.io/revision-history': '1',
    });
    expect(await listSets()).toHaveLength(2);
  });

  it('does not roll out while paused, but scales', async () => {
    const { change, makeReady, listSets, template, condition } = await setUp();
    await makeReady('v1');
    await change({ paused: true });
    await change({ template: template('v2'), replicas: 6 });
    expect((await listSets()).map((set) => set.spec?.replicas)).toEqual([6]);
    expect(await condition('Progressing')).toMatchObject({ status: 'Unknown', reason: 'DeploymentPaused' });
    await change({ paused: false });
    expect(await listSets()).toHaveLength(2);
  });

  it('waits with Recreate until the last old pod is gone', async () => {
    const { change, makeReady, listPods, pods, listSets, template, settle } = await setUp({
      strategy: { type: 'Recreate' },
      replicas: 1,
    });
    const [pod] = await listPods();
    await pods.update({ ...pod!, spec: { ...pod!.spec!, nodeName: 'a' } });
    await makeReady('v1');
    await change({ template: template('v2') });
    expect(await listSets()).toHaveLength(1);
    await pods.delete({ name: pod!.metadata.name, namespace: 'n', gracePeriodSeconds: 0 });
    await settle();
    expect((await listPods()).map((p) => p.spec?.containers[0]?.image)).toEqual(['v2']);
  });

  it('says that a rollout is stuck after its deadline', async () => {
    const { advance, condition } = await setUp();
    await advance(590_000);
    expect(await condition('Progressing')).toMatchObject({ status: 'True' });
    await advance(15_000);
    expect(await condition('Progressing')).toMatchObject({ status: 'False', reason: 'ProgressDeadlineExceeded' });
  });

  it('keeps as many old sets as revisionHistoryLimit says', async () => {
    const { change, makeReady, listSets, template } = await setUp({ revisionHistoryLimit: 1, replicas: 1 });
    for (const image of ['v2', 'v3', 'v4']) {
      await change({ template: template(image) });
      await makeReady(image);
      await makeReady(image);
    }
    expect((await listSets()).map((set) => set.spec?.template?.spec?.containers[0]?.image)).toEqual(['v3', 'v4']);
  });

  it('counts a collision when a foreign set has the name, and takes another name', async () => {
    const { change, deployments, sets, listSets, template, fetch, advance, settle } = await setUp();
    await change({ paused: true });
    await change({ template: template('v2') });
    const probe = (await fetch()).spec!.template;
    const name = `web-${computeTemplateHash(probe, undefined)}`;
    const matchLabels = { app: 'foreign' };
    const foreign = { replicas: 0, selector: { matchLabels }, template: { metadata: { labels: matchLabels } } };
    await sets.create({ metadata: { name, namespace: 'n', labels: matchLabels }, spec: foreign });
    await deployments.patch({ name: 'web', namespace: 'n', type: 'merge', patch: { spec: { paused: false } } });
    await settle();
    await advance(1000);
    expect((await fetch()).status?.collisionCount).toBe(1);
    expect(await listSets()).toHaveLength(3);
  });
});
