import { afterEach, describe, expect, it } from 'vitest';
import { type Lease, type Node, type Pod, resources } from '#api/object/kinds.ts';
import { toMicroTime } from '#base/clock.ts';
import { createControllerHarness } from '#test/kit/controller-harness.ts';
import { computeDisruptionMode, evictionRate } from './disruption-mode.ts';
import { startNodeLifecycleController } from './node-lifecycle-controller.ts';
import { tolerationMs } from './plan-eviction.ts';
import { startTaintEvictionController } from './taint-eviction-controller.ts';

let stop = () => {};
afterEach(() => stop());

const GRACE_MS = 50_000;

async function setUp(...names: readonly string[]) {
  const harness = createControllerHarness();
  stop = harness.stop;
  const { client, clock, settle } = harness;
  const nodes = client.resource<Node>(resources.nodes);
  const leases = client.resource<Lease>(resources.leases);
  const pods = client.resource<Pod>(resources.pods);
  for (const name of names) {
    await nodes.create({ metadata: { name }, status: { conditions: [{ type: 'Ready', status: 'True' }] } });
    await leases.create({ metadata: { name, namespace: 'kube-node-lease' }, spec: { holderIdentity: name } });
  }
  const addPod = (name: string, nodeName: string, tolerationSeconds?: number) =>
    pods.create({
      metadata: { name, namespace: 'n' },
      spec: {
        nodeName,
        containers: [],
        tolerations:
          tolerationSeconds === undefined
            ? []
            : [{ key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute', tolerationSeconds }],
      },
      status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] },
    });
  const renew = async (name: string) => {
    const lease = await leases.fetch(name, 'kube-node-lease');
    await leases.update({ ...lease, spec: { ...lease.spec, renewTime: toMicroTime(clock.now()) } });
  };
  /** Time passes while only these nodes renew their leases, every 10 s. */
  const pass = async (ms: number, ...alive: readonly string[]) => {
    for (let left = ms; left > 0; left -= 10_000) {
      for (const name of alive) await renew(name);
      await settle();
      await harness.advance(Math.min(left, 10_000));
    }
  };
  const report = async (name: string, status: 'True' | 'False') => {
    const node = await nodes.fetch(name);
    const conditions = (node.status?.conditions ?? []).map((condition) =>
      condition.type === 'Ready' ? { ...condition, status } : { ...condition, status: 'False' as const },
    );
    await nodes.update({ ...node, status: { ...node.status, conditions } }, 'status');
    await settle();
  };
  const readyOf = async (name: string) =>
    (await nodes.fetch(name)).status?.conditions?.find(({ type }) => type === 'Ready')?.status;
  const taintsOf = async (name: string) =>
    ((await nodes.fetch(name)).spec?.taints ?? []).map(({ key, effect }) => `${key.split('/')[1]}:${effect}`);
  const eventsAbout = (name: string) =>
    [...harness.cluster.objectsOf(resources.events).values()]
      .filter(({ involvedObject }) => (involvedObject as { name?: string }).name === name)
      .map(({ reason, message }) => `${reason}: ${message}`);
  await harness.start(startNodeLifecycleController, startTaintEvictionController);
  return { ...harness, nodes, pods, addPod, pass, report, readyOf, taintsOf, eventsAbout };
}

