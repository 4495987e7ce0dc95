import type { INodeCondition } from 'kubernetes-models/v1/NodeCondition';
import type { INodeStatus } from 'kubernetes-models/v1/NodeStatus';
import type { Node } from '#api/object/kinds.ts';
import { toTime } from '#base/clock.ts';
import type { ImageInfo, RuntimeCondition, RuntimeFeatures } from '../../cri/runtime.ts';
import type { HostFacts } from '../../host/host.ts';
import { absolute, type Signal } from '../eviction/thresholds.ts';
import type { KubeletConfig } from '../kubelet-config.ts';
import { memoryVerdicts } from './memory-condition.ts';
import { type NetworkTrouble, networkVerdicts } from './network-conditions.ts';
import { swapVerdicts } from './swap-condition.ts';

export interface NodeStatusInput {
  readonly config: KubeletConfig;
  readonly facts: HostFacts;
  readonly runtime: { readonly name: string; readonly version: string };
  readonly runtimeConditions: readonly RuntimeCondition[];
  readonly features: RuntimeFeatures;
  /** Why pods cannot be looked after just now, e.g. the relist is late; undefined = they are. */
  readonly unhealthy: string | undefined;
  readonly disk: {
    readonly totalBytes: number;
    readonly freeBytes: number;
    readonly totalInodes: number;
    readonly freeInodes: number;
  };
  readonly isShuttingDown: boolean;
  /** The kernel has the memory cgroup. */
  readonly hasMemoryLimits: boolean;
  /** Resources of this node beside the usual ones, huge pages and devices, with their amounts. */
  readonly extended: ReadonlyMap<string, string>;
  /** Judged by the eviction thresholds. */
  readonly pressures: ReadonlySet<string>;
  readonly images: readonly ImageInfo[];
  /** By the names of the attach/detach controller. */
  readonly volumesInUse: readonly string[];
  /** undefined: the pod network is somebody else's. */
  readonly networkTroubles?: readonly NetworkTrouble[] | undefined;
  readonly maySwap: boolean;
  readonly previous: Node['status'] | undefined;
  readonly nowMs: number;
}

const MAX_IMAGES = 50;
const KIB = 1024;

/** The node's status; heartbeat times are `nowMs`, transition times move with the status of their condition. */
export function computeNodeStatus(input: NodeStatusInput): INodeStatus {
  const { config, facts, runtime } = input;
  return {
    addresses: [
      ...config.nodeIps.map((address) => ({ type: 'InternalIP', address })),
      { type: 'Hostname', address: facts.hostname },
    ],
    capacity: capacity(input),
    allocatable: allocatable(input),
    conditions: conditions(input),
    daemonEndpoints: { kubeletEndpoint: { Port: config.nodeApiPort } },
    nodeInfo: {
      architecture: facts.architecture,
      bootID: facts.bootId,
      containerRuntimeVersion: `${runtime.name}://${runtime.version}`,
      kernelVersion: facts.kernelVersion,
      kubeProxyVersion: '',
      kubeletVersion: config.version,
      machineID: facts.machineId,
      operatingSystem: 'linux',
      osImage: facts.osImage,
      systemUUID: facts.systemUuid,
      swap: { capacity: facts.swapBytes },
    },
    images: nodeImages(input.images),
    ...volumesInUse(input),
    ...abilities(input.features),
  };
}

/** Once there were some, the last one's end is told too. */
function volumesInUse({ volumesInUse: names, previous }: NodeStatusInput): Partial<INodeStatus> {
  return names.length === 0 && previous?.volumesInUse === undefined ? {} : { volumesInUse: [...names] };
}

