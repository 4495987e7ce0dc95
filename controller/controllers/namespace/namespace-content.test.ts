import { expect, test } from 'vitest';
import { createResourceServer } from '../../apiserver/resources/testing/resource-server.ts';
import { clientOf } from '../../apiserver/resources/testing/server-client.ts';
import { deleteContent } from './namespace-content.ts';

const labels = { app: 'x' };
const template = { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'i:1' }] } };
const ending = { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'i:1' }] } };
const claim = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } };

/** One object of each kind that a namespace usually holds besides pods. */
const CONTENT: readonly (readonly [path: string, object: object])[] = [
  ['api/v1|configmaps', { kind: 'ConfigMap' }],
  ['api/v1|secrets', { kind: 'Secret' }],
  ['api/v1|persistentvolumeclaims', { kind: 'PersistentVolumeClaim', spec: claim }],
  ['api/v1|podtemplates', { kind: 'PodTemplate', template }],
  ['api/v1|replicationcontrollers', { kind: 'ReplicationController', spec: { template } }],
  ['apis/apps/v1|daemonsets', { kind: 'DaemonSet', spec: { selector: { matchLabels: labels }, template } }],
  ['apis/apps/v1|statefulsets', { kind: 'StatefulSet', spec: { selector: { matchLabels: labels }, template } }],
  ['apis/batch/v1|jobs', { kind: 'Job', spec: { template: ending } }],
  [
    'apis/batch/v1|cronjobs',
    { kind: 'CronJob', spec: { schedule: '@daily', jobTemplate: { spec: { template: ending } } } },
  ],
  [
    'apis/autoscaling/v1|horizontalpodautoscalers',
    { kind: 'HorizontalPodAutoscaler', spec: { scaleTargetRef: { kind: 'X', name: 'x' }, maxReplicas: 1 } },
  ],
  ['apis/networking.k8s.io/v1|networkpolicies', { kind: 'NetworkPolicy', spec: { podSelector: {} } }],
];

test('pods go first, and every other kind once they are gone', async () => {
  const api = createResourceServer();
  const client = clientOf(api);
  const { signal } = new AbortController();
  for (const [where, object] of CONTENT) {
    const [root, resource] = where.split('|') as [string, string];
    const apiVersion = root.replace(/^apis?\//, '');
    const url = `/${root}/namespaces/n/${resource}`;
    await api.expect(201, 'POST', url, { apiVersion, metadata: { name: 'x' }, ...object });
  }
  const running = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p' },
    spec: { ...template.spec, nodeName: 'node' },
  };
  await api.expect(201, 'POST', '/api/v1/namespaces/n/pods', running);

  const first = await deleteContent(client, 'n', signal);
  expect([...first.counts]).toEqual([['pods.', 1]]);
  await api.expect(200, 'GET', '/apis/networking.k8s.io/v1/namespaces/n/networkpolicies/x');

  await api.expect(200, 'DELETE', '/api/v1/namespaces/n/pods/p?gracePeriodSeconds=0');
  const second = await deleteContent(client, 'n', signal);
  expect([second.failures, [...second.counts]]).toEqual([[], []]);
  expect([...api.store.snapshot().range('/registry/')].map(({ key }) => key)).toEqual([]);
});
