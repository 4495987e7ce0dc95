import { beforeEach, expect, test } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeFileSystem } from '#test/kit/fake-file-system.ts';
import { FakeRuntime } from '#test/kit/fake-runtime.ts';
import type { PullCredential } from './image-access.ts';
import { parseImageReference } from './image-reference.ts';
import { PullRecords } from './pull-records.ts';

const NAME = 'r.example/app:1';
const image = parseImageReference(NAME)!;
const DIRECTORY = '/data/pulls';
const credential = (name: string, password = name): PullCredential => ({
  auth: { username: 'u', password, serverAddress: 'r.example', identityToken: '' },
  secret: { uid: name, namespace: 'ns', name },
});
const OF_NODE: PullCredential = { auth: credential('node').auth };

let fs: FakeFileSystem;
let runtime: FakeRuntime;
let clock: FakeClock;
let imageId: string;
let records: PullRecords;
/** What the agent knows after it was started again. */
async function started(): Promise<PullRecords> {
  const policy = { kind: 'NeverVerifyPreloadedImages', allowlist: [] } as const;
  const found = new PullRecords({ fs, runtime, clock, log: silentLogger, directory: DIRECTORY, policy });
  await found.load();
  return found;
}
async function pullWith(used: PullCredential | undefined): Promise<void> {
  const credentials = used === undefined ? [] : [used];
  await records.begin(NAME, credentials);
  await records.note({ image, imageId, used });
  await records.end(NAME, credentials);
}
const isOpen = (of: PullRecords) => of.isOpen(image, NAME, imageId);

beforeEach(async () => {
  fs = new FakeFileSystem();
  await fs.makeDirectory('/data');
  clock = new FakeClock();
  runtime = new FakeRuntime({ clock, images: [NAME] });
  imageId = runtime.images.get(NAME)!.id;
  records = await started();
});

test('an image that nobody pulled is open to all pods', () => {
  expect(isOpen(records)).toBe(true);
});

test('an image that came by a Secret is for those who have it, after a restart as well', async () => {
  await pullWith(credential('a'));
  for (const known of [records, await started()]) {
    expect(isOpen(known)).toBe(false);
    expect(known.isEntitled(image, imageId, [credential('a')])).toBe(true);
    expect(known.isEntitled(image, imageId, [credential('b')])).toBe(false);
    expect(known.isEntitled(image, imageId, [])).toBe(false);
  }
});

test.each([
  ['without credentials', undefined],
  ['with those of the node', OF_NODE],
])('an image that was pulled %s is open to all pods, and no pod waits for the disk', async (_, used) => {
  await pullWith(used);
  expect(isOpen(records)).toBe(true);
  expect(fs.durableWrites).toEqual([]);
  // Once it is on disk, another name of the same image is not taken for one that was always here.
  await records.tidy(new Set([imageId]), clock.monotonic());
  const again = await started();
  expect(isOpen(again)).toBe(true);
  expect(again.isOpen(parseImageReference('r.example/other:1')!, 'r.example/other:1', imageId)).toBe(false);
});

test('looking costs no write; what it taught is written later', async () => {
  await pullWith(credential('a', 'same'));
  const before = fs.durableWrites.length;
  expect(records.isEntitled(image, imageId, [credential('b', 'same')])).toBe(true);
  expect(records.isEntitled(image, imageId, [credential('b', 'changed')])).toBe(true);
  expect(fs.durableWrites).toHaveLength(before);
  await records.tidy(new Set([imageId]), clock.monotonic());
  expect(fs.durableWrites).toHaveLength(before + 1);
  expect((await started()).isEntitled(image, imageId, [credential('b', 'changed once more')])).toBe(true);
});

test('an agent that was killed in the middle of a pull takes the image for nobody’s', async () => {
  await records.begin(NAME, [credential('a')]);
  const again = await started();
  expect(isOpen(again)).toBe(false);
  expect(again.isEntitled(image, imageId, [credential('a')])).toBe(false);
  expect(await fs.list(DIRECTORY)).toEqual([expect.stringMatching(/^sha256-.*\.json$/)]);
});

test('a pull that was cut off does not change who may use what had been pulled before', async () => {
  await pullWith(credential('a'));
  await records.begin(NAME, [credential('b')]);
  const again = await started();
  expect(again.isEntitled(image, imageId, [credential('a')])).toBe(true);
});

test('a pull that was cut off before the image came leaves nothing', async () => {
  runtime.images.clear();
  await records.begin(NAME, [credential('a')]);
  await started();
  expect(await fs.list(DIRECTORY)).toEqual([]);
});

test('a runtime that does not answer at the start opens nothing', async () => {
  await records.begin(NAME, [credential('a')]);
  runtime.fail('imageStatus');
  expect(isOpen(await started())).toBe(false);
  expect(isOpen(await started())).toBe(false);
});

test('while pods pull an image with Secrets it is not open to others, whichever pull ends first', async () => {
  await records.begin(NAME, [credential('a')]);
  await records.begin(NAME, [credential('b')]);
  await records.end(NAME, [credential('a')]);
  expect(isOpen(records)).toBe(false);
  expect(await fs.list(DIRECTORY)).toHaveLength(1);
  await records.end(NAME, [credential('b')]);
  expect(isOpen(records)).toBe(true);
  expect(await fs.list(DIRECTORY)).toEqual([]);
});

test('a pull with Secrets waits for its mark also where another one is about to make the same', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const writeAtomic = fs.writeAtomic.bind(fs);
  fs.writeAtomic = async (...args) => {
    await promise;
    return writeAtomic(...args);
  };
  const marks: string[][] = [];
  const begun = ['a', 'b'].map(async (name) => {
    await records.begin(NAME, [credential(name)]);
    marks.push([...(await fs.list(DIRECTORY))]);
  });
  resolve();
  await Promise.all(begun);
  expect(marks.map((files) => files.length)).toEqual([1, 1]);
});

test('a record that cannot be read is nobody’s, and of one image alone', async () => {
  await pullWith(credential('a'));
  const [file = ''] = await fs.list(DIRECTORY);
  fs.seed(`${DIRECTORY}/${file}`, '{"vers');
  const again = await started();
  expect(isOpen(again)).toBe(false);
  expect(again.isEntitled(image, imageId, [credential('a')])).toBe(false);
  expect(again.isOpen(image, NAME, 'sha256:00')).toBe(true);
});

test('what is known of an image goes with it, but not while it comes', async () => {
  await pullWith(credential('a'));
  await records.tidy(new Set(), clock.monotonic());
  expect(isOpen(records)).toBe(false);
  await clock.advance(1);
  await records.tidy(new Set([imageId]), clock.monotonic());
  expect(isOpen(records)).toBe(false);
  await records.tidy(new Set(), clock.monotonic());
  expect(isOpen(records)).toBe(true);
  expect(await fs.list(DIRECTORY)).toEqual([]);
});
