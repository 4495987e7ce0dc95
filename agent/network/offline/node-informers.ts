import type { KubeClient } from '#api/client/client.ts';
import type { Informer } from '#api/client/informer.ts';
import { createInformer } from '#api/client/shared-informer.ts';
import { NODE_POLICY_NAMESPACE, nodePolicyName } from '#api/network/node-policy.ts';
import { type ConfigMap, type EndpointSlice, type Node, resources, type Service } from '#api/object/kinds.ts';
import type { Stored } from '#api/object/kube-object.ts';
import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import type { FileSystem } from '../../host/host.ts';
import { essentialNode, essentialService, essentialSlice } from './essential-objects.ts';
import { KeptInformer } from './kept-informer.ts';

export interface NodeInformersOptions {
  readonly client: KubeClient;
  readonly fs: FileSystem;
  /** Where what the API says is kept for a start without it. */
  readonly folder: string;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What the network of a node is made from; each is watched once somebody has asked for it. */
export interface NodeInformers {
  services(): Informer<Service>;
  endpointSlices(): Informer<EndpointSlice>;
  nodes(): Informer<Node>;
  /** The policies of this node, compiled. */
  policies(): Informer<ConfigMap>;
  /** Of those asked for so far; runs until aborted. */
  start(signal: AbortSignal): void;
}

export function createNodeInformers(options: NodeInformersOptions): NodeInformers {
  const { client, fs, folder, nodeName, clock, log } = options;
  const kept: { start(signal: AbortSignal): void }[] = [];
  const once = <T extends Stored<object>>(name: string, inner: () => Informer<T>, trim?: (object: T) => T) => {
    let informer: KeptInformer<T> | undefined;
    return () => {
      if (informer !== undefined) return informer;
      const path = `${folder}/${name}.json`;
      informer = new KeptInformer({ inner: inner(), fs, path, clock, log, ...(trim === undefined ? {} : { trim }) });
      kept.push(informer);
      return informer;
    };
  };
  return {
    services: once('services', () =>
      createInformer({
        resource: client.resource<Service>(resources.services),
        transform: essentialService,
        clock,
        log,
      }),
    ),
    endpointSlices: once('endpoint-slices', () =>
      createInformer({
        ...{ resource: client.resource<EndpointSlice>(resources.endpointSlices), clock, log },
        transform: essentialSlice,
      }),
    ),
    nodes: once(
      'nodes',
      () => createInformer({ resource: client.resource<Node>(resources.nodes), clock, log }),
      essentialNode,
    ),
    policies: once('policies', () =>
      createInformer({
        ...{ resource: client.resource<ConfigMap>(resources.configMaps), clock, log },
        namespace: NODE_POLICY_NAMESPACE,
        fieldSelector: `metadata.name=${nodePolicyName(nodeName)}`,
      }),
    ),
    start(signal) {
      for (const informer of kept) informer.start(signal);
    },
  };
}
