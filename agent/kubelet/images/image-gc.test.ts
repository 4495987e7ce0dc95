import { expect, test } from 'vitest';
import type { ImageInfo } from '../../cri/runtime.ts';
import { bytesAboveMark, type ImageUse, planImageRemoval } from './image-gc.ts';

const NOW_MS = 1_000_000_000;
const HOUR_MS = 3_600_000;
const image = (name: string, more: Partial<ImageInfo> = {}): ImageInfo => ({
  id: `sha256:${name}`,
  repoTags: [`reg.example/${name}`],
  repoDigests: [`reg.example/${name.split(':')[0]}@sha256:${'0'.repeat(64)}`],
  sizeBytes: 100,
  uid: undefined,
  username: '',
  ...more,
});
const used = (hoursAgo: number): ImageUse => ({ firstSeenMs: 0, lastUsedMs: NOW_MS - hoursAgo * HOUR_MS });
const NEVER: ImageUse = { firstSeenMs: 0, lastUsedMs: 0 };

function plan(
  images: readonly (readonly [ImageInfo, ImageUse])[],
  { inUse = [] as string[], bytesToFree = Number.POSITIVE_INFINITY } = {},
) {
  return planImageRemoval({
    images: images.map(([info]) => info),
    inUse: new Set(inUse),
    uses: new Map(images.map(([info, use]) => [info.id, use])),
    bytesToFree,
    minAgeMs: 120_000,
    nowMs: NOW_MS,
  }).map(({ id }) => id.slice('sha256:'.length));
}

test.each([
  [
    'the longest unused first',
    [
      [image('a:1'), NEVER],
      [image('b:1'), { ...NEVER, firstSeenMs: 5 }],
    ],
    {},
    ['a:1', 'b:1'],
  ],
  [
    'no more than is to be freed',
    [
      [image('a:1'), NEVER],
      [image('b:1'), NEVER],
    ],
    { bytesToFree: 100 },
    ['a:1'],
  ],
  ['nothing that a pod names', [[image('a:1'), NEVER]], { inUse: ['reg.example/a:1'] }, []],
  ['nothing that a container runs', [[image('a:1'), used(9)]], { inUse: ['sha256:a:1'] }, []],
  ['nothing that the runtime needs', [[image('a:1', { pinned: true }), NEVER]], {}, []],
  ['nothing that was imported', [[image('a:1', { repoDigests: [] }), used(9)]], {}, []],
  ['nothing that is new', [[image('a:1'), { firstSeenMs: NOW_MS - 1000, lastUsedMs: 0 }]], {}, []],
  [
    'not the version before the one in use, but the one before that',
    [
      [image('a:1'), used(9)],
      [image('a:2'), used(5)],
      [image('a:3'), used(0)],
    ],
    { inUse: ['sha256:a:3'] },
    ['a:1'],
  ],
  [
    'not the last version of what does not run any more',
    [
      [image('a:1'), used(9)],
      [image('a:2'), used(5)],
    ],
    {},
    ['a:1'],
  ],
] as const)('image clean-up removes %s', (_name, images, options, expected) => {
  expect(plan(images as never, options as never)).toEqual(expected);
});

test.each([
  ['below the high mark', 200, 0],
  ['at the high mark', 150, 50],
  ['full', 0, 200],
])('a disk %s', (_name, freeBytes, expected) => {
  expect(bytesAboveMark({ totalBytes: 1000, freeBytes }, { highPercent: 85, lowPercent: 80 })).toBe(expected);
});
