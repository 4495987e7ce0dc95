import { beforeEach, describe, expect, test } from 'vitest';
import type { TestServer } from '../server/testing/test-server.ts';
import { createResourceServer } from './testing/resource-server.ts';

const V1 = '/apis/autoscaling/v1/namespaces/a/horizontalpodautoscalers';
const V2 = '/apis/autoscaling/v2/namespaces/a/horizontalpodautoscalers';
const METRICS = 'autoscaling.alpha.kubernetes.io/metrics';
const BEHAVIOR = 'autoscaling.alpha.kubernetes.io/behavior';
const CURRENT = 'autoscaling.alpha.kubernetes.io/current-metrics';
const CONDITIONS = 'autoscaling.alpha.kubernetes.io/conditions';

const scaleTargetRef = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' };
const autoscaler = (version: 'v1' | 'v2', spec: object = {}, metadata: object = {}) => ({
  apiVersion: `autoscaling/${version}`,
  kind: 'HorizontalPodAutoscaler',
  metadata: { name: 'x', ...metadata },
  spec: { scaleTargetRef, maxReplicas: 5, ...spec },
});
const cpu = (averageUtilization: number) => ({
  type: 'Resource',
  resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization } },
});
const queue = {
  type: 'External',
  external: {
    metric: { name: 'queue', selector: { matchLabels: { q: 'a' } } },
    target: { type: 'AverageValue', averageValue: '30' },
  },
};
const hits = {
  type: 'Object',
  object: {
    describedObject: { apiVersion: 'networking.k8s.io/v1', kind: 'Ingress', name: 'i' },
    metric: { name: 'hits' },
    target: { type: 'Value', value: '10k' },
  },
};
const packets = {
  type: 'Pods',
  pods: { metric: { name: 'packets' }, target: { type: 'AverageValue', averageValue: '1k' } },
};
const containerMemory = {
  type: 'ContainerResource',
  containerResource: { name: 'memory', container: 'c', target: { type: 'AverageValue', averageValue: '1Gi' } },
};

let api: TestServer;
beforeEach(() => {
  api = createResourceServer();
});

test('nothing said means four fifths of the CPU asked for', async () => {
  const { spec } = await api.expect(201, 'POST', V2, autoscaler('v2'));
  expect(spec).toMatchObject({ minReplicas: 1, metrics: [cpu(80)] });
  expect(spec).not.toHaveProperty('behavior');
});

test('behavior is completed where it is spoken of', async () => {
  const behavior = { scaleDown: { stabilizationWindowSeconds: 60 } };
  const { spec } = await api.expect(201, 'POST', V2, autoscaler('v2', { behavior }));
  expect(spec.behavior).toEqual({
    scaleUp: {
      stabilizationWindowSeconds: 0,
      selectPolicy: 'Max',
      policies: [
        { type: 'Pods', value: 4, periodSeconds: 15 },
        { type: 'Percent', value: 100, periodSeconds: 15 },
      ],
    },
    scaleDown: {
      stabilizationWindowSeconds: 60,
      selectPolicy: 'Max',
      policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }],
    },
  });
});

const resourceTarget = (target: object) => ({ metrics: [{ type: 'Resource', resource: { name: 'cpu', target } }] });
const scaleUp = (rules: object) => ({ behavior: { scaleUp: rules } });

