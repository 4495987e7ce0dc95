import type { Pod } from '#api/object/kinds.ts';
import { namespaceOf } from '../pod-spec.ts';

export interface Roots {
  /** `/var/lib/kubelet` */
  readonly kubelet: string;
  /** `/var/log/pods` */
  readonly podLogs: string;
  /** `/var/log/containers` */
  readonly containerLogs: string;
}

/** Where a pod's files are; laid out as the kubelet of Kubernetes does, because CSI drivers and log shippers look there. */
export class PodPaths {
  readonly #roots: Roots;
  constructor(roots: Roots) {
    this.#roots = roots;
  }

  podsRoot(): string {
    return `${this.#roots.kubelet}/pods`;
  }

  podLogsRoot(): string {
    return this.#roots.podLogs;
  }

  pod(uid: string): string {
    return `${this.#roots.kubelet}/pods/${uid}`;
  }

  /** `plugin` with `~` for `/`, e.g. `kubernetes.io~empty-dir`. */
  volume(uid: string, plugin: string, name: string): string {
    return `${this.pod(uid)}/volumes/${plugin}/${name}`;
  }

  hostsFile(uid: string): string {
    return `${this.pod(uid)}/etc-hosts`;
  }

  terminationLog(uid: string, container: string, attempt: number): string {
    return `${this.pod(uid)}/containers/${container}/${attempt}`;
  }

  logDirectory(pod: Pod): string {
    return this.logDirectoryOf({ namespace: namespaceOf(pod), name: pod.metadata.name, uid: pod.metadata.uid });
  }

  logDirectoryOf(id: { readonly namespace: string; readonly name: string; readonly uid: string }): string {
    return `${this.#roots.podLogs}/${id.namespace}_${id.name}_${id.uid}`;
  }

  /** Relative to the log directory. */
  static logFile(container: string, attempt: number): string {
    return `${container}/${attempt}.log`;
  }

  /** The flat symlink that log shippers follow. */
  containerLogLink(pod: Pod, container: string, containerId: string): string {
    return `${this.#roots.containerLogs}/${pod.metadata.name}_${namespaceOf(pod)}_${container}-${containerId}.log`;
  }

  get containerLogs(): string {
    return this.#roots.containerLogs;
  }
}
