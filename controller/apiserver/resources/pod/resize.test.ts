import { beforeEach, expect, test } from 'vitest';
import type { TestServer } from '../../server/testing/test-server.ts';
import { createResourceServer } from '../testing/resource-server.ts';

const PODS = '/api/v1/namespaces/a/pods';

const container = (name: string, resources: object, more: object = {}) => ({ name, image: 'i:1', resources, ...more });
const pod = (spec: object = {}, metadata: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'x', ...metadata },
  spec: {
    initContainers: [container('init', { requests: { cpu: '1m' } })],
    containers: [
      container('a', { requests: { cpu: '100m', memory: '64Mi' }, limits: { cpu: '200m', memory: '64Mi' } }),
      container('b', {}),
    ],
    ...spec,
  },
});

let api: TestServer;
beforeEach(() => {
  api = createResourceServer();
});

const resize = async (patch: object) => {
  const body = JSON.stringify({ spec: patch });
  const response = await api.call('PATCH', `${PODS}/x/resize`, body, {
    'content-type': 'application/strategic-merge-patch+json',
  });
  const answer = await response.json<{ message?: string }>();
  return response.status === 200 ? 'ok' : (answer.message ?? '');
};
const sizes = (resources: object) => ({ containers: [{ name: 'a', resources }] });

test('changes requests and limits and nothing else', async () => {
  await api.expect(201, 'POST', PODS, pod());
  const patch = { ...sizes({ requests: { cpu: '150m' }, limits: { cpu: '300m' } }), nodeName: 'n', hostname: 'h' };
  expect(await resize(patch)).toBe('ok');
  const { metadata, spec } = await api.expect(200, 'GET', `${PODS}/x`);
  expect(spec.containers[0].resources).toEqual({
    requests: { cpu: '150m', memory: '64Mi' },
    limits: { cpu: '300m', memory: '64Mi' },
  });
  expect([spec.nodeName, spec.hostname, metadata.generation]).toEqual([undefined, undefined, 2]);
});

test.each<[name: string, patch: object, outcome: string]>([
  [
    'a container that had none stays out of a class',
    { containers: [{ name: 'b', resources: { requests: { cpu: '1' } } }] },
    'ok',
  ],
  [
    'a request above its limit',
    sizes({ requests: { cpu: '500m' } }),
    'spec.containers[0].resources.requests: Invalid value: "500m": must be less than or equal to cpu limit of 200m',
  ],
  [
    'a request that goes',
    sizes({ requests: { memory: null }, limits: { memory: null } }),
    'spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed',
  ],
  [
    'a limit that goes',
    sizes({ limits: { cpu: null } }),
    'spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed',
  ],
  [
    'another resource',
    sizes({ limits: { 'ephemeral-storage': '1Gi' } }),
    'spec: Forbidden: only cpu and memory resources are mutable',
  ],
  [
    'an init container that has ended',
    { initContainers: [{ name: 'init', resources: { requests: { cpu: '2m' } } }] },
    'spec.initContainers[0].resources: Forbidden: resources for non-sidecar init containers are immutable',
  ],
  [
    'one container more',
    { containers: [{ name: 'c', image: 'i:1' }] },
    'spec.containers: Forbidden: containers may not be added or removed on resize',
  ],
  [
    'another order',
    { $setElementOrder: 0, containers: [{ $patch: 'replace' }, container('b', {}), container('a', {})] },
    'spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize',
  ],
])('%s', async (_name, patch, outcome) => {
  await api.expect(201, 'POST', PODS, pod());
  const { $setElementOrder: _, ...body } = patch as { $setElementOrder?: number };
  expect(await resize(body)).toContain(outcome);
});

test('never moves the pod to another class', async () => {
  const same = { cpu: '100m', memory: '64Mi' };
  const spec = { initContainers: [], containers: [container('a', { requests: same, limits: same })] };
  await api.expect(201, 'POST', PODS, pod(spec));
  expect(await resize(sizes({ requests: { cpu: '50m' } }))).toContain(
    'spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing',
  );
});

test('is refused where the node cannot do it', async () => {
  const created = await api.expect(201, 'POST', PODS, pod());
  const running = { name: 'a', image: 'i', imageID: '', ready: true, restartCount: 0, state: { running: {} } };
  const status = { ...created.status, containerStatuses: [running] };
  await api.expect(200, 'PUT', `${PODS}/x/status`, { ...created, status });
  expect(await resize(sizes({ requests: { cpu: '50m' } }))).toContain(
    'Forbidden: Pod running on node without support for resize',
  );
});

test('the pod itself does not take other resources', async () => {
  const created = await api.expect(201, 'POST', PODS, pod());
  const [first, ...rest] = created.spec.containers;
  const containers = [{ ...first, resources: { requests: { cpu: '50m' } } }, ...rest];
  const refused = await api.expect(422, 'PUT', `${PODS}/x`, { ...created, spec: { ...created.spec, containers } });
  expect(refused.message).toContain('spec: Forbidden: pod updates may not change fields other than');
});