test.each<[name: string, spec: object, finding: string]>([
  ['too few', { minReplicas: 0 }, 'spec.minReplicas: Invalid value: 0: must be greater than or equal to 1'],
  ['none', { maxReplicas: 0 }, 'spec.maxReplicas: Invalid value: 0: must be greater than 0'],
  [
    'more at least than at most',
    { minReplicas: 6 },
    'spec.maxReplicas: Invalid value: 5: must be greater than or equal to `minReplicas`',
  ],
  ['a target without a name', { scaleTargetRef: { kind: 'X' } }, 'spec.scaleTargetRef.name: Required value'],
  [
    'a target of an odd name',
    { scaleTargetRef: { kind: 'X', name: 'a/b' } },
    'spec.scaleTargetRef.name: Invalid value: "a/b": may not contain \'/\'',
  ],
  [
    'a metric of no type',
    { metrics: [{ type: '' }] },
    'spec.metrics[0].type: Required value: must specify a metric source type',
  ],
  [
    'a metric of an unknown type',
    { metrics: [{ type: 'Mood' }] },
    'spec.metrics[0].type: Unsupported value: "Mood": supported values: "ContainerResource", "External", "Object", "Pods", "Resource"',
  ],
  [
    'a metric that says nothing',
    { metrics: [{ type: 'Pods' }] },
    'spec.metrics[0].pods: Required value: must populate information for the given metric source',
  ],
  [
    'a metric that says too much',
    { metrics: [{ ...cpu(50), pods: packets.pods }] },
    'spec.metrics[0].pods: Forbidden: must populate the given metric source only',
  ],
  [
    'no amount',
    resourceTarget({ type: 'Utilization' }),
    'spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization',
  ],
  [
    'two amounts',
    resourceTarget({ type: 'Utilization', averageUtilization: 1, averageValue: '1' }),
    'spec.metrics[0].resource.target.averageValue: Forbidden: may not set both a target raw value and a target utilization',
  ],
  [
    'a share of nothing',
    resourceTarget({ type: 'Utilization', averageUtilization: 0 }),
    'spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0',
  ],
  [
    'a negative amount',
    resourceTarget({ type: 'AverageValue', averageValue: '-1' }),
    'spec.metrics[0].resource.target.averageValue: Invalid value: "-1": must be positive',
  ],
  [
    'an odd type of amount',
    resourceTarget({ type: 'Guess', averageValue: '1' }),
    'spec.metrics[0].resource.target.type: Invalid value: "Guess": must be either Utilization, Value, or AverageValue',
  ],
  [
    'a long memory',
    scaleUp({ stabilizationWindowSeconds: 3601 }),
    'spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600',
  ],
  [
    'no policy',
    scaleUp({ policies: [] }),
    'spec.behavior.scaleUp.policies: Required value: must specify at least one Policy',
  ],
  [
    'a slow policy',
    scaleUp({ policies: [{ type: 'Pods', value: 1, periodSeconds: 1801 }] }),
    'spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800',
  ],
  [
    'an unknown choice',
    scaleUp({ selectPolicy: 'Any' }),
    'spec.behavior.scaleUp.selectPolicy: Unsupported value: "Any": supported values: "Disabled", "Max", "Min"',
  ],
])('is refused with %s', async (_name, spec, finding) => {
  const status = await api.expect(422, 'POST', V2, autoscaler('v2', spec));
  expect(status.message).toContain(finding);
});

