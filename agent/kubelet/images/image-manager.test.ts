import { beforeEach, describe, expect, test } from 'vitest';
import type { EventRecorder } from '#api/client/event-recorder.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeFileSystem } from '#test/kit/fake-file-system.ts';
import { FakeRuntime } from '#test/kit/fake-runtime.ts';
import { CriError } from '../../cri/runtime.ts';
import { PodEvents } from '../pod-events.ts';
import { StartError } from '../start-error.ts';
import { container, podWith } from '../testing/pod-fixtures.ts';
import type { PullCredential } from './image-access.ts';
import { type ImageDemand, ImageManager } from './image-manager.ts';
import { PullRecords } from './pull-records.ts';

const NAMES = ['a', 'b', 'c', 'd'];
const pod = podWith({ containers: NAMES.map((name) => container(name)) });
const neverAborts = new AbortController().signal;
const PRIVATE = 'r.example/p:1';
const UNKNOWN = 2;
const NOT_FOUND = 5;

let clock: FakeClock;
let fs: FakeFileSystem;
let runtime: FakeRuntime;
let told: string[];
/** What the pod that asks has. */
let credentials: PullCredential[];
let asked: number;
beforeEach(async () => {
  clock = new FakeClock();
  fs = new FakeFileSystem();
  await fs.makeDirectory('/data');
  runtime = new FakeRuntime({ clock, images: [] });
  for (const name of NAMES) runtime.registry.add(`docker.io/library/${name}:1`);
  runtime.registry.add(PRIVATE);
  const pull = runtime.pullImage.bind(runtime);
  runtime.pullImage = async (reference, auth, signal) => {
    if (reference === PRIVATE && auth?.password !== 'right') throw new CriError(UNKNOWN, '401 Unauthorized');
    return pull(reference, auth, signal);
  };
  told = [];
  credentials = [];
  asked = 0;
});

async function managerOf(maxParallelPulls = 1): Promise<ImageManager> {
  const record: EventRecorder['record'] = ({ fieldPath = 'the pod' }, type, reason, message) =>
    told.push(`${fieldPath} ${type} ${reason} ${message}`);
  const policy = { kind: 'NeverVerifyPreloadedImages', allowlist: [] } as const;
  const records = new PullRecords({ fs, runtime, clock, log: silentLogger, directory: '/data/pulls', policy });
  await records.load();
  return new ImageManager({
    runtime,
    clock,
    events: new PodEvents({ record } as EventRecorder),
    records,
    maxParallelPulls,
    makeRoom: async () => undefined,
    credentials: async () => {
      asked++;
      return credentials;
    },
  });
}

const secret = (name: string, password: string): PullCredential => ({
  auth: { username: 'u', password, serverAddress: 'r.example', identityToken: '' },
  secret: { uid: name, namespace: 'ns', name },
});

