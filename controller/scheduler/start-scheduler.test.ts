import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KubeClient } from '#api/client/client.ts';
import { createInformerFactory } from '#api/client/informer-factory.ts';
import { ApiError } from '#api/object/api-error.ts';
import type { ResourceInfo } from '#api/object/group-version.ts';
import { type Pod, resources } from '#api/object/kinds.ts';
import { type KubeObject, objectKey, type Stored } from '#api/object/kube-object.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { MemoryCluster } from '#test/kit/memory-client.ts';
import { patiently } from '#test/kit/patiently.ts';
import { startScheduler } from './start-scheduler.ts';
import { makeNode, makePod, type NodeDraft, type PodDraft } from './testing/builders.ts';

/** A cluster whose `binding` subresource does what the API server's does. */
class BindingCluster extends MemoryCluster {
  bindingFailure: Error | undefined;

  override client(): KubeClient {
    const client = super.client();
    return {
      ...client,
      resource: <T extends Stored<object>>(info: ResourceInfo) => {
        const resource = client.resource<T>(info);
        resource.post = async <R>(name: string, namespace: string | undefined, subresource: string, body: object) => {
          this.record({ verb: 'post', resource: info.resource, subresource, key: objectKey(namespace, name) });
          const failure = this.bindingFailure;
          this.bindingFailure = undefined;
          if (failure !== undefined) throw failure;
          this.bind(name, namespace, (body as { target: { name: string } }).target.name);
          return {} as R;
        };
        return resource;
      },
    };
  }

  bind(name: string, namespace: string | undefined, nodeName: string): void {
    const pod = structuredClone(this.objectsOf(resources.pods).get(objectKey(namespace, name))!);
    this.commit(resources.pods, 'MODIFIED', { ...pod, spec: { ...(pod.spec as object), nodeName } });
  }
}

