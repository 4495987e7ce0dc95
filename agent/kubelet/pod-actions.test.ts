import { describe, expect, test } from 'vitest';
import type { Pod } from '#api/object/kinds.ts';
import type { LedgerRecord } from './ledger-record.ts';
import { NOTHING_OBSERVED, type ObservedPod } from './observed-pod.ts';
import type { ProbeVerdicts } from './plan-draft.ts';
import type { PodAction } from './pod-action.ts';
import { computePodActions } from './pod-actions.ts';
import { type Hold, resizeHold, SANDBOX_HOLD } from './step-hold.ts';
import { container, exited, instance, NOW_MS, observed, podWith, recordOf, sandbox } from './testing/pod-fixtures.ts';

interface Given {
  readonly pod?: Pod;
  readonly observed?: ObservedPod;
  readonly ledger?: Partial<LedgerRecord>;
  readonly probes?: Partial<ProbeVerdicts>;
  readonly holds?: ReadonlyMap<string, Hold>;
}

const NO_VERDICTS: ProbeVerdicts = { livenessFailed: new Set(), startupFailed: new Set(), started: new Set() };

function plan({ pod = podWith(), observed: seen = NOTHING_OBSERVED, ledger, probes, holds = new Map() }: Given) {
  return computePodActions({
    pod,
    observed: seen,
    ledger: recordOf(pod, ledger),
    probes: { ...NO_VERDICTS, ...probes },
    holds,
    nowMs: NOW_MS,
  });
}

/** `startContainer app 1`: kind, subject and attempt. */
function brief(action: PodAction): string {
  switch (action.kind) {
    case 'startContainer':
      return `start ${action.name} ${action.attempt}`;
    case 'killContainer':
      return `kill ${action.containerId}`;
    case 'resizeContainer':
      return `resize ${action.containerId}`;
    case 'createSandbox':
      return `sandbox ${action.attempt}`;
    case 'stopSandbox':
      return `stop ${action.sandboxId}`;
    case 'removeContainer':
      return `remove ${action.containerId}`;
    case 'removeSandbox':
      return `remove ${action.sandboxId}`;
  }
}

const sidecar = container('side', { restartPolicy: 'Always' });
const withInit = (...initContainers: ReturnType<typeof container>[]) => podWith({ initContainers });
const dead = sandbox({ ready: false });
const crashed = { attempt: 0, ran: true, backoff: { delayMs: 10_000, updatedAtMs: NOW_MS - 5_000 } };

const debug = podWith({
  initContainers: [container('init')],
  ephemeralContainers: [{ name: 'debug', image: 'tools:1' }],
});
const sizes = (cpu: string, memory: string) => ({ limits: { cpu, memory }, requests: { cpu, memory } });
const sized = (spec: ReturnType<typeof sizes>, more: Partial<ReturnType<typeof container>> = {}) =>
  podWith({ containers: [container('app', { resources: spec, ...more })] });
const small = sizes('100m', '64Mi');
const resized = { pod: sized(sizes('200m', '64Mi')), observed: observed([sandbox()], [instance('app')]) };

