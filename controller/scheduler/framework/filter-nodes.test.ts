import { describe, expect, it } from 'vitest';
import { DEFAULT_FILTERS } from '../plugins/default-plugins.ts';
import { type ClusterDraft, makeCluster, type PodDraft, podInfo } from '../testing/builders.ts';
import { feasibleNodesToFind, filterNodes } from './filter-nodes.ts';
import { renderUnschedulable } from './unschedulable-message.ts';

interface Case {
  readonly name: string;
  readonly pod: PodDraft;
  readonly cluster: ClusterDraft;
  /** Names of the nodes that fit. */
  readonly fits?: readonly string[];
  /** What users are told when none does. */
  readonly message?: string;
}

const TAINT = { key: 'dedicated', value: 'gpu', effect: 'NoSchedule' };
const nodes = (...names: string[]) => names.map((name) => ({ name }));
const zoned = (...pairs: [string, string][]) =>
  pairs.map(([name, zone]) => ({ name, labels: { 'topology.kubernetes.io/zone': zone } }));
const ZONE = 'topology.kubernetes.io/zone';
const HOST = 'kubernetes.io/hostname';
const APP = { app: 'web' };
const spread = (topologyKey: string, extra: object = {}) => ({
  topologySpreadConstraints: [
    { maxSkew: 1, topologyKey, whenUnsatisfiable: 'DoNotSchedule', labelSelector: { matchLabels: APP }, ...extra },
  ],
});
const podTerm = (kind: 'podAffinity' | 'podAntiAffinity', topologyKey: string, extra: object = {}) => ({
  affinity: {
    [kind]: {
      requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey, labelSelector: { matchLabels: APP }, ...extra }],
    },
  },
});
const nodeTerms = (...nodeSelectorTerms: object[]) => ({
  affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } } },
});
const label = (key: string, operator: string, ...values: string[]) => ({
  matchExpressions: [{ key, operator, values }],
});