describe('scheduler', () => {
  let clock: FakeClock;
  let cluster: BindingCluster;
  let stop: AbortController;
  let running: Promise<void>;
  let events: string[];

  const addNode = (draft: NodeDraft) =>
    cluster.commit(resources.nodes, 'ADDED', makeNode(draft) as unknown as KubeObject);
  const addPod = (draft: PodDraft) => cluster.commit(resources.pods, 'ADDED', makePod(draft) as unknown as KubeObject);
  const pod = (name: string) =>
    cluster.objectsOf(resources.pods).get(objectKey('default', name)) as unknown as Pod | undefined;
  const nodeOf = (name: string) => pod(name)?.spec?.nodeName;
  const conditionOf = (name: string) => pod(name)?.status?.conditions?.[0];
  const start = () => {
    const client = cluster.client();
    const informers = createInformerFactory({ client, clock, log: silentLogger, random: () => 0, freeze: true });
    running = startScheduler(
      {
        client,
        informers,
        compileDeviceSelector: () => ({ ok: true, matches: () => true }),
        clock,
        log: silentLogger,
        random: () => 0,
        events: {
          record: (subject, type, reason, message) =>
            events.push(`${type} ${reason} ${subject.metadata.name}: ${message}`),
          flush: () => Promise.resolve(),
        },
      },
      stop.signal,
    );
  };

  beforeEach(() => {
    clock = new FakeClock();
    cluster = new BindingCluster(clock);
    stop = new AbortController();
    events = [];
  });
  afterEach(async () => {
    stop.abort();
    await running;
  });

  it('binds pods to nodes that fit, and says so', async () => {
    addNode({ name: 'small', allocatable: { cpu: '1' } });
    addNode({ name: 'large' });
    addPod({ name: 'web', requests: { cpu: '2' } });
    start();
    await patiently(() => expect(nodeOf('web')).toBe('large'));
    expect(events).toEqual(['Normal Scheduled web: Successfully assigned default/web to large']);
  });

  it('counts what it has just placed before the API shows it', async () => {
    addNode({ name: 'a', allocatable: { cpu: '3' } });
    for (let i = 0; i < 5; i++) addPod({ name: `p${i}`, requests: { cpu: '1' } });
    start();
    await patiently(() => expect(events).toHaveLength(5));
    const placed = [0, 1, 2, 3, 4].filter((i) => nodeOf(`p${i}`) === 'a');
    expect(placed).toHaveLength(3);
    expect(events.filter((event) => event.includes('Insufficient cpu'))).toHaveLength(2);
  });

  it('reports why a pod fits nowhere, and places it when a node comes', async () => {
    addNode({ name: 'a', taints: [{ key: 'x', effect: 'NoSchedule' }] });
    addPod({ name: 'web' });
    start();
    const message = '0/1 nodes are available: 1 node(s) had untolerated taint(s).';
    await patiently(() =>
      expect(conditionOf('web')).toMatchObject({
        type: 'PodScheduled',
        status: 'False',
        reason: 'Unschedulable',
        message,
      }),
    );
    expect(events).toEqual([`Warning FailedScheduling web: ${message}`]);
    addNode({ name: 'b' });
    await patiently(async () => {
      await clock.advance(1000);
      expect(nodeOf('web')).toBe('b');
    });
  });

  it('places a waiting pod when another one goes', async () => {
    addNode({ name: 'a', allocatable: { cpu: '1' } });
    addPod({ name: 'first', requests: { cpu: '1' }, spec: { nodeName: 'a' } });
    addPod({ name: 'second', requests: { cpu: '1' } });
    start();
    await patiently(() => expect(events).toHaveLength(1));
    const gone = cluster.objectsOf(resources.pods).get(objectKey('default', 'first'))!;
    cluster.commit(resources.pods, 'DELETED', structuredClone(gone));
    await patiently(async () => {
      await clock.advance(1000);
      expect(nodeOf('second')).toBe('a');
    });
  });

  it('counts what a node holds for a pod that asks for less, until the node says that it let go', async () => {
    const holding = (cpu: string) => ({
      containerStatuses: [{ name: 'main', allocatedResources: { cpu }, resources: { requests: { cpu } } }],
    });
    addNode({ name: 'a', allocatable: { cpu: '3' } });
    const big = makePod({ name: 'big', requests: { cpu: '1' }, spec: { nodeName: 'a' } });
    cluster.commit(resources.pods, 'ADDED', { ...big, status: holding('3') } as unknown as KubeObject);
    addPod({ name: 'second', requests: { cpu: '2' } });
    start();
    await patiently(() => expect(events).toHaveLength(1));
    expect(events[0]).toContain('Insufficient cpu');
    const shrunk = { ...structuredClone(pod('big')), status: holding('1') };
    cluster.commit(resources.pods, 'MODIFIED', shrunk as unknown as KubeObject);
    await patiently(async () => {
      await clock.advance(1000);
      expect(nodeOf('second')).toBe('a');
    });
  });

  it('leaves alone pods of other schedulers, gated pods and finished ones', async () => {
    addNode({ name: 'a' });
    addPod({ name: 'other', spec: { schedulerName: 'mine' } });
    addPod({ name: 'gated', spec: { schedulingGates: [{ name: 'wait' }] } });
    addPod({ name: 'ours' });
    start();
    await patiently(() => expect(nodeOf('ours')).toBe('a'));
    expect([nodeOf('other'), nodeOf('gated')]).toEqual([undefined, undefined]);
    const gated = structuredClone(cluster.objectsOf(resources.pods).get(objectKey('default', 'gated'))!);
    cluster.commit(resources.pods, 'MODIFIED', { ...gated, spec: { ...(gated.spec as object), schedulingGates: [] } });
    await patiently(() => expect(nodeOf('gated')).toBe('a'));
  });

  it('takes an assumption back when the binding is refused, and tries again', async () => {
    addNode({ name: 'a', allocatable: { cpu: '1' } });
    cluster.bindingFailure = new ApiError(500, 'InternalError', 'etcd is away');
    addPod({ name: 'web', requests: { cpu: '1' } });
    start();
    await patiently(() => expect(conditionOf('web')?.reason).toBe('SchedulerError'));
    await patiently(async () => {
      await clock.advance(1000);
      expect(nodeOf('web')).toBe('a');
    });
  });
});
