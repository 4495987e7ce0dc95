import type { IContainer } from 'kubernetes-models/v1/Container';
import type { Pod } from '#api/object/kinds.ts';
import { backoffDelayMs } from '#base/backoff.ts';
import type { Clock } from '#base/clock.ts';
import { isStillAhead } from '#base/clock-jumps.ts';
import type { ContainerRuntime, ImageInfo } from '../../cri/runtime.ts';
import type { EventType, PodEvents } from '../pod-events.ts';
import { StartError } from '../start-error.ts';
import type { PullCredential } from './image-access.ts';
import { describePullError, ImagePuller, type ImagePullerOptions } from './image-puller.ts';
import { formatImageReference, type ImageReference, parseImageReference } from './image-reference.ts';
import type { PullRecords } from './pull-records.ts';

export interface ImageManagerOptions extends ImagePullerOptions {
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly events: PodEvents;
  readonly records: PullRecords;
  /** Credentials that may fit, best first; empty = anonymous. */
  readonly credentials: (pod: Pod, image: ImageReference) => Promise<readonly PullCredential[]>;
}

const BACKOFF = { initialMs: 10_000, maxMs: 300_000 } as const;
/** After so long without a failure the next one is the first again. */
const BACKOFF_FORGOTTEN_MS = 2 * BACKOFF.maxMs;
/** `ErrImagePull` is shown this long before the status says that we are waiting (`ImagePullBackOff`). */
const ERROR_SHOWN_MS = 5_000;

interface Failure {
  readonly count: number;
  /** By the wall clock. */
  readonly retryAtMs: number;
  /** By the monotonic clock. */
  readonly failedMs: number;
  readonly message: string;
}

/** Who needs an image: a container by its name, or without one a volume of the pod. */
export type ImageDemand = Pick<IContainer, 'image' | 'imagePullPolicy'> & { readonly name?: string };

type Credentials = () => Promise<readonly PullCredential[]>;

/** Sees to it that images are present and the pod may use them, by the pull policy of each container or volume. */
export class ImageManager {
  readonly #options: ImageManagerOptions;
  readonly #puller: ImagePuller;
  /** What the runtime said about images that it has. Dropped when a container cannot be made from one. */
  readonly #known = new Map<string, ImageInfo>();
  readonly #failures = new Map<string, Failure>();

  constructor(options: ImageManagerOptions) {
    this.#options = options;
    this.#puller = new ImagePuller(options);
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
    const policy = demand.imagePullPolicy ?? (reference.tag === 'latest' ? 'Always' : 'IfNotPresent');
    const present = policy === 'Always' ? undefined : await this.#status(formatImageReference(reference));
    const credentials = this.#credentialsOnce(pod, reference);
    if (present !== undefined && (await this.#mayUse(reference, present, credentials))) {
      const message = `Container image "${image}" already present on machine and can be accessed by the pod`;
      this.#tell(pod, demand, 'Normal', 'Pulled', message);
      return present;
    }
    if (policy === 'Never') {
      // The same for an image that is here but not for this pod: nobody is to learn what others have.
      const message = `Container image "${image}" is not present with pull policy of Never`;
      this.#tell(pod, demand, 'Warning', 'ErrImageNeverPull', message);
      throw new StartError('ErrImageNeverPull', message);
    }
    return this.#pullUnlessBackingOff(pod, demand, { reference, credentials, signal });
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

  /** Every now and then, with the ids of the images that there were at `listedMs` (monotonic). */
  tidy(present: ReadonlySet<string>, listedMs: number): Promise<void> {
    return this.#options.records.tidy(present, listedMs);
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

  /** Most images are open to all: what a pod has is asked for only where it counts. */
  async #mayUse(reference: ImageReference, { id }: ImageInfo, credentials: Credentials): Promise<boolean> {
    const { records } = this.#options;
    if (records.isOpen(reference, formatImageReference(reference), id)) return true;
    return records.isEntitled(reference, id, await credentials());
  }

  #credentialsOnce(pod: Pod, reference: ImageReference): Credentials {
    let found: ReturnType<Credentials> | undefined;
    return () => {
      found ??= this.#options.credentials(pod, reference);
      return found;
    };
  }

  async #pullUnlessBackingOff(pod: Pod, demand: ImageDemand, request: PullRequest): Promise<ImageInfo> {
    const { clock } = this.#options;
    const key = `${pod.metadata.uid}/${demand.image}`;
    const failure = this.#failures.get(key);
    if (failure !== undefined && isStillAhead(failure.retryAtMs, clock.now(), BACKOFF.maxMs)) {
      const message = `Back-off pulling image "${demand.image}"`;
      this.#tell(pod, demand, 'Normal', 'BackOff', message);
      throw new StartError('ImagePullBackOff', `${message}: ErrImagePull: ${failure.message}`, failure.retryAtMs);
    }
    const info = await this.#pull(pod, demand, request).catch((err: unknown) => {
      request.signal.throwIfAborted();
      const message = describePullError(err);
      this.#failures.set(key, nextFailure(failure, message, clock));
      const text = `Failed to pull image "${demand.image}": ${message}`;
      this.#tell(pod, demand, 'Warning', 'Failed', text);
      throw new StartError('ErrImagePull', message, clock.now() + ERROR_SHOWN_MS, { cause: err });
    });
    const name = formatImageReference(request.reference);
    if (info === undefined) throw new StartError('ImageInspectError', `image "${name}" is gone after it was pulled`);
    return info;
  }

  async #pull(pod: Pod, demand: ImageDemand, request: PullRequest): Promise<ImageInfo | undefined> {
    const { clock } = this.#options;
    const { reference, credentials, signal } = request;
    const askedMs = clock.monotonic();
    this.#tell(pod, demand, 'Normal', 'Pulling', `Pulling image "${demand.image}"`);
    const { info, startedMs } = await this.#puller.pull(reference, await credentials(), signal);
    // A pull may have moved the tag.
    const name = formatImageReference(reference);
    if (info === undefined) this.#known.delete(name);
    else this.#known.set(name, info);
    const took = formatMs(clock.monotonic() - Math.max(startedMs, askedMs));
    const waited = formatMs(clock.monotonic() - askedMs);
    const message = `Successfully pulled image "${demand.image}" in ${took} (${waited} including waiting). Image size: ${info?.sizeBytes ?? 0} bytes.`;
    this.#tell(pod, demand, 'Normal', 'Pulled', message);
    return info;
  }

  #tell(pod: Pod, { name }: ImageDemand, ...what: [type: EventType, reason: string, message: string]): void {
    const { events } = this.#options;
    if (name === undefined) events.pod(pod, ...what);
    else events.container(pod, name, ...what);
  }
}

interface PullRequest {
  readonly reference: ImageReference;
  readonly credentials: Credentials;
  readonly signal: AbortSignal;
}

/** As Kubernetes counts: a pull that went well in between changes nothing, time does. */
function nextFailure(before: Failure | undefined, message: string, clock: Clock): Failure {
  const failedMs = clock.monotonic();
  const isForgotten = before === undefined || failedMs - before.failedMs > BACKOFF_FORGOTTEN_MS;
  const count = isForgotten ? 1 : before.count + 1;
  return { count, failedMs, message, retryAtMs: clock.now() + backoffDelayMs(count, BACKOFF) };
}

function formatMs(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)}ms` : `${(ms / 1000).toFixed(3).replace(/\.?0+$/, '')}s`;
}
