import type { Pod } from '#api/object/kinds.ts';
import { type Clock, delay } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import type { FileSystem } from '../../host/host.ts';
import { ManifestError, parseStaticPod } from './static-manifest.ts';

export interface ManifestFolderOptions {
  readonly fs: FileSystem;
  readonly folder: string;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Everything that the folder asks for now. */
  readonly onPods: (pods: readonly Pod[]) => void;
}

/** The kubelet's fileCheckFrequency; changes are noticed at once where the kernel tells. */
const CHECK_MS = 20_000;
const MANIFEST = /^[^.].*\.(?:ya?ml|json)$/;
const MAX_BYTES = 1024 * 1024;

/** Pods that are given as files of a folder; a file that cannot be read keeps the pod that it last gave. */
export class ManifestFolder {
  readonly #options: ManifestFolderOptions;
  /** By path: what was read last. */
  readonly #known = new Map<string, { readonly stamp: string; readonly pod: Pod | undefined }>();
  #last = '';

  constructor(options: ManifestFolderOptions) {
    this.#options = options;
  }

  /** Resolves after the first look; goes on until aborted. */
  async start(signal: AbortSignal): Promise<void> {
    await this.look();
    void this.#follow(signal);
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { fs, folder, clock } = this.#options;
    while (!signal.aborted) {
      const changed = new AbortController();
      fs.watch(folder, () => changed.abort(), AbortSignal.any([signal, changed.signal]));
      await delay(clock, CHECK_MS, AbortSignal.any([signal, changed.signal])).catch(() => undefined);
      changed.abort();
      if (!signal.aborted) await this.look();
    }
  }

  async look(): Promise<void> {
    const { fs, folder, onPods } = this.#options;
    const names = (await fs.list(folder)).filter((name) => MANIFEST.test(name)).sort();
    const pods: Pod[] = [];
    for (const name of names) {
      const pod = await this.#read(`${folder}/${name}`);
      if (pod !== undefined) pods.push(pod);
    }
    for (const path of this.#known.keys()) if (!names.includes(path.slice(folder.length + 1))) this.#known.delete(path);
    const unique = [...new Map(pods.map((pod) => [`${pod.metadata.namespace}/${pod.metadata.name}`, pod])).values()];
    const text = unique.map(({ metadata }) => metadata.uid).join();
    if (text === this.#last) return;
    this.#last = text;
    onPods(unique);
  }

  async #read(path: string): Promise<Pod | undefined> {
    const { fs, nodeName, clock, log } = this.#options;
    const info = await fs.info(path);
    const known = this.#known.get(path);
    if (info?.type !== 'file') return undefined;
    const stamp = `${info.inode} ${info.sizeBytes} ${info.modifiedMs}`;
    if (known?.stamp === stamp) return known.pod;
    try {
      if (info.sizeBytes > MAX_BYTES) throw new ManifestError(`is larger than ${MAX_BYTES} bytes`);
      const pod = await parseStaticPod({ bytes: await fs.readBytes(path), path, nodeName, seenMs: clock.now() });
      // Only touched: the pod, and when it was first seen, stay.
      const same = known?.pod?.metadata.uid === pod.metadata.uid ? known.pod : pod;
      this.#known.set(path, { stamp, pod: same });
      return same;
    } catch (err) {
      if (!(err instanceof ManifestError)) throw err;
      log.error('a manifest of a static pod was not taken', { path, err: err.message });
      this.#known.set(path, { stamp, pod: known?.pod });
      return known?.pod;
    }
  }
}
