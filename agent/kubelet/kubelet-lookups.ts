import type { IContainer } from 'kubernetes-models/v1/Container';
import type { Pod } from '#api/object/kinds.ts';
import { PodPaths } from './config/pod-paths.ts';
import { instancesOf, liveSandbox, newestInstance, type ObservedContainer } from './observed-pod.ts';
import type { PodManager } from './pod-manager.ts';
import { findContainer, uidOf } from './pod-spec.ts';
import type { RuntimeCache } from './runtime-cache.ts';
import { type ContainerLocation, NodeApiError, type PodLookups, type PodReference } from './server/pod-lookups.ts';
import { isStaticPod } from './static/static-manifest.ts';

export interface LookupDeps {
  readonly pods: PodManager;
  readonly cache: RuntimeCache;
  readonly paths: PodPaths;
}

/** Answers the node's API from the kubelet's state. */
export class KubeletLookups implements PodLookups {
  readonly #deps: LookupDeps;
  constructor(deps: LookupDeps) {
    this.#deps = deps;
  }

  async findLog(reference: PodReference, name: string, previous: boolean): Promise<ContainerLocation> {
    const pod = this.#pod(reference);
    this.#container(pod, name);
    const ran = instancesOf(this.#observed(pod), name).filter(({ state }) => state !== 'CREATED');
    const instance = previous ? previousOf(ran) : ran[0];
    if (instance !== undefined) return this.#location(pod, instance);
    const { name: podName } = pod.metadata;
    if (previous) throw new NodeApiError(400, `previous terminated container "${name}" in pod "${podName}" not found`);
    const reason = waitingReason(pod, name);
    const why = WHY_NO_LOG[reason] ?? reason;
    throw new NodeApiError(400, `container "${name}" in pod "${podName}" is waiting to start: ${why}`);
  }

  async findRunningContainer(reference: PodReference, name: string): Promise<string> {
    const pod = this.#pod(reference);
    const instance = newestInstance(this.#observed(pod), name);
    if (instance?.state !== 'RUNNING') throw new NodeApiError(404, `container not found ("${name}")`);
    return instance.id;
  }

  async findStreams(
    reference: PodReference,
    name: string,
  ): Promise<{ readonly tty: boolean; readonly stdin: boolean }> {
    const { tty, stdin } = this.#container(this.#pod(reference), name);
    return { tty: tty === true, stdin: stdin === true };
  }

  async findSandbox(reference: PodReference): Promise<string> {
    const sandbox = liveSandbox(this.#observed(this.#pod(reference)));
    if (sandbox === undefined)
      throw new NodeApiError(404, `pod not found ("${reference.name}_${reference.namespace}")`);
    return sandbox.id;
  }

  isRunning(containerId: string): boolean {
    return this.#deps.cache.isRunning(containerId);
  }

  listPods(): readonly object[] {
    return this.#deps.pods.list();
  }

  #pod({ namespace, name, uid }: PodReference): Pod {
    const pod = this.#deps.pods.podByName(namespace, name);
    // A static pod has another uid in the API than here.
    if (pod === undefined || (uid !== undefined && uid !== uidOf(pod) && !isStaticPod(pod)))
      throw new NodeApiError(404, `pod "${name}" not found`);
    return pod;
  }

  #container(pod: Pod, name: string): IContainer {
    const container = findContainer(pod, name);
    if (container === undefined)
      throw new NodeApiError(404, `container "${name}" in pod "${pod.metadata.name}" is not available`);
    return container;
  }

  #observed(pod: Pod) {
    return this.#deps.cache.observe(uidOf(pod));
  }

  #location(pod: Pod, { id, name, attempt }: ObservedContainer): ContainerLocation {
    const logPath = `${this.#deps.paths.logDirectory(pod)}/${PodPaths.logFile(name, attempt)}`;
    return { containerId: id, logPath };
  }
}

/** The instance before the newest; while the newest has ended and waits to be restarted, Kubernetes counts it as the previous one. */
function previousOf(ran: readonly ObservedContainer[]): ObservedContainer | undefined {
  return ran[1] ?? (ran[0]?.state === 'EXITED' && ran[0].attempt > 0 ? ran[0] : undefined);
}

/** What Kubernetes says in place of a reason. */
const WHY_NO_LOG: Readonly<Record<string, string>> = {
  ErrImagePull: "image can't be pulled",
  ImagePullBackOff: 'trying and failing to pull image',
};

function waitingReason(pod: Pod, name: string): string {
  const { containerStatuses = [], initContainerStatuses = [], ephemeralContainerStatuses = [] } = pod.status ?? {};
  const statuses = [...containerStatuses, ...initContainerStatuses, ...ephemeralContainerStatuses];
  return statuses.find((status) => status.name === name)?.state?.waiting?.reason ?? 'ContainerCreating';
}