const steps: readonly (Given & { readonly name: string; readonly expected: readonly string[] })[] = [
  {
    name: 'a container for debugging starts in a sandbox that stands, beside init containers',
    pod: debug,
    observed: observed([sandbox()], [instance('init')]),
    expected: ['start debug 0'],
  },
  {
    name: 'a container for debugging is not started again',
    pod: debug,
    observed: observed([sandbox()], [instance('init'), exited('debug', 1)]),
    expected: [],
  },
  {
    name: 'a container for debugging whose traces are gone is not started again',
    pod: debug,
    observed: observed([sandbox()], [instance('init')]),
    ledger: { containers: { debug: { attempt: 0, ran: true } } },
    expected: [],
  },
  {
    name: 'a running container is given the CPU that its pod was granted',
    ...resized,
    ledger: { containers: { app: { attempt: 0, ran: true, actuated: small } } },
    expected: ['resize app-0'],
  },
  {
    name: 'a resize that failed is held',
    ...resized,
    ledger: { containers: { app: { attempt: 0, ran: true, actuated: small } } },
    holds: new Map([[resizeHold('app'), { untilMs: NOW_MS + 1, waiting: undefined }]]),
    expected: [],
  },
  {
    name: 'a container restarts for a resource whose policy says so',
    pod: sized(sizes('200m', '64Mi'), { resizePolicy: [{ resourceName: 'cpu', restartPolicy: 'RestartContainer' }] }),
    observed: resized.observed,
    ledger: { containers: { app: { attempt: 0, ran: true, actuated: small } } },
    expected: ['kill app-0', 'start app 1'],
  },
  {
    name: 'a container does not restart for the other resource',
    pod: sized(sizes('200m', '64Mi'), {
      resizePolicy: [{ resourceName: 'memory', restartPolicy: 'RestartContainer' }],
    }),
    observed: resized.observed,
    ledger: { containers: { app: { attempt: 0, ran: true, actuated: small } } },
    expected: ['resize app-0'],
  },
  { name: 'a new pod gets its sandbox and its containers in one go', expected: ['sandbox 0', 'start app 0'] },
  {
    name: 'a running pod is left alone',
    observed: observed([sandbox()], [instance('app')]),
    expected: [],
  },
  {
    name: 'all containers are started, in the order of the spec',
    pod: podWith({ containers: [container('a'), container('b')] }),
    expected: ['sandbox 0', 'start a 0', 'start b 0'],
  },
  {
    name: 'a sandbox without containers is filled',
    observed: observed([sandbox()], []),
    expected: ['start app 0'],
  },
  {
    name: 'a sandbox that died is stopped and replaced under the next attempt',
    observed: observed([dead], [exited('app', 255)]),
    expected: ['stop s0', 'sandbox 1', 'start app 1'],
  },
  {
    name: 'while a sandbox that could not be made is held, the remains of it are left alone',
    observed: observed([dead], []),
    holds: new Map([[SANDBOX_HOLD, { untilMs: NOW_MS + 1, waiting: undefined }]]),
    expected: [],
  },
  {
    name: 'a sandbox without an address is replaced and its containers are killed first',
    observed: observed([sandbox({ ips: [] })], [instance('app')]),
    expected: ['kill app-0', 'stop s0', 'sandbox 1', 'start app 1'],
  },
  {
    name: "a sandbox on the host's network needs no address",
    pod: podWith({ hostNetwork: true }),
    observed: observed([sandbox({ ips: [] })], [instance('app')]),
    expected: [],
  },
  {
    name: 'of two ready sandboxes neither is kept',
    observed: observed([sandbox({ id: 's1', attempt: 1 }), sandbox()], [instance('app')]),
    expected: ['kill app-0', 'stop s1', 'stop s0', 'sandbox 2', 'start app 1'],
  },
  {
    name: 'the attempt of a sandbox whose name was taken is not used again',
    ledger: { sandboxAttempt: 3 },
    expected: ['sandbox 3', 'start app 0'],
  },
  {
    name: 'a container that ended is restarted at once the first time',
    observed: observed([sandbox()], [exited('app', 1)]),
    expected: ['start app 1'],
  },
  {
    name: 'a container that crashed again waits',
    observed: observed([sandbox()], [exited('app', 1)]),
    ledger: { containers: { app: crashed } },
    expected: [],
  },
  {
    name: 'a container that ran for more than ten minutes restarts at once',
    observed: observed([sandbox()], [exited('app', 1)]),
    ledger: { containers: { app: { ...crashed, backoff: { delayMs: 300_000, updatedAtMs: NOW_MS - 700_000 } } } },
    expected: ['start app 1'],
  },
  {
    name: 'with OnFailure only what failed is restarted',
    pod: podWith({ restartPolicy: 'OnFailure', containers: [container('a'), container('b')] }),
    observed: observed([sandbox()], [exited('a', 0), exited('b', 1)]),
    expected: ['start b 1'],
  },
  {
    name: 'with Never nothing is restarted while another container runs',
    pod: podWith({ restartPolicy: 'Never', containers: [container('a'), container('b')] }),
    observed: observed([sandbox()], [exited('a', 1), instance('b')]),
    expected: [],
  },
  {
    name: 'a rule of the container overrides Never for its exit code',
    pod: podWith({
      restartPolicy: 'Never',
      containers: [
        container('app', {
          restartPolicyRules: [{ action: 'Restart', exitCodes: { operator: 'In', values: [42] } }],
        }),
      ],
    }),
    observed: observed([sandbox()], [exited('app', 42)]),
    expected: ['start app 1'],
  },
  {
    name: 'a container whose liveness probe failed is killed and restarted in one pass',
    observed: observed([sandbox()], [instance('app')]),
    probes: { livenessFailed: new Set(['app-0']) },
    expected: ['kill app-0', 'start app 1'],
  },
  {
    name: 'a container whose startup probe failed is killed and, with Never, not restarted',
    pod: podWith({ restartPolicy: 'Never' }),
    observed: observed([sandbox()], [instance('app')]),
    probes: { startupFailed: new Set(['app-0']) },
    expected: ['kill app-0'],
  },
  {
    name: 'a container with another image is replaced, alone',
    pod: podWith({ containers: [container('app', { image: 'app:2' }), container('b')] }),
    observed: observed([sandbox()], [instance('app'), instance('b')]),
    expected: ['kill app-0', 'start app 1'],
  },
  {
    name: 'a container that was created but not started is made anew',
    observed: observed([sandbox()], [instance('app', { state: 'CREATED' })]),
    expected: ['start app 1'],
  },
  {
    name: 'a container in an unknown state is killed before it is restarted',
    observed: observed([sandbox()], [instance('app', { state: 'UNKNOWN' })]),
    expected: ['kill app-0', 'start app 1'],
  },
  {
    name: 'a container that the spec does not name is killed',
    observed: observed([sandbox()], [instance('app'), instance('stray')]),
    expected: ['kill stray-0'],
  },
  {
    name: 'a container that the runtime lost counts on from the ledger',
    observed: observed([sandbox()], []),
    ledger: { containers: { app: { attempt: 4, ran: true } } },
    expected: ['start app 5'],
  },
  {
    name: 'only the first init container is started, whatever follows',
    pod: withInit(container('i1'), container('i2')),
    expected: ['sandbox 0', 'start i1 0'],
  },
  {
    name: 'the next init container follows one that succeeded',
    pod: withInit(container('i1'), container('i2')),
    observed: observed([sandbox()], [exited('i1', 0)]),
    expected: ['start i2 0'],
  },
  {
    name: 'regular containers follow the last init container',
    pod: withInit(container('i1')),
    observed: observed([sandbox()], [exited('i1', 0)]),
    expected: ['start app 0'],
  },
  {
    name: 'nothing follows an init container that still runs',
    pod: withInit(container('i1')),
    observed: observed([sandbox()], [instance('i1')]),
    expected: [],
  },
  {
    name: 'an init container that failed is tried again',
    pod: withInit(container('i1')),
    observed: observed([sandbox()], [exited('i1', 1)]),
    expected: ['start i1 1'],
  },
  {
    name: 'a new sandbox is initialised anew',
    pod: withInit(container('i1')),
    observed: observed([dead], [exited('app', 255), exited('i1', 0)]),
    expected: ['stop s0', 'sandbox 1', 'start i1 1'],
  },
  {
    name: 'init containers of a running pod are not run again when the runtime forgot them',
    pod: withInit(container('i1')),
    observed: observed([sandbox()], [instance('app')]),
    expected: [],
  },
  {
    name: 'a sidecar holds up what follows until it has started',
    pod: withInit(sidecar),
    observed: observed([sandbox()], [instance('side')]),
    expected: [],
  },
  {
    name: 'a started sidecar lets the others run beside it',
    pod: withInit(sidecar),
    observed: observed([sandbox()], [instance('side')]),
    probes: { started: new Set(['side-0']) },
    expected: ['start app 0'],
  },
  {
    name: 'a sidecar that ended restarts beside running containers, whatever the policy of the pod',
    pod: podWith({ initContainers: [sidecar], restartPolicy: 'Never' }),
    observed: observed([sandbox()], [instance('app'), exited('side', 0)]),
    expected: ['start side 1'],
  },
  {
    name: 'old dead instances and empty sandboxes are cleaned up, one predecessor is kept',
    observed: observed(
      [sandbox({ id: 's1', attempt: 1 }), dead],
      [
        instance('app', { attempt: 3, sandboxId: 's1' }),
        exited('app', 1, { attempt: 2, sandboxId: 's1' }),
        exited('app', 1, { attempt: 1 }),
      ],
    ),
    expected: ['remove app-1', 'remove s0'],
  },
  {
    name: 'nothing is started while volumes are held up',
    observed: observed([sandbox()], []),
    holds: new Map([['#volumes', { untilMs: NOW_MS + 1000, waiting: undefined }]]),
    expected: [],
  },
  {
    name: 'no sandbox is tried while the last failure is fresh',
    holds: new Map([['#sandbox', { untilMs: NOW_MS + 1000, waiting: undefined }]]),
    expected: [],
  },
  {
    name: 'the hold of one container does not hold up another',
    pod: podWith({ containers: [container('a'), container('b')] }),
    observed: observed([sandbox()], []),
    holds: new Map([['a', { untilMs: NOW_MS + 1000, waiting: { reason: 'ErrImagePull', message: 'no' } }]]),
    expected: ['start b 0'],
  },
];

