import type { INodeStatus } from 'kubernetes-models/v1/NodeStatus';
import type { KubeClient, ResourceClient } from '#api/client/client.ts';
import type { EventRecorder } from '#api/client/event-recorder.ts';
import { Quantity } from '#api/meta/quantity.ts';
import { isNotFound } from '#api/object/api-error.ts';
import { type Node, resources } from '#api/object/kinds.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError, isAbortError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { ContainerRuntime } from '../../cri/runtime.ts';
import type { Host, HostFacts } from '../../host/host.ts';
import type { NodeAllocatable } from '../config/field-ref.ts';
import type { KubeletConfig } from '../kubelet-config.ts';
import { readVolumesInUse } from '../volumes/csi/volumes-in-use.ts';
import type { NetworkTrouble } from './network-conditions.ts';
import { type NodeEvent, schedulableEvents, statusEvents } from './node-events.ts';
import { keepNodeLease } from './node-lease.ts';
import { registerNode } from './node-registration.ts';
import { computeNodeStatus, isSameNodeStatus } from './node-status.ts';
import { RuntimeStateReader } from './runtime-state.ts';

export interface NodeAgentOptions {
  readonly client: KubeClient;
  readonly runtime: ContainerRuntime;
  readonly host: Host;
  readonly config: KubeletConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly recorder: EventRecorder;
  /** Why pods cannot be looked after, or undefined. */
  readonly unhealthy: () => string | undefined;
  readonly pressures: () => ReadonlySet<string>;
  readonly isShuttingDown: () => boolean;
  /** Devices that pods may ask for, by resource name, and how many. */
  readonly devices: () => ReadonlyMap<string, string>;
  readonly lookForDevices: () => Promise<void>;
  /** What is in the way of pod traffic; undefined: the pod network is somebody else's. */
  readonly networkTroubles: () => readonly NetworkTrouble[] | undefined;
  /** Memory volumes of pods may be written to swap. */
  readonly maySwap: boolean;
}

const HUGEPAGES_DIR = '/sys/kernel/mm/hugepages';
const CHECK_MS = 10_000;
/** A node that is not ready looks more often, so that it is ready soon after its network is. */
const CHECK_UNREADY_MS = 500;
/** Longer than this nobody is held up for a status: who waits asks again later. */
const MAX_WAIT_MS = 10_000;
/** Unchanged status is repeated this often. */
const REPORT_MS = 300_000;

const STARTING: NodeEvent = { type: 'Normal', reason: 'Starting', message: 'Starting kubelet.' };

/** Registers the Node and keeps its status and Lease. */
export class NodeAgent {
  readonly #options: NodeAgentOptions;
  readonly #nodes: ResourceClient<Node>;
  readonly #runtime: RuntimeStateReader;
  #facts: HostFacts | undefined;
  #node: Node | undefined;
  /** As it was heard of last, apart from what our own writes brought back. */
  #heard: Node | undefined;
  #sent: { readonly status: INodeStatus; readonly atMs: number } | undefined;
  #current: INodeStatus | undefined;
  /** The last report failed: what the API holds now is not known. */
  #isUnsure = false;
  #hasStarted = false;
  #waiting: PromiseWithResolvers<INodeStatus>[] = [];
  #wake = new AbortController();

  constructor(options: NodeAgentOptions) {
    this.#options = options;
    this.#nodes = options.client.resource<Node>(resources.nodes);
    this.#runtime = new RuntimeStateReader(options);
  }

  /** The Node as this node sees itself; labels of the API once registered. */
  describe(): Pick<Node, 'metadata' | 'status'> {
    const metadata = this.#node?.metadata ?? {
      name: this.#options.config.nodeName,
      uid: '',
      resourceVersion: '',
      creationTimestamp: '',
    };
    return { metadata, status: this.#current ?? {} };
  }

