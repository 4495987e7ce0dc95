import { expect, test } from 'vitest';
import { container, podWith, recordOf } from '../testing/pod-fixtures.ts';
import { allocatedPod, decideResize, roomFor } from './allocation.ts';

const sized = (cpu: string, memory = '64Mi') =>
  podWith({ containers: [container('app', { resources: { requests: { cpu, memory }, limits: { memory } } })] });
const node = { status: { allocatable: { cpu: '2', memory: '1Gi' } } };
const admitted = sized('500m');

const cases = [
  { name: 'nothing changed', pod: sized('0.5'), others: [], expected: { kind: 'none' } },
  { name: 'more that fits', pod: sized('1500m'), others: [], expected: { kind: 'granted' } },
  { name: 'less on a full node', pod: sized('100m'), others: [sized('1900m')], expected: { kind: 'granted' } },
  {
    name: 'more than the node has',
    pod: sized('3'),
    others: [],
    expected: {
      kind: 'pending',
      reason: 'Infeasible',
      message: "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000",
    },
  },
  {
    name: 'more than is left',
    pod: sized('500m', '800Mi'),
    others: [sized('100m', '512Mi')],
    expected: {
      kind: 'pending',
      reason: 'Deferred',
      message: "Node didn't have enough resource: memory, requested: 838860800, used: 536870912, capacity: 1073741824",
    },
  },
];

test.each(cases)('a resize: $name', ({ pod, others, expected }) => {
  expect(decideResize({ pod, record: recordOf(admitted), others: () => others, node })).toMatchObject(expected);
});

test('a pod with CPUs of its own keeps its size', () => {
  const record = { ...recordOf(admitted), cpus: { app: '1' } };
  expect(decideResize({ pod: sized('1'), record, others: () => [], node })).toMatchObject({ reason: 'Infeasible' });
});

test('until it is granted the pod is what it was admitted as', () => {
  const wanted = sized('1');
  const record = recordOf(admitted);
  expect(allocatedPod(wanted, record).spec?.containers[0]?.resources?.requests).toEqual({
    cpu: '500m',
    memory: '64Mi',
  });
  const verdict = decideResize({ pod: wanted, record, others: () => [], node });
  const allocated = verdict.kind === 'granted' ? verdict.allocation : {};
  expect(allocatedPod(wanted, { ...record, allocated })).toBe(wanted);
});

test.each([
  ['a container that is to shrink keeps its room until it has', '64Mi', '256Mi', '256Mi'],
  ['one that is to grow has it before', '256Mi', '64Mi', '256Mi'],
  ['one that had no limit has none yet', '64Mi', undefined, undefined],
])('%s', (_name, granted, held, expected) => {
  const limits = { ...(held === undefined ? {} : { memory: held }) };
  const record = recordOf(admitted, { containers: { app: { attempt: 0, ran: true, actuated: { limits } } } });
  const pod = sized('500m', granted);
  const [container] = roomFor(pod, record).spec?.containers ?? [];
  expect(container?.resources?.limits?.memory).toBe(expected);
  // What it requests is what it was granted.
  expect(container?.resources?.requests).toEqual({ cpu: '500m', memory: granted });
});
