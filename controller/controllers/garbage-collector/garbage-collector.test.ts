import { afterEach, describe, expect, it } from 'vitest';
import { type ConfigMap, type Node, type Pod, type ReplicaSet, resources } from '#api/object/kinds.ts';
import type { OwnerReference } from '#api/object/kube-object.ts';
import { createControllerHarness } from '#test/kit/controller-harness.ts';
import { startGarbageCollector } from './garbage-collector.ts';

let stop = () => {};
afterEach(() => stop());

const VERBS = ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'];
const served = (...infos: readonly { resource: string; kind: string; namespaced: boolean }[]) =>
  infos.map(({ resource, kind, namespaced }) => ({
    resource,
    responseKind: { kind },
    scope: namespaced ? 'Namespaced' : 'Cluster',
    verbs: VERBS,
  }));

function setUp() {
  const harness = createControllerHarness();
  stop = harness.stop;
  const { cluster, client } = harness;
  const core = served(resources.pods, resources.configMaps, resources.nodes);
  cluster.rawAnswers.set('/api', { items: [{ versions: [{ version: 'v1', resources: core }] }] });
  cluster.rawAnswers.set('/apis', {
    items: [{ metadata: { name: 'apps' }, versions: [{ version: 'v1', resources: served(resources.replicaSets) }] }],
  });
  const sets = client.resource<ReplicaSet>(resources.replicaSets);
  const pods = client.resource<Pod>(resources.pods);
  const maps = client.resource<ConfigMap>(resources.configMaps);
  const refTo = (owner: ReplicaSet | ConfigMap | Pod, part: Partial<OwnerReference> = {}): OwnerReference => ({
    apiVersion: owner.apiVersion!,
    kind: owner.kind!,
    name: owner.metadata.name,
    uid: owner.metadata.uid,
    ...part,
  });
  const addSet = (name: string) => sets.create({ metadata: { name, namespace: 'n' } });
  const addPod = (name: string, ...ownerReferences: OwnerReference[]) =>
    pods.create({ metadata: { name, namespace: 'n', ownerReferences } });
  const names = async () => (await pods.fetchList()).items.map((pod) => pod.metadata.name);
  return { ...harness, sets, pods, maps, refTo, addSet, addPod, names };
}

