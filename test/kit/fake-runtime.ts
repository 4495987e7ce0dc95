import {
  type ContainerConfig,
  type ContainerRuntime,
  type ContainerStats,
  type ContainerStatus,
  type ContainerSummary,
  CriError,
  type FileSystemUsage,
  type ImageInfo,
  type LinuxResources,
  type RegistryAuth,
  type RuntimeCondition,
  type RuntimeEvent,
  type RuntimeFeatures,
  type SandboxConfig,
  type SandboxStatus,
  type SandboxSummary,
} from '#agent/cri/runtime.ts';
import { type ExecSyncResult, FakeRuntimeState, type FakeSandbox } from './fake-runtime-state.ts';

const NOT_FOUND = 5;
const ALREADY_EXISTS = 6;
const FAILED_PRECONDITION = 9;
const UNIMPLEMENTED = 12;

const NO_USAGE = {
  cpuUsageNanoCoreSeconds: 0,
  memoryUsageBytes: 0,
  memoryRssBytes: 0,
  pageFaults: 0,
  majorPageFaults: 0,
  swapUsageBytes: 0,
  writableLayerBytes: 0,
  writableLayerInodes: 0,
};

/**
 * A container runtime in memory. Containers run until a test ends them (`exitContainer`) or they are stopped. Keeps the contract of
 * agent/cri/testing/runtime-contract.ts, so what passes here holds on containerd.
 */
export class FakeRuntime extends FakeRuntimeState implements ContainerRuntime {
  async version() {
    await this.enter('version', []);
    return { name: 'fake', version: '1.0.0', apiVersion: 'v1' };
  }

  async status(): Promise<readonly RuntimeCondition[]> {
    await this.enter('status', []);
    return this.conditions;
  }

  async features(): Promise<RuntimeFeatures> {
    await this.enter('features', []);
    return this.runtimeFeatures;
  }

  async cgroupDriver(): Promise<'systemd' | 'cgroupfs' | undefined> {
    await this.enter('cgroupDriver', []);
    return undefined;
  }

  async updateResources(id: string, resources: LinuxResources): Promise<void> {
    await this.enter('updateResources', [id, resources]);
    const container = this.container(id);
    if (container.status.state !== 'RUNNING') throw new CriError(FAILED_PRECONDITION, 'container is not running');
    container.status = { ...container.status, resources };
  }

  async checkpointContainer(id: string, path: string, timeoutSeconds: number): Promise<void> {
    await this.enter('checkpointContainer', [id, path, timeoutSeconds]);
    throw new CriError(UNIMPLEMENTED, 'method CheckpointContainer not implemented');
  }

