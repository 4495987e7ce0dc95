import { afterEach, describe, expect, it } from 'vitest';
import { type Pod, type ResourceClaim, type ResourceClaimTemplate, resources } from '#api/object/kinds.ts';
import { createControllerHarness } from '#test/kit/controller-harness.ts';
import { claimNamePrefix } from './generated-claim.ts';
import { CLAIM_FINALIZER } from './plan-release.ts';
import { startResourceClaimController } from './resource-claim-controller.ts';

let stop = () => {};
afterEach(() => stop());

const NAMESPACE = 'n';
const allocation = { devices: { results: [{ driver: 'd', pool: 'p', device: 'x', request: 'r' }] } };

async function setUp() {
  const harness = createControllerHarness({});
  stop = harness.stop;
  const pods = harness.client.resource<Pod>(resources.pods);
  const claims = harness.client.resource<ResourceClaim>(resources.resourceClaims);
  const templates = harness.client.resource<ResourceClaimTemplate>(resources.resourceClaimTemplates);
  const addTemplate = () =>
    templates.create({
      metadata: { name: 't', namespace: NAMESPACE },
      spec: { metadata: { labels: { from: 't' } }, spec: { devices: {} } },
    });
  const addPod = (name: string, claim: object, spec: object = {}) =>
    pods.create({
      metadata: { name, namespace: NAMESPACE },
      spec: { containers: [], resourceClaims: [{ name: 'card', ...claim }], ...spec },
    });
  const listClaims = async () => (await claims.fetchList()).items;
  const use = async (name: string, ...users: readonly Pod[]) => {
    const claim = await claims.fetch(name, NAMESPACE);
    const held = await claims.update({ ...claim, metadata: { ...claim.metadata, finalizers: [CLAIM_FINALIZER] } });
    const reservedFor = users.map(({ metadata }) => ({ resource: 'pods', name: metadata.name, uid: metadata.uid }));
    await claims.update({ ...held, status: { allocation, reservedFor } }, 'status');
    await harness.settle();
  };
  const end = async (name: string) => {
    const pod = await pods.fetch(name, NAMESPACE);
    await pods.update({ ...pod, status: { ...pod.status, phase: 'Succeeded' } }, 'status');
    await harness.settle();
  };
  const eventTexts = () =>
    [...harness.cluster.objectsOf(resources.events).values()].map((event) => `${event.reason} ${event.message}`);
  return { ...harness, eventTexts, pods, claims, addTemplate, addPod, listClaims, use, end };
}

const FROM_TEMPLATE = { resourceClaimTemplateName: 't' };
const SHARED = { resourceClaimName: 'shared' };

