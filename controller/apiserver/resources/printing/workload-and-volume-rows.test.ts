import { expect, test } from 'vitest';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { ResourceDefinition } from '../../registry/resource-definition.ts';
import { cronJobs } from '../cronjobs.ts';
import { daemonSets } from '../daemonsets.ts';
import { horizontalPodAutoscalers } from '../horizontalpodautoscalers.ts';
import { jobs } from '../jobs.ts';
import { persistentVolumeClaims } from '../persistentvolumeclaims.ts';
import { persistentVolumes } from '../persistentvolumes.ts';
import { podTemplates } from '../podtemplates.ts';
import { replicationControllers } from '../replicationcontrollers.ts';
import { statefulSets } from '../statefulsets.ts';

const NOW = Date.parse('2026-01-01T01:00:00Z');
const HALF = '2026-01-01T00:30:00Z';
const template = {
  metadata: { labels: { app: 'x' } },
  spec: {
    containers: [
      { name: 'c', image: 'i:1' },
      { name: 'd', image: 'j:1' },
    ],
    nodeSelector: { disk: 'ssd' },
  },
};
const selector = { matchLabels: { app: 'x' } };
const condition = (type: string) => ({ conditions: [{ type, status: 'True' }] });

const cells = (definition: ResourceDefinition, fields: object, metadata: object = {}): readonly unknown[] =>
  definition.tableRow(
    {
      apiVersion: 'v1',
      kind: definition.kind,
      metadata: { name: 'x', creationTimestamp: '2026-01-01T00:00:00Z', ...metadata },
      ...fields,
    } as KubeObject,
    NOW,
  );

test.each<[name: string, definition: ResourceDefinition, fields: object, row: unknown[]]>([
  [
    'a DaemonSet',
    daemonSets,
    {
      spec: { selector, template },
      status: { desiredNumberScheduled: 3, currentNumberScheduled: 2, numberReady: 1, updatedNumberScheduled: 2 },
    },
    ['x', 3, 2, 1, 2, 0, 'disk=ssd', '60m', 'c,d', 'i:1,j:1', 'app=x'],
  ],
  [
    'a StatefulSet',
    statefulSets,
    { spec: { replicas: 3, template }, status: { readyReplicas: 2 } },
    ['x', '2/3', '60m', 'c,d', 'i:1,j:1'],
  ],
  [
    'a ReplicationController',
    replicationControllers,
    { spec: { replicas: 3, selector: { b: '2', a: '1' }, template }, status: { replicas: 2, readyReplicas: 1 } },
    ['x', 3, 2, 1, '60m', 'c,d', 'i:1,j:1', 'a=1,b=2'],
  ],
  ['a PodTemplate', podTemplates, { template }, ['x', 'c,d', 'i:1,j:1', 'app=x']],
  [
    'a CronJob',
    cronJobs,
    {
      spec: { schedule: '@daily', suspend: true, jobTemplate: { spec: { template } } },
      status: { active: [{}], lastScheduleTime: HALF },
    },
    ['x', '@daily', '<none>', 'True', 1, '30m', '60m', 'c,d', 'i:1,j:1', '<none>'],
  ],
  [
    'a PersistentVolume',
    persistentVolumes,
    {
      spec: {
        capacity: { storage: '1Gi' },
        accessModes: ['ReadWriteMany', 'ReadWriteOnce'],
        persistentVolumeReclaimPolicy: 'Retain',
        claimRef: { namespace: 'a', name: 'c' },
        storageClassName: 'fast',
        volumeMode: 'Filesystem',
      },
      status: { phase: 'Bound' },
    },
    ['x', '1Gi', 'RWO,RWX', 'Retain', 'Bound', 'a/c', 'fast', '<unset>', '', '60m', 'Filesystem'],
  ],
  [
    'a claim that waits',
    persistentVolumeClaims,
    { spec: { accessModes: ['ReadWriteOnce'], storageClassName: 'fast' }, status: { phase: 'Pending' } },
    ['x', 'Pending', '', '', '', 'fast', '<unset>', '60m', '<unset>'],
  ],
  [
    'a bound claim',
    persistentVolumeClaims,
    {
      spec: { volumeName: 'v', volumeMode: 'Block', volumeAttributesClassName: 'gold' },
      status: { phase: 'Bound', capacity: { storage: '2Gi' }, accessModes: ['ReadWriteOncePod'] },
    },
    ['x', 'Bound', 'v', '2Gi', 'RWOP', '', 'gold', '60m', 'Block'],
  ],
])('%s', (_name, definition, fields, row) => {
  expect(cells(definition, fields)).toEqual(row);
});

test.each<[spec: object, status: object, row: [status: string, completions: string, duration: string]]>([
  [{ completions: 3 }, { succeeded: 1, startTime: HALF }, ['Running', '1/3', '30m']],
  [{ parallelism: 4 }, {}, ['Running', '0/1 of 4', '']],
  [{ parallelism: 1 }, { succeeded: 1 }, ['Running', '1/1', '']],
  [{ completions: 1 }, condition('Suspended'), ['Suspended', '0/1', '']],
  [{ completions: 1 }, condition('FailureTarget'), ['FailureTarget', '0/1', '']],
  [{ completions: 1 }, condition('Failed'), ['Failed', '0/1', '']],
  [
    { completions: 1 },
    { ...condition('Complete'), succeeded: 1, startTime: HALF, completionTime: '2026-01-01T00:30:07Z' },
    ['Complete', '1/1', '7s'],
  ],
])('a Job of %j in the state %j', (spec, status, row) => {
  expect(cells(jobs, { spec, status }).slice(1, 4)).toEqual(row);
});

test('a Job and a volume that go say so', () => {
  const going = { deletionTimestamp: HALF };
  expect(cells(jobs, { spec: {} }, going)[1]).toBe('Terminating');
  expect(cells(persistentVolumes, { status: { phase: 'Bound' } }, going)[4]).toBe('Terminating');
});

const resource = (target: object) => ({ type: 'Resource', resource: { name: 'cpu', target } });
const external = { type: 'External', external: { metric: { name: 'q' }, target: { averageValue: '30' } } };
const share = { type: 'Utilization', averageUtilization: 80 };

test.each<[targets: string, metrics: object[], currentMetrics: object[]]>([
  ['cpu: <unknown>/80%', [resource(share)], []],
  ['cpu: 40%/80%', [resource(share)], [{ resource: { current: { averageUtilization: 40 } } }]],
  ['cpu: 5m/10m', [resource({ averageValue: '10m' })], [{ resource: { current: { averageValue: '5m' } } }]],
  ['12/30 (avg)', [external], [{ external: { current: { averageValue: '12' } } }]],
  ['cpu: <unknown>/80%, <unknown>/30 (avg) + 1 more...', [resource(share), external, external], []],
])('an autoscaler with the targets %s', (targets, metrics, currentMetrics) => {
  const spec = { scaleTargetRef: { kind: 'Deployment', name: 'd' }, minReplicas: 1, maxReplicas: 5, metrics };
  const row = cells(horizontalPodAutoscalers, { spec, status: { currentReplicas: 2, currentMetrics } });
  expect(row).toEqual(['x', 'Deployment/d', targets, '1', '5', '2', '60m']);
});
