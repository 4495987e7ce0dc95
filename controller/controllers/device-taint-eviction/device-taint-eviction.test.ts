import type { IDeviceTaint } from 'kubernetes-models/resource.k8s.io/v1/DeviceTaint';
import type { IDeviceToleration } from 'kubernetes-models/resource.k8s.io/v1/DeviceToleration';
import { afterEach, describe, expect, it, test } from 'vitest';
import { type Pod, type ResourceClaim, type ResourceSlice, resources } from '#api/object/kinds.ts';
import { toTime } from '#base/clock.ts';
import { createControllerHarness } from '#test/kit/controller-harness.ts';
import { startDeviceTaintEvictionController } from './device-taint-eviction-controller.ts';
import { evictingTaints, evictionTimeMs } from './plan-device-eviction.ts';

const SET_MS = Date.parse('2026-01-01T00:00:00Z');
const taint = (effect: string, key = 'broken', timeAdded = toTime(SET_MS)) =>
  ({ key, effect, timeAdded }) as unknown as IDeviceTaint;
const claimWith = (tolerations: IDeviceToleration[], device = 'a') => ({
  allocation: { devices: { results: [{ driver: 'd', pool: 'p', device, request: 'r', tolerations }] } },
});

describe('when a pod has to go', () => {
  const exists = (more: Partial<IDeviceToleration> = {}): IDeviceToleration => ({ operator: 'Exists', ...more });
  test.each<[what: string, tolerations: IDeviceToleration[], seconds: number | undefined]>([
    ['no toleration', [], 0],
    ['one of another key', [exists({ key: 'other' })], 0],
    ['one of another effect', [exists({ effect: 'NoSchedule' })], 0],
    ['everything', [exists()], undefined],
    ['its key', [exists({ key: 'broken', effect: 'NoExecute' })], undefined],
    ['its value', [{ key: 'broken', operator: 'Equal', value: '' }], undefined],
    ['for a time', [exists({ effect: 'NoExecute', tolerationSeconds: 30 })], 30],
    ['for two times', [30, 20].map((s) => exists({ effect: 'NoExecute', tolerationSeconds: s })), 20],
    ['for less than no time', [exists({ effect: 'NoExecute', tolerationSeconds: -5 })], 0],
    ['for a time, and for ever', [exists({ effect: 'NoExecute', tolerationSeconds: 30 }), exists()], undefined],
    ['a time without the effect', [exists({ tolerationSeconds: 30 })], undefined],
  ])('%s', (_, tolerations, seconds) => {
    const claim = { status: claimWith(tolerations) } as unknown as ResourceClaim;
    const expected = seconds === undefined ? undefined : SET_MS + seconds * 1000;
    expect(evictionTimeMs(claim, () => [taint('NoExecute')])).toBe(expected);
  });

  test('slices of former generations, and other effects, do not count', () => {
    const slice = (generation: number, device: string, effect: string) =>
      ({
        spec: { pool: { generation }, devices: [{ name: device, taints: [taint(effect)] }] },
      }) as unknown as ResourceSlice;
    const slices = [slice(1, 'a', 'NoExecute'), slice(2, 'b', 'NoExecute'), slice(2, 'c', 'NoSchedule')];
    expect([...evictingTaints(slices).keys()]).toEqual(['b']);
    expect(evictingTaints([])).toEqual(new Map());
  });
});

let stop = () => {};
afterEach(() => stop());
const NAMESPACE = 'n';

async function setUp() {
  const harness = createControllerHarness({});
  stop = harness.stop;
  const pods = harness.client.resource<Pod>(resources.pods);
  const claims = harness.client.resource<ResourceClaim>(resources.resourceClaims);
  const slices = harness.client.resource<ResourceSlice>(resources.resourceSlices);
  await slices.create({ metadata: { name: 's' }, spec: spec([]) });
  function spec(taints: IDeviceTaint[]) {
    const pool = { name: 'p', generation: 1, resourceSliceCount: 1 };
    return { driver: 'd', nodeName: 'x', pool, devices: [{ name: 'a', taints }, { name: 'b' }] };
  }
  const setTaints = async (...taints: IDeviceTaint[]) => {
    await slices.update({ ...(await slices.fetch('s')), spec: spec(taints) });
    await harness.settle();
  };
  const addPod = async (name: string, status: object) => {
    const pod = await pods.create({
      metadata: { name, namespace: NAMESPACE },
      spec: { nodeName: 'x', containers: [], resourceClaims: [{ name: 'card', resourceClaimName: name }] },
    });
    const reservedFor = [{ resource: 'pods', name, uid: pod.metadata.uid }];
    const claim = await claims.create({ metadata: { name, namespace: NAMESPACE }, spec: { devices: {} } });
    await claims.update({ ...claim, status: { ...status, reservedFor } }, 'status');
    await harness.settle();
  };
  const names = () =>
    [...harness.cluster.objectsOf(resources.pods).values()]
      .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
      .map(({ metadata }) => metadata.name);
  const events = () =>
    [...harness.cluster.objectsOf(resources.events).values()].map((event) => `${event.reason} ${event.message}`);
  return { ...harness, pods, setTaints, addPod, names, events };
}

describe('device taint eviction controller', () => {
  it('deletes the pods of a device that is tainted, and says why', async () => {
    const { start, setTaints, addPod, names, events, clock } = await setUp();
    await addPod('early', claimWith([]));
    await addPod('beside', claimWith([], 'b'));
    await start(startDeviceTaintEvictionController);
    await setTaints(taint('NoSchedule', 'k', toTime(clock.now())));
    expect(names()).toEqual(['early', 'beside']);
    await setTaints(taint('NoExecute', 'k', toTime(clock.now())));
    expect(names()).toEqual(['beside']);
    expect(events()).toEqual(['DeviceTaintManagerEviction Marking for deletion']);
    await addPod('late', claimWith([]));
    expect(names()).toEqual(['beside']);
  });

  it('waits as long as the claim tolerates the taint, and forgets it when the taint goes', async () => {
    const { start, advance, setTaints, addPod, names, events, clock } = await setUp();
    await start(startDeviceTaintEvictionController);
    const patient = claimWith([{ operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 30 }]);
    await addPod('patient', patient);
    await setTaints(taint('NoExecute', 'k', toTime(clock.now())));
    await advance(20_000);
    await setTaints();
    expect(events()).toEqual(['DeviceTaintManagerEviction Cancelling deletion']);
    await advance(60_000);
    expect(names()).toEqual(['patient']);
    await setTaints(taint('NoExecute', 'k', toTime(clock.now())));
    await advance(29_000);
    expect(names()).toEqual(['patient']);
    await advance(2_000);
    expect(names()).toEqual([]);
  });
});
