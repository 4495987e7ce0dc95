import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { ContainerRuntime, ImageInfo, RuntimeCondition, RuntimeFeatures } from '../../cri/runtime.ts';

export interface RuntimeState {
  readonly runtime: { readonly name: string; readonly version: string };
  readonly runtimeConditions: readonly RuntimeCondition[];
  readonly images: readonly ImageInfo[];
  readonly features: RuntimeFeatures;
}

export interface RuntimeStateOptions {
  readonly runtime: Pick<ContainerRuntime, 'version' | 'status' | 'listImages' | 'features'>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What a scheduler likes to know and nobody waits for; Kubernetes' kubelet lists images every 30 s. */
const IMAGES_MS = 60_000;
/** It changes with a restart of the runtime alone, which mostly shows as a failed call. */
const VERSION_MS = 300_000;

const UNKNOWN = { name: 'unknown', version: '' } as const;

/** What a Node tells of its runtime: its conditions are asked for each time, the rest as seldom as it changes. */
export class RuntimeStateReader {
  readonly #options: RuntimeStateOptions;
  #version: { readonly value: RuntimeState['runtime']; readonly atMs: number } | undefined;
  #images: { readonly value: readonly ImageInfo[]; readonly atMs: number } | undefined;
  #features: { readonly of: string; readonly value: RuntimeFeatures } | undefined;

  constructor(options: RuntimeStateOptions) {
    this.#options = options;
  }

  /** Never throws: a runtime that does not answer has no conditions. */
  async read(): Promise<RuntimeState> {
    const { runtime, log } = this.#options;
    try {
      const [version, runtimeConditions, images] = await Promise.all([
        this.#readVersion(),
        runtime.status(),
        this.#readImages(),
      ]);
      return { runtime: version, runtimeConditions, images, features: await this.#readFeatures(version) };
    } catch (err) {
      log.warn('container runtime did not tell its state', { err: describeError(err) });
      // It may come back as another one.
      this.#version = undefined;
      this.#images = undefined;
      const features = this.#features?.value ?? { supplementalGroupsPolicy: false, handlers: [] };
      return { runtime: UNKNOWN, runtimeConditions: [], images: [], features };
    }
  }

  async #readVersion(): Promise<RuntimeState['runtime']> {
    const { runtime, clock } = this.#options;
    const atMs = clock.monotonic();
    if (this.#version === undefined || atMs - this.#version.atMs >= VERSION_MS)
      this.#version = { value: await runtime.version(), atMs };
    return this.#version.value;
  }

  async #readImages(): Promise<readonly ImageInfo[]> {
    const { runtime, clock } = this.#options;
    const atMs = clock.monotonic();
    if (this.#images === undefined || atMs - this.#images.atMs >= IMAGES_MS)
      this.#images = { value: await runtime.listImages(), atMs };
    return this.#images.value;
  }

  /** They change with the runtime alone. */
  async #readFeatures({ name, version }: RuntimeState['runtime']): Promise<RuntimeFeatures> {
    const of = `${name} ${version}`;
    if (this.#features?.of !== of) this.#features = { of, value: await this.#options.runtime.features() };
    return this.#features.value;
  }
}
