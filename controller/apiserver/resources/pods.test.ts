import { beforeEach, describe, expect, test } from 'vitest';
import type { TestServer } from '../server/testing/test-server.ts';
import { createResourceServer } from './testing/resource-server.ts';

const PODS = '/api/v1/namespaces/a/pods';

const container = (more: object = {}) => ({ name: 'c', image: 'nginx:1', ...more });
const pod = (spec: object = {}, metadata: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p', ...metadata },
  spec: { containers: [container()], ...spec },
});

let api: TestServer;
beforeEach(() => {
  api = createResourceServer();
});

const create = (spec: object = {}, metadata: object = {}) => api.expect(201, 'POST', PODS, pod(spec, metadata));
const refused = async (spec: object): Promise<string> => (await api.expect(422, 'POST', PODS, pod(spec))).message;

describe('defaults', () => {
  test('are those that kubectl shows', async () => {
    const probe = { httpGet: { port: 80 } };
    const { spec, status } = await create({ containers: [container({ readinessProbe: probe })] });
    expect(spec).toEqual({
      containers: [
        {
          image: 'nginx:1',
          imagePullPolicy: 'IfNotPresent',
          name: 'c',
          readinessProbe: {
            failureThreshold: 3,
            httpGet: { path: '/', port: 80, scheme: 'HTTP' },
            periodSeconds: 10,
            successThreshold: 1,
            timeoutSeconds: 1,
          },
          resources: {},
          terminationMessagePath: '/dev/termination-log',
          terminationMessagePolicy: 'File',
        },
      ],
      dnsPolicy: 'ClusterFirst',
      enableServiceLinks: true,
      restartPolicy: 'Always',
      schedulerName: 'default-scheduler',
      securityContext: {},
      terminationGracePeriodSeconds: 30,
    });
    expect(status).toEqual({ phase: 'Pending', qosClass: 'BestEffort' });
  });

  test.each([
    ['nginx', 'Always'],
    ['nginx:latest', 'Always'],
    ['registry:5000/nginx', 'Always'],
    ['registry:5000/nginx:1', 'IfNotPresent'],
    [`nginx@sha256:${'0'.repeat(64)}`, 'IfNotPresent'],
  ])('image %s is pulled %s', async (image, policy) => {
    const { spec } = await create({ containers: [container({ image })] });
    expect(spec.containers[0].imagePullPolicy).toBe(policy);
  });

  test.each([
    ['Guaranteed', { limits: { cpu: '1', memory: '1Gi' } }],
    ['Burstable', { limits: { cpu: '1' } }],
    ['Burstable', { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '500m' } }],
    ['BestEffort', {}],
  ])('the QoS class is %s', async (qosClass, resources) => {
    const { status } = await create({ containers: [container({ resources })] });
    expect(status.qosClass).toBe(qosClass);
  });

  test('both names of the service account are kept', async () => {
    const { spec } = await create({ serviceAccountName: 'sa' });
    expect(spec).toMatchObject({ serviceAccount: 'sa', serviceAccountName: 'sa' });
  });
});