describe('resource claim controller', () => {
  it('makes the claim of a template once, owned by the pod, and tells its name', async () => {
    const { start, addTemplate, addPod, pods, listClaims, settle, advance } = await setUp();
    await addTemplate();
    await start(startResourceClaimController);
    const pod = await addPod('web', FROM_TEMPLATE);
    await settle();
    await advance(60_000);
    const [claim, ...others] = await listClaims();
    expect(others).toEqual([]);
    expect(claim?.metadata).toMatchObject({
      name: expect.stringMatching(/^web-card-/),
      labels: { from: 't' },
      annotations: { 'resource.kubernetes.io/pod-claim-name': 'card' },
      ownerReferences: [{ kind: 'Pod', uid: pod.metadata.uid, controller: true, blockOwnerDeletion: true }],
    });
    const { status } = await pods.fetch('web', NAMESPACE);
    expect(status?.resourceClaimStatuses).toEqual([{ name: 'card', resourceClaimName: claim?.metadata.name }]);
  });

  it('says which template is missing, and goes on once it is there', async () => {
    const { start, addTemplate, addPod, listClaims, eventTexts, settle, advance } = await setUp();
    await start(startResourceClaimController);
    await addPod('web', FROM_TEMPLATE);
    await settle();
    expect(eventTexts()).toContain(
      'FailedResourceClaimCreation PodResourceClaim card: resource claim template "t": resourceclaimtemplate.resource.k8s.io "t" not found',
    );
    await addTemplate();
    await advance(60_000);
    expect(await listClaims()).toHaveLength(1);
  });

  it('makes a claim anew that was deleted under its pod', async () => {
    const { start, addTemplate, addPod, claims, pods, listClaims, settle } = await setUp();
    await addTemplate();
    await start(startResourceClaimController);
    await addPod('web', FROM_TEMPLATE);
    await settle();
    const [first] = await listClaims();
    await claims.delete({ name: first!.metadata.name, namespace: NAMESPACE });
    await settle();
    const [second] = await listClaims();
    expect(second?.metadata.name).not.toBe(first?.metadata.name);
    const { status } = await pods.fetch('web', NAMESPACE);
    expect(status?.resourceClaimStatuses).toEqual([{ name: 'card', resourceClaimName: second?.metadata.name }]);
  });

  it('gives the devices of a shared claim back with its last consumer', async () => {
    const { start, addPod, claims, use, end, pods, settle } = await setUp();
    await claims.create({ metadata: { name: 'shared', namespace: NAMESPACE }, spec: { devices: {} } });
    const users = [await addPod('a', SHARED, { nodeName: 'x' }), await addPod('b', SHARED, { nodeName: 'x' })];
    await use('shared', ...users);
    await start(startResourceClaimController);
    await end('a');
    expect((await claims.fetch('shared', NAMESPACE)).status).toMatchObject({
      allocation,
      reservedFor: [{ name: 'b' }],
    });
    await pods.delete({ name: 'b', namespace: NAMESPACE, gracePeriodSeconds: 0 });
    await settle();
    const { status, metadata } = await claims.fetch('shared', NAMESPACE);
    expect(status).toEqual({});
    expect(metadata.finalizers ?? []).toEqual([]);
  });

  it('deletes what was made for a pod that has ended', async () => {
    const { start, addTemplate, addPod, listClaims, use, end, settle } = await setUp();
    await addTemplate();
    await start(startResourceClaimController);
    const pod = await addPod('web', FROM_TEMPLATE);
    await settle();
    await use((await listClaims())[0]!.metadata.name, pod);
    expect((await listClaims())[0]?.status?.reservedFor).toHaveLength(1);
    await end('web');
    await settle();
    expect(await listClaims()).toEqual([]);
  });

  it('reserves an allocated claim for a pod that was placed by hand', async () => {
    const { start, addPod, claims, use, settle } = await setUp();
    await claims.create({ metadata: { name: 'shared', namespace: NAMESPACE }, spec: { devices: {} } });
    const first = await addPod('a', SHARED, { nodeName: 'x' });
    await use('shared', first);
    await start(startResourceClaimController);
    const { metadata } = await addPod('b', SHARED, { nodeName: 'x' });
    await settle();
    expect((await claims.fetch('shared', NAMESPACE)).status?.reservedFor).toEqual([
      { resource: 'pods', name: 'a', uid: first.metadata.uid },
      { resource: 'pods', name: 'b', uid: metadata.uid },
    ]);
  });

  it('reserves nothing that only the status of a pod names', async () => {
    const { start, addPod, claims, pods, use, settle } = await setUp();
    await claims.create({ metadata: { name: 'shared', namespace: NAMESPACE }, spec: { devices: {} } });
    const first = await addPod('a', SHARED, { nodeName: 'x' });
    await use('shared', first);
    await start(startResourceClaimController);
    const other = await addPod('b', { resourceClaimName: 'other' }, { nodeName: 'x' });
    const extendedResourceClaimStatus = { resourceClaimName: 'shared', requestMappings: [] };
    await pods.update({ ...other, status: { extendedResourceClaimStatus } }, 'status');
    await settle();
    expect((await claims.fetch('shared', NAMESPACE)).status?.reservedFor).toMatchObject([{ name: 'a' }]);
  });

  it('lets a deleted claim go that nobody uses, although it was allocated', async () => {
    const { start, claims, use, listClaims, settle } = await setUp();
    await claims.create({ metadata: { name: 'shared', namespace: NAMESPACE }, spec: { devices: {} } });
    await use('shared');
    await start(startResourceClaimController);
    await claims.delete({ name: 'shared', namespace: NAMESPACE });
    await settle();
    expect(await listClaims()).toEqual([]);
  });
});

it.each([
  ['web', 'card', 'web-card-'],
  ['a'.repeat(60), 'b'.repeat(20), `${'a'.repeat(41)}-${'b'.repeat(13)}`],
])('the claim of %s for %s is named %s...', (pod, claim, prefix) => {
  expect(claimNamePrefix(pod, claim)).toBe(prefix);
});
