import type { KubeClient, ResourceClient } from '#api/client/client.ts';
import { isAlreadyExists, isConflict, isNotFound } from '#api/object/api-error.ts';
import { type Node, type Pod, resources } from '#api/object/kinds.ts';
import { type ObjectKey, objectKey } from '#api/object/kube-object.ts';
import { backoffDelayMs } from '#base/backoff.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { namespaceOf, type PodUid, uidOf } from '../pod-spec.ts';
import { CONFIG_MIRROR, mirrorOf } from './static-manifest.ts';

export interface MirrorPodsOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  /** Its owner; undefined until this node is registered. */
  readonly node: () => Pick<Node, 'metadata'> | undefined;
  /** The API shows this static pod under a new object, which knows nothing of its status yet. */
  readonly onMirror: (uid: PodUid) => void;
}

const RETRY = { initialMs: 500, maxMs: 30_000, jitter: 0.5 } as const;
const keyOf = (pod: Pod): ObjectKey => objectKey(namespaceOf(pod), pod.metadata.name);

/**
 * Keeps a copy of each static pod in the API, so that everybody sees it; the file alone decides. A mirror that somebody deletes comes
 * back, one that shows an older file is replaced, one without a file goes.
 */
export class MirrorPods {
  readonly #options: MirrorPodsOptions;
  readonly #pods: ResourceClient<Pod>;
  #wanted = new Map<ObjectKey, Pod>();
  /** Mirrors as the API holds them. */
  readonly #present = new Map<ObjectKey, Pod>();
  readonly #busy = new Set<ObjectKey>();
  #signal: AbortSignal | undefined;

  constructor(options: MirrorPodsOptions) {
    this.#options = options;
    this.#pods = options.client.resource<Pod>(resources.pods);
  }

  /** Call once all mirrors of this node were told: what is not there then is made. */
  start(signal: AbortSignal): void {
    this.#signal = signal;
    for (const key of new Set([...this.#wanted.keys(), ...this.#present.keys()])) this.#sync(key);
  }

  setWanted(pods: readonly Pod[]): void {
    const before = this.#wanted;
    this.#wanted = new Map(pods.map((pod) => [keyOf(pod), pod]));
    for (const key of new Set([...before.keys(), ...this.#wanted.keys()])) this.#sync(key);
  }

  onPresent(mirror: Pod): void {
    const key = keyOf(mirror);
    const before = this.#present.get(key);
    this.#present.set(key, mirror);
    if (before?.metadata.uid !== mirror.metadata.uid) this.#tell(key);
    this.#sync(key);
  }

  onGone(mirror: Pod): void {
    const key = keyOf(mirror);
    if (this.#present.get(key)?.metadata.uid !== mirror.metadata.uid) return;
    this.#present.delete(key);
    this.#sync(key);
  }

  /** The object that shows a static pod's status; undefined while there is none. */
  mirrorOf(pod: Pod): Pod | undefined {
    const mirror = this.#present.get(keyOf(pod));
    return mirror?.metadata.annotations?.[CONFIG_MIRROR] === pod.metadata.uid ? mirror : undefined;
  }

  #tell(key: ObjectKey): void {
    const pod = this.#wanted.get(key);
    if (pod !== undefined) this.#options.onMirror(uidOf(pod));
  }

  #sync(key: ObjectKey): void {
    if (this.#signal === undefined || this.#signal.aborted || this.#busy.has(key)) return;
    this.#busy.add(key);
    void this.#settle(key, this.#signal).finally(() => this.#busy.delete(key));
  }

  async #settle(key: ObjectKey, signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#options;
    for (let failures = 0; !signal.aborted; ) {
      try {
        if (await this.#step(key, signal)) return;
        failures = 0;
      } catch (err) {
        if (signal.aborted) return;
        failures++;
        log.warn('a mirror pod could not be brought up to date', { pod: key, err: describeError(err) });
        await delay(clock, backoffDelayMs(failures, { ...RETRY, random }), signal).catch(() => undefined);
      }
    }
  }

  /** One request at most; true when nothing is left to be done. */
  async #step(key: ObjectKey, signal: AbortSignal): Promise<boolean> {
    const wanted = this.#wanted.get(key);
    const present = this.#present.get(key);
    const isCurrent = wanted !== undefined && present !== undefined && this.mirrorOf(wanted) !== undefined;
    if (present !== undefined && (!isCurrent || present.metadata.deletionTimestamp !== undefined)) {
      await this.#delete(present, signal);
      this.#present.delete(key);
      return false;
    }
    if (wanted === undefined || isCurrent) return true;
    const node = this.#options.node();
    if (!node?.metadata.uid) throw new Error('this node is not registered yet');
    try {
      const created = await this.#pods.create(mirrorOf(wanted, node.metadata) as never, signal);
      this.#present.set(key, created);
      this.#tell(key);
    } catch (err) {
      if (!isAlreadyExists(err)) throw err;
      // Somebody's own pod has the name, or the watch has not told yet.
      const other = await this.#pods.fetch(wanted.metadata.name, namespaceOf(wanted), signal);
      if (other.metadata.annotations?.[CONFIG_MIRROR] === undefined) throw err;
      this.#present.set(key, other);
      this.#tell(key);
    }
    return false;
  }

  async #delete(mirror: Pod, signal: AbortSignal): Promise<void> {
    const { name, uid } = mirror.metadata;
    const namespace = namespaceOf(mirror);
    try {
      await this.#pods.delete({ name, namespace, gracePeriodSeconds: 0, preconditions: { uid }, signal });
    } catch (err) {
      if (!isNotFound(err) && !isConflict(err)) throw err;
    }
  }
}