test.each<[name: string, spec: object, finding: string]>([
  ['no containers', { containers: [] }, 'spec.containers: Required value'],
  ['no image', { containers: [{ name: 'c' }] }, 'spec.containers[0].image: Required value'],
  ['a name twice', { containers: [container(), container()] }, 'spec.containers[1].name: Duplicate value: "c"'],
  [
    'a request above its limit',
    { containers: [container({ resources: { limits: { memory: '1Gi' }, requests: { memory: '2Gi' } } })] },
    'spec.containers[0].resources.requests: Invalid value: "2Gi": must be less than or equal to memory limit of 1Gi',
  ],
  [
    'a resource nobody knows',
    { containers: [container({ resources: { limits: { banana: '1' } } })] },
    'spec.containers[0].resources.limits[banana]: Invalid value: "banana": must be a standard resource for containers',
  ],
  [
    'a mount of no volume',
    { containers: [container({ volumeMounts: [{ name: 'v', mountPath: '/v' }] })] },
    'spec.containers[0].volumeMounts[0].name: Not found: "v"',
  ],
  [
    'two sources of one volume',
    { volumes: [{ name: 'v', emptyDir: {}, hostPath: { path: '/x' } }] },
    'may not specify more than 1 volume type',
  ],
  ['a volume twice', { volumes: [{ name: 'v' }, { name: 'v' }] }, 'spec.volumes[1].name: Duplicate value: "v"'],
  [
    'a probe of nothing',
    { containers: [container({ livenessProbe: {} })] },
    'spec.containers[0].livenessProbe: Required value: must specify a handler type',
  ],
  [
    'an env source twice',
    {
      containers: [
        container({ env: [{ name: 'A', value: 'x', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }] }),
      ],
    },
    'spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
  ],
  [
    'an unknown field path',
    { containers: [container({ env: [{ name: 'A', valueFrom: { fieldRef: { fieldPath: 'spec.shape' } } }] })] },
    'error converting fieldPath: field label not supported: spec.shape',
  ],
  ['an unknown restart policy', { restartPolicy: 'Maybe' }, 'spec.restartPolicy: Unsupported value: "Maybe"'],
  [
    'privilege without escalation',
    { containers: [container({ securityContext: { privileged: true, allowPrivilegeEscalation: false } })] },
    'cannot set `allowPrivilegeEscalation` to false and `privileged` to true',
  ],
  [
    'a toleration of everything that is none',
    { tolerations: [{ operator: 'Equal' }] },
    'operator must be Exists when `key` is empty',
  ],
  [
    'an affinity without terms',
    { affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [] } } } },
    'nodeSelectorTerms: Required value: must have at least one node selector term',
  ],
  [
    'a node affinity with a value that no label has',
    {
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchExpressions: [{ key: 'zone', operator: 'In', values: ['a b'] }] }],
          },
        },
      },
    },
    'nodeSelectorTerms[0].matchExpressions[0].values[0]: Invalid value: "a b"',
  ],
  [
    'a pod affinity that compares by number',
    {
      affinity: {
        podAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: [
            { topologyKey: 'zone', labelSelector: { matchExpressions: [{ key: 'a', operator: 'Gt', values: ['1'] }] } },
          ],
        },
      },
    },
    'matchExpressions[0].operator: Invalid value: "Gt": not a valid selector operator',
  ],
  [
    'a host port that differs in the host network',
    { hostNetwork: true, containers: [container({ ports: [{ containerPort: 80, hostPort: 81 }] })] },
    'spec.containers[0].ports[0].containerPort: Invalid value: 80: must match `hostPort` when `hostNetwork` is true',
  ],
  [
    'a probe of an init container',
    { initContainers: [container({ name: 'i', livenessProbe: { exec: { command: ['x'] } } })] },
    'spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always',
  ],
  [
    'no name server',
    { dnsPolicy: 'None', dnsConfig: {} },
    'must provide at least one DNS nameserver when `dnsPolicy` is None',
  ],
  [
    'ephemeral containers at birth',
    { ephemeralContainers: [container({ name: 'e' })] },
    'spec.ephemeralContainers: Forbidden: cannot be set on create',
  ],
])('refuses %s', async (_name, spec, finding) => {
  expect(await refused(spec)).toContain(finding);
});

describe('updates', () => {
  const put = async (change: (spec: Record<string, unknown>) => void) => {
    const current = await api.expect(200, 'GET', `${PODS}/p`);
    change(current.spec);
    const response = await api.call('PUT', `${PODS}/p`, current);
    return { status: response.status, body: await response.json<{ message?: string }>() };
  };

  beforeEach(() => create({ tolerations: [{ key: 'a', operator: 'Exists' }], activeDeadlineSeconds: 100 }));

  test.each<[name: string, change: (spec: Record<string, unknown>) => void]>([
    ['an image', (spec) => ((spec.containers as { image: string }[])[0]!.image = 'nginx:2')],
    ['a shorter deadline', (spec) => (spec.activeDeadlineSeconds = 50)],
    ['one more toleration', (spec) => (spec.tolerations as object[]).push({ key: 'b', operator: 'Exists' })],
  ])('take %s', async (_name, change) => {
    expect((await put(change)).status).toBe(200);
  });

  test.each<[name: string, change: (spec: Record<string, unknown>) => void, finding: string]>([
    ['another node', (spec) => (spec.nodeName = 'n2'), 'spec: Forbidden: pod updates may not change fields other than'],
    [
      'another command',
      (spec) => ((spec.containers as { command: string[] }[])[0]!.command = ['x']),
      'changed: spec.containers',
    ],
    [
      'one more container',
      (spec) => (spec.containers as object[]).push(container({ name: 'd' })),
      'pod updates may not add or remove containers',
    ],
    ['a longer deadline', (spec) => (spec.activeDeadlineSeconds = 200), 'must be less than or equal to previous value'],
    [
      'fewer tolerations',
      (spec) => delete spec.tolerations,
      'existing toleration can not be modified except its tolerationSeconds',
    ],
  ])('refuse %s', async (_name, change, finding) => {
    const { status, body } = await put(change);
    expect(status).toBe(422);
    expect(body.message).toContain(finding);
  });
});

