import { describe, expect, it } from 'vitest';
import type { Deployment, ReplicaSet } from '#api/object/kinds.ts';
import { planScaling } from './proportional-scaling.ts';
import { maxSurgeOf, maxUnavailableOf, planNewReplicaSet, planOldReplicaSets } from './replica-math.ts';
import { safeEncode } from './template-hash.ts';

type Bound = number | string;

function deployment(replicas: number, maxSurge: Bound, maxUnavailable: Bound, type = 'RollingUpdate'): Deployment {
  const strategy = { type, rollingUpdate: { maxSurge, maxUnavailable } };
  return { metadata: { name: 'd' }, spec: { replicas, strategy }, status: {} } as unknown as Deployment;
}

function set(name: string, replicas: number, available = replicas, maxReplicas?: number): ReplicaSet {
  const annotations = maxReplicas === undefined ? {} : { 'deployment.kubernetes.io/max-replicas': String(maxReplicas) };
  const creationTimestamp = `2026-01-01T00:00:0${name.slice(-1)}Z`;
  return {
    metadata: { name, annotations, creationTimestamp },
    spec: { replicas },
    status: { availableReplicas: available },
  } as unknown as ReplicaSet;
}

const shown = (steps: readonly { replicaSet: ReplicaSet; replicas: number }[]) =>
  steps.map((step) => `${step.replicaSet.metadata.name}:${step.replicas}`);

describe('surge and unavailability', () => {
  it.each([
    { name: 'percentages round up and down', replicas: 10, surge: '25%', unavailable: '25%', want: [3, 2] },
    { name: 'never both zero', replicas: 1, surge: 0, unavailable: '25%', want: [0, 1] },
    { name: 'no more unavailable than there are', replicas: 2, surge: 0, unavailable: 5, want: [0, 2] },
    { name: 'none for zero replicas', replicas: 0, surge: '25%', unavailable: 1, want: [0, 0] },
  ])('$name', ({ replicas, surge, unavailable, want }) => {
    const subject = deployment(replicas, surge, unavailable);
    expect([maxSurgeOf(subject), maxUnavailableOf(subject)]).toEqual(want);
  });
});

describe('rolling update', () => {
  it.each([
    { name: 'grows into the surge', d: deployment(10, 2, 0), next: set('n9', 0), old: [set('o1', 10)], want: ['n9:2'] },
    { name: 'stops at the surge', d: deployment(10, 2, 0), next: set('n9', 2, 0), old: [set('o1', 10)], want: [] },
    {
      name: 'shrinks a new set that is too large',
      d: deployment(3, 1, 0),
      next: set('n9', 5),
      old: [],
      want: ['n9:3'],
    },
    { name: 'never above the wanted number', d: deployment(2, 10, 0), next: set('n9', 1), old: [], want: ['n9:2'] },
  ])('new set: $name', ({ d, next, old, want }) => {
    expect(shown(planNewReplicaSet(d, next, old))).toEqual(want);
  });

  it.each([
    { name: 'takes what is spare', d: deployment(10, 0, 2), next: set('n9', 0), old: [set('o1', 10)], want: ['o1:8'] },
    {
      name: 'waits while new pods are not available',
      d: deployment(10, 2, 0),
      next: set('n9', 2, 0),
      old: [set('o1', 10)],
      want: [],
    },
    {
      name: 'removes broken old pods first, oldest set first',
      d: deployment(10, 0, 2),
      next: set('n9', 0),
      old: [set('o2', 5, 5), set('o1', 5, 3)],
      want: ['o1:3'],
    },
    {
      name: 'removes broken pods even when nothing is spare',
      d: deployment(10, 2, 2),
      next: set('n9', 4, 4),
      old: [set('o1', 8, 4)],
      want: ['o1:4'],
    },
  ])('old sets: $name', ({ d, next, old, want }) => {
    expect(shown(planOldReplicaSets(d, next, old))).toEqual(want);
  });
});

describe('proportional scaling', () => {
  it.each([
    {
      name: 'one active set gets the number',
      d: deployment(7, 1, 0),
      next: set('n9', 0),
      old: [set('o1', 3)],
      want: ['o1:7'],
    },
    {
      name: 'growth is shared by size, the rest goes to the largest',
      d: deployment(15, 3, 2),
      next: set('n9', 5, 5, 13),
      old: [set('o1', 8, 8, 13)],
      want: ['o1:11', 'n9:7'],
    },
    {
      name: 'shrinking too',
      d: deployment(5, 0, 0),
      next: set('n9', 4, 2, 10),
      old: [set('o1', 6, 6, 10)],
      want: ['o1:3', 'n9:2'],
    },
    {
      name: 'zero takes all away',
      d: deployment(0, 1, 0),
      next: set('n9', 2, 0, 5),
      old: [set('o1', 3, 3, 5)],
      want: ['o1:0', 'n9:0'],
    },
  ])('$name', ({ d, next, old, want }) => {
    expect(shown(planScaling(d, next, old))).toEqual(want);
  });
});

it('hashes are written without vowels, as Kubernetes writes them', () => {
  expect(safeEncode('0123456789')).toBe('456789bcdf');
});
