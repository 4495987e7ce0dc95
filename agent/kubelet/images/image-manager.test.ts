import { beforeEach, expect, test } from 'vitest';
import type { EventRecorder } from '#api/client/event-recorder.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { FakeRuntime } from '#test/kit/fake-runtime.ts';
import { PodEvents } from '../pod-events.ts';
import { container, podWith } from '../testing/pod-fixtures.ts';
import { ImageManager } from './image-manager.ts';

const NAMES = ['a', 'b', 'c', 'd'];
const pod = podWith({ containers: NAMES.map((name) => container(name)) });
const neverAborts = new AbortController().signal;

let runtime: FakeRuntime;
let told: string[];
beforeEach(() => {
  runtime = new FakeRuntime({ clock: new FakeClock(), images: [] });
  for (const name of NAMES) runtime.registry.add(`docker.io/library/${name}:1`);
  told = [];
});

function managerOf(maxParallelPulls: number): ImageManager {
  const record: EventRecorder['record'] = ({ fieldPath = 'the pod' }, _type, reason) =>
    told.push(`${fieldPath} ${reason}`);
  return new ImageManager({
    runtime,
    clock: new FakeClock(),
    events: new PodEvents({ record } as EventRecorder),
    maxParallelPulls,
    makeRoom: async () => undefined,
    credentials: async () => [],
  });
}

const turns = async () => {
  for (let turn = 0; turn < 30; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
};

test.each([1, 3])('pulls %i images at once and no more', async (width) => {
  const images = managerOf(width);
  const release = runtime.hold('pullImage');
  const pulls = NAMES.map((name) => images.ensure(pod, { name, image: `${name}:1` }, neverAborts));
  await turns();
  expect(runtime.callsOf('pullImage')).toHaveLength(width);
  release();
  await Promise.all(pulls);
  expect(runtime.callsOf('pullImage')).toHaveLength(NAMES.length);
});

test('Events of an image that a container needs name the container, those of a volume name none', async () => {
  const images = managerOf(1);
  await images.ensure(pod, { name: 'a', image: 'a:1' }, neverAborts);
  await images.ensure(pod, { image: 'b:1' }, neverAborts);
  expect(told).toEqual([
    'spec.containers{a} Pulling',
    'spec.containers{a} Pulled',
    'the pod Pulling',
    'the pod Pulled',
  ]);
});
