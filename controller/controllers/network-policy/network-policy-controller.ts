import {
  NODE_POLICY_KEY,
  NODE_POLICY_LABEL,
  NODE_POLICY_NAMESPACE,
  type NodePolicy,
  nodePolicyName,
} from '#api/network/node-policy.ts';
import { isAlreadyExists, isNotFound } from '#api/object/api-error.ts';
import type { ResourceInfo } from '#api/object/group-version.ts';
import { type ConfigMap, type Namespace, type Pod, resources } from '#api/object/kinds.ts';
import { objectKey } from '#api/object/kube-object.ts';
import { type ControllerContext, createControllerQueue, runQueue } from '../controller-context.ts';
import { compilePolicies, type NetworkPolicy } from './compile-policies.ts';

const NETWORK_POLICIES: ResourceInfo = {
  group: 'networking.k8s.io',
  version: 'v1',
  resource: 'networkpolicies',
  kind: 'NetworkPolicy',
  namespaced: true,
};

/** Pods come and go in bursts; one compilation for all that happens within this time. */
const GATHER_MS = 50;
const ALL = 'all';

/**
 * Keeps what each node must enforce in a ConfigMap that only this node reads. The whole cluster is compiled at once, because any pod may be
 * anybody's peer; only what differs is written.
 */
export function startNetworkPolicyController(context: ControllerContext, signal: AbortSignal): Promise<void> {
  const policies = context.informers.informer<NetworkPolicy>(NETWORK_POLICIES);
  const pods = context.informers.informer<Pod>(resources.pods);
  const namespaces = context.informers.informer<Namespace>(resources.namespaces);
  const published = context.informers.informer<ConfigMap>(resources.configMaps, {
    namespace: NODE_POLICY_NAMESPACE,
    labelSelector: NODE_POLICY_LABEL,
  });
  const configMaps = context.client.resource<ConfigMap>(resources.configMaps);

  async function sync(): Promise<void> {
    const wanted = compilePolicies({ policies: policies.list(), pods: pods.list(), namespaces: namespaces.list() });
    const names = new Set([...wanted.keys()].map(nodePolicyName));
    for (const [node, policy] of wanted) await write(node, policy);
    for (const { metadata } of published.list()) if (!names.has(metadata.name)) await remove(metadata.name);
  }

  async function write(node: string, policy: NodePolicy): Promise<void> {
    const name = nodePolicyName(node);
    const data = { [NODE_POLICY_KEY]: JSON.stringify(policy) };
    const current = published.byKey(objectKey(NODE_POLICY_NAMESPACE, name));
    if (current?.data?.[NODE_POLICY_KEY] === data[NODE_POLICY_KEY]) return;
    if (current !== undefined) {
      await configMaps.update({ ...current, data });
      return;
    }
    const metadata = { name, namespace: NODE_POLICY_NAMESPACE, labels: { [NODE_POLICY_LABEL]: 'node' } };
    try {
      await configMaps.create({ metadata, data });
    } catch (err) {
      // The watch has not shown it yet; its arrival brings the next round.
      if (!isAlreadyExists(err)) throw err;
    }
  }

  async function remove(name: string): Promise<void> {
    try {
      await configMaps.delete({ name, namespace: NODE_POLICY_NAMESPACE });
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  }

  const queue = createControllerQueue(context, { name: 'networkpolicy', sync, concurrency: 1 });
  const enqueue = () => queue.addAfter(ALL, GATHER_MS);
  policies.addHandler({ onAdd: enqueue, onUpdate: enqueue, onDelete: enqueue });
  namespaces.addHandler({
    onAdd: enqueue,
    onUpdate: (a, b) => JSON.stringify(a.metadata.labels) !== JSON.stringify(b.metadata.labels) && enqueue(),
  });
  pods.addHandler({
    onAdd: enqueue,
    onUpdate: (a, b) => policyFacts(a) !== policyFacts(b) && enqueue(),
    onDelete: enqueue,
  });
  published.addHandler({ onAdd: enqueue, onUpdate: enqueue, onDelete: enqueue });
  return runQueue(queue, [policies, pods, namespaces, published], signal);
}

function policyFacts({ metadata, spec, status }: Pod): string {
  return JSON.stringify([metadata.labels, spec?.nodeName, status?.phase, status?.podIPs]);
}
