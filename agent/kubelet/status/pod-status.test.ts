import { describe, expect, test } from 'vitest';
import { container, exited, instance, NOW_MS, observed, podWith, recordOf, sandbox } from '../testing/pod-fixtures.ts';
import { computePodStatus, type PodStatusInput } from './pod-status.ts';

function statusOf({ pod = podWith(), ledger = recordOf(pod), ...more }: Partial<PodStatusInput>) {
  const input = {
    observed: observed([], []),
    waiting: new Map(),
    ready: new Set<string>(),
    started: new Set<string>(),
  };
  return computePodStatus({
    pod,
    ledger,
    ...input,
    hostIps: ['192.168.1.10'],
    previous: {},
    resize: { pending: undefined, isInProgress: false, errors: [] },
    devices: () => [],
    nowMs: NOW_MS,
    ...more,
  });
}

const running = {
  observed: observed([sandbox()], [instance('app')]),
  ready: new Set(['app-0']),
  started: new Set(['app-0']),
};
const condition = (status: ReturnType<typeof statusOf>, type: string) =>
  status.conditions?.find((candidate) => candidate.type === type);

interface PhaseCase {
  readonly name: string;
  readonly given: Partial<PodStatusInput>;
  readonly phase: string;
}
const never = podWith({ restartPolicy: 'Never' });
const crashLoop = new Map([['app', { reason: 'CrashLoopBackOff', message: 'back-off' }]]);
const two = podWith({ containers: [container('app'), container('b')] });
const phases: readonly PhaseCase[] = [
  { name: 'nothing runs yet', given: {}, phase: 'Pending' },
  { name: 'all containers run', given: running, phase: 'Running' },
  { name: 'one of two has not started', given: { ...running, pod: two }, phase: 'Pending' },
  {
    name: 'a container waits for its restart',
    given: { observed: observed([sandbox()], [exited('app', 1)]), waiting: crashLoop },
    phase: 'Running',
  },
  {
    name: 'a Never pod succeeded',
    given: { pod: never, observed: observed([sandbox()], [exited('app', 0)]) },
    phase: 'Succeeded',
  },
  {
    name: 'a Never pod failed',
    given: { pod: never, observed: observed([sandbox()], [exited('app', 3)]) },
    phase: 'Failed',
  },
  {
    name: 'it was ended from outside',
    given: { ledger: recordOf(podWith(), { terminatedAtMs: NOW_MS }), observed: observed([], [exited('app', 143)]) },
    phase: 'Failed',
  },
  {
    name: 'init containers run',
    given: { pod: podWith({ initContainers: [container('i')] }), observed: observed([sandbox()], [instance('i')]) },
    phase: 'Pending',
  },
];

test.each(phases)('phase: $name', ({ given, phase }) => {
  expect(statusOf(given).phase).toBe(phase);
});

