import { beforeEach, describe, expect, test } from 'vitest';
import type { TestServer } from '../server/testing/test-server.ts';
import { createResourceServer } from './testing/resource-server.ts';

const DAEMON_SETS = '/apis/apps/v1/namespaces/a/daemonsets';
const STATEFUL_SETS = '/apis/apps/v1/namespaces/a/statefulsets';
const CONTROLLERS = '/api/v1/namespaces/a/replicationcontrollers';
const TEMPLATES = '/api/v1/namespaces/a/podtemplates';

const template = (spec: object = {}, labels: object = { app: 'x' }) => ({
  metadata: { labels },
  spec: { containers: [{ name: 'c', image: 'nginx:1' }], ...spec },
});
const workload = (kind: string, spec: object = {}, metadata: object = {}) => ({
  apiVersion: 'apps/v1',
  kind,
  metadata: { name: 'x', ...metadata },
  spec: { selector: { matchLabels: { app: 'x' } }, template: template(), ...spec },
});
const controller = (spec: object = {}) => ({
  apiVersion: 'v1',
  kind: 'ReplicationController',
  metadata: { name: 'x' },
  spec: { template: template(), ...spec },
});

let api: TestServer;
beforeEach(() => {
  api = createResourceServer();
});

type Refusal = [name: string, spec: object, finding: string];

const COMMON: Refusal[] = [
  ['no selector', { selector: undefined }, 'spec.selector: Required value'],
  [
    'a selector of other pods',
    { template: template({}, { app: 'y' }) },
    'spec.template.metadata.labels: Invalid value: {"app":"y"}: `selector` does not match template `labels`',
  ],
  [
    'pods that end',
    { template: template({ restartPolicy: 'Never' }) },
    'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
  ],
  ['a negative delay', { minReadySeconds: -1 }, 'spec.minReadySeconds: Invalid value: -1'],
  [
    'a bad template',
    { template: template({ containers: [{ name: 'c' }] }) },
    'spec.template.spec.containers[0].image: Required value',
  ],
];

describe('a DaemonSet', () => {
  test('is completed', async () => {
    const { metadata, spec, status } = await api.expect(201, 'POST', DAEMON_SETS, workload('DaemonSet'));
    expect(spec).toMatchObject({
      revisionHistoryLimit: 10,
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 0, maxUnavailable: 1 } },
      template: { spec: { restartPolicy: 'Always' } },
    });
    expect(metadata.annotations).toEqual({ 'deprecated.daemonset.template.generation': '1' });
    expect(status).toEqual({
      currentNumberScheduled: 0,
      desiredNumberScheduled: 0,
      numberMisscheduled: 0,
      numberReady: 0,
    });
  });

  const rolling = (rollingUpdate: object) => ({ updateStrategy: { type: 'RollingUpdate', rollingUpdate } });

  test.each<Refusal>([
    ...COMMON,
    [
      'an empty selector',
      { selector: {} },
      'spec.selector: Invalid value: {}: empty selector is invalid for daemonset',
    ],
    [
      'a deadline',
      { template: template({ activeDeadlineSeconds: 5 }) },
      'spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in DaemonSet is not Supported',
    ],
    [
      'no way to move',
      rolling({ maxUnavailable: 0, maxSurge: 0 }),
      'spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0',
    ],
    [
      'both ways to move',
      rolling({ maxUnavailable: 1, maxSurge: '10%' }),
      'spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: "10%": may not be set when maxUnavailable is non-zero',
    ],
    ['more than all', rolling({ maxUnavailable: '110%' }), 'must not be greater than 100%'],
    [
      'an unknown strategy',
      { updateStrategy: { type: 'Hope' } },
      'spec.updateStrategy: Unsupported value: {"type":"Hope"}: supported values: "RollingUpdate", "OnDelete"',
    ],
  ])('is refused with %s', async (_name, spec, finding) => {
    const status = await api.expect(422, 'POST', DAEMON_SETS, workload('DaemonSet', spec));
    expect(status.message).toContain(finding);
  });

  test('counts the versions of its template, whatever clients say of them', async () => {
    const created = await api.expect(201, 'POST', DAEMON_SETS, workload('DaemonSet'));
    const lying = { ...created.metadata, annotations: { 'deprecated.daemonset.template.generation': '9' } };
    const same = await api.expect(200, 'PUT', `${DAEMON_SETS}/x`, { ...created, metadata: lying });
    expect(same.metadata.annotations).toEqual({ 'deprecated.daemonset.template.generation': '1' });
    const spec = { ...created.spec, template: template({ nodeSelector: { a: 'b' } }) };
    const changed = await api.expect(200, 'PUT', `${DAEMON_SETS}/x`, { ...same, spec });
    expect(changed.metadata).toMatchObject({
      generation: 2,
      annotations: { 'deprecated.daemonset.template.generation': '2' },
    });
  });

  test('keeps its selector, and its count of collisions never falls', async () => {
    const created = await api.expect(201, 'POST', DAEMON_SETS, workload('DaemonSet'));
    const other = workload('DaemonSet', {
      selector: { matchLabels: { app: 'y' } },
      template: template({}, { app: 'y' }),
    });
    const refused = await api.expect(422, 'PUT', `${DAEMON_SETS}/x`, other);
    expect(refused.message).toContain('spec.selector: Invalid value');
    const counted = { ...created, status: { ...created.status, collisionCount: 2 } };
    const updated = await api.expect(200, 'PUT', `${DAEMON_SETS}/x/status`, counted);
    const fallen = { ...updated, status: { ...updated.status, collisionCount: 1 } };
    const status = await api.expect(422, 'PUT', `${DAEMON_SETS}/x/status`, fallen);
    expect(status.message).toContain('status.collisionCount: Invalid value: 1: cannot be decremented');
  });
});