describe('node lifecycle', () => {
  it('calls a silent node Unknown after its grace, taints it and marks its pods as not ready', async () => {
    const { addPod, pass, readyOf, taintsOf, pods } = await setUp('a', 'b');
    await addPod('p', 'a', 300);
    await pass(GRACE_MS - 1000, 'b');
    expect(await readyOf('a')).toBe('True');
    await pass(2000, 'b');
    expect(await readyOf('a')).toBe('Unknown');
    expect(await readyOf('b')).toBe('True');
    expect(await taintsOf('a')).toEqual(['unreachable:NoSchedule', 'unreachable:NoExecute']);
    expect((await pods.fetch('p', 'n')).status?.conditions?.[0]).toMatchObject({ type: 'Ready', status: 'False' });
  });

  it('evicts pods when their toleration has run out, and at once without one', async () => {
    const { addPod, pass, pods } = await setUp('a', 'b');
    await addPod('patient', 'a', 300);
    await addPod('impatient', 'a');
    await addPod('elsewhere', 'b');
    await pass(GRACE_MS + 1000, 'b');
    const isGoing = async (name: string) => (await pods.fetch(name, 'n')).metadata.deletionTimestamp !== undefined;
    expect([await isGoing('patient'), await isGoing('impatient'), await isGoing('elsewhere')]).toEqual([
      false,
      true,
      false,
    ]);
    await pass(301_000, 'b');
    expect(await isGoing('patient')).toBe(true);
    expect((await pods.fetch('patient', 'n')).status?.conditions?.at(-1)).toMatchObject({
      type: 'DisruptionTarget',
      reason: 'DeletionByTaintManager',
    });
  });

  it('lets everything be when the node comes back in time', async () => {
    const { addPod, pass, report, pods, taintsOf } = await setUp('a', 'b');
    await addPod('p', 'a', 300);
    await pass(GRACE_MS + 1000, 'b');
    await report('a', 'True');
    expect(await taintsOf('a')).toEqual([]);
    await pass(400_000, 'a', 'b');
    expect((await pods.fetch('p', 'n')).metadata.deletionTimestamp).toBeUndefined();
  });

  it('tells of nodes that come and go, and of one that falls silent', async () => {
    const { nodes, pass, settle, eventsAbout } = await setUp('a', 'b');
    await pass(GRACE_MS + 1000, 'b');
    await nodes.delete({ name: 'b' });
    await settle();
    expect(eventsAbout('a')).toEqual([
      'RegisteredNode: Node a event: Registered Node a in Controller',
      'NodeNotReady: Node a status is now: NodeNotReady',
    ]);
    expect(eventsAbout('b').at(-1)).toBe('RemovingNode: Node b event: Removing Node b from Controller');
  });

  it('calls a node not-ready when it says so itself', async () => {
    const { report, taintsOf } = await setUp('a', 'b');
    await report('a', 'False');
    expect(await taintsOf('a')).toEqual(['not-ready:NoSchedule', 'not-ready:NoExecute']);
  });

  it('evicts nobody when not one node is ready, and resumes with a fresh grace', async () => {
    const { addPod, pass, report, taintsOf, pods, readyOf } = await setUp('a', 'b');
    await addPod('p', 'a', 10);
    await pass(GRACE_MS + 60_000);
    expect([await readyOf('a'), await readyOf('b')]).toEqual(['Unknown', 'Unknown']);
    expect((await taintsOf('a')).filter((taint) => taint.endsWith('NoExecute'))).toEqual([]);
    expect((await pods.fetch('p', 'n')).metadata.deletionTimestamp).toBeUndefined();
    await report('a', 'True');
    expect(await taintsOf('a')).toEqual([]);
    expect(await taintsOf('b')).toContain('unreachable:NoExecute');
  });

  it('taints for eviction one node at a time', async () => {
    const { pass, taintsOf, harnessTaints } = await withHarnessTaints('a', 'b', 'c', 'd');
    await pass(GRACE_MS + 1000, 'c', 'd');
    expect((await harnessTaints(taintsOf)).filter((taint) => taint === 'unreachable:NoExecute')).toHaveLength(1);
    await pass(10_000, 'c', 'd');
    expect((await harnessTaints(taintsOf)).filter((taint) => taint === 'unreachable:NoExecute')).toHaveLength(2);
  });

  it('taints a cordoned node against new pods alone', async () => {
    const { nodes, taintsOf, settle } = await setUp('a', 'b');
    await nodes.patch({ name: 'a', type: 'merge', patch: { spec: { unschedulable: true } } });
    await settle();
    expect(await taintsOf('a')).toEqual(['unschedulable:NoSchedule']);
  });
});

async function withHarnessTaints(...names: readonly string[]) {
  const harness = await setUp(...names);
  const harnessTaints = async (taintsOf: (name: string) => Promise<string[]>) =>
    (await Promise.all(names.map(taintsOf))).flat();
  return { ...harness, harnessTaints };
}

describe('disruption', () => {
  it.each([
    { name: 'one of two down', ready: 1, notReady: 1, mode: 'normal', rate: 0.1 },
    { name: 'all down', ready: 0, notReady: 3, mode: 'full', rate: 0 },
    { name: 'most of a small cluster down', ready: 2, notReady: 8, mode: 'partial', rate: 0 },
    { name: 'most of a large cluster down', ready: 40, notReady: 60, mode: 'partial', rate: 0.01 },
    { name: 'no nodes', ready: 0, notReady: 0, mode: 'normal', rate: 0.1 },
  ] as const)('$name', ({ ready, notReady, mode, rate }) => {
    expect(computeDisruptionMode(ready, notReady)).toBe(mode);
    expect(evictionRate(mode, ready + notReady, 0.1)).toBeCloseTo(rate);
  });
});

describe('toleration', () => {
  const taint = { key: 'k', value: 'v', effect: 'NoExecute' } as const;
  it.each([
    { name: 'none', tolerations: [], want: 0 },
    { name: 'everything for ever', tolerations: [{ operator: 'Exists' }], want: Number.POSITIVE_INFINITY },
    { name: 'the key for a time', tolerations: [{ key: 'k', operator: 'Exists', tolerationSeconds: 5 }], want: 5000 },
    { name: 'another value', tolerations: [{ key: 'k', value: 'x' }], want: 0 },
    { name: 'another effect', tolerations: [{ key: 'k', operator: 'Exists', effect: 'NoSchedule' }], want: 0 },
    {
      name: 'the shortest of two',
      tolerations: [
        { key: 'k', value: 'v', tolerationSeconds: 9 },
        { operator: 'Exists', tolerationSeconds: 3 },
      ],
      want: 3000,
    },
  ] as const)('$name', ({ tolerations, want }) => {
    expect(tolerationMs(tolerations as never, [taint])).toBe(want);
  });
});