  allocatable(): NodeAllocatable {
    const { cpu = 0, memory = 0, 'ephemeral-storage': disk = 0 } = this.#current?.allocatable ?? {};
    const amountOf = (quantity: string | number) => Quantity.parse(quantity).toNumber();
    return { cpu: amountOf(cpu), memory: amountOf(memory), 'ephemeral-storage': amountOf(disk) };
  }

  /** Reads the host once, without the API: pods may be looked after from then on. */
  async prepare(): Promise<void> {
    this.#facts = await this.#options.host.facts();
    this.#current = await this.#compute();
  }

  /** The Node as the API holds it has changed (labels for admission, podCIDR for the network). */
  onNode(node: Node): void {
    const before = this.#heard ?? this.#node;
    if (before !== undefined) this.#tell(schedulableEvents(before, node));
    this.#heard = node;
    this.#node = node;
    if (this.#sent === undefined || !isContradicted(this.#sent.status, node.status)) return;
    // The controller had not heard of us for a while: it is told at once that we are alive.
    this.#sent = undefined;
    this.checkNow();
  }

  /** Looks at the status now, e.g. because the pod network has just been set up. */
  checkNow(): void {
    this.#wake.abort();
  }

  /**
   * Resolves once the API has accepted a status, read after the call, that names the volume as in use: nobody detaches it from then on.
   * Rejects when the report fails or takes too long; to be asked again.
   */
  async tellInUse(volume: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<INodeStatus>();
    const late = new Error(`the API was not told within ${MAX_WAIT_MS / 1000}s that the volume is in use`);
    const cancel = this.#options.clock.after(MAX_WAIT_MS, () => reject(late));
    this.#waiting.push({ promise, resolve, reject });
    this.checkNow();
    try {
      const { volumesInUse = [] } = await promise;
      if (!volumesInUse.includes(volume)) throw new Error(`${volume} is not in use on this node`);
    } finally {
      cancel();
    }
  }

  start(signal: AbortSignal): void {
    void this.#loop(signal);
  }

  async #loop(signal: AbortSignal): Promise<void> {
    const { client, clock, log, config } = this.#options;
    let isAnnounced = false;
    let isFailing = false;
    while (!signal.aborted) {
      this.#wake = new AbortController();
      // Who comes later may have missed what this report reads.
      const waiting = this.#waiting.splice(0);
      try {
        const accepted = await this.#report(signal);
        for (const { resolve } of waiting) resolve(accepted);
        isFailing = false;
        if (!isAnnounced) {
          isAnnounced = true;
          // Not before there is a Node: it owns the Lease.
          void keepNodeLease({ client, nodeName: config.nodeName, node: () => this.#node, clock, log }, signal);
        }
      } catch (err) {
        for (const { reject } of waiting) reject(err);
        if (isAbortError(err) && signal.aborted) return;
        // Told once: the server may be away for days.
        log[isFailing ? 'debug' : 'warn']('node status was not reported', { err: describeError(err) });
        isFailing = true;
      }
      const isReady = this.#current?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True');
      const pauseMs = isReady && this.#sent !== undefined ? CHECK_MS : CHECK_UNREADY_MS;
      await delay(clock, pauseMs, AbortSignal.any([signal, this.#wake.signal])).catch(() => undefined);
    }
  }

  /** Returns the status that the API holds now. */
  async #report(signal: AbortSignal): Promise<INodeStatus> {
    const { config, clock, log } = this.#options;
    await this.#options.lookForDevices();
    const status = await this.#compute();
    this.#current = status;
    if (this.#node === undefined) {
      const { node, isNew } = await registerNode(
        this.#nodes,
        { config, facts: await this.#hostFacts(), status },
        signal,
      );
      this.#node = node;
      log.info('node is registered', { node: config.nodeName });
      if (!this.#hasStarted) this.#tell([STARTING]);
      this.#hasStarted = true;
      // It was made with this status.
      if (isNew) this.#tell(statusEvents(config.nodeName, undefined, status));
    }
    const sent = this.#sent;
    const isKnown = sent !== undefined && !this.#isUnsure && isSameNodeStatus(sent.status, status);
    if (isKnown && clock.monotonic() - sent.atMs < REPORT_MS) return status;
    this.#isUnsure = true;
    try {
      const patch = { status: withAddresses(status, this.#node.status?.addresses ?? []) };
      const request = { name: config.nodeName, type: 'strategic', subresource: 'status', patch, signal } as const;
      const { status: before } = this.#node;
      this.#node = await this.#nodes.patch(request);
      this.#tell(statusEvents(config.nodeName, before, status));
      this.#sent = { status, atMs: clock.monotonic() };
      this.#isUnsure = false;
      return status;
    } catch (err) {
      // Somebody deleted the Node: register anew.
      if (isNotFound(err)) this.#node = undefined;
      throw err;
    }
  }

  #tell(events: readonly NodeEvent[]): void {
    const { recorder, config } = this.#options;
    const subject = { apiVersion: 'v1', kind: 'Node', metadata: { name: config.nodeName, uid: config.nodeName } };
    for (const { type, reason, message } of events) recorder.record(subject, type, reason, message);
  }

  async #hostFacts(): Promise<HostFacts> {
    this.#facts ??= await this.#options.host.facts();
    return this.#facts;
  }

  async #compute(): Promise<INodeStatus> {
    const { host, config, unhealthy, clock } = this.#options;
    const [facts, cgroups, disk, state, volumesInUse] = await Promise.all([
      this.#hostFacts(),
      host.cgroups(),
      host.fs.diskUsage(config.rootDir),
      this.#runtime.read(),
      readVolumesInUse(host.fs, config.rootDir),
    ]);
    const previous = this.#sent?.status ?? this.#node?.status;
    return computeNodeStatus({
      config,
      facts,
      disk,
      hasMemoryLimits: cgroups.controllers.includes('memory'),
      pressures: this.#options.pressures(),
      isShuttingDown: this.#options.isShuttingDown(),
      extended: new Map([...(await this.#hugepages()), ...this.#options.devices()]),
      ...state,
      volumesInUse,
      unhealthy: unhealthy(),
      networkTroubles: this.#options.networkTroubles(),
      maySwap: this.#options.maySwap,
      previous,
      nowMs: clock.now(),
    });
  }

  /** `hugepages-2048kB` of the kernel is `hugepages-2Mi` here. */
  async #hugepages(): Promise<Map<string, string>> {
    const { fs } = this.#options.host;
    const found = new Map<string, string>();
    for (const name of await fs.list(HUGEPAGES_DIR)) {
      const kib = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1] ?? 0);
      const count = Number((await fs.readText(`${HUGEPAGES_DIR}/${name}/nr_hugepages`).catch(() => '0')).trim());
      const bytes = (amount: number) => Quantity.fromValue(amount * 1024, 'BinarySI').toString();
      if (kib > 0 && count > 0) found.set(`hugepages-${bytes(kib)}`, bytes(kib * count));
    }
    return found;
  }
}

/** Addresses merge by type, of which there may be two (dual stack) or others than before: then the list is replaced. */
function withAddresses(status: INodeStatus, before: NonNullable<INodeStatus['addresses']>): object {
  const addresses = status.addresses ?? [];
  const types = new Set(addresses.map(({ type }) => type));
  const isPlain = types.size === addresses.length && before.every(({ type }) => types.has(type));
  return isPlain ? status : { ...status, addresses: [{ $patch: 'replace' }, ...addresses] };
}

/** Somebody else wrote another verdict than ours, as the node lifecycle controller does of nodes that it does not hear of. */
function isContradicted({ conditions = [] }: INodeStatus, held: INodeStatus | undefined): boolean {
  const others = new Map((held?.conditions ?? []).map(({ type, status }) => [type, status]));
  return conditions.some(({ type, status }) => others.has(type) && others.get(type) !== status);
}