  async imageFileSystem(): Promise<FileSystemUsage | undefined> {
    await this.enter('imageFileSystem', []);
    const usedBytes = [...this.images.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    return { mountPoint: '/var/lib/images', usedBytes, usedInodes: this.images.size };
  }

  async runSandbox(config: SandboxConfig, runtimeHandler: string): Promise<string> {
    await this.enter('runSandbox', [config, runtimeHandler]);
    const { uid, attempt } = config.identity;
    for (const sandbox of this.sandboxes.values()) {
      const taken = sandbox.config.identity;
      if (taken.uid === uid && taken.attempt === attempt)
        throw new CriError(ALREADY_EXISTS, `sandbox name is reserved for "${sandbox.id}"`);
    }
    const number = this.nextId++;
    const id = `sandbox-${number}`;
    const ips = config.namespaces.network === 'NODE' ? [] : [`10.244.0.${number + 1}`];
    this.sandboxes.set(id, { id, config, createdAtMs: this.clock.now(), ready: true, ips });
    return id;
  }

  async stopSandbox(id: string): Promise<void> {
    await this.enter('stopSandbox', [id]);
    const sandbox = this.sandboxes.get(id);
    if (sandbox === undefined) return;
    sandbox.ready = false;
    for (const [containerId, { status }] of this.containers)
      if (status.sandboxId === id) this.exitContainer(containerId, 137);
  }

  async removeSandbox(id: string): Promise<void> {
    await this.enter('removeSandbox', [id]);
    for (const [containerId, { status }] of this.containers) {
      if (status.sandboxId !== id) continue;
      this.exitContainer(containerId, 137);
      this.containers.delete(containerId);
    }
    this.sandboxes.delete(id);
  }

  async listSandboxes(): Promise<readonly SandboxSummary[]> {
    await this.enter('listSandboxes', []);
    return [...this.sandboxes.values()].map(sandboxSummary);
  }

  async sandboxStatus(id: string): Promise<SandboxStatus> {
    await this.enter('sandboxStatus', [id]);
    const sandbox = this.sandbox(id);
    return { ...sandboxSummary(sandbox), ips: sandbox.ips };
  }

  async createContainer(sandboxId: string, config: ContainerConfig, sandbox: SandboxConfig): Promise<string> {
    await this.enter('createContainer', [sandboxId, config, sandbox]);
    if (!this.sandbox(sandboxId).ready)
      throw new CriError(FAILED_PRECONDITION, `sandbox container "${sandboxId}" is not running`);
    for (const { status } of this.containers.values())
      if (status.sandboxId === sandboxId && status.name === config.name && status.attempt === config.attempt)
        throw new CriError(ALREADY_EXISTS, `container name is reserved for "${status.id}"`);
    const image = this.image(config.image);
    if (image === undefined) throw new CriError(NOT_FOUND, `image "${config.image}": not found`);
    const id = `container-${this.nextId++}`;
    this.containers.set(id, {
      config,
      status: {
        id,
        sandboxId,
        name: config.name,
        attempt: config.attempt,
        image: config.image,
        imageRef: image.repoDigests[0] ?? image.id,
        imageName: image.repoTags[0] ?? config.image,
        state: 'CREATED',
        createdAtMs: this.clock.now(),
        startedAtMs: 0,
        finishedAtMs: 0,
        exitCode: 0,
        reason: '',
        message: '',
        logPath: `${sandbox.logDirectory}/${config.logPath}`,
        labels: config.labels,
        annotations: config.annotations,
      },
    });
    return id;
  }

  async startContainer(id: string): Promise<void> {
    await this.enter('startContainer', [id]);
    const container = this.container(id);
    if (container.status.state !== 'CREATED')
      throw new CriError(FAILED_PRECONDITION, `container is in ${container.status.state} state`);
    container.status = { ...container.status, state: 'RUNNING', startedAtMs: this.clock.now() };
  }

  async stopContainer(id: string, timeoutSeconds: number): Promise<void> {
    await this.enter('stopContainer', [id, timeoutSeconds]);
    if (!this.containers.has(id)) return;
    this.exitContainer(id, timeoutSeconds === 0 ? 137 : this.stopExitCode);
  }

  async removeContainer(id: string): Promise<void> {
    await this.enter('removeContainer', [id]);
    if (!this.containers.has(id)) return;
    this.exitContainer(id, 137);
    this.containers.delete(id);
  }

  async listContainers(): Promise<readonly ContainerSummary[]> {
    await this.enter('listContainers', []);
    return [...this.containers.values()].map((container) => container.status);
  }

  async containerStatus(id: string): Promise<ContainerStatus> {
    await this.enter('containerStatus', [id]);
    return this.container(id).status;
  }

  async execSync(id: string, command: readonly string[], timeoutSeconds: number): Promise<ExecSyncResult> {
    await this.enter('execSync', [id, command, timeoutSeconds]);
    if (this.container(id).status.state !== 'RUNNING')
      throw new CriError(FAILED_PRECONDITION, 'container is not running');
    return this.onExecSync(id, command);
  }

  async execUrl(request: Parameters<ContainerRuntime['execUrl']>[0]): Promise<string> {
    await this.enter('execUrl', [request]);
    this.container(request.id);
    return `http://127.0.0.1:1/exec/${this.nextId++}`;
  }

  async attachUrl(request: Parameters<ContainerRuntime['attachUrl']>[0]): Promise<string> {
    await this.enter('attachUrl', [request]);
    this.container(request.id);
    return `http://127.0.0.1:1/attach/${this.nextId++}`;
  }

  async portForwardUrl(sandboxId: string, ports: readonly number[]): Promise<string> {
    await this.enter('portForwardUrl', [sandboxId, ports]);
    this.sandbox(sandboxId);
    return `http://127.0.0.1:1/portforward/${this.nextId++}`;
  }

  async imageStatus(reference: string): Promise<ImageInfo | undefined> {
    await this.enter('imageStatus', [reference]);
    return this.image(reference);
  }

  async pullImage(reference: string, auth: RegistryAuth | undefined, signal?: AbortSignal): Promise<string> {
    await this.enter('pullImage', [reference, auth, signal]);
    this.pulledWith.push({ reference, auth });
    if (!this.registry.has(reference))
      throw new CriError(NOT_FOUND, `failed to pull and unpack image "${reference}": not found`);
    if (!this.images.has(reference)) this.addImage(reference);
    return this.images.get(reference)!.id;
  }

  async listImages(): Promise<readonly ImageInfo[]> {
    await this.enter('listImages', []);
    return [...this.images.values()];
  }

  async removeImage(reference: string): Promise<void> {
    await this.enter('removeImage', [reference]);
    this.onRemoveImage(reference);
    for (const [name, image] of this.images) if (name === reference || image.id === reference) this.images.delete(name);
  }

  async listContainerStats(): Promise<readonly ContainerStats[]> {
    await this.enter('listContainerStats', []);
    return [...this.containers.values()]
      .filter(({ status }) => status.state === 'RUNNING')
      .map(({ status }) => ({
        containerId: status.id,
        name: status.name,
        sandboxId: status.sandboxId,
        ...NO_USAGE,
        readAtMs: this.clock.now(),
        memoryWorkingSetBytes: 1 << 20,
        ...this.usage.get(status.id),
      }));
  }

  async reopenLog(id: string): Promise<void> {
    await this.enter('reopenLog', [id]);
    if (this.container(id).status.state !== 'RUNNING') throw new CriError(2, 'container is not running');
  }

  async updatePodCidr(podCidr: string): Promise<void> {
    await this.enter('updatePodCidr', [podCidr]);
    this.podCidr = podCidr;
  }

  watchEvents(onEvent: (event: RuntimeEvent) => void, signal: AbortSignal): void {
    this.listeners.add(onEvent);
    signal.addEventListener('abort', () => this.listeners.delete(onEvent), { once: true });
  }
}

function sandboxSummary({ id, config, ready, createdAtMs }: FakeSandbox): SandboxSummary {
  return {
    id,
    identity: config.identity,
    ready,
    createdAtMs,
    labels: config.labels,
    annotations: config.annotations,
  };
}