describe('computePodStatus', () => {
  test('says all of a running pod', () => {
    const status = statusOf({ ...running, pod: podWith({}, { generation: 3 }) });
    expect(status).toMatchObject({
      podIP: '10.244.0.2',
      podIPs: [{ ip: '10.244.0.2' }],
      hostIP: '192.168.1.10',
      startTime: '2026-01-01T11:59:00Z',
      qosClass: 'BestEffort',
      observedGeneration: 3,
    });
    expect(status.conditions?.map(({ type, status: value }) => `${type}=${value}`)).toEqual([
      'PodReadyToStartContainers=True',
      'Initialized=True',
      'Ready=True',
      'ContainersReady=True',
      'PodScheduled=True',
    ]);
  });

  test('a pod that the node refused has a reason and no containers', () => {
    const outcome = { phase: 'Failed', reason: 'OutOfcpu', message: 'no' } as const;
    const status = statusOf({ ledger: recordOf(podWith(), { outcome, terminatedAtMs: NOW_MS }) });
    expect(status).toMatchObject({ phase: 'Failed', reason: 'OutOfcpu', message: 'no' });
    expect(status.containerStatuses).toBeUndefined();
  });

  test('names what is not ready', () => {
    expect(condition(statusOf({ ...running, ready: new Set() }), 'Ready')).toMatchObject({
      status: 'False',
      reason: 'ContainersNotReady',
      message: 'containers with unready status: [app]',
    });
  });

  test('moves a transition time only with its status', () => {
    const first = statusOf(running);
    const later = { ...running, previous: first, nowMs: NOW_MS + 60_000 };
    expect(statusOf(later).conditions).toEqual(first.conditions);
    const unready = statusOf({ ...later, ready: new Set() });
    expect(condition(unready, 'Ready')?.lastTransitionTime).toBe('2026-01-01T12:01:00Z');
    expect(condition(unready, 'Initialized')?.lastTransitionTime).toBe('2026-01-01T12:00:00Z');
  });

  test('waits for readiness gates of others', () => {
    const gated = podWith({ readinessGates: [{ conditionType: 'example.com/gate' }] });
    expect(condition(statusOf({ ...running, pod: gated }), 'Ready')).toMatchObject({
      status: 'False',
      reason: 'ReadinessGatesNotReady',
    });
    const open = { ...gated, status: { conditions: [{ type: 'example.com/gate', status: 'True' as const }] } };
    expect(condition(statusOf({ ...running, pod: open }), 'Ready')?.status).toBe('True');
  });

  test('shows a crash loop with its last state', () => {
    const [container] = statusOf({
      observed: observed(
        [sandbox()],
        [exited('app', 2, { attempt: 3, message: 'oops' }), exited('app', 1, { attempt: 2 })],
      ),
      waiting: crashLoop,
    }).containerStatuses!;
    expect(container).toMatchObject({
      restartCount: 3,
      ready: false,
      started: false,
      state: { waiting: { reason: 'CrashLoopBackOff', message: 'back-off' } },
      lastState: { terminated: { exitCode: 2, reason: 'Error', message: 'oops', containerID: 'containerd://app-3' } },
    });
  });

  test('shows a container that could not be started as begun at the epoch', () => {
    const ended = exited('app', 128, { reason: 'StartError', startedAtMs: 0 });
    const status = statusOf({ pod: never, observed: observed([sandbox()], [ended]) });
    expect(status.containerStatuses?.[0]?.state?.terminated).toMatchObject({
      reason: 'StartError',
      startedAt: '1970-01-01T00:00:00Z',
    });
  });

  test.each([
    [
      { reason: 'ImagePullBackOff', message: 'Back-off' },
      { reason: 'ImagePullBackOff', message: 'Back-off' },
    ],
    [{ reason: 'PodInitializing' }, { reason: 'ContainerCreating' }],
    [undefined, { reason: 'ContainerCreating' }],
  ])('while a container that was told to wait (%j) is tried again: %j', (told, expected) => {
    const state = told === undefined ? { running: {} } : { waiting: told };
    const before = { name: 'app', image: '', imageID: '', ready: false, restartCount: 0, state };
    const of = (more: Partial<PodStatusInput>) =>
      statusOf({ previous: { containerStatuses: [before] }, ...more }).containerStatuses?.[0]?.state;
    expect(of({ observed: observed([sandbox()], []) })).toEqual({ waiting: expected });
    expect(of(running)).toHaveProperty('running');
  });

  test('cuts what containers said at their ends to their share of 12 KiB', () => {
    const names = ['a', 'b', 'c', 'd', 'e'];
    const pod = podWith({ restartPolicy: 'Never', containers: names.map((name) => container(name)) });
    const ended = names.map((name) => exited(name, 1, { message: name === 'a' ? 'short' : 'é'.repeat(2000) }));
    const { containerStatuses = [] } = statusOf({ pod, observed: observed([sandbox()], ended) });
    const said = containerStatuses.map(({ state }) => state?.terminated?.message ?? '');
    expect(said[0]).toBe('short');
    // 2457 bytes, of two each.
    expect(said.slice(1)).toEqual(Array(4).fill('é'.repeat(1228)));
  });

  test('shows PodInitializing until init containers are through', () => {
    const pod = podWith({ initContainers: [container('i')] });
    const status = statusOf({ pod, observed: observed([sandbox()], [instance('i')]) });
    expect(status.containerStatuses?.[0]?.state?.waiting?.reason).toBe('PodInitializing');
    expect(condition(status, 'Initialized')).toMatchObject({
      reason: 'ContainersNotInitialized',
      message: 'containers with incomplete status: [i]',
    });
  });

  test('keeps the address of a sandbox that was stopped', () => {
    const gone = observed([sandbox({ ready: false })], [exited('app', 0)]);
    expect(statusOf({ observed: gone, previous: { podIPs: [{ ip: '10.244.0.9' }] } }).podIP).toBe('10.244.0.9');
  });
});
