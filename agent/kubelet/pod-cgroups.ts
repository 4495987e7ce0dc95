import type { Pod } from '#api/object/kinds.ts';
import type { Host } from '../host/host.ts';
import { type CgroupSettings, podCgroupPath } from './config/cgroup-names.ts';

/** The pod's own cgroup: the runtime makes it as the parent of its containers; who takes it away is us. */
export class PodCgroups {
  readonly #host: Host;
  readonly #settings: CgroupSettings;

  constructor(host: Host, settings: CgroupSettings) {
    this.#host = host;
    this.#settings = settings;
  }

  /** Empty groups only; one that still holds a process stays and is found again at the next clean-up. */
  async remove(pod: Pod): Promise<void> {
    const { fs, exec } = this.#host;
    const paths = await this.#paths(pod);
    const present: string[] = [];
    for (const path of paths) if ((await fs.info(path)) !== undefined) present.push(path);
    if (present.length === 0) return;
    // Files of a cgroup cannot be unlinked: only rmdir removes one, from the leaves up.
    await exec.run([
      'find',
      ...present,
      '-depth',
      '-type',
      'd',
      '-exec',
      'rmdir',
      '--ignore-fail-on-non-empty',
      '{}',
      '+',
    ]);
  }

  async #paths(pod: Pod): Promise<string[]> {
    const { version, root } = await this.#host.cgroups();
    const path = podCgroupPath(pod, this.#settings);
    if (version === 2) return [`${root}${path}`];
    return (await this.#host.fs.list(root)).map((controller) => `${root}/${controller}${path}`);
  }
}
