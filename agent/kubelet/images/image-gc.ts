import type { ImageInfo } from '../../cri/runtime.ts';
import { parseImageReference, repositoryOf } from './image-reference.ts';

/** What the node remembers of an image; epoch ms. */
export interface ImageUse {
  readonly firstSeenMs: number;
  /** Last seen under a container; 0 = never. */
  readonly lastUsedMs: number;
}

export interface ImageRemovalInput {
  readonly images: readonly ImageInfo[];
  /** Ids and names of images that containers or specs of this node name. */
  readonly inUse: ReadonlySet<string>;
  readonly uses: ReadonlyMap<string, ImageUse>;
  /** As much is to be freed; Infinity = all that may go. */
  readonly bytesToFree: number;
  /** Younger ones stay: somebody may be about to use them. */
  readonly minAgeMs: number;
  readonly nowMs: number;
}

/**
 * Which images go, the longest unused first. Never one that the runtime needs, that a pod of this node names, that no registry can give
 * again (it was imported: nothing holds its digest), or that was the last one used of its repository before the one in use now: that is
 * the one that a rollback asks for, perhaps while the registry is away. Pure.
 */
export function planImageRemoval(input: ImageRemovalInput): ImageInfo[] {
  const { images, inUse, uses, bytesToFree, minAgeMs, nowMs } = input;
  const useOf = ({ id }: ImageInfo): ImageUse => uses.get(id) ?? { firstSeenMs: nowMs, lastUsedMs: 0 };
  const isUsed = (image: ImageInfo) => namesOf(image).some((name) => inUse.has(name));
  const kept = new Set(
    previousVersions(
      images.filter((image) => !isUsed(image)),
      useOf,
    ).map(({ id }) => id),
  );
  const removable = images
    .filter((image) => {
      const { firstSeenMs, lastUsedMs } = useOf(image);
      const isYoung = nowMs - Math.max(firstSeenMs, lastUsedMs) < minAgeMs;
      return !image.pinned && !isUsed(image) && image.repoDigests.length > 0 && !kept.has(image.id) && !isYoung;
    })
    .sort((a, b) => useOf(a).lastUsedMs - useOf(b).lastUsedMs || useOf(a).firstSeenMs - useOf(b).firstSeenMs);
  const planned: ImageInfo[] = [];
  let freed = 0;
  for (const image of removable) {
    if (freed >= bytesToFree) break;
    planned.push(image);
    freed += image.sizeBytes;
  }
  return planned;
}

const namesOf = ({ id, repoTags, repoDigests }: ImageInfo) => [id, ...repoTags, ...repoDigests];

/** Of each repository the unused image that was used last; one that never ran here is nobody's previous version. */
function previousVersions(unused: readonly ImageInfo[], useOf: (image: ImageInfo) => ImageUse): ImageInfo[] {
  const newest = new Map<string, ImageInfo>();
  for (const image of unused) {
    const { lastUsedMs } = useOf(image);
    if (lastUsedMs === 0) continue;
    for (const repository of repositoriesOf(image)) {
      const other = newest.get(repository);
      if (other === undefined || useOf(other).lastUsedMs < lastUsedMs) newest.set(repository, image);
    }
  }
  return [...newest.values()];
}

function repositoriesOf({ repoTags, repoDigests }: ImageInfo): Set<string> {
  const references = [...repoTags, ...repoDigests].flatMap((name) => parseImageReference(name) ?? []);
  return new Set(references.map(repositoryOf));
}

/** Bytes to free so that the disk is back at the low mark; 0 while it is below the high one. Percent of use. */
export function bytesAboveMark(
  disk: { readonly totalBytes: number; readonly freeBytes: number },
  marks: { readonly highPercent: number; readonly lowPercent: number },
): number {
  const usedPercent = 100 - Math.floor((disk.freeBytes * 100) / disk.totalBytes);
  if (disk.totalBytes === 0 || usedPercent < marks.highPercent) return 0;
  return Math.floor((disk.totalBytes * (100 - marks.lowPercent)) / 100) - disk.freeBytes;
}
