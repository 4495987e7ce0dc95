import type { INodeStatus } from 'kubernetes-models/v1/NodeStatus';
import type { ResourceClient } from '#api/client/client.ts';
import { isAlreadyExists } from '#api/object/api-error.ts';
import type { Node } from '#api/object/kinds.ts';
import type { HostFacts } from '../../host/host.ts';
import type { KubeletConfig } from '../kubelet-config.ts';

/** Labels that the kubelet owns on its Node; others are left alone. */
export function nodeLabels(config: KubeletConfig, facts: HostFacts): Record<string, string> {
  return {
    ...config.nodeLabels,
    'kubernetes.io/hostname': config.nodeName,
    'kubernetes.io/os': 'linux',
    'kubernetes.io/arch': facts.architecture,
    'beta.kubernetes.io/os': 'linux',
    'beta.kubernetes.io/arch': facts.architecture,
  };
}

/**
 * Creates the Node, or brings the labels of an existing one up to date. A new node is tainted not-ready until the node lifecycle
 * controller has seen it ready, so that nothing lands on a node without network.
 */
export async function registerNode(
  nodes: ResourceClient<Node>,
  {
    config,
    facts,
    status,
  }: { readonly config: KubeletConfig; readonly facts: HostFacts; readonly status: INodeStatus },
  signal: AbortSignal,
): Promise<{ readonly node: Node; readonly isNew: boolean }> {
  const labels = nodeLabels(config, facts);
  const isReady = status.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True');
  const notReady = { key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' };
  const taints = [...config.registerTaints, ...(isReady ? [] : [notReady])];
  try {
    const made = {
      metadata: { name: config.nodeName, labels },
      spec: taints.length === 0 ? {} : { taints },
      status,
    } as Parameters<typeof nodes.create>[0];
    return { node: await nodes.create(made, signal), isNew: true };
  } catch (err) {
    if (!isAlreadyExists(err)) throw err;
  }
  const existing = await nodes.fetch(config.nodeName, undefined, signal);
  const isCurrent = Object.entries(labels).every(([key, value]) => existing.metadata.labels?.[key] === value);
  if (isCurrent) return { node: existing, isNew: false };
  const patch = { metadata: { labels } };
  return { node: await nodes.patch({ name: config.nodeName, type: 'strategic', patch, signal }), isNew: false };
}
