/** An answer other than 200 of the node's API; the message is plain text, as the kubelet sends it. */
export class NodeApiError extends Error {
  override readonly name = 'NodeApiError';
  readonly statusCode: number;
  constructor(statusCode: number, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.statusCode = statusCode;
  }
}

export interface PodReference {
  readonly namespace: string;
  readonly name: string;
  /** Narrows the pod to one incarnation; undefined = whatever has the name now. */
  readonly uid: string | undefined;
}

export interface ContainerLocation {
  readonly containerId: string;
  /** Absolute path of its newest log file. */
  readonly logPath: string;
}

/** What the node's API has to know of pods; implemented over the kubelet's state. Each may throw NodeApiError. */
export interface PodLookups {
  /**
   * The container whose log is asked for: the running one, else the newest that ever ran. `previous` asks for the one before it.
   * 404 for an unknown pod or container name, 400 `container "c" in pod "p" is waiting to start: <reason>` where none has run yet,
   * 400 `previous terminated container "c" in pod "p" not found`.
   */
  findLog(pod: PodReference, container: string, previous: boolean): Promise<ContainerLocation>;
  /** Id of the running container; 404 `container not found ("c")` where none runs. */
  findRunningContainer(pod: PodReference, container: string): Promise<string>;
  /** Whether the container was made with `tty` and `stdin`: attach must ask for the same. */
  findStreams(pod: PodReference, container: string): Promise<{ readonly tty: boolean; readonly stdin: boolean }>;
  /** Id of the ready sandbox; 404 otherwise. */
  findSandbox(pod: PodReference): Promise<string>;
  isRunning(containerId: string): boolean | Promise<boolean>;
  /** Pods of this node as v1 objects. */
  listPods(): readonly object[];
}