describe('computePodActions: steps', () => {
  test.each(steps)('$name', ({ expected, ...given }) => {
    expect(plan(given).actions.map(brief)).toEqual(expected);
  });
});

const outcomes: readonly (Given & {
  readonly name: string;
  readonly phase: string | undefined;
  readonly reason?: string;
})[] = [
  {
    name: 'Always never ends',
    observed: observed([sandbox()], [exited('app', 0)]),
    phase: undefined,
  },
  {
    name: 'Never with exit code 0 ends Succeeded',
    pod: podWith({ restartPolicy: 'Never' }),
    observed: observed([sandbox()], [exited('app', 0)]),
    phase: 'Succeeded',
  },
  {
    name: 'Never with one failure ends Failed',
    pod: podWith({ restartPolicy: 'Never', containers: [container('a'), container('b')] }),
    observed: observed([sandbox()], [exited('a', 0), exited('b', 2)]),
    phase: 'Failed',
  },
  {
    name: 'Never whose sandbox died is not run again',
    pod: podWith({ restartPolicy: 'Never' }),
    observed: observed([dead], [exited('app', 255)]),
    phase: 'Failed',
  },
  {
    name: 'Never whose container ran and vanished is Failed, not rerun',
    pod: podWith({ restartPolicy: 'Never' }),
    ledger: { containers: { app: { attempt: 0, ran: true } } },
    phase: 'Failed',
  },
  {
    name: 'Never that was admitted but never ran is run',
    pod: podWith({ restartPolicy: 'Never' }),
    phase: undefined,
  },
  {
    name: 'OnFailure ends Succeeded once all succeeded, sidecars or not',
    pod: podWith({ restartPolicy: 'OnFailure', initContainers: [sidecar] }),
    observed: observed([sandbox()], [instance('side'), exited('app', 0)]),
    phase: 'Succeeded',
  },
  {
    name: 'an init container that failed ends a Never pod',
    pod: podWith({ restartPolicy: 'Never', initContainers: [container('i1')] }),
    observed: observed([sandbox()], [exited('i1', 1)]),
    phase: 'Failed',
  },
  {
    name: 'the deadline ends a pod that runs',
    pod: podWith({ activeDeadlineSeconds: 30 }),
    observed: observed([sandbox()], [instance('app')]),
    phase: 'Failed',
    reason: 'DeadlineExceeded',
  },
];

