import type { Pod } from '#api/object/kinds.ts';
import type { IdMapping, RuntimeFeatures } from '../cri/runtime.ts';
import type { FileSystem } from '../host/host.ts';
import type { PodPaths } from './config/pod-paths.ts';
import { specOf } from './pod-spec.ts';

export interface UserRangesOptions {
  readonly fs: FileSystem;
  readonly paths: PodPaths;
  readonly handlers: RuntimeFeatures['handlers'];
}

/** Ids of a pod, and where those of the first one begin: below are the host's own users. */
const LENGTH = 65_536;
/** The last range ends with the last id that the kernel has. */
const LAST_SLOT = 65_534;

interface StoredMapping {
  readonly hostId: number;
  readonly containerId: number;
  readonly length: number;
}

/**
 * Which ids of the host are those of a pod with a user namespace of its own (`hostUsers: false`): its root is nobody here, and nobody in
 * any other pod. A range is kept in the pod's folder, in the form and place of Kubernetes' kubelet, and ends with it.
 */
export class UserRanges {
  readonly #options: UserRangesOptions;
  /** One after the other: two pods must not find the same range free. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: UserRangesOptions) {
    this.#options = options;
  }

  /**
   * For the sandbox; undefined: the users of the host. Rejects where the pod asks for more than the runtime can do: it would run as root of
   * this host and think it did not.
   */
  async allocate(pod: Pod, handler: string): Promise<readonly IdMapping[] | undefined> {
    if (specOf(pod).hostUsers !== false) return undefined;
    if (this.#options.handlers.find(({ name }) => name === handler)?.userNamespaces !== true) {
      const who = handler === '' ? 'the runtime' : `RuntimeClass handler ${JSON.stringify(handler)}`;
      throw new Error(`can't set spec.hostUsers to false: ${who} does not support user namespaces`);
    }
    const mine = this.#last.then(() => this.#take(pod.metadata.uid));
    this.#last = mine.catch(() => undefined);
    return mine;
  }

  /** For containers: what the sandbox was made with. */
  async rangeOf(pod: Pod): Promise<readonly IdMapping[] | undefined> {
    return specOf(pod).hostUsers === false ? this.#read(pod.metadata.uid) : undefined;
  }

  async #take(uid: string): Promise<readonly IdMapping[]> {
    const { fs, paths } = this.#options;
    const own = await this.#read(uid);
    if (own !== undefined) return own;
    const others = await Promise.all((await fs.list(paths.podsRoot())).map((other) => this.#read(other)));
    const taken = new Set(others.flatMap((range) => range?.map(({ hostId }) => hostId) ?? []));
    let slot = 1;
    while (taken.has(slot * LENGTH)) slot++;
    if (slot > LAST_SLOT) throw new Error('no range of user ids is free on this node');
    const mapping = [{ hostId: slot * LENGTH, containerId: 0, length: LENGTH }];
    await fs.makeDirectory(paths.pod(uid), 0o750);
    const text = JSON.stringify({ uidMappings: mapping, gidMappings: mapping });
    await fs.writeAtomic(this.#path(uid), text, { mode: 0o600, durable: true });
    return mapping;
  }

  async #read(uid: string): Promise<readonly IdMapping[] | undefined> {
    const { fs } = this.#options;
    if ((await fs.info(this.#path(uid))) === undefined) return undefined;
    const { uidMappings } = JSON.parse(await fs.readText(this.#path(uid))) as { uidMappings: readonly StoredMapping[] };
    return uidMappings;
  }

  #path(uid: string): string {
    return `${this.#options.paths.pod(uid)}/userns`;
  }
}
