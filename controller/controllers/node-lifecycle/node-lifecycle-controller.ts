import { isDeepStrictEqual } from 'node:util';
import type { Informer } from '#api/client/informer.ts';
import type { WorkQueue } from '#api/client/work-queue.ts';
import { isNotFound } from '#api/object/api-error.ts';
import { type Lease, type Node, type Pod, resources } from '#api/object/kinds.ts';
import { type ObjectKey, objectKey } from '#api/object/kube-object.ts';
import { toTime } from '#base/clock.ts';
import { type ControllerContext, createControllerQueue, runQueue } from '../controller-context.ts';
import { isPodReady } from '../pod-state.ts';
import { computeTaints, evictionTaintKey, hasEvictionTaint } from './compute-taints.ts';
import { computeDisruptionMode, type DisruptionMode, evictionRate } from './disruption-mode.ts';
import { computeSilentConditions, graceMs, readinessOf, signOfLife } from './node-health.ts';

const LEASE_NAMESPACE = 'kube-node-lease';
const BY_NODE = 'node';

/** The last sign of life of a node, on our own monotonic clock. */
interface Pulse {
  readonly sign: string;
  readonly seenMs: number;
}

/**
 * Finds nodes that fell silent, says so in their conditions, and taints them: at once against new pods, and at a bounded rate for
 * eviction. A controller that has just started knows no node's past, so each gets the whole grace again.
 */
