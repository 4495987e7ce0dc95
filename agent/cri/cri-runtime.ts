import { status } from '@grpc/grpc-js';
import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import {
  containerStatsFrom,
  containerStatusFrom,
  containerSummaryFrom,
  fileSystemUsageFrom,
  imageInfoFrom,
  runtimeFeaturesFrom,
  sandboxStatusFrom,
  sandboxSummaryFrom,
  type WireContainer,
  type WireContainerStatus,
  type WireFeatures,
  type WireImage,
  type WireImageFileSystems,
  type WireSandbox,
  type WireSandboxStatus,
  type WireStats,
} from './cri-answers.ts';
import { wireContainerConfig, wireResources, wireSandboxConfig } from './cri-requests.ts';
import { watchRuntimeEvents } from './event-watch.ts';
import { createGrpcCaller } from './grpc-caller.ts';
import {
  type ContainerRuntime,
  type ContainerStatus,
  type ContainerSummary,
  CriError,
  type RegistryAuth,
  type RuntimeCondition,
} from './runtime.ts';
import { loadWireProtocol } from './wire-protocol.ts';

export interface CriRuntimeOptions {
  /** `unix:///run/coracle/containerd.sock` */
  readonly endpoint: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told of each call, by its name in CRI. */
  readonly onCall?: (method: string) => void;
}

export interface CriRuntime extends ContainerRuntime {
  close(): void;
}

/** Deadlines by kind of call. Reads survive a stalled SD card; a sandbox waits for CNI; the kubelet gives a sandbox 4 minutes too. */
const READ_MS = 30_000;
const CHANGE_MS = 120_000;
const SANDBOX_MS = 240_000;
/** The runtime keeps the limit of stop and exec itself; ours only has to be later than its own. */
const GRACE_MS = 30_000;

const isNotFound = (err: unknown) => err instanceof CriError && err.code === status.NOT_FOUND;

async function ignoreNotFound(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (err) {
    if (!isNotFound(err)) throw err;
  }
}

