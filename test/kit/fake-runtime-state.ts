import {
  type ContainerConfig,
  type ContainerRuntime,
  type ContainerStats,
  type ContainerStatus,
  CriError,
  type ImageInfo,
  type RegistryAuth,
  type RuntimeCondition,
  type RuntimeEvent,
  type RuntimeFeatures,
  type SandboxConfig,
} from '#agent/cri/runtime.ts';
import type { Clock } from '#base/clock.ts';

const NOT_FOUND = 5;

export interface FakeCall {
  readonly method: keyof ContainerRuntime;
  readonly args: readonly unknown[];
}

export interface FakeSandbox {
  readonly id: string;
  readonly config: SandboxConfig;
  readonly createdAtMs: number;
  ready: boolean;
  readonly ips: readonly string[];
}

export interface FakeContainer {
  status: ContainerStatus;
  readonly config: ContainerConfig;
}

export interface ExecSyncResult {
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  readonly exitCode: number;
}

export interface FakeRuntimeOptions {
  readonly clock: Clock;
  /** Images that are present from the start. */
  readonly images?: readonly string[];
}

/** What a FakeRuntime holds, and what tests do to it. */
export class FakeRuntimeState {
  readonly calls: FakeCall[] = [];
  readonly sandboxes = new Map<string, FakeSandbox>();
  readonly containers = new Map<string, FakeContainer>();
  readonly images = new Map<string, ImageInfo>();
  /** Images that a pull finds; others fail as from a registry that does not know them. */
  readonly registry = new Set<string>();
  readonly pulledWith: { readonly reference: string; readonly auth: RegistryAuth | undefined }[] = [];
  conditions: RuntimeCondition[] = [
    { type: 'RuntimeReady', status: true, reason: '', message: '' },
    { type: 'NetworkReady', status: true, reason: '', message: '' },
  ];
  /** When true no event is delivered: the kubelet must live by relisting alone. */
  dropEvents = false;
  /** Exit code that a stopped container ends with. */
  stopExitCode = 143;
  onExecSync: (containerId: string, command: readonly string[]) => ExecSyncResult | Promise<ExecSyncResult> = () => ({
    stdout: new Uint8Array(),
    stderr: new Uint8Array(),
    exitCode: 0,
  });
  podCidr = '';
  onRemoveImage: (reference: string) => void = () => undefined;
  runtimeFeatures: RuntimeFeatures = { supplementalGroupsPolicy: false, handlers: [] };
  /** What a container uses, by its id, over the default of 1 MiB of memory. */
  readonly usage = new Map<string, Partial<ContainerStats>>();

  protected readonly clock: Clock;
  protected readonly listeners = new Set<(event: RuntimeEvent) => void>();
  readonly #failures = new Map<keyof ContainerRuntime, Error[]>();
  readonly #gates = new Map<keyof ContainerRuntime, Promise<void>>();
  protected nextId = 1;

  constructor({ clock, images = [] }: FakeRuntimeOptions) {
    this.clock = clock;
    for (const image of images) this.addImage(image);
  }

  addImage(reference: string, info: Partial<ImageInfo> = {}): void {
    this.registry.add(reference);
    this.images.set(reference, {
      id: `sha256:${Buffer.from(reference).toString('hex').padEnd(64, '0').slice(0, 64)}`,
      repoTags: [reference],
      repoDigests: [],
      sizeBytes: 1000,
      uid: undefined,
      username: '',
      ...info,
    });
  }

  /** The next `times` calls of `method` throw `error`. */
  fail(method: keyof ContainerRuntime, error: Error = new CriError(2, `${method} failed`), times = 1): void {
    const queue = this.#failures.get(method) ?? [];
    for (let n = 0; n < times; n++) queue.push(error);
    this.#failures.set(method, queue);
  }

  /** Calls of `method` wait until the returned function is called. */
  hold(method: keyof ContainerRuntime): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gates.set(method, promise);
    return () => {
      this.#gates.delete(method);
      resolve();
    };
  }

  /** The container's main process ends by itself. */
  exitContainer(id: string, exitCode: number, reason = exitCode === 0 ? 'Completed' : 'Error'): void {
    const container = this.container(id);
    if (container.status.state !== 'RUNNING') return;
    container.status = { ...container.status, state: 'EXITED', finishedAtMs: this.clock.now(), exitCode, reason };
    this.emit({ kind: 'containerExited', containerId: id });
  }

  /** The sandbox dies as it does at a reboot: not ready, its containers exited with 255. */
  killSandbox(id: string): void {
    this.sandbox(id).ready = false;
    for (const [containerId, { status }] of this.containers)
      if (status.sandboxId === id) this.exitContainer(containerId, 255, 'Unknown');
  }

  breakEvents(): void {
    for (const listener of this.listeners) listener({ kind: 'lost' });
  }

  callsOf(method: keyof ContainerRuntime): readonly FakeCall[] {
    return this.calls.filter((call) => call.method === method);
  }

  /** The newest container of that name (of that pod, when its UID is given). */
  findContainer(name: string, podUid?: string): ContainerStatus | undefined {
    return [...this.containers.values()]
      .map((container) => container.status)
      .filter(
        (status) =>
          status.name === name &&
          (podUid === undefined || this.sandboxes.get(status.sandboxId)?.config.identity.uid === podUid),
      )
      .at(-1);
  }

  protected async enter(method: keyof ContainerRuntime, args: readonly unknown[]): Promise<void> {
    this.calls.push({ method, args });
    await this.#gates.get(method);
    const failure = this.#failures.get(method)?.shift();
    if (failure !== undefined) throw failure;
  }

  protected emit(event: RuntimeEvent): void {
    if (this.dropEvents) return;
    queueMicrotask(() => {
      for (const listener of this.listeners) listener(event);
    });
  }

  protected sandbox(id: string): FakeSandbox {
    const sandbox = this.sandboxes.get(id);
    if (sandbox === undefined) throw new CriError(NOT_FOUND, `an error occurred when try to find sandbox: not found`);
    return sandbox;
  }

  protected container(id: string): FakeContainer {
    const container = this.containers.get(id);
    if (container === undefined)
      throw new CriError(NOT_FOUND, `an error occurred when try to find container "${id}": not found`);
    return container;
  }

  protected image(reference: string): ImageInfo | undefined {
    return this.images.get(reference) ?? [...this.images.values()].find((image) => image.id === reference);
  }
}
