import type { PartialObject } from '#api/client/client.ts';
import type { InformerHandler } from '#api/client/informer.ts';
import type { WorkQueue } from '#api/client/work-queue.ts';
import { isConflict, isNotFound } from '#api/object/api-error.ts';
import type { ResourceInfo } from '#api/object/group-version.ts';
import type { OwnerReference } from '#api/object/kube-object.ts';
import { delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import { type ControllerContext, createControllerQueue } from '../controller-context.ts';
import {
  createGraphNode,
  FOREGROUND_FINALIZER,
  type GraphNode,
  isDeletingDependents,
  isOrphaning,
  ObjectGraph,
  ORPHAN_FINALIZER,
} from './object-graph.ts';
import {
  blockingDependents,
  type OwnerState,
  planObject,
  type Touched,
  touchedByChange,
  touchedByRemoval,
} from './plan-deletion.ts';
import { ResourceMonitors } from './resource-monitors.ts';

/** How often the list of served kinds is asked for anew; an owner of an unknown kind asks at once. */
const DISCOVERY_PERIOD_MS = 5 * 60_000;
/** Definitions of kinds come in bursts; discovery is asked once for all that change within this time. */
const DEFINITIONS_SETTLE_MS = 500;
/** Kinds whose objects say what else is served. */
const DEFINING_KINDS = new Set([
  'customresourcedefinitions.apiextensions.k8s.io',
  'apiservices.apiregistration.k8s.io',
]);
/** An owner that exists and was not seen by its watch yet is asked about again after this time. */
const UNSEEN_OWNER_MS = 5_000;
/** Absent owners remembered, so that a thousand dependents cost one question. */
const MAX_ABSENT = 1000;

/**
 * Deletes what lost its last owner, holds owners in foreground deletion until their dependents are gone, and cuts dependents loose from
 * owners that leave them behind. The graph comes from watches and may be late; every deletion is verified live, by uid.
 */
class GarbageCollector {
  readonly #context: ControllerContext;
  readonly #graph = new ObjectGraph();
  readonly #monitors: ResourceMonitors;
  readonly #checks: WorkQueue<string>;
  readonly #orphans: WorkQueue<string>;
  /** Owners that the server said are gone; see absenceKey. */
  readonly #absent = new Set<string>();
  #wakeDiscovery = () => {};
  /** A definition changed since discovery was asked last. */
  #hasNewDefinitions = false;

  constructor(context: ControllerContext) {
    this.#context = context;
    const { client, clock, log, random } = context;
    this.#monitors = new ResourceMonitors({ client, clock, log, random, handlerFor: (info) => this.#handlerFor(info) });
    this.#checks = createControllerQueue<string>(context, {
      name: 'gc-delete',
      concurrency: 20,
      sync: (uid) => this.#check(uid),
    });
    this.#orphans = createControllerQueue<string>(context, { name: 'gc-orphan', sync: (uid) => this.#orphan(uid) });
  }

  async run(signal: AbortSignal): Promise<void> {
    // Nothing is judged before every kind was listed once: an owner not listed yet looks like one that is gone.
    while (!(await this.#refresh(signal))) await delay(this.#context.clock, UNSEEN_OWNER_MS, signal);
    this.#checks.start(signal);
    this.#orphans.start(signal);
    for (;;) {
      if (!this.#hasNewDefinitions) await this.#nextDiscovery(signal);
      if (this.#hasNewDefinitions) await delay(this.#context.clock, DEFINITIONS_SETTLE_MS, signal);
      this.#hasNewDefinitions = false;
      await this.#refresh(signal);
    }
  }

  async #refresh(signal: AbortSignal): Promise<boolean> {
    try {
      await this.#monitors.refresh(signal);
      return true;
    } catch (err) {
      if (signal.aborted) throw err;
      this.#context.log.warn('Cannot ask what the server serves, trying again', { err: describeError(err) });
      return false;
    }
  }

  #nextDiscovery(signal: AbortSignal): Promise<void> {
    const wake = new AbortController();
    this.#wakeDiscovery = () => wake.abort();
    return delay(this.#context.clock, DISCOVERY_PERIOD_MS, AbortSignal.any([signal, wake.signal])).catch((err) => {
      if (signal.aborted) throw err;
    });
  }

  #onDefinition(): void {
    this.#hasNewDefinitions = true;
    this.#wakeDiscovery();
  }

  #handlerFor(info: ResourceInfo): InformerHandler<PartialObject> {
    const definesKinds = DEFINING_KINDS.has(`${info.resource}.${info.group}`);
    const put = ({ metadata }: PartialObject) => {
      if (definesKinds) this.#onDefinition();
      const node = createGraphNode(info, metadata);
      this.#enqueue(touchedByChange(this.#graph.put(node), node, this.#graph));
    };
    return {
      onAdd: put,
      onUpdate: (_, object) => put(object),
      onDelete: ({ metadata }) => {
        if (definesKinds) this.#onDefinition();
        const removed = this.#graph.remove(metadata.uid);
        this.#rememberAbsent(absenceKey(metadata.uid, info.namespaced ? metadata.namespace : undefined));
        if (removed !== undefined) this.#enqueue(touchedByRemoval(removed, this.#graph));
      },
    };
  }

  #enqueue({ check, orphan }: Touched): void {
    for (const uid of check) this.#checks.add(uid);
    for (const uid of orphan) this.#orphans.add(uid);
  }

  #rememberAbsent(key: string): void {
    this.#absent.add(key);
    if (this.#absent.size <= MAX_ABSENT) return;
    const oldest = this.#absent.values().next();
    if (!oldest.done) this.#absent.delete(oldest.value);
  }

  async #check(uid: string): Promise<void> {
    const node = this.#graph.byUid(uid);
    if (node === undefined) return;
    if (isDeletingDependents(node)) return this.#checkForeground(node);
    if (node.isBeingDeleted || node.owners.length === 0) return;
    const live = await this.#fetchLive(node);
    if (live === undefined) return;
    const refs = live.metadata.ownerReferences ?? [];
    const owners = [];
    for (const ref of refs) owners.push({ ref, state: await this.#stateOf(ref, node) });
    const dependents = this.#graph.dependentsOf(uid);
    const plan = planObject({ owners, dependents, finalizers: live.metadata.finalizers ?? [] });
    if (plan.kind === 'dropOwners') await this.#dropOwners(node, live, plan.uids);
    if (plan.kind !== 'delete') return;
    if (plan.unblock) await this.#unblock(node, live);
    await this.#delete(node, live, plan.policy, plan.unblock);
  }

  /** The object as the server has it, or undefined when it is gone or was replaced. */
  async #fetchLive(node: GraphNode): Promise<PartialObject | undefined> {
    try {
      const live = await this.#context.client.metadata(node.info).fetch(node.name, node.namespace);
      return live.metadata.uid === node.uid ? live : undefined;
    } catch (err) {
      if (isNotFound(err)) return undefined;
      throw err;
    }
  }

  async #stateOf(ref: OwnerReference, dependent: GraphNode): Promise<OwnerState> {
    const info = this.#monitors.infoOf(ref.apiVersion, ref.kind);
    if (info === undefined) {
      this.#wakeDiscovery();
      throw new Error(`owner ${ref.apiVersion} ${ref.kind} "${ref.name}" is of a kind that is not served`);
    }
    if (info.namespaced && dependent.namespace === undefined) {
      this.#reportImpossibleOwner(ref, dependent);
      return 'solid';
    }
    const namespace = info.namespaced ? dependent.namespace : undefined;
    const known = this.#graph.byUid(ref.uid);
    // Its deletion, when it comes, brings us back here. An object of that uid elsewhere is not the owner that is meant.
    if (known?.name === ref.name && known.namespace === namespace)
      return isDeletingDependents(known) ? 'waiting' : 'solid';
    if (this.#absent.has(absenceKey(ref.uid, namespace))) return 'absent';
    return this.#fetchOwnerState(ref, info, dependent);
  }

  async #fetchOwnerState(ref: OwnerReference, info: ResourceInfo, dependent: GraphNode): Promise<OwnerState> {
    const namespace = info.namespaced ? dependent.namespace : undefined;
    try {
      const { metadata } = await this.#context.client.metadata(info).fetch(ref.name, namespace);
      if (metadata.uid === ref.uid) {
        this.#checks.addAfter(dependent.uid, UNSEEN_OWNER_MS);
        return isDeletingDependents(createGraphNode(info, metadata)) ? 'waiting' : 'solid';
      }
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
    this.#rememberAbsent(absenceKey(ref.uid, namespace));
    return 'absent';
  }

  /** A cluster-scoped object cannot have an owner in a namespace: nobody knows in which. It is left alone. */
  #reportImpossibleOwner(ref: OwnerReference, { info, name, uid }: GraphNode): void {
    const subject = { apiVersion: info.group === '' ? info.version : `${info.group}/${info.version}`, kind: info.kind };
    const message = `ownerRef [${ref.apiVersion}/${ref.kind}, name: ${ref.name}, uid: ${ref.uid}] does not exist in namespace ""`;
    this.#context.events.record(
      { ...subject, metadata: { name, uid } },
      'Warning',
      'OwnerRefInvalidNamespace',
      message,
    );
  }

  async #checkForeground(node: GraphNode): Promise<void> {
    const blocking = blockingDependents(node, this.#graph.dependentsOf(node.uid));
    if (blocking.length === 0) return this.#removeFinalizer(node, FOREGROUND_FINALIZER);
    for (const dependent of blocking) if (!dependent.isBeingDeleted) this.#checks.add(dependent.uid);
  }

  async #orphan(uid: string): Promise<void> {
    const node = this.#graph.byUid(uid);
    if (node === undefined || !isOrphaning(node)) return;
    for (const dependent of this.#graph.dependentsOf(uid)) {
      const live = await this.#fetchLive(dependent);
      if (live !== undefined) await this.#dropOwners(dependent, live, [uid]);
    }
    await this.#removeFinalizer(node, ORPHAN_FINALIZER);
  }

  #dropOwners(node: GraphNode, live: PartialObject, uids: readonly string[]): Promise<void> {
    const refs = live.metadata.ownerReferences ?? [];
    const ownerReferences = refs.filter((ref) => !uids.includes(ref.uid));
    return ownerReferences.length === refs.length ? Promise.resolve() : this.#patch(node, live, { ownerReferences });
  }

  #unblock(node: GraphNode, live: PartialObject): Promise<void> {
    const refs = live.metadata.ownerReferences ?? [];
    return this.#patch(node, live, { ownerReferences: refs.map((ref) => ({ ...ref, blockOwnerDeletion: false })) });
  }

  async #removeFinalizer(node: GraphNode, finalizer: string): Promise<void> {
    const live = await this.#fetchLive(node);
    const finalizers = live?.metadata.finalizers ?? [];
    if (live === undefined || !finalizers.includes(finalizer)) return;
    await this.#patch(node, live, { finalizers: finalizers.filter((name) => name !== finalizer) });
  }

  /** The resourceVersion makes a lost update a conflict, which the queue tries again. */
  async #patch(node: GraphNode, live: PartialObject, change: object): Promise<void> {
    const { uid, resourceVersion } = live.metadata;
    const patch = { metadata: { uid, resourceVersion, ...change } };
    try {
      const { name, namespace } = node;
      await this.#context.client.metadata(node.info).patch({ name, namespace, type: 'merge', patch });
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  }

  async #delete(
    node: GraphNode,
    live: PartialObject,
    propagationPolicy: 'Foreground' | 'Background' | 'Orphan',
    hasJustChanged: boolean,
  ): Promise<void> {
    const { uid, resourceVersion } = live.metadata;
    // An object that was adopted since it was looked at must live.
    const preconditions = hasJustChanged ? { uid } : { uid, resourceVersion };
    try {
      const { name, namespace } = node;
      await this.#context.client.metadata(node.info).delete({ name, namespace, propagationPolicy, preconditions });
    } catch (err) {
      if (isNotFound(err)) return;
      if (isConflict(err)) this.#checks.add(node.uid);
      else throw err;
    }
  }
}

/** The namespace belongs to it: an owner is looked for where its dependent is, and may be there for one and absent for another. */
function absenceKey(uid: string, namespace: string | undefined): string {
  return `${uid} ${namespace ?? ''}`;
}

export function startGarbageCollector(context: ControllerContext, signal: AbortSignal): Promise<void> {
  return new GarbageCollector(context).run(signal);
}
