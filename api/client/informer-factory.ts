import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import type { ResourceInfo } from '../object/group-version.ts';
import { type Pod, resources } from '../object/kinds.ts';
import type { Stored } from '../object/kube-object.ts';
import type { KubeClient, PartialObject } from './client.ts';
import type { Informer, Lister } from './informer.ts';
import type { ObjectSharing } from './object-sharing.ts';
import { createInformer } from './shared-informer.ts';

export interface InformerScope {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export interface InformerFactoryOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random?: () => number;
  /** For tests: objects in the caches are frozen. */
  readonly freeze?: boolean;
  /** What is kept of pods: changes the object in place. Default: all but managedFields. */
  readonly trimPod?: (pod: Pod) => Pod;
  /** Where factories of one thread find each other's objects; they must trim alike. */
  readonly sharing?: ObjectSharing;
}

/** Hands out one informer per resource and scope, however many ask for it. */
export interface InformerFactory {
  informer<T extends Stored<object>>(info: ResourceInfo, scope?: InformerScope): Informer<T>;
  /** Metadata alone, for controllers that look at every kind. */
  metadataInformer(info: ResourceInfo): Informer<PartialObject>;
  /** Starts those asked for so far; those asked for later start at once. */
  start(signal: AbortSignal): void;
  waitForSync(signal?: AbortSignal): Promise<void>;
}

export function createInformerFactory(options: InformerFactoryOptions): InformerFactory {
  const { client, sharing, trimPod, ...shared } = options;
  const informers = new Map<
    string,
    { start(signal: AbortSignal): void; waitForSync(s?: AbortSignal): Promise<void> }
  >();
  const joined: { readonly kind: string; readonly lister: Lister<Stored<object>> }[] = [];
  let running: AbortSignal | undefined;

  function obtain<T extends Stored<object>>(key: string, make: () => Informer<T>): Informer<T> {
    const known = informers.get(key);
    // The key names resource and shape, so what is stored under it has this type.
    if (known !== undefined) return known as Informer<T>;
    const informer = make();
    informers.set(key, informer);
    if (running !== undefined) informer.start(running);
    return informer;
  }

  function makeFull<T extends Stored<object>>(info: ResourceInfo, scope: InformerScope): Informer<T> {
    const kind = keyFor('full', info, {});
    const findShared = sharing && ((object: T) => sharing.find(kind, object));
    // The resource says that its objects are pods.
    const transform = info === resources.pods ? (trimPod as ((object: Stored<object>) => T) | undefined) : undefined;
    const resource = client.resource<T>(info);
    const informer = createInformer<T>({ resource, transform, findShared, ...scope, ...shared });
    joined.push({ kind, lister: informer });
    sharing?.join(kind, informer);
    return informer;
  }

  return {
    informer: <T extends Stored<object>>(info: ResourceInfo, scope: InformerScope = {}) =>
      obtain(keyFor('full', info, scope), () => makeFull<T>(info, scope)),
    metadataInformer: (info) =>
      obtain(keyFor('metadata', info, {}), () => createInformer({ resource: client.metadata(info), ...shared })),
    start(signal) {
      running = signal;
      const leave = () => {
        for (const { kind, lister } of joined.splice(0)) sharing?.leave(kind, lister);
      };
      signal.addEventListener('abort', leave, { once: true });
      for (const informer of informers.values()) informer.start(signal);
    },
    async waitForSync(signal) {
      await Promise.all([...informers.values()].map((informer) => informer.waitForSync(signal)));
    },
  };
}

function keyFor(shape: string, info: ResourceInfo, scope: InformerScope): string {
  const { namespace, labelSelector, fieldSelector } = scope;
  return JSON.stringify([shape, info.group, info.version, info.resource, namespace, labelSelector, fieldSelector]);
}
