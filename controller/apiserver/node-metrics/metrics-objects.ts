import { Quantity } from '#api/meta/quantity.ts';
import type { KubeObject } from '#api/object/kube-object.ts';

/** The parts of a kubelet's `/stats/summary` that metrics are made of; everything may be missing. */
export interface NodeSummary {
  readonly node?: ResourceUsage & { readonly nodeName?: string };
  readonly pods?: readonly {
    readonly podRef?: { readonly name?: string; readonly namespace?: string };
    readonly containers?: readonly (ResourceUsage & { readonly name?: string })[];
  }[];
}

interface ResourceUsage {
  readonly cpu?: { readonly time?: string; readonly usageNanoCores?: number };
  readonly memory?: { readonly workingSetBytes?: number };
}

type Labels = Readonly<Record<string, string>>;

export const METRICS_GROUP = 'metrics.k8s.io';
export const METRICS_VERSION = 'v1beta1';
const API_VERSION = `${METRICS_GROUP}/${METRICS_VERSION}`;
/** The time that a rate spans is the kubelet's secret; this is what it commonly is. */
const WINDOW = '10s';

/** undefined while the node has no rate to tell: one look is not enough. */
export function nodeMetrics(name: string, labels: Labels, summary: NodeSummary): KubeObject | undefined {
  const { node } = summary;
  const usage = node === undefined ? undefined : usageOf(node);
  return usage === undefined ? undefined : metricsObject('NodeMetrics', { name, labels }, node, { usage });
}

/** Pods that have a container without a rate are left out, as half a sum would mislead. */
export function podMetrics(
  summary: NodeSummary,
  labelsOf: (namespace: string, name: string) => Labels | undefined,
): KubeObject[] {
  return (summary.pods ?? []).flatMap(({ podRef, containers = [] }) => {
    const { name = '', namespace = '' } = podRef ?? {};
    const labels = labelsOf(namespace, name);
    const parts = containers.map((container) => ({ name: container.name ?? '', usage: usageOf(container) }));
    if (labels === undefined || parts.length === 0 || parts.some(({ usage }) => usage === undefined)) return [];
    return [metricsObject('PodMetrics', { name, namespace, labels }, containers[0], { containers: parts })];
  });
}

function usageOf({ cpu, memory }: ResourceUsage): Labels | undefined {
  if (cpu?.usageNanoCores === undefined || memory?.workingSetBytes === undefined) return undefined;
  const kib = Math.floor(memory.workingSetBytes / 1024);
  return { cpu: `${Math.round(cpu.usageNanoCores)}n`, memory: Quantity.fromValue(kib * 1024, 'BinarySI').toString() };
}

function metricsObject(
  kind: string,
  metadata: { readonly name: string; readonly namespace?: string; readonly labels: Labels },
  measured: ResourceUsage | undefined,
  content: object,
): KubeObject {
  const timestamp = measured?.cpu?.time ?? '';
  const { labels, ...rest } = metadata;
  const shown = Object.keys(labels).length === 0 ? rest : { ...rest, labels };
  return {
    kind,
    apiVersion: API_VERSION,
    metadata: { ...shown, creationTimestamp: timestamp },
    timestamp,
    window: WINDOW,
    ...content,
  } as KubeObject;
}
