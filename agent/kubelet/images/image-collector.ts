import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { ContainerRuntime, ImageInfo } from '../../cri/runtime.ts';
import type { FileSystem } from '../../host/host.ts';
import { bytesAboveMark, type ImageUse, planImageRemoval } from './image-gc.ts';

export interface ImageGcConfig {
  /** Percent of the images' disk in use at which images go, and down to which they go. */
  readonly highPercent: number;
  readonly lowPercent: number;
  readonly minAgeMs: number;
  /** Unused for longer, images go whatever room there is; 0 = never. */
  readonly maxAgeMs: number;
}

export interface ImageCollectorOptions {
  readonly runtime: ContainerRuntime;
  readonly fs: FileSystem;
  readonly clock: Clock;
  readonly log: Logger;
  readonly config: ImageGcConfig;
  /** What is remembered of images over restarts of the agent. */
  readonly usesFile: string;
  /** Names of images that the specs of this node's pods give, completed. */
  readonly namedBySpecs: () => Iterable<string>;
  /** The images that there are, and since when that is known (monotonic). */
  readonly onListed: (ids: ReadonlySet<string>, atMs: number) => Promise<void>;
  /** An image is gone: nobody may think it present. */
  readonly onRemoved: (id: string) => void;
  readonly tellNode: (reason: string, message: string) => void;
}

/** Room that a pull must find: 5 % of the disk, but no more than 1 GiB. */
const PULL_SHARE = 0.05;
const PULL_BYTES = 2 ** 30;

/** Remembers when images were used, and removes those that may go when their disk fills up. */
export class ImageCollector {
  readonly #options: ImageCollectorOptions;
  #uses: Map<string, ImageUse> | undefined;
  #mountPoint: string | undefined;
  #sweeping: Promise<unknown> = Promise.resolve();

  constructor(options: ImageCollectorOptions) {
    this.#options = options;
  }

  /** A path on the disk of the images, once the runtime has told. */
  get mountPoint(): string | undefined {
    return this.#mountPoint;
  }