const CASES: readonly Case[] = [
  { name: 'no nodes', pod: {}, cluster: {}, message: 'no nodes available to schedule pods' },
  {
    name: 'resources: sums what is on the node, and names what is short',
    pod: { requests: { cpu: '2', memory: '5Gi' } },
    cluster: {
      nodes: nodes('full', 'tight', 'small'),
      pods: {
        full: [{ requests: { cpu: '3', memory: '4Gi' } }],
        tight: [{ requests: { cpu: '3' } }],
        small: [{ requests: { memory: '4Gi' } }],
      },
    },
    message: '0/3 nodes are available: 2 Insufficient cpu, 2 Insufficient memory.',
  },
  {
    name: 'resources: takes what fits exactly',
    pod: { requests: { cpu: '1500m' } },
    cluster: {
      nodes: nodes('a', 'b'),
      pods: { a: [{ requests: { cpu: '2500m' } }], b: [{ requests: { cpu: '2501m' } }] },
    },
    fits: ['a'],
  },
  {
    name: 'resources: extended resources and the number of pods count',
    pod: { requests: { 'example.com/gpu': '1' } },
    cluster: {
      nodes: [
        { name: 'plain' },
        { name: 'gpu', allocatable: { 'example.com/gpu': '1' } },
        { name: 'crowded', allocatable: { pods: '0', 'example.com/gpu': '1' } },
      ],
      pods: { gpu: [{ requests: { 'example.com/gpu': '1' } }] },
    },
    message: '0/3 nodes are available: 1 Too many pods, 2 Insufficient example.com/gpu.',
  },
  {
    name: 'taints: hard ones repel, tolerated and soft ones do not',
    pod: { spec: { tolerations: [{ key: 'dedicated', operator: 'Equal', value: 'gpu', effect: 'NoSchedule' }] } },
    cluster: {
      nodes: [
        { name: 'tolerated', taints: [TAINT] },
        { name: 'other-value', taints: [{ ...TAINT, value: 'db' }] },
        { name: 'no-execute', taints: [{ ...TAINT, effect: 'NoExecute' }] },
        { name: 'soft', taints: [{ ...TAINT, key: 'x', effect: 'PreferNoSchedule' }] },
      ],
    },
    fits: ['tolerated', 'soft'],
  },
  {
    name: 'taints and cordon: each node gives its first reason',
    pod: { requests: { cpu: '5' } },
    cluster: {
      nodes: [{ name: 'a', taints: [TAINT] }, { name: 'b' }, { name: 'c', unschedulable: true, taints: [TAINT] }],
    },
    message:
      '0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable.',
  },
  {
    name: 'cordon: pods that tolerate everything come in',
    pod: { spec: { tolerations: [{ operator: 'Exists' }] } },
    cluster: { nodes: [{ name: 'a', unschedulable: true, taints: [TAINT] }] },
    fits: ['a'],
  },
  {
    name: 'nodeSelector and affinity: both must match, terms are alternatives',
    pod: {
      spec: { nodeSelector: { disk: 'ssd' }, ...nodeTerms(label('cores', 'Gt', '4'), label('arch', 'In', 'arm64')) },
    },
    cluster: {
      nodes: [
        { name: 'many', labels: { disk: 'ssd', cores: '8' } },
        { name: 'arm', labels: { disk: 'ssd', arch: 'arm64' } },
        { name: 'few', labels: { disk: 'ssd', cores: '4' } },
        { name: 'hdd', labels: { disk: 'hdd', cores: '8' } },
      ],
    },
    fits: ['many', 'arm'],
  },
  {
    name: 'affinity: NotIn and DoesNotExist match absent labels, an empty term nothing',
    pod: {
      spec: nodeTerms(
        {},
        {
          matchExpressions: [
            { key: 'a', operator: 'NotIn', values: ['x'] },
            { key: 'b', operator: 'DoesNotExist' },
          ],
        },
      ),
    },
    cluster: { nodes: [{ name: 'bare' }, { name: 'x', labels: { a: 'x' } }, { name: 'b', labels: { b: '' } }] },
    fits: ['bare'],
  },
  {
    name: 'affinity: nobody matches',
    pod: { spec: { nodeSelector: { disk: 'ssd' } } },
    cluster: { nodes: nodes('a', 'b') },
    message: "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
  },
  {
    name: 'affinity by name: looks at that node only, and says so of the others',
    pod: {
      requests: { cpu: '5' },
      spec: nodeTerms({ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['b'] }] }),
    },
    cluster: { nodes: nodes('a', 'b', 'c') },
    message: "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity].",
  },
  {
    name: 'host ports: the same port and protocol on one node collide',
    pod: { hostPorts: [8080] },
    cluster: { nodes: nodes('taken', 'free'), pods: { taken: [{ hostPorts: [8080] }], free: [{ hostPorts: [8081] }] } },
    fits: ['free'],
  },
  {
    name: 'host ports: none free',
    pod: { hostPorts: [8080] },
    cluster: { nodes: nodes('a'), pods: { a: [{ hostPorts: [8080] }] } },
    message: "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
  },
  {
    name: 'spreading: the fullest zones are closed',
    pod: { labels: APP, spec: spread(ZONE) },
    cluster: {
      nodes: zoned(['a1', 'a'], ['a2', 'a'], ['b1', 'b']),
      pods: { a1: [{ labels: APP }], b1: [{ labels: { app: 'db' } }] },
    },
    fits: ['b1'],
  },
  {
    name: 'spreading: nodes without the label are no domain; pods on their way out do not count',
    pod: { labels: APP, spec: spread(ZONE) },
    cluster: {
      nodes: [...zoned(['a1', 'a'], ['b1', 'b']), { name: 'bare' }],
      pods: { a1: [{ labels: APP, metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } }], b1: [{ labels: APP }] },
    },
    fits: ['a1'],
  },
  {
    name: 'spreading: too few domains count as an empty one',
    pod: { labels: APP, spec: spread(HOST, { minDomains: 3 }) },
    cluster: {
      nodes: [...nodes('a', 'b'), { name: 'no', labels: { [HOST]: '' } }].slice(0, 2),
      pods: { a: [{ labels: APP }], b: [{ labels: APP }] },
    },
    message: "0/2 nodes are available: 2 node(s) didn't match pod topology spread constraints.",
  },
  {
    name: 'spreading: nodes that the pod may not use do not hold it back',
    pod: { labels: APP, spec: { nodeSelector: { pool: 'x' }, ...spread(HOST) } },
    cluster: {
      nodes: [{ name: 'a', labels: { pool: 'x' } }, { name: 'b' }],
      pods: { a: [{ labels: APP }, { labels: APP }] },
    },
    fits: ['a'],
  },
  {
    name: 'pod affinity: next to those it wants',
    pod: { spec: podTerm('podAffinity', ZONE) },
    cluster: { nodes: zoned(['a1', 'a'], ['a2', 'a'], ['b1', 'b']), pods: { a1: [{ labels: APP }] } },
    fits: ['a1', 'a2'],
  },
  {
    name: 'pod affinity: the first of a group that wants itself goes anywhere with the label',
    pod: { labels: APP, spec: podTerm('podAffinity', ZONE) },
    cluster: { nodes: [...zoned(['a1', 'a']), { name: 'bare' }] },
    fits: ['a1'],
  },
  {
    name: 'pod affinity: nobody to join',
    pod: { spec: podTerm('podAffinity', HOST) },
    cluster: { nodes: nodes('a'), pods: { a: [{ labels: APP, namespace: 'other' }] } },
    message: "0/1 nodes are available: 1 node(s) didn't match pod affinity rules.",
  },
  {
    name: 'pod affinity: namespaces by name and by label',
    pod: {
      spec: podTerm('podAffinity', HOST, { namespaces: ['one'], namespaceSelector: { matchLabels: { team: 'x' } } }),
    },
    cluster: {
      nodes: nodes('a', 'b', 'c'),
      namespaces: { two: { team: 'x' }, three: { team: 'y' } },
      pods: {
        a: [{ labels: APP, namespace: 'one' }],
        b: [{ labels: APP, namespace: 'two' }],
        c: [{ labels: APP, namespace: 'three' }],
      },
    },
    fits: ['a', 'b'],
  },
  {
    name: 'pod anti-affinity: away from those it fears, both ways',
    pod: { labels: APP, spec: podTerm('podAntiAffinity', HOST) },
    cluster: {
      nodes: nodes('a', 'b'),
      pods: { a: [{ labels: APP }], b: [{ labels: { app: 'db' }, spec: podTerm('podAntiAffinity', HOST) }] },
    },
    message:
      "0/2 nodes are available: 1 node(s) didn't match pod anti-affinity rules, 1 node(s) didn't satisfy existing pods anti-affinity rules.",
  },
];

describe('filterNodes', () => {
  it.each(CASES)('$name', ({ pod, cluster, fits, message }) => {
    const result = filterNodes(podInfo(pod), makeCluster(cluster).view, DEFAULT_FILTERS);
    expect(result.feasible.map((node) => node.name)).toEqual(fits ?? []);
    if (message !== undefined) expect(renderUnschedulable(result.diagnosis)).toBe(message);
  });

  it('looks at no more nodes than it needs, and goes on where it stopped', () => {
    const { view } = makeCluster({ nodes: Array.from({ length: 1000 }, (_, i) => ({ name: `n${i}` })) });
    const first = filterNodes(podInfo(), view, DEFAULT_FILTERS, 0);
    const second = filterNodes(podInfo(), view, DEFAULT_FILTERS, first.nextStart);
    expect(first.feasible).toHaveLength(420);
    expect(second.feasible[0]?.name).toBe('n420');
  });
});

it.each([
  [99, 99],
  [100, 100],
  [250, 120],
  [1000, 420],
  [5000, 500],
  [10_000, 500],
])('feasibleNodesToFind(%i) is %i', (nodeCount, expected) => {
  expect(feasibleNodesToFind(nodeCount)).toBe(expected);
});
