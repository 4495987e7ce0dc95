import { expect, test } from 'vitest';
import type { Pod } from '#api/object/kinds.ts';
import { podRow } from './printer.ts';

const NOW = Date.parse('2026-01-01T01:00:00Z');

interface Shape {
  readonly spec?: object;
  readonly status?: object;
  readonly deleted?: boolean;
}

const pod = ({ spec = {}, status = {}, deleted = false }: Shape): Pod =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'p',
      creationTimestamp: '2026-01-01T00:00:00Z',
      ...(deleted ? { deletionTimestamp: '2026-01-01T00:30:00Z' } : {}),
    },
    spec: { containers: [{ name: 'a' }, { name: 'b' }], ...spec },
    status,
  }) as unknown as Pod;

const running = (name: string, more: object = {}) => ({
  name,
  ready: true,
  restartCount: 0,
  state: { running: {} },
  ...more,
});
const waiting = (name: string, reason: string, more: object = {}) => ({
  name,
  ready: false,
  restartCount: 0,
  state: { waiting: { reason } },
  ...more,
});
const terminated = (name: string, state: object, more: object = {}) => ({
  name,
  ready: false,
  restartCount: 0,
  state: { terminated: state },
  ...more,
});
const endedAt = (finishedAt: string) => ({ lastState: { terminated: { exitCode: 1, finishedAt } } });
const condition = (type: string, status = 'True', more: object = {}) => ({ type, status, ...more });
const inits = (...more: object[]) => ({ initContainers: more });

const rows: readonly [name: string, shape: Shape, ready: string, status: string, restarts: string][] = [
  ['not yet scheduled', { status: { phase: 'Pending' } }, '0/2', 'Pending', '0'],
  ['running', { status: { phase: 'Running', containerStatuses: [running('a'), running('b')] } }, '2/2', 'Running', '0'],
  [
    'being created',
    {
      status: {
        phase: 'Pending',
        containerStatuses: [waiting('a', 'ContainerCreating'), waiting('b', 'ContainerCreating')],
      },
    },
    '0/2',
    'ContainerCreating',
    '0',
  ],
  [
    'crashing',
    {
      status: {
        phase: 'Running',
        containerStatuses: [
          waiting('a', 'CrashLoopBackOff', { restartCount: 3, ...endedAt('2026-01-01T00:55:00Z') }),
          running('b', { restartCount: 1, ...endedAt('2026-01-01T00:10:00Z') }),
        ],
      },
    },
    '1/2',
    'CrashLoopBackOff',
    '4 (5m ago)',
  ],
  [
    'the first of two bad containers speaks',
    {
      status: { phase: 'Pending', containerStatuses: [waiting('a', 'ErrImagePull'), waiting('b', 'ImagePullBackOff')] },
    },
    '0/2',
    'ErrImagePull',
    '0',
  ],
  [
    'completed',
    {
      status: {
        phase: 'Succeeded',
        containerStatuses: [
          terminated('a', { exitCode: 0, reason: 'Completed' }),
          terminated('b', { exitCode: 0, reason: 'Completed' }),
        ],
      },
    },
    '0/2',
    'Completed',
    '0',
  ],
  [
    'one done, one running and ready',
    {
      status: {
        phase: 'Running',
        conditions: [condition('Ready')],
        containerStatuses: [terminated('a', { exitCode: 0, reason: 'Completed' }), running('b')],
      },
    },
    '1/2',
    'Running',
    '0',
  ],
  [
    'one done, one running, not ready',
    {
      status: {
        phase: 'Running',
        conditions: [condition('Ready', 'False')],
        containerStatuses: [terminated('a', { exitCode: 0, reason: 'Completed' }), running('b')],
      },
    },
    '1/2',
    'NotReady',
    '0',
  ],
  [
    'ended by a signal',
    { status: { phase: 'Failed', containerStatuses: [terminated('a', { exitCode: 137, signal: 9 })] } },
    '0/2',
    'Signal:9',
    '0',
  ],
  [
    'ended with a code',
    { status: { phase: 'Failed', containerStatuses: [terminated('a', { exitCode: 3 })] } },
    '0/2',
    'ExitCode:3',
    '0',
  ],
  ['evicted', { status: { phase: 'Failed', reason: 'Evicted' } }, '0/2', 'Evicted', '0'],
  [
    'second init container running',
    {
      spec: inits({ name: 'i' }, { name: 'j' }),
      status: {
        phase: 'Pending',
        initContainerStatuses: [
          terminated('i', { exitCode: 0 }),
          { name: 'j', restartCount: 2, state: { running: {} } },
        ],
        containerStatuses: [waiting('a', 'PodInitializing')],
      },
    },
    '0/2',
    'Init:1/2',
    '2',
  ],
  [
    'init container failing',
    {
      spec: inits({ name: 'i' }),
      status: { phase: 'Pending', initContainerStatuses: [waiting('i', 'CrashLoopBackOff', { restartCount: 1 })] },
    },
    '0/2',
    'Init:CrashLoopBackOff',
    '1',
  ],
  [
    'init container exited badly',
    {
      spec: inits({ name: 'i' }),
      status: { phase: 'Pending', initContainerStatuses: [terminated('i', { exitCode: 2 })] },
    },
    '0/2',
    'Init:ExitCode:2',
    '0',
  ],
  [
    'initialized, containers still pulled up',
    {
      spec: inits({ name: 'i' }),
      status: {
        phase: 'Pending',
        initContainerStatuses: [terminated('i', { exitCode: 0, reason: 'Completed' })],
        containerStatuses: [waiting('a', 'PodInitializing'), waiting('b', 'PodInitializing')],
      },
    },
    '0/2',
    'PodInitializing',
    '0',
  ],
  [
    'with a sidecar',
    {
      spec: inits({ name: 's', restartPolicy: 'Always' }),
      status: {
        phase: 'Running',
        initContainerStatuses: [running('s', { started: true, restartCount: 1 })],
        containerStatuses: [running('a'), running('b')],
      },
    },
    '3/3',
    'Running',
    '1',
  ],
  [
    'gated',
    { status: { phase: 'Pending', conditions: [condition('PodScheduled', 'False', { reason: 'SchedulingGated' })] } },
    '0/2',
    'SchedulingGated',
    '0',
  ],
  [
    'terminating',
    { deleted: true, status: { phase: 'Running', containerStatuses: [running('a'), running('b')] } },
    '2/2',
    'Terminating',
    '0',
  ],
  ['on a lost node', { deleted: true, status: { phase: 'Running', reason: 'NodeLost' } }, '0/2', 'Unknown', '0'],
  ['deleted after its end', { deleted: true, status: { phase: 'Succeeded' } }, '0/2', 'Succeeded', '0'],
];

test.each(rows)('a pod %s', (_name, shape, ready, status, restarts) => {
  expect(podRow(pod(shape), NOW).slice(1, 5)).toEqual([ready, status, restarts, '60m']);
});

test('the wide cells name address, node and gates', () => {
  const wide = podRow(
    pod({
      spec: { nodeName: 'n1', readinessGates: [{ conditionType: 'x' }, { conditionType: 'y' }] },
      status: { podIPs: [{ ip: '10.244.0.5' }], conditions: [condition('x')] },
    }),
    NOW,
  );
  expect(wide.slice(5)).toEqual(['10.244.0.5', 'n1', '<none>', '1/2']);
  expect(podRow(pod({}), NOW).slice(5)).toEqual(['<none>', '<none>', '<none>', '<none>']);
});