class NodeLifecycleController {
  readonly #context: ControllerContext;
  readonly #nodes: Informer<Node>;
  readonly #leases: Informer<Lease>;
  readonly #pods: Informer<Pod>;
  readonly #queue: WorkQueue<ObjectKey>;
  readonly #pulses = new Map<string, Pulse>();
  /** Uids of nodes whose pods were marked as not ready since the node stopped being ready. */
  readonly #marked = new Set<string>();
  #mode: DisruptionMode = 'normal';
  /** Monotonic time before which no further node is tainted for eviction. */
  #nextEvictionMs = 0;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#nodes = context.informers.informer<Node>(resources.nodes);
    this.#leases = context.informers.informer<Lease>(resources.leases, { namespace: LEASE_NAMESPACE });
    this.#pods = context.informers.informer<Pod>(resources.pods);
    this.#pods.addIndex(BY_NODE, (pod) => (pod.spec?.nodeName ? [pod.spec.nodeName] : []));
    this.#queue = createControllerQueue<ObjectKey>(context, { name: 'node-lifecycle', sync: (key) => this.#sync(key) });
  }

  run(signal: AbortSignal): Promise<void> {
    const enqueue = ({ metadata }: Node) => this.#queue.add(objectKey(undefined, metadata.name));
    this.#nodes.addHandler({
      onAdd: (node) => {
        this.#observe(node.metadata.name);
        this.#updateMode();
        this.#tell(node, 'RegisteredNode', `Registered Node ${node.metadata.name} in Controller`);
        enqueue(node);
      },
      onUpdate: (previous, node) => {
        this.#observe(node.metadata.name);
        if (readinessOf(previous) !== readinessOf(node)) this.#updateMode();
        if (isRelevantChange(previous, node)) enqueue(node);
      },
      onDelete: (node) => {
        this.#pulses.delete(node.metadata.name);
        this.#marked.delete(node.metadata.uid);
        this.#updateMode();
        this.#tell(node, 'RemovingNode', `Removing Node ${node.metadata.name} from Controller`);
      },
    });
    this.#leases.addHandler({
      onAdd: ({ metadata }) => this.#observe(metadata.name),
      onUpdate: (_, { metadata }) => this.#observe(metadata.name),
    });
    return runQueue(this.#queue, [this.#nodes, this.#leases, this.#pods], signal);
  }

  #tell(node: Node, reason: string, message: string): void {
    this.#context.events.record(subjectOf(node), 'Normal', reason, `Node ${node.metadata.name} event: ${message}`);
  }

  /** Costs a comparison per heartbeat and wakes nobody: the check that is due anyway looks at the time noted here. */
  #observe(name: string): void {
    const node = this.#nodes.byKey(objectKey(undefined, name));
    if (node === undefined) return;
    const sign = signOfLife(node, this.#leases.byKey(objectKey(LEASE_NAMESPACE, name)));
    if (this.#pulses.get(name)?.sign === sign) return;
    this.#pulses.set(name, { sign, seenMs: this.#context.clock.monotonic() });
  }

  #updateMode(): void {
    const nodes = this.#nodes.list();
    const ready = nodes.filter((node) => readinessOf(node) === 'True').length;
    const mode = computeDisruptionMode(ready, nodes.length - ready);
    if (mode === this.#mode) return;
    this.#context.log.info('Cluster disruption changed', { from: this.#mode, to: mode, ready, nodes: nodes.length });
    const wasFull = this.#mode === 'full';
    this.#mode = mode;
    for (const { metadata } of nodes) {
      const pulse = this.#pulses.get(metadata.name);
      // The others may simply not have got through yet: they get the whole grace again.
      if (wasFull && pulse !== undefined)
        this.#pulses.set(metadata.name, { ...pulse, seenMs: this.#context.clock.monotonic() });
      this.#queue.add(objectKey(undefined, metadata.name));
    }
  }

  async #sync(key: ObjectKey): Promise<void> {
    const cached = this.#nodes.byKey(key);
    if (cached === undefined) return;
    const leftMs = this.#graceLeftMs(cached);
    let node = cached;
    if (leftMs <= 0) node = (await this.#markSilent(cached)) ?? cached;
    else this.#queue.addAfter(key, leftMs);
    await this.#taint(key, node);
    await this.#markPods(node);
  }

  #graceLeftMs(node: Node): number {
    const nowMs = this.#context.clock.monotonic();
    const seenMs = this.#pulses.get(node.metadata.name)?.seenMs ?? nowMs;
    return seenMs + graceMs(node, this.#context.config.nodeMonitorGraceMs) - nowMs;
  }

  /** Answers the node as it is now; undefined when nothing had to be written. */
  async #markSilent(node: Node): Promise<Node | undefined> {
    const { clock, client, events } = this.#context;
    const conditions = computeSilentConditions(node, clock.now());
    if (conditions === undefined) return undefined;
    const { name, uid, resourceVersion } = node.metadata;
    const wasReady = readinessOf(node) === 'True';
    const patch = { metadata: { uid, resourceVersion }, status: { conditions } };
    // A heartbeat that arrives now makes this a conflict: the node is alive after all.
    const updated = await client
      .resource<Node>(resources.nodes)
      .patch({ name, type: 'merge', subresource: 'status', patch });
    if (wasReady) events.record(subjectOf(node), 'Normal', 'NodeNotReady', `Node ${name} status is now: NodeNotReady`);
    return updated;
  }

  async #taint(key: ObjectKey, node: Node): Promise<void> {
    const { clock, client } = this.#context;
    const wantsEviction = evictionTaintKey(node) !== undefined && !hasEvictionTaint(node);
    const waitMs = wantsEviction ? this.#evictionWaitMs() : undefined;
    const decision = { mayEvict: waitMs === 0, isSuspended: this.#mode === 'full', nowMs: clock.now() };
    const taints = computeTaints(node, decision);
    if (waitMs !== undefined && waitMs > 0 && Number.isFinite(waitMs)) this.#queue.addAfter(key, waitMs);
    if (taints === undefined) return;
    const { name, uid, resourceVersion } = node.metadata;
    const patch = { metadata: { uid, resourceVersion }, spec: { taints } };
    if (decision.mayEvict) this.#takeEviction();
    try {
      await client.resource<Node>(resources.nodes).patch({ name, type: 'merge', patch });
    } catch (err) {
      // The failed try must not cost the node its turn.
      if (decision.mayEvict) this.#nextEvictionMs = 0;
      if (!isNotFound(err)) throw err;
    }
  }

  #rate(): number {
    return evictionRate(this.#mode, this.#nodes.list().length, this.#context.config.nodeEvictionRate);
  }

  /** 0 = now; Infinity = not in this mode: a change of mode looks at every node again. */
  #evictionWaitMs(): number {
    if (this.#rate() === 0) return Number.POSITIVE_INFINITY;
    return Math.max(0, this.#nextEvictionMs - this.#context.clock.monotonic());
  }

  #takeEviction(): void {
    this.#nextEvictionMs = this.#context.clock.monotonic() + 1000 / this.#rate();
  }

  /** Nobody can vouch for the pods of a node that is not ready, so Services stop sending to them. Once per outage. */
  async #markPods(node: Node): Promise<void> {
    const { name, uid } = node.metadata;
    if (readinessOf(node) === 'True') {
      this.#marked.delete(uid);
      return;
    }
    if (this.#marked.has(uid)) return;
    for (const pod of this.#pods.byIndex(BY_NODE, name)) if (isPodReady(pod)) await this.#markPod(pod);
    this.#marked.add(uid);
  }

  async #markPod(pod: Pod): Promise<void> {
    const { client, clock, events } = this.#context;
    const lastTransitionTime = toTime(clock.now());
    const conditions = (pod.status?.conditions ?? []).map((condition) =>
      condition.type === 'Ready' ? { ...condition, status: 'False', lastTransitionTime } : condition,
    );
    const { name, namespace, uid, resourceVersion } = pod.metadata;
    const patch = { metadata: { uid, resourceVersion }, status: { conditions } };
    try {
      await client
        .resource<Pod>(resources.pods)
        .patch({ name, namespace, type: 'merge', subresource: 'status', patch });
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
    events.record(
      { apiVersion: 'v1', kind: 'Pod', metadata: pod.metadata },
      'Warning',
      'NodeNotReady',
      'Node is not ready',
    );
  }
}

const subjectOf = (node: Node) => ({ apiVersion: 'v1', kind: 'Node', metadata: node.metadata });

/** Heartbeats change times alone and are no reason to look. */
function isRelevantChange(previous: Node, node: Node): boolean {
  const states = ({ status }: Node) => (status?.conditions ?? []).map(({ type, status: value }) => [type, value]);
  return (
    !isDeepStrictEqual(states(previous), states(node)) ||
    !isDeepStrictEqual(previous.spec, node.spec) ||
    previous.metadata.uid !== node.metadata.uid
  );
}

export function startNodeLifecycleController(context: ControllerContext, signal: AbortSignal): Promise<void> {
  return new NodeLifecycleController(context).run(signal);
}