describe('autoscaling/v1', () => {
  test('shows the share of the CPU as a field and the rest in annotations', async () => {
    const metrics = [queue, cpu(60), hits, packets, containerMemory];
    const behavior = { scaleDown: { selectPolicy: 'Disabled' } };
    await api.expect(201, 'POST', V2, autoscaler('v2', { metrics, behavior }, { annotations: { mine: 'yes' } }));
    const { apiVersion, metadata, spec } = await api.expect(200, 'GET', `${V1}/x`);
    expect([apiVersion, spec]).toEqual([
      'autoscaling/v1',
      { scaleTargetRef, minReplicas: 1, maxReplicas: 5, targetCPUUtilizationPercentage: 60 },
    ]);
    expect(metadata.annotations.mine).toBe('yes');
    expect(JSON.parse(metadata.annotations[METRICS])).toEqual([
      {
        type: 'External',
        external: { metricName: 'queue', metricSelector: { matchLabels: { q: 'a' } }, targetAverageValue: '30' },
      },
      {
        type: 'Object',
        object: { target: hits.object.describedObject, metricName: 'hits', targetValue: '10k' },
      },
      { type: 'Pods', pods: { metricName: 'packets', targetAverageValue: '1k' } },
      {
        type: 'ContainerResource',
        containerResource: { name: 'memory', container: 'c', targetAverageValue: '1Gi' },
      },
    ]);
    expect(JSON.parse(metadata.annotations[BEHAVIOR]).scaleDown.selectPolicy).toBe('Disabled');
  });

  test('loses nothing on the way there and back', async () => {
    const metrics = [queue, hits, packets, containerMemory, cpu(60)];
    const behavior = { scaleUp: { stabilizationWindowSeconds: 5 } };
    const created = await api.expect(201, 'POST', V2, autoscaler('v2', { metrics, behavior }));
    const face = await api.expect(200, 'GET', `${V1}/x`);
    await api.expect(200, 'PUT', `${V1}/x`, { ...face, spec: { ...face.spec, maxReplicas: 9 } });
    const back = await api.expect(200, 'GET', `${V2}/x`);
    expect(back.spec).toEqual({ ...created.spec, maxReplicas: 9 });
    expect(back.metadata.annotations).toBeUndefined();
  });

  test('is stored as v2', async () => {
    await api.expect(201, 'POST', V1, autoscaler('v1', { targetCPUUtilizationPercentage: 30 }));
    expect((await api.expect(200, 'GET', `${V2}/x`)).spec.metrics).toEqual([cpu(30)]);
    const { items } = await api.expect(200, 'GET', V1);
    expect(items.map((item: { spec: object }) => item.spec)).toEqual([
      { scaleTargetRef, minReplicas: 1, maxReplicas: 5, targetCPUUtilizationPercentage: 30 },
    ]);
  });

  test('shows the status too, and a change of the spec keeps it', async () => {
    const created = await api.expect(201, 'POST', V2, autoscaler('v2', { metrics: [cpu(50), queue] }));
    const status = {
      currentReplicas: 2,
      desiredReplicas: 3,
      currentMetrics: [
        { type: 'Resource', resource: { name: 'cpu', current: { averageUtilization: 40, averageValue: '400m' } } },
      ],
      conditions: [{ type: 'AbleToScale', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z' }],
    };
    await api.expect(200, 'PUT', `${V2}/x/status`, { ...created, status });
    const face = await api.expect(200, 'GET', `${V1}/x`);
    expect(face.status).toEqual({ currentReplicas: 2, desiredReplicas: 3, currentCPUUtilizationPercentage: 40 });
    expect(JSON.parse(face.metadata.annotations[CURRENT])).toEqual([
      {
        type: 'Resource',
        resource: { name: 'cpu', currentAverageUtilization: 40, currentAverageValue: '400m' },
      },
    ]);
    expect(JSON.parse(face.metadata.annotations[CONDITIONS])).toEqual(status.conditions);
    const forgetful = autoscaler('v1', { targetCPUUtilizationPercentage: 70 });
    await api.expect(200, 'PUT', `${V1}/x`, forgetful);
    const back = await api.expect(200, 'GET', `${V2}/x`);
    expect(back.status).toEqual(status);
    expect(back.spec.metrics).toEqual([cpu(70)]);
  });

  test('annotations that are no JSON say nothing', async () => {
    const metadata = { annotations: { [METRICS]: '{', [BEHAVIOR]: '[]' } };
    await api.expect(201, 'POST', V1, autoscaler('v1', { targetCPUUtilizationPercentage: 30 }, metadata));
    expect((await api.expect(200, 'GET', `${V2}/x`)).spec).toEqual({
      scaleTargetRef,
      minReplicas: 1,
      maxReplicas: 5,
      metrics: [cpu(30)],
    });
  });

  test('is judged as v2 is', async () => {
    const metadata = { annotations: { [METRICS]: '[{"type":"Pods","pods":{"metricName":"m"}}]' } };
    const status = await api.expect(422, 'POST', V1, autoscaler('v1', {}, metadata));
    expect(status.message).toContain('spec.metrics[0].pods.target.averageValue: Required value');
  });
});
