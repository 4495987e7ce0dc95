import { describe, expect, it } from 'vitest';
import {
  computeQosClass,
  type PodResourceShape,
  podLimits,
  podRequests,
  type QosClass,
  reservedShape,
} from './pod-resources.ts';

const ask = (cpu: string, more: object = {}) => ({ resources: { requests: { cpu } }, ...more });
const sidecar = { restartPolicy: 'Always' };
const both = (cpu: string, memory: string) => ({ requests: { cpu, memory }, limits: { cpu, memory } });

describe('what a pod needs', () => {
  const cases: { name: string; spec: PodResourceShape; cpu: string }[] = [
    { name: 'the sum of its containers', spec: { containers: [ask('1'), ask('500m')] }, cpu: '1500m' },
    {
      name: 'the largest init container where that is more',
      spec: { containers: [ask('1')], initContainers: [ask('3'), ask('2')] },
      cpu: '3',
    },
    {
      name: 'sidecars beside the containers',
      spec: { containers: [ask('1')], initContainers: [ask('1', sidecar), ask('1')] },
      cpu: '2',
    },
    {
      name: 'an init container beside the sidecars started before it',
      spec: { containers: [ask('1')], initContainers: [ask('1', sidecar), ask('4'), ask('2', sidecar)] },
      cpu: '5',
    },
    { name: 'its overhead on top', spec: { containers: [ask('1')], overhead: { cpu: '250m' } }, cpu: '1250m' },
    {
      name: 'its pod-level request instead of the sum',
      spec: { containers: [ask('1')], resources: { requests: { cpu: '7' } } },
      cpu: '7',
    },
  ];
  for (const { name, spec, cpu } of cases) {
    it(`is ${name}`, () => expect(podRequests(spec).get('cpu')?.toString()).toBe(cpu));
  }

  it('adds overhead to a limit only where there is one', () => {
    const spec = {
      containers: [{ resources: { limits: { cpu: '1' } } }],
      overhead: { cpu: '100m', memory: '1Gi' },
    };
    expect([...podLimits(spec)].map(([name, amount]) => `${name}=${amount}`)).toEqual(['cpu=1100m']);
  });
});

describe('what a pod holds while it is resized', () => {
  const spec = { containers: [{ name: 'c', ...ask('2') }] };
  const told = (allocated: string, actual: string, conditions: readonly object[] = []) => ({
    containerStatuses: [
      {
        name: 'c',
        allocatedResources: { cpu: allocated },
        resources: { requests: { cpu: actual }, limits: { cpu: '9' } },
      },
    ],
    conditions: conditions as { type: string }[],
  });
  const infeasible = [{ type: 'PodResizePending', reason: 'Infeasible' }];
  it.each([
    ['nothing told', undefined, '2'],
    ['it grows', told('1', '1'), '2'],
    ['it shrinks and the node holds on', told('3', '3'), '3'],
    ['the node has granted less, and the container has more', told('2', '2500m'), '2500m'],
    ['the node can never grant it', told('1', '500m', infeasible), '1'],
    ['a status without sizes', { containerStatuses: [{ name: 'c', allocatedResources: { cpu: '5' } }] }, '2'],
  ])('%s', (_, status, cpu) => {
    const shape = reservedShape({ spec, ...(status === undefined ? {} : { status }) });
    expect(podRequests(shape).get('cpu')?.toString()).toBe(cpu);
  });

  it('counts limits likewise', () => {
    const limits = podLimits(reservedShape({ spec, status: told('1', '1') }));
    expect(limits.get('cpu')?.toString()).toBe('9');
  });
});

describe('QoS class', () => {
  const cases: { name: string; spec: PodResourceShape; expected: QosClass }[] = [
    { name: 'nothing named', spec: { containers: [{}] }, expected: 'BestEffort' },
    { name: 'zero amounts', spec: { containers: [ask('0')] }, expected: 'BestEffort' },
    { name: 'requests alone', spec: { containers: [ask('1')] }, expected: 'Burstable' },
    { name: 'limits equal requests', spec: { containers: [{ resources: both('1', '1Gi') }] }, expected: 'Guaranteed' },
    {
      name: 'one container of two without limits',
      spec: { containers: [{ resources: both('1', '1Gi') }, {}] },
      expected: 'Burstable',
    },
    {
      name: 'an init container without limits',
      spec: { containers: [{ resources: both('1', '1Gi') }], initContainers: [{}] },
      expected: 'Burstable',
    },
    {
      name: 'pod-level resources',
      spec: { containers: [{}], resources: both('1', '1Gi') },
      expected: 'Guaranteed',
    },
    {
      name: 'empty pod-level resources above containers with limits',
      spec: { containers: [{ resources: both('1', '1Gi') }], resources: {} },
      expected: 'BestEffort',
    },
    {
      name: 'limits alone',
      spec: { containers: [{ resources: { limits: { cpu: '1', memory: '1Gi' } } }] },
      expected: 'Guaranteed',
    },
    {
      name: 'limits above requests of zero',
      spec: { containers: [{ resources: { ...both('1', '1Gi'), requests: { cpu: '0', memory: '0' } } }] },
      expected: 'Burstable',
    },
    {
      name: 'a limit on one resource',
      spec: { containers: [{ resources: { limits: { cpu: '1' } } }] },
      expected: 'Burstable',
    },
    {
      name: 'equal amounts in other words',
      spec: {
        containers: [
          { resources: { requests: { cpu: '1', memory: '1Gi' }, limits: { cpu: '1000m', memory: '1024Mi' } } },
        ],
      },
      expected: 'Guaranteed',
    },
  ];
  for (const { name, spec, expected } of cases) {
    it(`is ${expected} for ${name}`, () => expect(computeQosClass(spec)).toBe(expected));
  }
});
