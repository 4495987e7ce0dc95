import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Pod, resources } from '#api/object/kinds.ts';
import { beginTermination, planStops, remainingGraceSeconds } from './pod-termination.ts';
import { KubeletRig, TEST_IMAGE } from './testing/kubelet-rig.ts';
import { container, exited, instance, NOW_MS, observed, podWith, sandbox } from './testing/pod-fixtures.ts';

test('sidecars are stopped last and in reverse order', () => {
  const side = (name: string) => container(name, { restartPolicy: 'Always' });
  const pod = podWith({ initContainers: [side('s1'), container('i'), side('s2')] });
  const seen = observed([sandbox()], [instance('s1'), instance('s2'), exited('i', 0), instance('app')]);
  const { first, last } = planStops(pod, seen);
  expect(first.map(({ name }) => name)).toEqual(['app']);
  expect(last.map(({ name }) => name)).toEqual(['s2', 's1']);
});

test('the grace period counts from its beginning and never gets below a second', () => {
  const termination = beginTermination(podWith({ terminationGracePeriodSeconds: 30 }), 'deleted', NOW_MS);
  expect(remainingGraceSeconds(termination, NOW_MS + 10_500)).toBe(20);
  expect(remainingGraceSeconds(termination, NOW_MS + 99_000)).toBe(1);
  // The clock was put back.
  expect(remainingGraceSeconds(termination, NOW_MS - 86_400_000)).toBe(30);
});

