import type { IContainer } from 'kubernetes-models/v1/Container';
import type { Pod } from '#api/object/kinds.ts';
import { backoffDelayMs } from '#base/backoff.ts';
import type { Clock } from '#base/clock.ts';
import { isStillAhead } from '#base/clock-jumps.ts';
import { describeError } from '#base/errors.ts';
import type { ContainerRuntime, ImageInfo, RegistryAuth } from '../../cri/runtime.ts';
import type { EventType, PodEvents } from '../pod-events.ts';
import { StartError } from '../start-error.ts';
import { formatImageReference, type ImageReference, parseImageReference } from './image-reference.ts';

export interface ImageManagerOptions {
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly events: PodEvents;
  /** Pulls at once; more would only fight for the same disk. */
  readonly maxParallelPulls: number;
  /** Sees to room on the disk; returns why there is none. */
  readonly makeRoom: () => Promise<string | undefined>;
  /** Credentials that may fit, best first; empty = anonymous. */
  readonly credentials: (pod: Pod, image: ImageReference) => Promise<readonly RegistryAuth[]>;
}

const BACKOFF = { initialMs: 10_000, maxMs: 300_000 } as const;
/** `ErrImagePull` is shown this long before the status says that we are waiting (`ImagePullBackOff`). */
const ERROR_SHOWN_MS = 5_000;

interface Failure {
  count: number;
  retryAtMs: number;
  message: string;
}

/** Who needs an image: a container by its name, or without one a volume of the pod. */
export type ImageDemand = Pick<IContainer, 'image' | 'imagePullPolicy'> & { readonly name?: string };

/** Sees to it that images are present, by the pull policy of each container or volume. */
export class ImageManager {
  readonly #options: ImageManagerOptions;
  /** What the runtime said about images that it has. Dropped when a container cannot be made from one. */
  readonly #known = new Map<string, ImageInfo>();
  readonly #failures = new Map<string, Failure>();
  readonly #pulls = new Map<string, Promise<void>>();
  readonly #queue: (() => void)[] = [];
  #running = 0;

  constructor(options: ImageManagerOptions) {
    this.#options = options;
  }

  /** Throws StartError with the waiting reason of the status. Safe to call ahead of need: results are shared. */
  async ensure(pod: Pod, demand: ImageDemand, signal: AbortSignal): Promise<ImageInfo> {
    const image = demand.image ?? '';
    const reference = parseImageReference(image);
    if (reference === undefined) {
      const message = `Failed to apply default image tag "${image}": couldn't parse image name "${image}": invalid reference format`;
      this.#tell(pod, demand, 'Warning', 'InspectFailed', message);
      throw new StartError('InvalidImageName', message);
    }
    const name = formatImageReference(reference);
    const policy = demand.imagePullPolicy ?? (reference.tag === 'latest' ? 'Always' : 'IfNotPresent');
    const present = policy === 'Always' ? undefined : await this.#status(name);
    if (present !== undefined) {
      const message = `Container image "${image}" already present on machine and can be accessed by the pod`;
      this.#tell(pod, demand, 'Normal', 'Pulled', message);
      return present;
    }
    if (policy === 'Never') {
      const message = `Container image "${image}" is not present with pull policy of Never`;
      this.#tell(pod, demand, 'Warning', 'ErrImageNeverPull', message);
      throw new StartError('ErrImageNeverPull', message);
    }
    await this.#pullUnlessBackingOff(pod, demand, reference, signal);
    const pulled = await this.#status(name);
    if (pulled === undefined) throw new StartError('ImageInspectError', `image "${image}" is gone after it was pulled`);
    return pulled;
  }

  /** The runtime did not find an image that we thought present. */
  forget(container: IContainer): void {
    const reference = parseImageReference(container.image ?? '');
    if (reference !== undefined) this.#known.delete(formatImageReference(reference));
  }

