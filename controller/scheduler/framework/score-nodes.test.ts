import { describe, expect, it } from 'vitest';
import { DEFAULT_SCORES } from '../plugins/default-plugins.ts';
import { type ClusterDraft, makeCluster, type PodDraft, podInfo } from '../testing/builders.ts';
import { scoreNodes, selectBest } from './score-nodes.ts';

interface Case {
  readonly name: string;
  readonly plugin: string;
  readonly pod: PodDraft;
  readonly cluster: ClusterDraft;
  /** Weighted scores in node order. */
  readonly expected: readonly number[];
}

const APP = { app: 'web' };
const MB = 2 ** 20;
const ZONE = 'topology.kubernetes.io/zone';

const CASES: readonly Case[] = [
  {
    name: 'the emptier node, by what would be left of CPU and memory',
    plugin: 'NodeResourcesFit',
    pod: { requests: { cpu: '1', memory: '2Gi' } },
    cluster: { nodes: [{ name: 'a' }, { name: 'b' }], pods: { b: [{ requests: { cpu: '2', memory: '2Gi' } }] } },
    expected: [75, 37],
  },
  {
    name: 'pods without requests count as small ones',
    plugin: 'NodeResourcesFit',
    pod: {},
    cluster: { nodes: [{ name: 'a' }], pods: { a: [{}, {}] } },
    expected: [92],
  },
  {
    name: 'a node that stays in balance',
    plugin: 'NodeResourcesBalancedAllocation',
    pod: { requests: { cpu: '2', memory: '1Gi' } },
    cluster: { nodes: [{ name: 'a' }, { name: 'b' }], pods: { b: [{ requests: { memory: '3Gi' } }] } },
    expected: [81, 100],
  },
  {
    name: 'fewer taints that would rather not have the pod',
    plugin: 'TaintToleration',
    pod: {},
    cluster: {
      nodes: [{ name: 'a', taints: [{ key: 'x', effect: 'PreferNoSchedule' }] }, { name: 'b' }],
    },
    expected: [0, 300],
  },
  {
    name: 'preferred node terms by weight',
    plugin: 'NodeAffinity',
    pod: {
      spec: {
        affinity: {
          nodeAffinity: {
            preferredDuringSchedulingIgnoredDuringExecution: [
              { weight: 80, preference: { matchExpressions: [{ key: 'disk', operator: 'In', values: ['ssd'] }] } },
              { weight: 20, preference: { matchExpressions: [{ key: 'fast', operator: 'Exists' }] } },
            ],
          },
        },
      },
    },
    cluster: {
      nodes: [{ name: 'a', labels: { disk: 'ssd', fast: '' } }, { name: 'b', labels: { fast: '' } }, { name: 'c' }],
    },
    expected: [200, 40, 0],
  },
  {
    name: 'images that are there, weighted by how many nodes have them',
    plugin: 'ImageLocality',
    pod: {},
    cluster: { nodes: [{ name: 'a', images: { 'app:v1': 1000 * MB } }, { name: 'b' }] },
    expected: [48, 0],
  },
  {
    name: 'siblings spread over hosts by default',
    plugin: 'PodTopologySpread',
    pod: { labels: APP },
    cluster: {
      nodes: [{ name: 'a' }, { name: 'b' }, { name: 'c' }],
      pods: { a: [{ labels: APP }, { labels: APP }], b: [{ labels: APP }] },
      siblingLabels: APP,
    },
    expected: [80, 120, 200],
  },
  {
    name: 'soft constraints of the pod replace the defaults, nodes without the label get nothing',
    plugin: 'PodTopologySpread',
    pod: {
      labels: APP,
      spec: {
        topologySpreadConstraints: [
          { maxSkew: 1, topologyKey: ZONE, whenUnsatisfiable: 'ScheduleAnyway', labelSelector: { matchLabels: APP } },
        ],
      },
    },
    cluster: {
      nodes: [{ name: 'a', labels: { [ZONE]: 'a' } }, { name: 'b', labels: { [ZONE]: 'b' } }, { name: 'bare' }],
      pods: { a: [{ labels: APP }] },
      siblingLabels: { other: 'x' },
    },
    expected: [0, 200, 0],
  },
  {
    name: 'preferred company, and what placed pods wish',
    plugin: 'InterPodAffinity',
    pod: {
      labels: APP,
      spec: {
        affinity: {
          podAffinity: {
            preferredDuringSchedulingIgnoredDuringExecution: [
              {
                weight: 10,
                podAffinityTerm: {
                  topologyKey: 'kubernetes.io/hostname',
                  labelSelector: { matchLabels: { app: 'db' } },
                },
              },
            ],
          },
        },
      },
    },
    cluster: {
      nodes: [{ name: 'a' }, { name: 'b' }, { name: 'c' }],
      pods: {
        a: [{ labels: { app: 'db' } }],
        c: [
          {
            spec: {
              affinity: {
                podAntiAffinity: {
                  preferredDuringSchedulingIgnoredDuringExecution: [
                    {
                      weight: 10,
                      podAffinityTerm: { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: APP } },
                    },
                  ],
                },
              },
            },
          },
        ],
      },
    },
    expected: [200, 100, 0],
  },
];

describe('scoreNodes prefers', () => {
  it.each(CASES)('$name', ({ plugin, pod, cluster, expected }) => {
    const { view } = makeCluster(cluster);
    const plugins = DEFAULT_SCORES.filter(({ name }) => name === plugin);
    expect(scoreNodes(podInfo(pod), view, view.nodes, plugins).map(({ total }) => total)).toEqual(expected);
  });
});

it('selectBest gives each of the best the same chance', () => {
  const { view } = makeCluster({ nodes: [{ name: 'a' }, { name: 'b' }, { name: 'c' }] });
  const scores = view.nodes.map((node) => ({ node, total: node.name === 'b' ? 1 : 2 }));
  expect(selectBest(scores, () => 0.6).name).toBe('a');
  expect(selectBest(scores, () => 0.4).name).toBe('c');
});
