import type { Pod } from '#api/object/kinds.ts';
import type { Host } from '../host/host.ts';
import { computeHostname, renderHostsFile } from './config/hostname.ts';
import type { PodPaths } from './config/pod-paths.ts';
import { isHostNetwork, uidOf } from './pod-spec.ts';
import { KeyLock } from './volumes/csi/key-lock.ts';

export interface HostsFileDeps {
  readonly host: Pick<Host, 'fs'>;
  readonly paths: PodPaths;
  readonly clusterDomain: string;
}

/** The /etc/hosts of a pod's containers: one file of the host, mounted into all of them. */
export class HostsFile {
  readonly #deps: HostsFileDeps;
  readonly #locks = new KeyLock();
  /** Their folder was made, or set right, by the first write. */
  readonly #written = new WeakSet<Pod>();

  constructor(deps: HostsFileDeps) {
    this.#deps = deps;
  }

  /** In place: running containers have this very file mounted. What is asked for last is what stays. */
  write(pod: Pod, podIps: readonly string[]): Promise<void> {
    return this.#locks.run(uidOf(pod), () => this.#write(pod, podIps));
  }

  async #write(pod: Pod, podIps: readonly string[]): Promise<void> {
    const { host, paths, clusterDomain } = this.#deps;
    const hostFile = isHostNetwork(pod) ? await host.fs.readText('/etc/hosts') : undefined;
    const name = computeHostname(pod, clusterDomain);
    const path = paths.hostsFile(pod.metadata.uid);
    const isFirst = !this.#written.has(pod);
    if (isFirst) await host.fs.makeDirectory(paths.pod(pod.metadata.uid), 0o750);
    await host.fs.write(path, renderHostsFile({ pod, podIps, name, hostFile }), 0o644);
    this.#written.add(pod);
  }
}
