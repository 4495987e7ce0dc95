import { randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { createCriRuntime } from '#agent/cri/cri-runtime.ts';
import type {
  ContainerConfig,
  ContainerRuntime,
  ContainerSecurity,
  MountConfig,
  SandboxConfig,
} from '#agent/cri/runtime.ts';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';

/**
 * What the runtime alone needs for the same pods: sandbox, container, start, over the same socket and network; nobody orchestrates. It is
 * asked for what the agent asks for: the runtime's seccomp profile, which costs runc 1.1 some 20 ms a process to compile, the pod's cgroup,
 * and the mounts that every container has.
 */
export interface RuntimeFloor {
  /** ms of each of `count` pods, one after the other. */
  readonly serialMs: readonly number[];
  /** ms from the common start to each pod's end of start, all asked for at once. */
  readonly burstMs: readonly number[];
}

const SECURITY: ContainerSecurity = {
  privileged: false,
  runAsUser: undefined,
  runAsGroup: undefined,
  supplementalGroups: [],
  readOnlyRootFilesystem: false,
  allowPrivilegeEscalation: true,
  addCapabilities: [],
  dropCapabilities: [],
  seccomp: { type: 'RuntimeDefault', localhostRef: '' },
  apparmor: undefined,
  maskedPaths: undefined,
  readonlyPaths: undefined,
};
const NAMESPACES = { network: 'POD', pid: 'CONTAINER', ipc: 'POD' } as const;

export async function measureRuntimeFloor(
  socketPath: string,
  logDirectory: string,
  counts: { serial: number; burst: number },
): Promise<RuntimeFloor> {
  const runtime = createCriRuntime({ endpoint: `unix://${socketPath}`, clock: systemClock, log: silentLogger });
  try {
    const serialMs: number[] = [];
    // They stay until the last has started, as ours do: with four others beside it, a pod took the runtime 6 to 15 % longer to start.
    const serial: string[] = [];
    for (let i = 0; i < counts.serial; i++) {
      const startedMs = performance.now();
      const sandbox = await startPod(runtime, `floor-${i}`, logDirectory);
      serialMs.push(performance.now() - startedMs);
      serial.push(sandbox);
    }
    for (const sandbox of serial) await removePod(runtime, sandbox);
    const startedMs = performance.now();
    const burst = await Promise.all(
      Array.from({ length: counts.burst }, async (_, i) => {
        const sandbox = await startPod(runtime, `floor-burst-${i}`, logDirectory);
        return { sandbox, elapsedMs: performance.now() - startedMs };
      }),
    );
    for (const { sandbox } of burst) await removePod(runtime, sandbox);
    return { serialMs, burstMs: burst.map(({ elapsedMs }) => elapsedMs) };
  } finally {
    runtime.close();
  }
}

async function startPod(runtime: ContainerRuntime, name: string, logDirectory: string): Promise<string> {
  const uid = randomUUID();
  const sandbox: SandboxConfig = {
    identity: { name, namespace: 'floor', uid, attempt: 0 },
    hostname: name,
    logDirectory: `${logDirectory}/floor_${name}_${uid}`,
    dns: undefined,
    portMappings: [],
    labels: {},
    annotations: {},
    cgroupParent: `/kubepods/besteffort/pod${uid}`,
    sysctls: {},
    namespaces: NAMESPACES,
    privileged: false,
    security: SECURITY,
  };
  const container: ContainerConfig = {
    name: 'main',
    attempt: 0,
    image: BUSYBOX_IMAGE,
    command: ['sleep', 'infinity'],
    args: [],
    workingDir: '',
    env: [],
    mounts: await mountsBelow(`${logDirectory}/mounts_${uid}`),
    labels: {},
    annotations: {},
    logPath: 'main/0.log',
    stdin: false,
    stdinOnce: false,
    tty: false,
    namespaces: NAMESPACES,
    security: SECURITY,
    resources: { cpuShares: 2, cpuQuota: 0, cpuPeriod: 100_000, memoryLimitBytes: 0, oomScoreAdj: 1000 },
  };
  const sandboxId = await runtime.runSandbox(sandbox, '');
  await runtime.startContainer(await runtime.createContainer(sandboxId, container, sandbox));
  return sandboxId;
}

async function mountsBelow(folder: string): Promise<MountConfig[]> {
  await mkdir(folder, { recursive: true });
  const mount = (containerPath: string, hostPath: string, readOnly = false): MountConfig => ({
    containerPath,
    hostPath,
    readOnly,
    propagation: 'PRIVATE',
  });
  const [hosts, log] = [`${folder}/hosts`, `${folder}/termination-log`];
  await Promise.all([hosts, log].map((path) => writeFile(path, '')));
  return [
    mount('/etc/hosts', hosts),
    mount('/dev/termination-log', log),
    mount('/var/run/secrets/kubernetes.io/serviceaccount', folder, true),
  ];
}

async function removePod(runtime: ContainerRuntime, sandboxId: string): Promise<void> {
  await runtime.stopSandbox(sandboxId);
  await runtime.removeSandbox(sandboxId);
}
