import { describe, expect, it } from 'vitest';
import type { CSINode, VolumeAttachment } from '#api/object/kinds.ts';
import type { ClusterEvent } from '../framework/cluster-event.ts';
import { filterNodes } from '../framework/filter-nodes.ts';
import { renderUnschedulable } from '../framework/unschedulable-message.ts';
import { type ClusterDraft, makeCluster, type PodDraft, podInfo } from '../testing/builders.ts';
import {
  makeBoundClaim,
  makeClaim,
  makeClass,
  makeVolume,
  onlyAt,
  type StorageDraft,
} from '../testing/storage-builders.ts';
import { DEFAULT_FILTERS } from './default-plugins.ts';
import { volumeBinding } from './volume-binding.ts';

const claimed = (...names: string[]): PodDraft => ({
  spec: { volumes: names.map((name) => ({ name, persistentVolumeClaim: { claimName: name } })) },
});
const LATE = makeClass('late');
const NOW = makeClass('now', { volumeBindingMode: 'Immediate' });
const MADE = makeClass('made', { provisioner: 'disk.test' });
const csiVolume = (name: string) => makeVolume(name, { csi: { driver: 'disk.test', volumeHandle: name } });
const csiNodes = ['a', 'b'].map(
  (name) =>
    ({
      metadata: { name },
      spec: { drivers: [{ name: 'disk.test', nodeID: name, allocatable: { count: 2 } }] },
    }) as CSINode,
);
const selected = (nodeName: string) => ({
  metadata: { annotations: { 'volume.kubernetes.io/selected-node': nodeName } },
});

interface Case {
  readonly name: string;
  readonly pod: PodDraft;
  readonly storage: StorageDraft;
  readonly cluster?: ClusterDraft;
  readonly fits?: readonly string[];
  /** What stands behind `0/2 nodes are available: `. */
  readonly message?: string;
}