test('a gated pod may still be narrowed, and lose gates but gain none', async () => {
  const gates = (...names: string[]) => names.map((name) => ({ name: `example.com/${name}` }));
  const created = await create({ schedulingGates: gates('a', 'b'), nodeSelector: { disk: 'ssd' } });
  const put = (spec: object) =>
    api.call('PUT', `${PODS}/p`, { ...created, metadata: { name: 'p' }, spec: { ...created.spec, ...spec } });
  const narrowed = { nodeSelector: { disk: 'ssd', arch: 'arm64' }, schedulingGates: gates('b') };
  expect((await put(narrowed)).status).toBe(200);
  const more = await put({ ...narrowed, schedulingGates: gates('b', 'c') });
  expect(await more.text()).toContain("only deletion is allowed, but found new scheduling gate 'example.com/c'");
  const wider = await put({ ...narrowed, nodeSelector: { arch: 'arm64' } });
  expect(await wider.text()).toContain('only additions to spec.nodeSelector are allowed');
});

describe('binding', () => {
  const bind = (target: object) =>
    api.call('POST', `${PODS}/p/binding`, { apiVersion: 'v1', kind: 'Binding', metadata: { name: 'p' }, target });

  test('gives the pod a node and says so in its conditions, once', async () => {
    await create();
    expect((await bind({ kind: 'Node', name: 'n1' })).status).toBe(201);
    const { spec, status } = await api.expect(200, 'GET', `${PODS}/p`);
    expect(spec.nodeName).toBe('n1');
    expect(status.conditions).toMatchObject([{ type: 'PodScheduled', status: 'True' }]);
    const again = await bind({ name: 'n2' });
    expect(again.status).toBe(409);
    expect((await again.json<{ message: string }>()).message).toContain('pod p is already assigned to node "n1"');
  });

  test('does the same by the old path', async () => {
    await create();
    const binding = {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name: 'p' },
      target: { kind: 'Node', name: 'n1' },
    };
    const path = '/api/v1/namespaces/a/bindings';
    expect(await api.expect(201, 'POST', `${path}?dryRun=All`, binding)).toMatchObject({ status: 'Success' });
    expect((await api.expect(200, 'GET', `${PODS}/p`)).spec.nodeName).toBeUndefined();
    await api.expect(201, 'POST', path, binding);
    expect((await api.expect(200, 'GET', `${PODS}/p`)).spec.nodeName).toBe('n1');
    await api.expect(409, 'POST', path, binding);
    await api.expect(404, 'POST', path, { ...binding, metadata: { name: 'nobody' } });
  });

  test('asks for a node', async () => {
    await create();
    expect((await bind({})).status).toBe(422);
  });

  test('waits for the gates', async () => {
    await create({ schedulingGates: [{ name: 'example.com/wait' }] });
    expect((await bind({ name: 'n1' })).status).toBe(409);
  });
});

test('a pod on a node is evicted with its grace, one without a node at once', async () => {
  const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'p' } };
  await create();
  await api.expect(201, 'POST', `${PODS}/p/eviction`, eviction);
  await api.expect(404, 'GET', `${PODS}/p`);
  await create({ nodeName: 'n1', terminationGracePeriodSeconds: 7 });
  await api.expect(201, 'POST', `${PODS}/p/eviction`, eviction);
  const { metadata } = await api.expect(200, 'GET', `${PODS}/p`);
  expect(metadata).toMatchObject({ deletionGracePeriodSeconds: 7 });
});

test('a debugging container is added through its own subresource alone', async () => {
  await create();
  const current = await api.expect(200, 'GET', `${PODS}/p/ephemeralcontainers`);
  current.spec.ephemeralContainers = [{ name: 'debug', image: 'busybox', targetContainerName: 'c' }];
  const { spec } = await api.expect(200, 'PUT', `${PODS}/p/ephemeralcontainers`, current);
  expect(spec.ephemeralContainers).toMatchObject([{ name: 'debug', imagePullPolicy: 'Always' }]);
  const gone = { ...current, metadata: { name: 'p' }, spec: { ...current.spec, ephemeralContainers: [] } };
  const status = await api.expect(422, 'PUT', `${PODS}/p/ephemeralcontainers`, gone);
  expect(status.message).toContain('existing ephemeral containers "debug" may not be removed');
});
