import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import { type ContainerRuntime, CriError, type ImageInfo } from '../../cri/runtime.ts';
import { untilAborted } from '../until-aborted.ts';
import { credentialHash, type PullCredential } from './image-access.ts';
import { formatImageReference, type ImageReference } from './image-reference.ts';
import type { PullRecords } from './pull-records.ts';

export interface ImagePullerOptions {
  readonly runtime: Pick<ContainerRuntime, 'pullImage' | 'imageStatus'>;
  readonly clock: Clock;
  readonly records: PullRecords;
  /** Pulls at once; more would only fight for the same disk. */
  readonly maxParallelPulls: number;
  /** Sees to room on the disk; returns why there is none. */
  readonly makeRoom: () => Promise<string | undefined>;
}

export interface PulledImage {
  /** Undefined: it is gone again already. */
  readonly info: ImageInfo | undefined;
  /** Monotonic time when it was its turn. */
  readonly startedMs: number;
  /** Which of the credentials opened it; undefined: there were none. */
  readonly usedIndex: number | undefined;
}

interface SharedPull {
  readonly done: Promise<PulledImage>;
  /** Of the pod that began it. */
  readonly signal: AbortSignal;
}

/** Pulls images: so many at once, once for all that come with the same credentials, and notes who may use them from then on. */
export class ImagePuller {
  readonly #options: ImagePullerOptions;
  readonly #shared = new Map<string, SharedPull>();
  readonly #queue: (() => void)[] = [];
  #running = 0;

  constructor(options: ImagePullerOptions) {
    this.#options = options;
  }

  /**
   * Credentials are tried in their order; none = anonymous. Aborting ends the wait at once, and with it the pull, if that was begun here:
   * others who wait for it begin it anew.
   */
  async pull(image: ImageReference, credentials: readonly PullCredential[], signal: AbortSignal): Promise<PulledImage> {
    const key = [formatImageReference(image), ...credentials.map(({ auth }) => credentialHash(auth))].join(' ');
    for (;;) {
      const shared = this.#shared.get(key);
      if (shared === undefined) {
        const done = this.#inTurn(() => this.#pullNow(image, credentials, signal)).finally(() =>
          this.#shared.delete(key),
        );
        this.#shared.set(key, { done, signal });
        return untilAborted(done, signal);
      }
      try {
        const pulled = await untilAborted(shared.done, signal);
        await this.#note(image, credentials, pulled);
        return pulled;
      } catch (err) {
        // It ended with the pod that had begun it.
        if (!shared.signal.aborted || signal.aborted) throw err;
      }
    }
  }

  async #pullNow(
    image: ImageReference,
    credentials: readonly PullCredential[],
    signal: AbortSignal,
  ): Promise<PulledImage> {
    const { runtime, clock, records, makeRoom } = this.#options;
    const name = formatImageReference(image);
    const startedMs = clock.monotonic();
    // It may have waited long for its turn.
    signal.throwIfAborted();
    const noRoom = await makeRoom();
    if (noRoom !== undefined) throw new Error(noRoom);
    let pulled: PulledImage | undefined;
    try {
      await records.begin(name, credentials);
      const usedIndex = await this.#pullWithAny(name, credentials, signal);
      pulled = { info: await runtime.imageStatus(name), startedMs, usedIndex };
    } catch (err) {
      await records.end(name, credentials);
      throw err;
    }
    // Where this fails, the mark of a pull under way stays, and keeps the image from those who may not have it.
    await this.#note(image, credentials, pulled);
    await records.end(name, credentials);
    return pulled;
  }

  async #note(image: ImageReference, credentials: readonly PullCredential[], { info, usedIndex }: PulledImage) {
    const used = usedIndex === undefined ? undefined : credentials[usedIndex];
    if (info !== undefined) await this.#options.records.note({ image, imageId: info.id, used });
  }

  async #pullWithAny(
    name: string,
    credentials: readonly PullCredential[],
    signal: AbortSignal,
  ): Promise<number | undefined> {
    const { runtime } = this.#options;
    if (credentials.length === 0) {
      await runtime.pullImage(name, undefined, signal);
      return undefined;
    }
    const errors: unknown[] = [];
    for (const [index, { auth }] of credentials.entries()) {
      try {
        await runtime.pullImage(name, auth, signal);
        return index;
      } catch (err) {
        signal.throwIfAborted();
        errors.push(err);
      }
    }
    if (errors.length === 1) throw errors[0];
    const messages = [...new Set(errors.map(describePullError))];
    throw new AggregateError(errors, messages.length === 1 ? messages[0] : `[${messages.join(', ')}]`);
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    // Somebody who did not wait may have come in between.
    while (this.#running >= this.#options.maxParallelPulls)
      await new Promise<void>((resolve) => {
        this.#queue.push(resolve);
      });
    this.#running++;
    try {
      return await work();
    } finally {
      this.#running--;
      this.#queue.shift()?.();
    }
  }
}

const UNKNOWN = 2;
/** By number, as Kubernetes' libraries write them. */
const CODES = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
];

/** What the kubelet tells of a pull that failed: a code that says something is told, too. */
export function describePullError(err: unknown): string {
  if (!(err instanceof CriError) || err.code === UNKNOWN) return describeError(err);
  return `rpc error: code = ${CODES[err.code] ?? `Code(${err.code})`} desc = ${err.message}`;
}
