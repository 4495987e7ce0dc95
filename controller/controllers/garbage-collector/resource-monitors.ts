import type { KubeClient, PartialObject } from '#api/client/client.ts';
import { type DiscoveredResource, fetchDiscovery } from '#api/client/discovery-client.ts';
import type { Informer, InformerHandler } from '#api/client/informer.ts';
import { createInformer } from '#api/client/shared-informer.ts';
import { apiVersionOf, type ResourceInfo } from '#api/object/group-version.ts';
import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';

export interface ResourceMonitorsOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
  readonly handlerFor: (info: ResourceInfo) => InformerHandler<PartialObject>;
}

/** Events own nothing, expire by themselves and are many. */
const IGNORED_KINDS = new Set(['Event']);
const NEEDED_VERBS = ['delete', 'list', 'watch'];

/** Ownership is all that is kept: the collector watches every object of the cluster. */
function keepOwnership(object: PartialObject): PartialObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp, ownerReferences, finalizers, deletionTimestamp } =
    object.metadata;
  object.metadata = {
    name,
    namespace,
    uid,
    resourceVersion,
    creationTimestamp,
    ownerReferences,
    finalizers,
    deletionTimestamp,
  };
  return object;
}

interface Monitor {
  readonly informer: Informer<PartialObject>;
  readonly abort: AbortController;
}

const keyOf = ({ group, version, resource }: ResourceInfo) => `${group}/${version}/${resource}`;

/** One metadata watch per deletable kind, following what the server serves. */
export class ResourceMonitors {
  readonly #options: ResourceMonitorsOptions;
  readonly #monitors = new Map<string, Monitor>();
  #served: readonly DiscoveredResource[] = [];

  constructor(options: ResourceMonitorsOptions) {
    this.#options = options;
  }

  /** Asks what is served and starts and stops watches accordingly; resolves when all of them have seen their first list. */
  async refresh(signal: AbortSignal): Promise<void> {
    const { resources, stale } = await fetchDiscovery(this.#options.client, signal);
    this.#served = resources;
    const wanted = resources.filter(
      ({ kind, verbs }) => !IGNORED_KINDS.has(kind) && NEEDED_VERBS.every((verb) => verbs.includes(verb)),
    );
    for (const resource of wanted) if (!this.#monitors.has(keyOf(resource))) this.#start(resource, signal);
    const keys = new Set(wanted.map(keyOf));
    for (const [key, monitor] of this.#monitors) {
      if (keys.has(key) || stale.some((groupVersion) => key.startsWith(`${groupVersion}/`))) continue;
      monitor.abort.abort();
      this.#monitors.delete(key);
    }
    await Promise.all([...this.#monitors.values()].map(({ informer }) => informer.waitForSync(signal)));
  }

  /** How to address a kind named by an ownerReference; undefined when the server does not serve it. */
  infoOf(apiVersion: string, kind: string): ResourceInfo | undefined {
    const exact = this.#served.find((info) => info.kind === kind && apiVersionOf(info) === apiVersion);
    if (exact !== undefined) return exact;
    // Another version of the same group is the same object.
    const group = apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '';
    return this.#served.find((info) => info.kind === kind && info.group === group);
  }

  #start(resource: DiscoveredResource, signal: AbortSignal): void {
    const { client, clock, log, random, handlerFor } = this.#options;
    const { verbs: _, ...info } = resource;
    const informer = createInformer<PartialObject>({
      resource: client.metadata(info),
      clock,
      log,
      random,
      transform: keepOwnership,
    });
    const abort = new AbortController();
    informer.addHandler(handlerFor(info));
    informer.start(AbortSignal.any([signal, abort.signal]));
    this.#monitors.set(keyOf(resource), { informer, abort });
  }
}