  /** An image was removed from the node. */
  forgetImage(id: string): void {
    for (const [name, info] of this.#known) if (info.id === id) this.#known.delete(name);
  }

  forgetPod(uid: string): void {
    for (const key of this.#failures.keys()) if (key.startsWith(`${uid}/`)) this.#failures.delete(key);
  }

  async #status(name: string): Promise<ImageInfo | undefined> {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const info = await this.#options.runtime.imageStatus(name);
    if (info !== undefined) this.#known.set(name, info);
    return info;
  }

  async #pullUnlessBackingOff(
    pod: Pod,
    demand: ImageDemand,
    reference: ImageReference,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock } = this.#options;
    const key = `${pod.metadata.uid}/${demand.image}`;
    const failure = this.#failures.get(key);
    if (failure !== undefined && isStillAhead(failure.retryAtMs, clock.now(), BACKOFF.maxMs)) {
      const message = `Back-off pulling image "${demand.image}"`;
      this.#tell(pod, demand, 'Normal', 'BackOff', message);
      throw new StartError('ImagePullBackOff', `${message}: ErrImagePull: ${failure.message}`, failure.retryAtMs);
    }
    try {
      await this.#pull(pod, demand, reference, signal);
      this.#failures.delete(key);
    } catch (err) {
      signal.throwIfAborted();
      const message = describeError(err);
      const count = (failure?.count ?? 0) + 1;
      const retryAtMs = clock.now() + backoffDelayMs(count, BACKOFF);
      this.#failures.set(key, { count, retryAtMs, message });
      const text = `Failed to pull image "${demand.image}": ${message}`;
      this.#tell(pod, demand, 'Warning', 'Failed', text);
      throw new StartError('ErrImagePull', message, clock.now() + ERROR_SHOWN_MS, { cause: err });
    }
  }

  async #pull(pod: Pod, demand: ImageDemand, reference: ImageReference, signal: AbortSignal): Promise<void> {
    const { clock, credentials } = this.#options;
    const name = formatImageReference(reference);
    const askedMs = clock.monotonic();
    this.#tell(pod, demand, 'Normal', 'Pulling', `Pulling image "${demand.image}"`);
    const auths = await credentials(pod, reference);
    const identity = auths.map((auth) => `${auth.username}@${auth.serverAddress}`).join(' ');
    const key = `${name} ${identity}`;
    let startedMs = askedMs;
    const shared = this.#pulls.get(key);
    const pull =
      shared ??
      this.#inTurn(async () => {
        startedMs = clock.monotonic();
        const noRoom = await this.#options.makeRoom();
        if (noRoom !== undefined) throw new Error(noRoom);
        await this.#pullWithAny(name, auths, signal);
      }).finally(() => this.#pulls.delete(key));
    this.#pulls.set(key, pull);
    await pull;
    const info = await this.#fresh(name);
    const took = formatMs(clock.monotonic() - startedMs);
    const waited = formatMs(clock.monotonic() - askedMs);
    const message = `Successfully pulled image "${demand.image}" in ${took} (${waited} including waiting). Image size: ${info?.sizeBytes ?? 0} bytes.`;
    this.#tell(pod, demand, 'Normal', 'Pulled', message);
  }

  #tell(pod: Pod, { name }: ImageDemand, ...what: [type: EventType, reason: string, message: string]): void {
    const { events } = this.#options;
    if (name === undefined) events.pod(pod, ...what);
    else events.container(pod, name, ...what);
  }

  /** A pull may have moved the tag. */
  #fresh(name: string): Promise<ImageInfo | undefined> {
    this.#known.delete(name);
    return this.#status(name);
  }

  async #pullWithAny(name: string, auths: readonly RegistryAuth[], signal: AbortSignal): Promise<void> {
    const { runtime } = this.#options;
    if (auths.length === 0) {
      await runtime.pullImage(name, undefined, signal);
      return;
    }
    const errors: unknown[] = [];
    for (const auth of auths) {
      try {
        await runtime.pullImage(name, auth, signal);
        return;
      } catch (err) {
        errors.push(err);
      }
    }
    throw errors.length === 1 ? errors[0] : new Error(errors.map(describeError).join(', '), { cause: errors[0] });
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    // Somebody who did not wait may have come in between.
    while (this.#running >= this.#options.maxParallelPulls)
      await new Promise<void>((resolve) => {
        this.#queue.push(resolve);
      });
    this.#running++;
    try {
      await work();
    } finally {
      this.#running--;
      this.#queue.shift()?.();
    }
  }
}

function formatMs(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)}ms` : `${(ms / 1000).toFixed(3).replace(/\.?0+$/, '')}s`;
}