/** Schedulers and people see here where a pod can have what it asks for. */
function abilities({ supplementalGroupsPolicy, handlers }: RuntimeFeatures): Partial<INodeStatus> {
  const runtimeHandlers = handlers
    .map(({ name, ...features }) => ({ name, features }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  return { features: { supplementalGroupsPolicy }, ...(runtimeHandlers.length === 0 ? {} : { runtimeHandlers }) };
}

function capacity(input: NodeStatusInput) {
  const { facts, disk, config } = input;
  return {
    cpu: String(facts.cpuCount),
    'ephemeral-storage': `${Math.floor(disk.totalBytes / KIB)}Ki`,
    memory: `${Math.floor(facts.memoryBytes / KIB)}Ki`,
    pods: String(config.maxPods),
    ...Object.fromEntries(input.extended),
  };
}

function allocatable({ facts, disk, config, extended }: NodeStatusInput) {
  const { milliCpu, memoryBytes } = config.reserved;
  const cpuMilli = facts.cpuCount * 1000 - milliCpu;
  return {
    cpu: cpuMilli % 1000 === 0 ? String(cpuMilli / 1000) : `${cpuMilli}m`,
    'ephemeral-storage': String(disk.totalBytes - keptBack(config, 'nodefs.available', disk.totalBytes)),
    memory: `${Math.max(0, Math.floor((facts.memoryBytes - memoryBytes - keptBack(config, 'memory.available', facts.memoryBytes)) / KIB))}Ki`,
    pods: String(config.maxPods),
    ...Object.fromEntries(extended),
  };
}

/** What pods cannot have because eviction would set in. */
function keptBack({ eviction }: KubeletConfig, signal: Signal, capacity: number): number {
  const hard = eviction.thresholds.filter((threshold) => threshold.signal === signal && threshold.gracePeriodMs === 0);
  return Math.max(0, ...hard.map(({ value }) => absolute(value, capacity)));
}

interface Verdict {
  readonly isTrue: boolean;
  readonly reason: string;
  readonly message: string;
}

function conditions(input: NodeStatusInput): INodeCondition[] {
  const { previous, nowMs, pressures } = input;
  const hadCondition = (name: string) => previous?.conditions?.some(({ type }) => type === name) === true;
  const verdicts: Readonly<Record<string, Verdict>> = {
    MemoryPressure: pressure(
      !pressures.has('MemoryPressure'),
      'Memory',
      'sufficient memory available',
      'insufficient memory available',
    ),
    DiskPressure: pressure(!pressures.has('DiskPressure'), 'Disk', 'no disk pressure', 'disk pressure'),
    PIDPressure: pressure(
      !pressures.has('PIDPressure'),
      'PID',
      'sufficient PID available',
      'insufficient PID available',
    ),
    ...memoryVerdicts(input.hasMemoryLimits, hadCondition('MemoryLimitsUnenforced')),
    ...swapVerdicts(input.maySwap, hadCondition('SecretsMaySwap')),
    ...networkVerdicts(input.networkTroubles, hadCondition('NetworkDegraded')),
    Ready: readiness(input),
  };
  return Object.entries(verdicts).map(([type, verdict]) => {
    const status = verdict.isTrue ? 'True' : 'False';
    const before = previous?.conditions?.find((condition) => condition.type === type);
    const lastTransitionTime =
      before?.status === status && before.lastTransitionTime ? before.lastTransitionTime : toTime(nowMs);
    const { reason, message } = verdict;
    return { type, status, lastHeartbeatTime: toTime(nowMs), lastTransitionTime, reason, message };
  });
}

function pressure(hasEnough: boolean, what: 'Memory' | 'Disk' | 'PID', enough: string, tooLittle: string): Verdict {
  const [good, bad] = {
    Memory: ['KubeletHasSufficientMemory', 'KubeletHasInsufficientMemory'],
    Disk: ['KubeletHasNoDiskPressure', 'KubeletHasDiskPressure'],
    PID: ['KubeletHasSufficientPID', 'KubeletHasInsufficientPID'],
  }[what] as [string, string];
  return {
    isTrue: !hasEnough,
    reason: hasEnough ? good : bad,
    message: `kubelet has ${hasEnough ? enough : tooLittle}`,
  };
}

function readiness({ runtimeConditions, unhealthy, isShuttingDown }: NodeStatusInput): Verdict {
  const failures: string[] = [];
  const network = runtimeConditions.find(({ type }) => type === 'NetworkReady');
  const runtime = runtimeConditions.find(({ type }) => type === 'RuntimeReady');
  if (runtime?.status !== true) failures.push(`container runtime not ready: ${describe('RuntimeReady', runtime)}`);
  if (network?.status !== true)
    failures.push(`container runtime network not ready: ${describe('NetworkReady', network)}`);
  if (unhealthy !== undefined) failures.push(unhealthy);
  if (isShuttingDown) failures.push('node is shutting down');
  if (failures.length === 0)
    return { isTrue: true, reason: 'KubeletReady', message: 'kubelet is posting ready status' };
  const message = failures.length === 1 ? failures[0]! : `[${failures.join(', ')}]`;
  return { isTrue: false, reason: 'KubeletNotReady', message };
}

function describe(type: string, condition: RuntimeCondition | undefined): string {
  const reason = condition === undefined ? 'RuntimeUnreachable' : condition.reason;
  return `${type}=false reason:${reason} message:${condition?.message ?? 'the runtime did not answer'}`;
}

/** The largest first, as the scheduler's image locality wants them. */
function nodeImages(images: readonly ImageInfo[]) {
  return [...images]
    .sort((a, b) => b.sizeBytes - a.sizeBytes)
    .slice(0, MAX_IMAGES)
    .map(({ repoDigests, repoTags, sizeBytes }) => ({ names: [...repoDigests, ...repoTags], sizeBytes }))
    .filter(({ names }) => names.length > 0);
}

/** What a heartbeat changes is no reason to write; anything else is. */
export function isSameNodeStatus(a: INodeStatus, b: INodeStatus): boolean {
  const comparable = (status: INodeStatus) =>
    JSON.stringify({ ...status, conditions: status.conditions?.map(({ lastHeartbeatTime: _, ...rest }) => rest) });
  return comparable(a) === comparable(b);
}
