import { describe, expect, test } from 'vitest';
import type { Pod } from '#api/object/kinds.ts';
import { podWith } from '../testing/pod-fixtures.ts';
import { exclusiveCpus, takeCpus } from './cpu-policy.ts';
import { formatCpuSet, parseCpuSet } from './cpu-set.ts';

test.each([
  ['', []],
  ['0', [0]],
  ['0-3,8', [0, 1, 2, 3, 8]],
  ['2,0-1\n', [0, 1, 2]],
])('the CPUs %j', (text, cpus) => {
  expect(parseCpuSet(text)).toEqual(cpus);
});

test.each([
  [[], ''],
  [[3, 1, 2, 7], '1-3,7'],
])('%j as the kernel writes it', (cpus, text) => {
  expect(formatCpuSet(cpus)).toBe(text);
});

/** Cores as an Arm board has them, and as a server of two sockets with two threads a core numbers them. */
const board = [0, 1, 2, 3].map((cpu) => ({ cpu, core: cpu, socket: 0 }));
const server = [0, 1, 2, 3, 4, 5, 6, 7].map((cpu) => ({ cpu, core: cpu % 4, socket: cpu % 4 < 2 ? 0 : 1 }));

describe('CPUs are taken', () => {
  test.each([
    ['of a board', board, [1, 2, 3], 2, [1, 2]],
    ['all that are free', board, [1, 3], 2, [1, 3]],
    ['more than are free', board, [1, 3], 3, undefined],
    ['a whole core', server, [0, 1, 2, 3, 4, 5, 6, 7], 2, [0, 4]],
    ['a whole socket', server, [1, 2, 3, 4, 5, 6, 7], 4, [2, 3, 6, 7]],
    ['a thread of a core that is in use', server, [1, 2, 3, 4, 5, 6, 7], 1, [4]],
    ['a core, and a thread that is left over', server, [1, 4, 5, 6], 3, [1, 4, 5]],
  ])('%s', (_name, topology, free, count, taken) => {
    expect(takeCpus(topology, free, count)).toEqual(taken);
  });
});

const podOf = (resources: object, role: 'containers' | 'initContainers' = 'containers', extra: object = {}): Pod => {
  const pod = podWith();
  const container = { ...pod.spec!.containers[0]!, name: 'one', resources, ...extra };
  const spec =
    role === 'containers'
      ? { containers: [container] }
      : { containers: [{ ...container, name: 'app' }], initContainers: [container] };
  return { ...pod, status: {}, spec: { ...pod.spec!, ...spec } } as Pod;
};
const same = (cpu: string) => ({ limits: { cpu, memory: '1Gi' }, requests: { cpu, memory: '1Gi' } });

test.each([
  ['whole CPUs of a Guaranteed pod', podOf(same('2')), 2],
  ['in milli-CPUs', podOf(same('3000m')), 3],
  ['parts of CPUs', podOf(same('1500m')), 0],
  ['a pod that may use more', podOf({ requests: { cpu: '2', memory: '1Gi' } }), 0],
  ['limits alone', podOf({ limits: { cpu: '1', memory: '1Gi' } }), 1],
  ['an init container that ends', podOf(same('2'), 'initContainers'), 0],
  ['a sidecar', podOf(same('2'), 'initContainers', { restartPolicy: 'Always' }), 2],
])('%s', (_name, pod, count) => {
  const container = [...(pod.spec!.initContainers ?? []), ...pod.spec!.containers].find(({ name }) => name === 'one')!;
  expect(exclusiveCpus(pod, container)).toBe(count);
});