  /** The regular look: removes down to the low mark when the disk is above the high one. */
  sweep(): Promise<void> {
    return this.#inTurn(async () => {
      const { config, tellNode } = this.#options;
      if (config.maxAgeMs > 0) await this.#remove(await this.#noteUses(), Number.POSITIVE_INFINITY, config.maxAgeMs);
      const images = await this.#noteUses();
      const disk = await this.#disk();
      const bytes = disk === undefined ? 0 : bytesAboveMark(disk, config);
      if (bytes <= 0) return;
      const freed = await this.#remove(images, bytes);
      if (freed < bytes)
        tellNode(
          'FreeDiskSpaceFailed',
          `Failed to garbage collect required amount of images. Attempted to free ${bytes} bytes, but only found ${freed} bytes eligible to free.`,
        );
    });
  }

  /** The node is short of disk: everything that may go goes. */
  reclaimAll(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#remove(await this.#noteUses(), Number.POSITIVE_INFINITY);
    });
  }

  /** Room for an image that is about to be pulled; returns why there is none. A pull that fills the disk takes down what runs. */
  async makeRoom(): Promise<string | undefined> {
    const lack = async () => {
      const disk = await this.#disk();
      if (disk === undefined) return undefined;
      const needed = Math.min(PULL_BYTES, disk.totalBytes * PULL_SHARE);
      return disk.freeBytes < needed ? { missing: needed - disk.freeBytes, free: disk.freeBytes, needed } : undefined;
    };
    const before = await lack();
    if (before === undefined) return undefined;
    await this.#inTurn(async () => {
      await this.#remove(await this.#noteUses(), before.missing);
    });
    const after = await lack();
    if (after === undefined) return undefined;
    return `no space left for images: ${after.free} bytes are free, ${Math.floor(after.needed)} are kept back`;
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#sweeping.then(work);
    this.#sweeping = turn.catch(() => undefined);
    await turn;
  }

  async #disk() {
    const { runtime, fs } = this.#options;
    this.#mountPoint ??= (await runtime.imageFileSystem())?.mountPoint;
    return this.#mountPoint === undefined ? undefined : fs.diskUsage(this.#mountPoint);
  }

  /** Lists images and notes which are in use now. */
  async #noteUses(): Promise<readonly ImageInfo[]> {
    const { runtime, clock, onListed } = this.#options;
    const listedMs = clock.monotonic();
    const [images, inUse] = [await runtime.listImages(), await this.#inUse()];
    await this.#note(onListed(new Set(images.map(({ id }) => id)), listedMs));
    const before = await this.#known();
    const nowMs = clock.now();
    const next = new Map<string, ImageUse>();
    for (const image of images) {
      const { firstSeenMs, lastUsedMs } = before.get(image.id) ?? { firstSeenMs: nowMs, lastUsedMs: 0 };
      const isUsed = [image.id, ...image.repoTags, ...image.repoDigests].some((name) => inUse.has(name));
      next.set(image.id, { firstSeenMs, lastUsedMs: isUsed ? nowMs : lastUsedMs });
    }
    this.#uses = next;
    await this.#note(this.#save(before, next));
    return images;
  }

  /** A full disk, on which nothing can be written, is what images are removed for. */
  async #note(writing: Promise<void>): Promise<void> {
    const { log } = this.#options;
    await writing.catch((err: unknown) => log.warn('images could not be noted', { err: describeError(err) }));
  }

  async #inUse(): Promise<Set<string>> {
    const containers = await this.#options.runtime.listContainers();
    return new Set([
      ...containers.flatMap(({ image, imageRef }) => [image, imageRef]),
      ...this.#options.namedBySpecs(),
    ]);
  }

  async #remove(
    images: readonly ImageInfo[],
    bytesToFree: number,
    minAgeMs = this.#options.config.minAgeMs,
  ): Promise<number> {
    const { runtime, clock, log, onRemoved } = this.#options;
    const uses = await this.#known();
    const [inUse, nowMs] = [await this.#inUse(), clock.now()];
    let freed = 0;
    for (const image of planImageRemoval({ images, inUse, uses, bytesToFree, minAgeMs, nowMs })) {
      try {
        await runtime.removeImage(image.id);
        onRemoved(image.id);
        freed += image.sizeBytes;
        log.info('removed an image', { image: image.repoTags[0] ?? image.id, sizeBytes: image.sizeBytes });
      } catch (err) {
        log.warn('an image could not be removed', { image: image.id, err: describeError(err) });
      }
    }
    return freed;
  }

  async #known(): Promise<ReadonlyMap<string, ImageUse>> {
    this.#uses ??= parseUses(await this.#options.fs.readText(this.#options.usesFile).catch(() => '{}'));
    return this.#uses;
  }

  /** An hour's difference of a time of use is not worth a write to an SD card. */
  async #save(before: ReadonlyMap<string, ImageUse>, next: ReadonlyMap<string, ImageUse>): Promise<void> {
    const hour = ({ lastUsedMs }: ImageUse) => Math.floor(lastUsedMs / 3_600_000);
    const isSame =
      before.size === next.size &&
      [...next].every(([id, use]) => {
        const known = before.get(id);
        return known !== undefined && hour(known) === hour(use);
      });
    if (isSame) return;
    await this.#options.fs.writeAtomic(this.#options.usesFile, JSON.stringify(Object.fromEntries(next)), {
      mode: 0o600,
    });
  }
}

/** What cannot be read is forgotten: every image then counts as seen first now. */
function parseUses(text: string): Map<string, ImageUse> {
  try {
    return new Map(Object.entries(JSON.parse(text) as Record<string, ImageUse>));
  } catch (err) {
    if (err instanceof SyntaxError) return new Map();
    throw err;
  }
}