const CASES: readonly Case[] = [
  {
    name: 'a claim that is not there',
    pod: claimed('x'),
    storage: {},
    message: 'persistentvolumeclaim "x" not found.',
  },
  {
    name: 'an ephemeral volume whose claim is on its way',
    pod: { name: 'p', spec: { volumes: [{ name: 'scratch', ephemeral: {} }] } },
    storage: {},
    message: 'waiting for ephemeral volume controller to create the persistentvolumeclaim "p-scratch".',
  },
  {
    name: 'an ephemeral volume whose name is taken',
    pod: { name: 'p', spec: { volumes: [{ name: 'scratch', ephemeral: {} }] } },
    storage: { claims: [makeBoundClaim('p-scratch', 'v')] },
    message: 'PVC default/p-scratch was not created for pod default/p (pod is not owner).',
  },
  {
    name: 'a claim on its way out',
    pod: claimed('x'),
    storage: { claims: [makeClaim('x', {}, { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } })] },
    message: 'persistentvolumeclaim "x" is being deleted.',
  },
  {
    name: 'a claim that lost its volume',
    pod: claimed('x'),
    storage: { claims: [makeClaim('x', { volumeName: 'v' }, { status: { phase: 'Lost' } })] },
    message: 'persistentvolumeclaim "x" bound to non-existent persistentvolume "v".',
  },
  {
    name: 'a claim that the binder has not bound yet',
    pod: claimed('x'),
    storage: { classes: [NOW], claims: [makeClaim('x', { storageClassName: 'now' })] },
    message: 'pod has unbound immediate PersistentVolumeClaims.',
  },
  {
    name: 'a claim that names its volume is bound by the binder, whatever its class',
    pod: claimed('x'),
    storage: { classes: [LATE], claims: [makeClaim('x', { volumeName: 'v' })], volumes: [makeVolume('v')] },
    message: 'pod has unbound immediate PersistentVolumeClaims.',
  },
  {
    name: 'a bound volume that only one node reaches',
    pod: claimed('x'),
    storage: { claims: [makeBoundClaim('x', 'v')], volumes: [makeVolume('v', onlyAt('b'))] },
    fits: ['b'],
  },
  {
    name: 'bound volumes that no node reaches together',
    pod: claimed('x', 'y'),
    storage: {
      claims: [makeBoundClaim('x', 'v'), makeBoundClaim('y', 'w')],
      volumes: [makeVolume('v', onlyAt('b')), makeVolume('w', onlyAt('a'))],
    },
    message: '2 node(s) had volume node affinity conflict.',
  },
  {
    name: 'a bound volume that is gone',
    pod: claimed('x'),
    storage: { claims: [makeBoundClaim('x', 'v')] },
    message: '2 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s).',
  },
  {
    name: 'a volume in another zone; a node without zones takes it',
    pod: claimed('x'),
    storage: {
      claims: [makeBoundClaim('x', 'v')],
      volumes: [makeVolume('v', {}, { labels: { 'failure-domain.beta.kubernetes.io/zone': 'south__west' } })],
    },
    cluster: {
      nodes: [
        { name: 'a', labels: { 'topology.kubernetes.io/zone': 'north' } },
        { name: 'b', labels: { 'topology.kubernetes.io/zone': 'west' } },
        { name: 'c' },
      ],
    },
    fits: ['b', 'c'],
  },
  {
    name: 'no volume to bind, and nobody makes one',
    pod: claimed('x'),
    storage: {
      classes: [LATE],
      claims: [makeClaim('x')],
      volumes: [makeVolume('v', { capacity: { storage: '1Mi' } })],
    },
    message: "2 node(s) didn't find available persistent volumes to bind.",
  },
  {
    name: 'volumes to choose from decide where the pod can be',
    pod: claimed('x'),
    storage: { classes: [LATE], claims: [makeClaim('x')], volumes: [makeVolume('v', onlyAt('b'))] },
    fits: ['b'],
  },
  {
    name: 'one volume is not enough for two claims; the small claim leaves the large volume',
    pod: claimed('large', 'small'),
    storage: {
      classes: [LATE],
      claims: [makeClaim('large', { resources: { requests: { storage: '4Gi' } } }), makeClaim('small')],
      volumes: [
        makeVolume('a5', { capacity: { storage: '5Gi' }, ...onlyAt('a') }),
        makeVolume('b5', { capacity: { storage: '5Gi' }, ...onlyAt('b') }),
        makeVolume('b1', onlyAt('b')),
      ],
    },
    fits: ['b'],
  },
  {
    name: 'a volume that will be made, where the class allows it',
    pod: claimed('x'),
    storage: {
      classes: [
        makeClass('made', {
          provisioner: 'disk.test',
          allowedTopologies: [{ matchLabelExpressions: [{ key: 'kubernetes.io/hostname', values: ['a'] }] }],
        }),
      ],
      claims: [makeClaim('x', { storageClassName: 'made' })],
    },
    fits: ['a'],
  },
  {
    name: 'a volume that is being made stays at its node',
    pod: claimed('x'),
    storage: { classes: [MADE], claims: [makeClaim('x', { storageClassName: 'made' }, selected('b'))] },
    fits: ['b'],
  },
  {
    name: 'a driver that tells where it has room',
    pod: claimed('x'),
    storage: {
      classes: [MADE],
      claims: [makeClaim('x', { storageClassName: 'made' })],
      csiDrivers: [{ metadata: { name: 'disk.test' }, spec: { storageCapacity: true } } as never],
      capacities: ['a', 'b'].map(
        (name) =>
          ({
            metadata: { name, namespace: 'default' },
            storageClassName: 'made',
            capacity: name === 'a' ? '100Mi' : '2Gi',
            nodeTopology: { matchLabels: { 'kubernetes.io/hostname': name } },
          }) as never,
      ),
    },
    fits: ['b'],
  },
  {
    name: 'a claim for one pod at a time',
    pod: claimed('x'),
    storage: { claims: [makeBoundClaim('x', 'v', { accessModes: ['ReadWriteOncePod'] })], volumes: [makeVolume('v')] },
    cluster: { nodes: [{ name: 'a' }, { name: 'b' }], pods: { a: [claimed('x')] } },
    message: '2 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode.',
  },
  {
    name: 'as many volumes of a driver as the node can have; one that is there already counts once',
    pod: claimed('x', 'y'),
    storage: {
      csiNodes,
      claims: ['x', 'y', 'z'].map((name) => makeBoundClaim(name, name)),
      volumes: ['x', 'y', 'z', 'old'].map(csiVolume),
      attachments: [{ spec: { nodeName: 'b', source: { persistentVolumeName: 'old' } } } as VolumeAttachment],
    },
    cluster: { nodes: [{ name: 'a' }, { name: 'b' }], pods: { a: [claimed('x')], b: [claimed('z')] } },
    fits: ['a'],
  },
];

describe('pods with claims', () => {
  it.each(CASES)('$name', ({ pod, cluster, storage, fits, message }) => {
    const { view } = makeCluster({ nodes: [{ name: 'a' }, { name: 'b' }], ...cluster, storage });
    const result = filterNodes(podInfo(pod), view, DEFAULT_FILTERS);
    expect(result.feasible.map((node) => node.name)).toEqual(fits ?? []);
    if (message !== undefined)
      expect(renderUnschedulable(result.diagnosis)).toBe(`0/2 nodes are available: ${message}`);
  });
});

it.each<[string, ClusterEvent, boolean]>([
  ['its claim', { kind: 'claimChanged', key: 'default/x' as never }, true],
  ['another claim', { kind: 'claimChanged', key: 'default/y' as never }, false],
  ['a volume', { kind: 'storageChanged', what: 'volume' }, true],
  ['what a node can hold', { kind: 'storageChanged', what: 'csiNode' }, false],
])('a pod that waits for a volume looks again after a change of %s: %#', (_, event, expected) => {
  expect(volumeBinding.isHelpedBy(event, podInfo(claimed('x')), makeCluster({}).view)).toBe(expected);
});
