import { expect, test } from 'vitest';
import { type NodeSummary, nodeMetrics, podMetrics } from './metrics-objects.ts';

const TIME = '2026-01-01T12:00:00Z';
const usage = (nanoCores: number | undefined, bytes: number) => ({
  cpu: { time: TIME, ...(nanoCores === undefined ? {} : { usageNanoCores: nanoCores }) },
  memory: { workingSetBytes: bytes },
});
const summary: NodeSummary = {
  node: { nodeName: 'n', ...usage(1_500_000_000, 3 * 2 ** 20) },
  pods: [
    { podRef: { name: 'web', namespace: 'default' }, containers: [{ name: 'app', ...usage(250_000, 1500) }] },
    { podRef: { name: 'new', namespace: 'default' }, containers: [{ name: 'app', ...usage(undefined, 1500) }] },
    { podRef: { name: 'foreign', namespace: 'other' }, containers: [{ name: 'app', ...usage(1, 1) }] },
  ],
};

test('a node is measured in nano-cores and bytes', () => {
  expect(nodeMetrics('n', { zone: 'a' }, summary)).toEqual({
    kind: 'NodeMetrics',
    apiVersion: 'metrics.k8s.io/v1beta1',
    metadata: { name: 'n', labels: { zone: 'a' }, creationTimestamp: TIME },
    timestamp: TIME,
    window: '10s',
    usage: { cpu: '1500000000n', memory: '3Mi' },
  });
  expect(nodeMetrics('n', {}, { node: usage(undefined, 1) })).toBeUndefined();
});

test('pods without a rate and pods that the API does not know are left out', () => {
  const labelsOf = (namespace: string) => (namespace === 'default' ? {} : undefined);
  expect(podMetrics(summary, labelsOf)).toEqual([
    expect.objectContaining({
      metadata: { name: 'web', namespace: 'default', creationTimestamp: TIME },
      containers: [{ name: 'app', usage: { cpu: '250000n', memory: '1Ki' } }],
    }),
  ]);
});