/** Any CRI v1 runtime over gRPC. The connection is made by the first call and renewed for ever; a call without one fails with code 14. */
export function createCriRuntime({ endpoint, clock, log, onCall }: CriRuntimeOptions): CriRuntime {
  const caller = createGrpcCaller({ endpoint, clock });
  const protocol = loadWireProtocol();
  const runtime = <Response>(method: string, request: object, timeoutMs: number | undefined) => {
    onCall?.(method);
    return caller.unary<Response>(protocol.runtime, method, request, { timeoutMs });
  };
  const image = <Response>(method: string, request: object, timeoutMs: number | undefined, signal?: AbortSignal) => {
    onCall?.(method);
    return caller.unary<Response>(protocol.image, method, request, { timeoutMs, signal });
  };

  /** CRI's container status and stats do not name the sandbox; lists do, and our own creations. */
  let sandboxOf = new Map<string, string>();

  async function listContainers(): Promise<readonly ContainerSummary[]> {
    const { containers } = await runtime<{ containers: WireContainer[] }>('ListContainers', {}, READ_MS);
    const summaries = containers.map((wire) => containerSummaryFrom(wire, wire.pod_sandbox_id));
    sandboxOf = new Map(summaries.map(({ id, sandboxId }) => [id, sandboxId]));
    return summaries;
  }

  async function containerStatus(id: string): Promise<ContainerStatus> {
    const { status: wire } = await runtime<{ status: WireContainerStatus | null }>(
      'ContainerStatus',
      { container_id: id },
      READ_MS,
    );
    if (wire === null) throw new CriError(status.NOT_FOUND, `container ${id}: empty status`);
    if (!sandboxOf.has(id)) await listContainers();
    return containerStatusFrom(wire, sandboxOf.get(id) ?? '');
  }

  /** Without asking for its sandbox: containers of others end, too. */
  async function hasExited(id: string): Promise<boolean> {
    try {
      const request = { container_id: id };
      const answer = await runtime<{ status: WireContainerStatus | null }>('ContainerStatus', request, READ_MS);
      return answer.status === null || containerStatusFrom(answer.status, '').state === 'EXITED';
    } catch (err) {
      if (isNotFound(err)) return true;
      throw err;
    }
  }

  return {
    close: () => caller.close(),

    async version() {
      const wire = await runtime<Record<string, string>>('Version', { version: 'v1' }, READ_MS);
      return {
        name: wire.runtime_name ?? '',
        version: wire.runtime_version ?? '',
        apiVersion: wire.runtime_api_version ?? '',
      };
    },

    async status() {
      const wire = await runtime<{ status: { conditions: RuntimeCondition[] } | null }>('Status', {}, READ_MS);
      return wire.status?.conditions ?? [];
    },

    features: async () => runtimeFeaturesFrom(await runtime<WireFeatures>('Status', {}, READ_MS)),

    async cgroupDriver() {
      try {
        const { linux } = await runtime<{ linux: { cgroup_driver: string } | null }>('RuntimeConfig', {}, READ_MS);
        return linux === null ? undefined : linux.cgroup_driver === 'SYSTEMD' ? 'systemd' : 'cgroupfs';
      } catch (err) {
        if (err instanceof CriError && err.code === status.UNIMPLEMENTED) return undefined;
        throw err;
      }
    },

    async runSandbox(config, runtimeHandler) {
      const request = { config: wireSandboxConfig(config), runtime_handler: runtimeHandler };
      return (await runtime<{ pod_sandbox_id: string }>('RunPodSandbox', request, SANDBOX_MS)).pod_sandbox_id;
    },

    stopSandbox: (id) => ignoreNotFound(runtime('StopPodSandbox', { pod_sandbox_id: id }, SANDBOX_MS)),
    removeSandbox: (id) => ignoreNotFound(runtime('RemovePodSandbox', { pod_sandbox_id: id }, SANDBOX_MS)),

    async listSandboxes() {
      const { items } = await runtime<{ items: WireSandbox[] }>('ListPodSandbox', {}, READ_MS);
      return items.map(sandboxSummaryFrom);
    },

    async sandboxStatus(id) {
      const answer = await runtime<{ status: WireSandboxStatus | null }>(
        'PodSandboxStatus',
        { pod_sandbox_id: id },
        READ_MS,
      );
      if (answer.status === null) throw new CriError(status.NOT_FOUND, `sandbox ${id}: empty status`);
      return sandboxStatusFrom(answer.status);
    },

    async createContainer(sandboxId, config, sandbox) {
      const request = {
        pod_sandbox_id: sandboxId,
        config: wireContainerConfig(config),
        sandbox_config: wireSandboxConfig(sandbox),
      };
      const { container_id } = await runtime<{ container_id: string }>('CreateContainer', request, CHANGE_MS);
      sandboxOf.set(container_id, sandboxId);
      return container_id;
    },

    async startContainer(id) {
      await runtime('StartContainer', { container_id: id }, CHANGE_MS);
    },

    stopContainer: (id, timeoutSeconds) =>
      ignoreNotFound(
        runtime('StopContainer', { container_id: id, timeout: timeoutSeconds }, timeoutSeconds * 1000 + CHANGE_MS),
      ),
    removeContainer: (id) => ignoreNotFound(runtime('RemoveContainer', { container_id: id }, CHANGE_MS)),
    async updateResources(id, resources) {
      await runtime('UpdateContainerResources', { container_id: id, linux: wireResources(resources) }, CHANGE_MS);
    },

    async checkpointContainer(id, path, timeoutSeconds) {
      const request = { container_id: id, location: path, timeout: timeoutSeconds };
      await runtime('CheckpointContainer', request, timeoutSeconds * 1000 + CHANGE_MS);
    },

    listContainers,
    containerStatus,

    async execSync(id, command, timeoutSeconds) {
      const answer = await runtime<{ stdout: Uint8Array; stderr: Uint8Array; exit_code: number }>(
        'ExecSync',
        { container_id: id, cmd: command, timeout: timeoutSeconds },
        timeoutSeconds === 0 ? undefined : timeoutSeconds * 1000 + GRACE_MS,
      );
      return { stdout: answer.stdout, stderr: answer.stderr, exitCode: answer.exit_code };
    },

    async execUrl({ id, command, ...streams }) {
      const request = { container_id: id, cmd: command, ...streams };
      return (await runtime<{ url: string }>('Exec', request, READ_MS)).url;
    },

    async attachUrl({ id, ...streams }) {
      return (await runtime<{ url: string }>('Attach', { container_id: id, ...streams }, READ_MS)).url;
    },

    async portForwardUrl(sandboxId, ports) {
      const request = { pod_sandbox_id: sandboxId, port: ports };
      return (await runtime<{ url: string }>('PortForward', request, READ_MS)).url;
    },

    async imageStatus(reference) {
      const answer = await image<{ image: WireImage | null }>('ImageStatus', { image: { image: reference } }, READ_MS);
      return answer.image === null ? undefined : imageInfoFrom(answer.image);
    },

    async pullImage(reference, auth, signal) {
      const request = { image: { image: reference, user_specified_image: reference }, auth: wireAuth(auth) };
      return (await image<{ image_ref: string }>('PullImage', request, undefined, signal)).image_ref;
    },

    async listImages() {
      return (await image<{ images: WireImage[] }>('ListImages', {}, READ_MS)).images.map(imageInfoFrom);
    },

    removeImage: (reference) => ignoreNotFound(image('RemoveImage', { image: { image: reference } }, CHANGE_MS)),

    async imageFileSystem() {
      const { image_filesystems } = await image<WireImageFileSystems>('ImageFsInfo', {}, READ_MS);
      return image_filesystems[0] === undefined ? undefined : fileSystemUsageFrom(image_filesystems[0]);
    },

    async listContainerStats() {
      const { stats } = await runtime<{ stats: WireStats[] }>('ListContainerStats', {}, READ_MS);
      const isKnown = (wire: WireStats) => sandboxOf.has(wire.attributes?.id ?? '');
      if (!stats.every(isKnown)) await listContainers();
      return stats.map((wire) => containerStatsFrom(wire, sandboxOf.get(wire.attributes?.id ?? '') ?? ''));
    },

    async reopenLog(id) {
      await runtime('ReopenContainerLog', { container_id: id }, CHANGE_MS);
    },

    async updatePodCidr(podCidr) {
      const request = { runtime_config: { network_config: { pod_cidr: podCidr } } };
      await runtime('UpdateRuntimeConfig', request, READ_MS);
    },

    watchEvents(onEvent, signal) {
      void watchRuntimeEvents({ caller, protocol, clock, log, hasExited }, onEvent, signal);
    },
  };
}

/**
 * Without the server, as the kubelet sends it: whom the credentials are for was decided when they were chosen. containerd compares a server
 * with the host that it talks to, letter by letter: `registry.example/team` and Docker Hub's old address would never fit.
 */
function wireAuth(auth: RegistryAuth | undefined): object | null {
  if (auth === undefined) return null;
  return {
    username: auth.username,
    password: auth.password,
    server_address: '',
    identity_token: auth.identityToken,
  };
}