describe('computePodActions: outcome', () => {
  test.each(outcomes)('$name', ({ phase, reason = '', ...given }) => {
    const { outcome, actions } = plan(given);
    expect(outcome?.phase).toBe(phase);
    if (phase === undefined) return;
    expect(outcome?.reason).toBe(reason);
    expect(actions).toEqual([]);
  });
});

describe('computePodActions: waits', () => {
  test('says CrashLoopBackOff and when to look again', () => {
    const given = {
      observed: observed([sandbox()], [exited('app', 1)]),
      ledger: { containers: { app: { ...crashed, backoff: { delayMs: 80_000, updatedAtMs: NOW_MS - 5_000 } } } },
    };
    const { waiting, wakeAtMs } = plan(given);
    expect(waiting.get('app')).toEqual({
      reason: 'CrashLoopBackOff',
      message: 'back-off 1m20s restarting failed container=app pod=web_default(uid-1)',
    });
    expect(wakeAtMs).toBe(NOW_MS - 1000 + 80_000);
  });

  test('doubles the back-off with each restart up to five minutes', () => {
    const delays: (number | undefined)[] = [];
    let backoff: { delayMs: number; updatedAtMs: number } | undefined;
    for (let restart = 1; restart <= 7; restart++) {
      const endedMs = NOW_MS - (backoff?.delayMs ?? 0);
      const app = { attempt: restart - 1, ran: true, ...(backoff === undefined ? {} : { backoff }) };
      const seen = observed([sandbox()], [exited('app', 1, { attempt: restart - 1, finishedAtMs: endedMs })]);
      const [start] = plan({ observed: seen, ledger: { containers: { app } } }).actions;
      backoff = start?.kind === 'startContainer' ? start.backoff : undefined;
      delays.push(backoff?.delayMs);
    }
    expect(delays).toEqual([10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
  });

  test('wakes at the deadline of a pod', () => {
    const { wakeAtMs } = plan({
      pod: podWith({ activeDeadlineSeconds: 90 }),
      observed: observed([sandbox()], [instance('app')]),
    });
    expect(wakeAtMs).toBe(NOW_MS + 30_000);
  });

  test("kills with the probe's own grace period", () => {
    const probe = { httpGet: { port: 80 }, terminationGracePeriodSeconds: 3 };
    const { actions } = plan({
      pod: podWith({ containers: [container('app', { livenessProbe: probe })] }),
      observed: observed([sandbox()], [instance('app')]),
      probes: { livenessFailed: new Set(['app-0']) },
    });
    expect(actions[0]).toMatchObject({
      graceSeconds: 3,
      message: 'Container app failed liveness probe, will be restarted',
    });
  });
});