describe('garbage collector', () => {
  it('deletes dependents after their owner, and theirs', async () => {
    const { sets, maps, refTo, addSet, addPod, names, start, settle } = setUp();
    const owner = await addSet('owner');
    const pod = await addPod('child', refTo(owner));
    await maps.create({ metadata: { name: 'grandchild', namespace: 'n', ownerReferences: [refTo(pod)] } });
    await addPod('stranger');
    await start(startGarbageCollector);
    expect(await names()).toEqual(['child', 'stranger']);
    await sets.delete({ name: 'owner', namespace: 'n' });
    await settle();
    expect(await names()).toEqual(['stranger']);
    expect((await maps.fetchList()).items).toEqual([]);
  });

  it('deletes at the start what lost its owner while nobody looked', async () => {
    const { refTo, addSet, sets, addPod, names, start } = setUp();
    const owner = await addSet('owner');
    await addPod('child', refTo(owner));
    await sets.delete({ name: 'owner', namespace: 'n' });
    await addSet('owner');
    await start(startGarbageCollector);
    expect(await names()).toEqual([]);
  });

  it('keeps an object while one owner lives, and forgets the other', async () => {
    const { sets, refTo, addSet, addPod, pods, start, settle } = setUp();
    const [a, b] = [await addSet('a'), await addSet('b')];
    await addPod('child', refTo(a), refTo(b));
    await start(startGarbageCollector);
    await sets.delete({ name: 'a', namespace: 'n' });
    await settle();
    expect((await pods.fetch('child', 'n')).metadata.ownerReferences?.map((ref) => ref.name)).toEqual(['b']);
  });

  it('holds an owner in foreground deletion until blocking dependents are gone', async () => {
    const { sets, refTo, addSet, addPod, pods, names, start, settle } = setUp();
    const owner = await addSet('owner');
    const slow = await addPod('slow', refTo(owner, { blockOwnerDeletion: true }));
    await pods.update({ ...slow, metadata: { ...slow.metadata, finalizers: ['test/hold'] } });
    await start(startGarbageCollector);
    await sets.delete({ name: 'owner', namespace: 'n', propagationPolicy: 'Foreground' });
    await settle();
    expect((await pods.fetch('slow', 'n')).metadata.deletionTimestamp).toBeDefined();
    expect((await sets.fetchList()).items).toHaveLength(1);
    const held = await pods.fetch('slow', 'n');
    await pods.update({ ...held, metadata: { ...held.metadata, finalizers: [] } });
    await settle();
    expect(await names()).toEqual([]);
    expect((await sets.fetchList()).items).toEqual([]);
  });

  it('leaves orphans behind when asked to', async () => {
    const { sets, refTo, addSet, addPod, pods, start, settle } = setUp();
    const owner = await addSet('owner');
    await addPod('child', refTo(owner));
    await start(startGarbageCollector);
    await sets.delete({ name: 'owner', namespace: 'n', propagationPolicy: 'Orphan' });
    await settle();
    expect((await sets.fetchList()).items).toEqual([]);
    expect((await pods.fetch('child', 'n')).metadata.ownerReferences).toEqual([]);
  });

  it('deletes what names an owner of another namespace, which is no owner', async () => {
    const { sets, refTo, addPod, names, start } = setUp();
    const owner = await sets.create({ metadata: { name: 'owner', namespace: 'elsewhere' } });
    await addPod('child', refTo(owner));
    await start(startGarbageCollector);
    expect(await names()).toEqual([]);
  });

  it('leaves a cluster-scoped object alone whose owner is in a namespace, also once that owner is gone', async () => {
    const { client, sets, refTo, addSet, start, settle } = setUp();
    const nodes = client.resource<Node>(resources.nodes);
    const owner = await addSet('owner');
    await nodes.create({ metadata: { name: 'child', ownerReferences: [refTo(owner)] } });
    await start(startGarbageCollector);
    await sets.delete({ name: 'owner', namespace: 'n' });
    await settle();
    expect((await nodes.fetchList()).items).toHaveLength(1);
  });

  it('watches the objects of a kind soon after its definition came', async () => {
    const { cluster, client, maps, refTo, start, settle, advance } = setUp();
    const definitions = { resource: 'customresourcedefinitions', kind: 'CustomResourceDefinition', namespaced: false };
    const things = { resource: 'things', kind: 'Thing', namespaced: true };
    const groupOf = (name: string, ...infos: { resource: string; kind: string; namespaced: boolean }[]) => ({
      metadata: { name },
      versions: [{ version: 'v1', resources: served(...infos) }],
    });
    cluster.rawAnswers.set('/apis', { items: [groupOf('apiextensions.k8s.io', definitions)] });
    await start(startGarbageCollector);
    cluster.rawAnswers.set('/apis', {
      items: [groupOf('apiextensions.k8s.io', definitions), groupOf('example.com', things)],
    });
    const owner = await maps.create({ metadata: { name: 'owner', namespace: 'n' } });
    const custom = client.resource<ConfigMap>({ group: 'example.com', version: 'v1', ...things });
    await custom.create({ metadata: { name: 'child', namespace: 'n', ownerReferences: [refTo(owner)] } });
    const crds = client.resource<ConfigMap>({ group: 'apiextensions.k8s.io', version: 'v1', ...definitions });
    await crds.create({ metadata: { name: 'things.example.com' } });
    await settle();
    await advance(1_000);
    await maps.delete({ name: 'owner', namespace: 'n' });
    await advance(0);
    expect((await custom.fetchList()).items).toEqual([]);
  });

  it('deletes nothing when the owner is of a kind that it cannot ask about', async () => {
    const { addPod, names, start, advance } = setUp();
    await addPod('child', { apiVersion: 'example.com/v1', kind: 'Thing', name: 'x', uid: 'u' });
    await start(startGarbageCollector);
    await advance(60_000);
    expect(await names()).toEqual(['child']);
  });

  it('deletes nothing when the owner cannot be asked about for the moment', async () => {
    const { refTo, addSet, addPod, names, sets, client, cluster, start } = setUp();
    const owner = await addSet('owner');
    await addPod('child', refTo(owner));
    await sets.delete({ name: 'owner', namespace: 'n' });
    const metadata = client.metadata;
    client.metadata = (info) => {
      const real = metadata(info);
      real.fetch = async () => {
        throw new Error('server is away');
      };
      return real;
    };
    cluster.actions.length = 0;
    await start(startGarbageCollector);
    expect(await names()).toEqual(['child']);
    expect(cluster.actions).toEqual([]);
  });
});
