import { expect, test } from 'vitest';
import type { Node } from '#api/object/kinds.ts';
import { podWith } from '../testing/pod-fixtures.ts';
import { admitPod } from './node-admission.ts';

const node = {
  metadata: { name: 'node-1', labels: {} },
  status: { allocatable: { cpu: '2', memory: '1Gi', pods: '10', 'coracle.dev/stick': '0', 'coracle.dev/radio': '1' } },
} as unknown as Node;

const asking = (resource: string, amount = '1') => {
  const pod = podWith();
  const [first] = pod.spec!.containers;
  const resources = { limits: { [resource]: amount }, requests: { [resource]: amount } };
  return { ...pod, spec: { ...pod.spec!, containers: [{ ...first!, resources }] } } as typeof pod;
};

test.each([
  ['what there is', asking('coracle.dev/radio'), undefined],
  ['more than there is', asking('coracle.dev/radio', '2'), 'OutOfcoracle.dev/radio'],
  ['what is unplugged', asking('coracle.dev/stick'), 'OutOfcoracle.dev/stick'],
  // Kubernetes leaves it to whoever counts it: the pod was bound past the scheduler, or the resource is the cluster's.
  ['what this node never offered', asking('example.com/nothing'), undefined],
  ['too much memory', asking('memory', '2Gi'), 'OutOfmemory'],
])('a pod that asks for %s', (_name, pod, reason) => {
  expect(admitPod(pod, [], node)?.reason).toBe(reason);
});
