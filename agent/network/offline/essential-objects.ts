import type { EndpointSlice, Node, Service } from '#api/object/kinds.ts';
import type { ObjectMeta } from '#api/object/kube-object.ts';
import { WIREGUARD_KEY_ANNOTATION, wireguardKeyOf } from '../paths/wireguard/node-key.ts';

/*
 * Objects as the network of a node keeps them. A large cluster has tens of thousands, on each of its nodes: what nobody here reads is not kept,
 * most of all the annotation in which kubectl repeats a whole object, and the pod that each endpoint names.
 */

/** Made anew: an object from whose middle a field was deleted takes three times the memory. */
function essentialMetadata({ name, namespace, uid, resourceVersion, labels }: ObjectMeta): ObjectMeta {
  return { name, namespace, uid, resourceVersion, ...(labels === undefined ? {} : { labels }) } as ObjectMeta;
}

export function essentialService({ apiVersion, kind, metadata, spec, status }: Service): Service {
  return { ...{ apiVersion, kind, spec, status }, metadata: essentialMetadata(metadata) } as Service;
}

export function essentialSlice({
  apiVersion,
  kind,
  metadata,
  addressType,
  ports,
  endpoints,
}: EndpointSlice): EndpointSlice {
  return {
    ...{ apiVersion, kind, addressType, ports, metadata: essentialMetadata(metadata) },
    endpoints: endpoints?.map(({ targetRef: _, ...endpoint }) => endpoint),
  } as EndpointSlice;
}

/** Without what heartbeats change, and without images: addresses, ranges, labels and its key are what others need of a node. */
export function essentialNode(node: Node): Node {
  const { apiVersion, kind, metadata, spec, status } = node;
  const key = wireguardKeyOf(node);
  const { name, uid, labels, creationTimestamp } = metadata;
  return {
    ...{ apiVersion, kind, spec },
    metadata: {
      ...{ name, uid, resourceVersion: '', creationTimestamp },
      ...(labels === undefined ? {} : { labels }),
      ...(key === undefined ? {} : { annotations: { [WIREGUARD_KEY_ANNOTATION]: key } }),
    },
    status: { addresses: status?.addresses ?? [] },
  } as Node;
}