describe('a pod that is deleted', () => {
  let rig: KubeletRig;
  beforeEach(async () => {
    rig = new KubeletRig();
    await rig.start();
  });
  afterEach(() => rig.stop());

  const remove = (gracePeriodSeconds: number) =>
    rig.client.resource<Pod>(resources.pods).delete({ name: 'web', namespace: 'default', gracePeriodSeconds });

  test('waits no longer for the image of a volume', async () => {
    rig.runtime.hold('pullImage');
    const image = { reference: 'docker.io/library/data:1' };
    await rig.createPod({ volumes: [{ name: 'data', image }] });
    expect(rig.runtime.callsOf('pullImage')).toHaveLength(1);
    await remove(30);
    await rig.settle();
    expect(rig.pod()).toBeUndefined();
  });

  test('runs preStop first, and SIGTERM gets what that left of the grace period', async () => {
    const preStop = { sleep: { seconds: 12 } };
    await rig.createPod({ containers: [{ name: 'app', image: TEST_IMAGE, lifecycle: { preStop } }] });
    await remove(30);
    await rig.settle();
    await rig.advance(11_000);
    expect(rig.runtime.callsOf('stopContainer')).toEqual([]);
    await rig.advance(1_000);
    expect(rig.runtime.callsOf('stopContainer')[0]?.args[1]).toBe(18);
    expect(rig.pod()).toBeUndefined();
  });

  test('goes on when preStop fails', async () => {
    rig.runtime.onExecSync = () => ({ stdout: new Uint8Array(), stderr: Buffer.from('no'), exitCode: 1 });
    const preStop = { exec: { command: ['bye'] } };
    await rig.createPod({ containers: [{ name: 'app', image: TEST_IMAGE, lifecycle: { preStop } }] });
    await remove(5);
    await rig.settle();
    expect(rig.pod()).toBeUndefined();
    // What the command said may be secret.
    expect(await rig.eventTextsInTheEnd()).toContain('FailedPreStopHook: PreStopHook failed');
  });

  test('runs the hooks of all containers at once, and ends a sidecar when its turn has come', async () => {
    const slow = { preStop: { sleep: { seconds: 8 } } };
    const sidecar = { name: 'side', image: TEST_IMAGE, restartPolicy: 'Always' as const, lifecycle: slow };
    await rig.createPod({ initContainers: [sidecar], containers: [{ name: 'app', image: TEST_IMAGE }] });
    const release = rig.runtime.hold('stopContainer');
    await remove(30);
    await rig.settle();
    await rig.advance(10_000);
    expect(rig.runtime.callsOf('stopContainer').map(({ args }) => args[1])).toEqual([30]);
    release();
    await rig.settle();
    // The hook was over long ago: only the end of the others was waited for.
    expect(rig.runtime.callsOf('stopContainer').map(({ args }) => args[1])).toEqual([30, 20]);
    expect(rig.pod()).toBeUndefined();
  });

  test('ends its sidecars at the end of the grace period whether the others have ended or not', async () => {
    const sidecar = { name: 'side', image: TEST_IMAGE, restartPolicy: 'Always' as const };
    await rig.createPod({ initContainers: [sidecar], containers: [{ name: 'app', image: TEST_IMAGE }] });
    const release = rig.runtime.hold('stopContainer');
    await remove(5);
    await rig.settle();
    await rig.advance(5_000);
    expect(rig.runtime.callsOf('stopContainer').map(({ args }) => args[1])).toEqual([5, 2]);
    release();
    await rig.settle();
    expect(rig.pod()).toBeUndefined();
  });

  test('gives a request of postStart as much time as it takes', async () => {
    const http = vi.spyOn(rig.prober, 'http');
    const postStart = { httpGet: { port: 8080 } };
    await rig.createPod({ containers: [{ name: 'app', image: TEST_IMAGE, lifecycle: { postStart } }] });
    expect(http.mock.calls[0]?.[0].timeoutMs).toBeGreaterThan(3_600_000);
  });

  test('does not wait for a postStart hook that takes its time', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    rig.onCall = async (method, proceed) => {
      if (method === 'execSync') await promise;
      return proceed();
    };
    const postStart = { exec: { command: ['hello'] } };
    await rig.createPod({ containers: [{ name: 'app', image: TEST_IMAGE, lifecycle: { postStart } }] });
    await rig.advance(600_000);
    expect(rig.eventTexts()).not.toContain('FailedPostStartHook: PostStartHook failed');
    await remove(5);
    await rig.settle();
    expect(rig.pod()).toBeUndefined();
    resolve();
  });

  test('does not begin a postStart hook once it is to end', async () => {
    const never = new Promise<never>(() => undefined);
    rig.onCall = async (method, proceed) => {
      if (method === 'execSync') return never;
      const result = await proceed();
      if (method === 'startContainer') await remove(5);
      return result;
    };
    const postStart = { exec: { command: ['hello'] } };
    await rig.createPod({ containers: [{ name: 'app', image: TEST_IMAGE, lifecycle: { postStart } }] });
    await rig.settle();
    expect(rig.pod()).toBeUndefined();
  });

  test.each([
    ['whose hook has failed', { lifecycle: { postStart: { exec: { command: ['hello'] } } } }],
    [
      'that is to be started again',
      { livenessProbe: { tcpSocket: { port: 80 }, periodSeconds: 1, failureThreshold: 1 } },
    ],
  ])('does not wait for a container %s to end in its own time', async (_name, more) => {
    rig.runtime.onExecSync = () => ({ stdout: new Uint8Array(), stderr: new Uint8Array(), exitCode: 1 });
    rig.prober.answer = { ok: false, message: 'refused' };
    const release = rig.runtime.hold('stopContainer');
    await rig.createPod({
      terminationGracePeriodSeconds: 3600,
      containers: [{ name: 'app', image: TEST_IMAGE, ...more }],
    });
    await rig.advance(2_000);
    const graces = () => rig.runtime.callsOf('stopContainer').map(({ args }) => args[1]);
    expect(graces()).toEqual([3600]);
    await remove(5);
    await rig.settle();
    expect(graces()).toEqual([3600, 5]);
    release();
    await rig.settle();
    expect(rig.pod()).toBeUndefined();
  });

  test('is stopped sooner when it is deleted again with less grace', async () => {
    await rig.createPod();
    const release = rig.runtime.hold('stopContainer');
    await remove(60);
    await rig.settle();
    await remove(1);
    await rig.settle();
    expect(rig.runtime.callsOf('stopContainer').map(({ args }) => args[1])).toEqual([60, 1]);
    release();
    await rig.settle();
    expect(rig.pod()).toBeUndefined();
  });

  test('is stopped sooner although its preStop hook is not through', async () => {
    const preStop = { sleep: { seconds: 200 } };
    await rig.createPod({
      terminationGracePeriodSeconds: 300,
      containers: [{ name: 'app', image: TEST_IMAGE, lifecycle: { preStop } }],
    });
    await remove(300);
    await rig.advance(10_000);
    expect(rig.runtime.callsOf('stopContainer')).toEqual([]);
    await remove(1);
    await rig.advance(1000);
    expect(rig.pod()).toBeUndefined();
  });

  test('does not wait for an image that is being pulled', async () => {
    rig.runtime.registry.add('docker.io/library/slow:1');
    const release = rig.runtime.hold('pullImage');
    await rig.createPod({ containers: [{ name: 'app', image: 'slow:1' }] });
    expect(rig.condition('PodReadyToStartContainers')?.status).toBe('True');
    await remove(1);
    await rig.settle();
    release();
    await rig.settle();
    expect(rig.pod()).toBeUndefined();
    expect(rig.runtime.callsOf('createContainer')).toEqual([]);
  });

  test('by force leaves nothing behind', async () => {
    await rig.createPod();
    await remove(0);
    await rig.settle();
    expect(rig.pod()).toBeUndefined();
    expect(rig.runtime.containers.size + rig.runtime.sandboxes.size).toBe(0);
  });
});