const turns = async () => {
  for (let turn = 0; turn < 30; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
};

/** `<reason>: <message>` of what the status shows; undefined = the image is there. */
async function refusal(images: ImageManager, demand: ImageDemand): Promise<string | undefined> {
  try {
    await images.ensure(pod, demand, neverAborts);
    return undefined;
  } catch (err) {
    if (!(err instanceof StartError)) throw err;
    return `${err.reason}: ${err.message}`;
  }
}

test.each([1, 3])('pulls %i images at once and no more', async (width) => {
  const images = await managerOf(width);
  const release = runtime.hold('pullImage');
  const pulls = NAMES.map((name) => images.ensure(pod, { name, image: `${name}:1` }, neverAborts));
  await turns();
  expect(runtime.callsOf('pullImage')).toHaveLength(width);
  release();
  await Promise.all(pulls);
  expect(runtime.callsOf('pullImage')).toHaveLength(NAMES.length);
});

test('Events of an image that a container needs name the container, those of a volume name none', async () => {
  const images = await managerOf();
  await images.ensure(pod, { name: 'a', image: 'a:1' }, neverAborts);
  await images.ensure(pod, { image: 'b:1' }, neverAborts);
  expect(told.map((event) => event.replace(/( Pull\w+) .*/, '$1'))).toEqual([
    'spec.containers{a} Normal Pulling',
    'spec.containers{a} Normal Pulled',
    'the pod Normal Pulling',
    'the pod Normal Pulled',
  ]);
});

test('pods that come with the same credentials share a pull, and it goes on when the first of them is gone', async () => {
  const images = await managerOf(2);
  const gone = new AbortController();
  const release = runtime.hold('pullImage');
  const first = images.ensure(pod, { name: 'a', image: 'a:1' }, gone.signal);
  const second = images.ensure(pod, { name: 'b', image: 'a:1' }, neverAborts);
  await turns();
  expect(runtime.callsOf('pullImage')).toHaveLength(1);
  runtime.fail('pullImage', new CriError(1, 'cancelled'));
  gone.abort();
  release();
  await expect(first).rejects.toThrow();
  await second;
  expect(runtime.callsOf('pullImage')).toHaveLength(2);
});

test('a pod that is gone waits for no turn, and for no pull of others', async () => {
  const images = await managerOf(1);
  const gone = new AbortController();
  const release = runtime.hold('pullImage');
  const first = images.ensure(pod, { name: 'a', image: 'a:1' }, neverAborts);
  await turns();
  const late = ['a:1', 'b:1'].map((image) => images.ensure(pod, { name: 'b', image }, gone.signal));
  await turns();
  gone.abort();
  for (const one of late) await expect(one).rejects.toThrow('aborted');
  release();
  await first;
  await turns();
  expect(runtime.callsOf('pullImage')).toHaveLength(1);
});

describe('an image that needs credentials', () => {
  const demand = (imagePullPolicy: 'IfNotPresent' | 'Never') => ({ name: 'a', image: PRIVATE, imagePullPolicy });
  const present = `spec.containers{a} Normal Pulled Container image "${PRIVATE}" already present on machine and can be accessed by the pod`;
  const never = `ErrImageNeverPull: Container image "${PRIVATE}" is not present with pull policy of Never`;

  test.each([
    ['the same Secret', [secret('s', 'right')], undefined, undefined],
    ['the same Secret, which has changed', [secret('s', 'wrong')], undefined, undefined],
    ['another Secret that says the same', [secret('other', 'right')], undefined, undefined],
    ['another Secret', [secret('other', 'wrong')], 'ErrImagePull: 401 Unauthorized', never],
    ['none', [], 'ErrImagePull: 401 Unauthorized', never],
  ])('is there for a pod with %s, or as if it were not', async (_, found, ifNotPresent, ifNever) => {
    credentials = [secret('s', 'right')];
    await (await managerOf()).ensure(pod, demand('IfNotPresent'), neverAborts);
    // The agent has been started again since.
    const images = await managerOf();
    told = [];
    credentials = found;
    expect(await refusal(images, demand('Never'))).toBe(ifNever);
    expect(told).toEqual([ifNever === undefined ? present : `spec.containers{a} Warning ${never.replace(': ', ' ')}`]);
    expect(await refusal(images, demand('IfNotPresent'))).toBe(ifNotPresent);
  });

  test('is asked of the registry by a pod with other credentials, and then is there for both', async () => {
    runtime.pullImage = async (reference) => {
      runtime.addImage(reference);
      return runtime.images.get(reference)!.id;
    };
    const images = await managerOf();
    for (const name of ['s', 'other']) {
      credentials = [secret(name, name)];
      told = [];
      await images.ensure(pod, demand('IfNotPresent'), neverAborts);
      expect(told[0]).toContain('Pulling');
    }
    for (const name of ['s', 'other']) {
      credentials = [secret(name, name)];
      expect(await refusal(images, demand('Never'))).toBeUndefined();
    }
  });

  test('is not shared by a pull with another password', async () => {
    const images = await managerOf(2);
    const release = runtime.hold('pullImage');
    credentials = [secret('s', 'right')];
    const first = images.ensure(pod, demand('IfNotPresent'), neverAborts);
    await turns();
    credentials = [secret('s', 'wrong')];
    const second = await refusal(images, { ...demand('IfNotPresent'), name: 'b' });
    release();
    await first;
    expect(second).toBe('ErrImagePull: 401 Unauthorized');
  });

  test('is tried with all credentials, and each refusal is told once', async () => {
    credentials = [secret('s', 'wrong'), secret('t', 'worse')];
    expect(await refusal(await managerOf(), demand('IfNotPresent'))).toBe('ErrImagePull: 401 Unauthorized');
    const texts = ['first', 'second'];
    runtime.pullImage = async () => {
      throw new CriError(NOT_FOUND, texts.shift() ?? '');
    };
    expect(await refusal(await managerOf(), demand('IfNotPresent'))).toBe(
      'ErrImagePull: [rpc error: code = NotFound desc = first, rpc error: code = NotFound desc = second]',
    );
  });
});

test.each([
  ['was here before', () => runtime.addImage('docker.io/library/a:1')],
  ['was pulled without credentials', undefined],
])('nothing stands in the way of a pod whose image %s: no credentials, no write, no call', async (_, add) => {
  add?.();
  const images = await managerOf();
  await images.ensure(pod, { name: 'a', image: 'a:1' }, neverAborts);
  const [calls, lookups] = [runtime.calls.length, asked];
  await images.ensure(pod, { name: 'b', image: 'a:1' }, neverAborts);
  expect([runtime.calls.length, asked]).toEqual([calls, lookups]);
  expect(fs.durableWrites).toEqual([]);
});

describe('a pull that fails', () => {
  const demand = { name: 'a', image: 'nowhere:1' };
  const text = 'failed to pull and unpack image "docker.io/library/nowhere:1": not found';
  const whole = `rpc error: code = NotFound desc = ${text}`;

  test('is told as Kubernetes tells it, then waited for', async () => {
    const images = await managerOf();
    expect(await refusal(images, demand)).toBe(`ErrImagePull: ${whole}`);
    expect(await refusal(images, demand)).toBe(
      `ImagePullBackOff: Back-off pulling image "nowhere:1": ErrImagePull: ${whole}`,
    );
    expect(told).toEqual([
      'spec.containers{a} Normal Pulling Pulling image "nowhere:1"',
      `spec.containers{a} Warning Failed Failed to pull image "nowhere:1": ${whole}`,
      'spec.containers{a} Normal BackOff Back-off pulling image "nowhere:1"',
    ]);
  });

  /** Seconds until it is tried again. */
  const pauseOf = async (images: ImageManager) => {
    const before = runtime.callsOf('pullImage').length;
    for (let seconds = 0; ; seconds++) {
      await refusal(images, demand);
      if (runtime.callsOf('pullImage').length > before) return seconds;
      await clock.advance(1000);
    }
  };

  test('is tried again after 10 s, then twice as long each time, up to 5 min', async () => {
    const images = await managerOf();
    const pauses: number[] = [];
    for (let n = 0; n < 8; n++) pauses.push(await pauseOf(images));
    expect(pauses).toEqual([0, 10, 20, 40, 80, 160, 300, 300]);
  });

  test('is waited for by its own pod and image alone', async () => {
    const images = await managerOf();
    await refusal(images, demand);
    expect(await refusal(images, { name: 'b', image: 'elsewhere:1' })).toContain('ErrImagePull');
    const other = { ...pod, metadata: { ...pod.metadata, uid: 'other' } };
    await expect(images.ensure(other, demand, neverAborts)).rejects.toMatchObject({ reason: 'ErrImagePull' });
    images.forgetPod(pod.metadata.uid);
    expect(await refusal(images, demand)).toContain('ErrImagePull: rpc');
  });

  test('is the first again after ten minutes without another one; one that went well changes nothing', async () => {
    const images = await managerOf();
    for (let n = 0; n < 3; n++) await pauseOf(images);
    await clock.advance(40_000);
    runtime.registry.add('docker.io/library/nowhere:1');
    const always = { ...demand, imagePullPolicy: 'Always' } as const;
    expect(await refusal(images, always)).toBeUndefined();
    runtime.registry.delete('docker.io/library/nowhere:1');
    expect(await refusal(images, always)).toContain('ErrImagePull: rpc');
    await clock.advance(79_000);
    expect(await refusal(images, always)).toContain('ImagePullBackOff');
    await clock.advance(600_000);
    expect(await refusal(images, always)).toContain('ErrImagePull: rpc');
    await clock.advance(10_001);
    expect(await refusal(images, always)).toContain('ErrImagePull: rpc');
  });
});
