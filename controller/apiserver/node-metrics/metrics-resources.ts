import type { Node, Pod } from '#api/object/kinds.ts';
import type { KubeObject, Stored } from '#api/object/kube-object.ts';
import type { TypeTable } from '#api/schema/type-table.ts';
import type { Snapshot } from '../../store/store.ts';
import { createCustomFormat } from '../apiextensions/custom-format.ts';
import { createCustomModels } from '../apiextensions/custom-openapi.ts';
import type { JsonSchema } from '../apiextensions/custom-resource-definition.ts';
import { createCustomType } from '../apiextensions/custom-type.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ComputedRequest, ResourceDefinition } from '../registry/resource-definition.ts';
import { nameColumn, text } from '../resources/printing/columns.ts';
import { METRICS_GROUP, METRICS_VERSION, nodeMetrics, podMetrics } from './metrics-objects.ts';
import type { NodeSummaries } from './node-summaries.ts';

const NODES = '/registry/minions/';
const PODS = '/registry/pods/';

const QUANTITIES: JsonSchema = { type: 'object', additionalProperties: { type: 'string' } };
const MEASURED = { timestamp: { type: 'string' }, window: { type: 'string' } } as const;
const NODE_SCHEMA: JsonSchema = { type: 'object', properties: { ...MEASURED, usage: QUANTITIES } };
const PART: JsonSchema = { type: 'object', properties: { name: { type: 'string' }, usage: QUANTITIES } };
const POD_SCHEMA: JsonSchema = {
  type: 'object',
  properties: { ...MEASURED, containers: { type: 'array', items: PART } },
};

type Measured = Stored<{
  readonly usage?: { readonly cpu?: string; readonly memory?: string };
  readonly window?: string;
}>;

/**
 * metrics.k8s.io: what `kubectl top` and autoscalers ask, answered by asking the nodes at once. An APIService of the user's own that
 * names another server for the group takes its place.
 */
export function metricsResources(
  summaries: Pick<NodeSummaries, 'fetch'>,
  types: TypeTable,
): readonly ResourceDefinition[] {
  const forms = (kind: string, schema: JsonSchema) => {
    const gvk = { group: METRICS_GROUP, version: METRICS_VERSION, kind };
    const objectMeta = types.typeOf({ group: '', version: 'v1', kind: 'Pod' })!.fields.get('metadata')!.type!;
    return {
      ...gvk,
      format: createCustomFormat(createCustomType({ gvk, schema, hasStatus: false, objectMeta }), schema),
      openApi: createCustomModels(gvk, `${kind}List`, schema),
      verbs: ['get', 'list'],
    };
  };
  const usageColumns = [
    text('Cpu', 'Cores in use.'),
    text('Memory', 'Working set.'),
    text('Window', 'Time of the rate.'),
  ];
  return [
    defineResource<Measured>({
      ...forms('NodeMetrics', NODE_SCHEMA),
      resource: 'nodes',
      namespaced: false,
      computedObjects: (snapshot, _nowMs, request) => computeNodes(summaries, snapshot, request),
      columns: [nameColumn, ...usageColumns],
      tableRow: ({ metadata, usage, window }) => [metadata.name, usage?.cpu ?? '', usage?.memory ?? '', window ?? ''],
    }),
    defineResource<Measured>({
      ...forms('PodMetrics', POD_SCHEMA),
      resource: 'pods',
      namespaced: true,
      computedObjects: (snapshot, _nowMs, request) => computePods(summaries, snapshot, request),
      columns: [nameColumn, text('Window', 'Time of the rate.')],
      tableRow: ({ metadata, window }) => [metadata.name, window ?? ''],
    }),
  ];
}

const read = <T>(snapshot: Snapshot, prefix: string): T[] =>
  [...snapshot.range(prefix)].map((stored) => stored.object() as T);

async function computeNodes(
  summaries: Pick<NodeSummaries, 'fetch'>,
  snapshot: Snapshot,
  { name }: ComputedRequest,
): Promise<readonly KubeObject[]> {
  const nodes = read<Node>(snapshot, NODES).filter((node) => name === '' || node.metadata.name === name);
  const found = await summaries.fetch(nodes);
  return nodes.flatMap(({ metadata }) => {
    const summary = found.get(metadata.name);
    const metrics = summary === undefined ? undefined : nodeMetrics(metadata.name, metadata.labels ?? {}, summary);
    return metrics ?? [];
  });
}

/** Only the nodes that run what is asked for are troubled. */
async function computePods(
  summaries: Pick<NodeSummaries, 'fetch'>,
  snapshot: Snapshot,
  { namespace, name }: ComputedRequest,
): Promise<readonly KubeObject[]> {
  const prefix = namespace === '' ? PODS : `${PODS}${namespace}/`;
  const pods = read<Pod>(snapshot, prefix).filter(({ metadata }) => name === '' || metadata.name === name);
  const byKey = new Map(pods.map((pod) => [`${pod.metadata.namespace}/${pod.metadata.name}`, pod]));
  const wanted = new Set(pods.map(({ spec }) => spec?.nodeName));
  const nodes = read<Node>(snapshot, NODES).filter((node) => wanted.has(node.metadata.name));
  const found = await summaries.fetch(nodes);
  const labelsOf = (podNamespace: string, podName: string) => {
    const pod = byKey.get(`${podNamespace}/${podName}`);
    return pod === undefined ? undefined : (pod.metadata.labels ?? {});
  };
  return [...found.values()].flatMap((summary) => podMetrics(summary, labelsOf));
}