const claim = (name: string) => ({
  metadata: { name },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
});
const withClaim = (spec: object = {}) => ({
  volumeClaimTemplates: [claim('data')],
  template: template({
    containers: [{ name: 'c', image: 'nginx:1', volumeMounts: [{ name: 'data', mountPath: '/data' }] }],
  }),
  ...spec,
});

describe('a StatefulSet', () => {
  test('is completed', async () => {
    const { spec, status } = await api.expect(201, 'POST', STATEFUL_SETS, workload('StatefulSet', withClaim()));
    expect(spec).toMatchObject({
      podManagementPolicy: 'OrderedReady',
      replicas: 1,
      revisionHistoryLimit: 10,
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1, partition: 0 } },
      persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Retain' },
      volumeClaimTemplates: [
        {
          apiVersion: 'v1',
          kind: 'PersistentVolumeClaim',
          spec: { volumeMode: 'Filesystem' },
          status: { phase: 'Pending' },
        },
      ],
    });
    expect(status).toEqual({ availableReplicas: 0, replicas: 0 });
  });

  test.each<Refusal>([
    ...COMMON,
    ['negative replicas', { replicas: -1 }, 'spec.replicas: Invalid value: -1: must be greater than or equal to 0'],
    [
      'an empty selector',
      { selector: {} },
      'spec.selector: Invalid value: {}: empty selector is invalid for statefulset',
    ],
    [
      'an unknown policy',
      { podManagementPolicy: 'Chaos' },
      `spec.podManagementPolicy: Invalid value: "Chaos": must be 'OrderedReady' or 'Parallel'`,
    ],
    [
      'an unknown strategy',
      { updateStrategy: { type: 'Hope' } },
      `spec.updateStrategy: Invalid value: {"type":"Hope"}: must be 'RollingUpdate' or 'OnDelete'`,
    ],
    [
      'rolling settings of a strategy that has none',
      { updateStrategy: { type: 'OnDelete', rollingUpdate: { partition: 1 } } },
      `spec.updateStrategy.rollingUpdate: Invalid value: {"partition":1}: only allowed for updateStrategy 'RollingUpdate'`,
    ],
    [
      'a negative partition',
      { updateStrategy: { rollingUpdate: { partition: -1 } } },
      'spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0',
    ],
    [
      'no pod that may be missing',
      { updateStrategy: { rollingUpdate: { maxUnavailable: 0 } } },
      'spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0',
    ],
    [
      'an unknown retention',
      { persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Burn' } },
      'spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: "Burn": supported values: "Retain", "Delete"',
    ],
    [
      'a negative first ordinal',
      { ordinals: { start: -1 } },
      'spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0',
    ],
    [
      'a Service that cannot exist',
      { serviceName: 'Not_A_Label' },
      'spec.serviceName: Invalid value: "Not_A_Label": a lowercase RFC 1123 label',
    ],
    [
      'a mount of nothing',
      withClaim({ volumeClaimTemplates: [claim('other')] }),
      'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "data"',
    ],
  ])('is refused with %s', async (_name, spec, finding) => {
    const status = await api.expect(422, 'POST', STATEFUL_SETS, workload('StatefulSet', spec));
    expect(status.message).toContain(finding);
  });

  test('has a name that fits a host name', async () => {
    const status = await api.expect(422, 'POST', STATEFUL_SETS, workload('StatefulSet', {}, { name: 'a.b' }));
    expect(status.message).toContain('metadata.name: Invalid value: "a.b": a lowercase RFC 1123 label');
  });

  test.each<[name: string, spec: object, outcome: number]>([
    ['replicas', { replicas: 3 }, 200],
    ['the template', { template: template({ nodeSelector: { a: 'b' } }) }, 200],
    ['the first ordinal', { ordinals: { start: 2 } }, 200],
    ['what happens to claims', { persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Delete' } }, 200],
    ['its Service', { serviceName: 'y' }, 422],
    ['the order of its pods', { podManagementPolicy: 'Parallel' }, 422],
    ['its claims', { volumeClaimTemplates: [claim('data')] }, 422],
  ])('changes %s', async (_name, spec, outcome) => {
    const created = await api.expect(201, 'POST', STATEFUL_SETS, workload('StatefulSet'));
    const answer = await api.expect(outcome, 'PUT', `${STATEFUL_SETS}/x`, {
      ...created,
      spec: { ...created.spec, ...spec },
    });
    if (outcome === 422) {
      expect(answer.message).toContain(
        "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
      );
    }
  });

  test('scales', async () => {
    await api.expect(201, 'POST', STATEFUL_SETS, workload('StatefulSet'));
    const scale = await api.expect(200, 'GET', `${STATEFUL_SETS}/x/scale`);
    expect(scale.status).toEqual({ replicas: 0, selector: 'app=x' });
    await api.expect(200, 'PUT', `${STATEFUL_SETS}/x/scale`, { ...scale, spec: { replicas: 4 } });
    expect((await api.expect(200, 'GET', `${STATEFUL_SETS}/x`)).spec.replicas).toBe(4);
  });

  test('has no more ready pods than pods', async () => {
    const created = await api.expect(201, 'POST', STATEFUL_SETS, workload('StatefulSet'));
    const refused = await api.expect(422, 'PUT', `${STATEFUL_SETS}/x/status`, {
      ...created,
      status: { replicas: 1, readyReplicas: 2 },
    });
    expect(refused.message).toContain('status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas');
  });
});

describe('a ReplicationController', () => {
  test('takes selector and labels from its template', async () => {
    const { metadata, spec } = await api.expect(201, 'POST', CONTROLLERS, controller());
    expect([metadata.labels, spec.selector, spec.replicas]).toEqual([{ app: 'x' }, { app: 'x' }, 1]);
  });

  test.each<Refusal>([
    ['nothing to select', { template: template({}, {}) }, 'spec.selector: Required value'],
    [
      'a selector of other pods',
      { selector: { app: 'y' } },
      'spec.template.metadata.labels: Invalid value: {"app":"x"}: `selector` does not match template `labels`',
    ],
    ['no template', { selector: { a: 'b' }, template: undefined }, 'spec.template: Required value'],
    [
      'pods that end',
      { template: template({ restartPolicy: 'OnFailure' }) },
      'spec.template.spec.restartPolicy: Unsupported value: "OnFailure": supported values: "Always"',
    ],
    ['negative replicas', { replicas: -2 }, 'spec.replicas: Invalid value: -2: must be greater than or equal to 0'],
  ])('is refused with %s', async (_name, spec, finding) => {
    const status = await api.expect(422, 'POST', CONTROLLERS, controller(spec));
    expect(status.message).toContain(finding);
  });

  test('scales by its labels and leaves its pods behind', async () => {
    await api.expect(201, 'POST', CONTROLLERS, controller());
    const scale = await api.expect(200, 'GET', `${CONTROLLERS}/x/scale`);
    expect(scale).toMatchObject({ kind: 'Scale', status: { selector: 'app=x' } });
    const response = await api.call('DELETE', `${CONTROLLERS}/x`);
    expect(response.headers.warning).toBeUndefined();
    expect((await api.expect(200, 'GET', `${CONTROLLERS}/x`)).metadata.finalizers).toEqual(['orphan']);
  });
});

describe('a PodTemplate', () => {
  const podTemplate = (spec: object = {}) => ({
    apiVersion: 'v1',
    kind: 'PodTemplate',
    metadata: { name: 'x' },
    template: template(spec),
  });

  test('is completed, and its generation follows the template', async () => {
    const created = await api.expect(201, 'POST', TEMPLATES, podTemplate());
    expect(created.template.spec.dnsPolicy).toBe('ClusterFirst');
    const changed = await api.expect(200, 'PUT', `${TEMPLATES}/x`, podTemplate({ nodeSelector: { a: 'b' } }));
    expect([created.metadata.generation, changed.metadata.generation]).toEqual([1, 2]);
  });

  test('is refused with a bad one', async () => {
    const status = await api.expect(422, 'POST', TEMPLATES, podTemplate({ containers: [] }));
    expect(status.message).toContain('template.spec.containers: Required value');
  });
});

test('a template warns of what is doubtful, once', async () => {
  const doubtful = template({
    nodeSelector: { 'beta.kubernetes.io/os': 'linux' },
    containers: [
      {
        name: 'c',
        image: 'nginx:1',
        env: [
          { name: 'A', value: '1' },
          { name: 'A', value: '2' },
        ],
        resources: { requests: { memory: '500m' } },
      },
    ],
  });
  const created = await api.call('POST', DAEMON_SETS, workload('DaemonSet', { template: doubtful }));
  const warnings = String(created.headers.warning);
  expect(warnings).toContain(
    'spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \\"kubernetes.io/os\\" instead',
  );
  expect(warnings).toContain('env[1]: hides previous definition of \\"A\\", which may be dropped when using apply');
  expect(warnings).toContain('requests[memory]: fractional byte value \\"500m\\" is invalid, must be an integer');
  const object = await api.expect(200, 'GET', `${DAEMON_SETS}/x`);
  const again = await api.call('PUT', `${DAEMON_SETS}/x`, JSON.stringify(object));
  expect(again.headers.warning).toBeUndefined();
});
