import { beforeEach, describe, expect, test } from 'vitest';
import type { TestServer } from '../../server/testing/test-server.ts';
import { createResourceServer } from '../testing/resource-server.ts';

const PODS = '/api/v1/namespaces/a/pods';

const pod = (spec: object = {}, metadata: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'x', ...metadata },
  spec: { containers: [{ name: 'c', image: 'i:1' }], ...spec },
});
const of = (container: object, spec: object = {}) => ({
  containers: [{ name: 'c', image: 'i:1', ...container }],
  ...spec,
});
const volumes = (...sources: object[]) => ({ volumes: sources.map((source, i) => ({ name: `v${i}`, ...source })) });
const projected = (...sources: object[]) => volumes({ projected: { sources } });
const sizes = (requests: object, limits: object = {}) => ({ resources: { requests, limits } });
const claimTemplate = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } };
const affinity = (term: object) => ({
  affinity: {
    podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'zone', ...term }] },
  },
});
const spread = (constraint: object) => ({
  topologySpreadConstraints: [
    { maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule', labelSelector: {}, ...constraint },
  ],
});
const restart = (container: object) => of({ restartPolicy: 'Never', ...container });

let api: TestServer;
beforeEach(() => {
  api = createResourceServer();
});

type Refusal = [name: string, spec: object, finding: string];

describe('a pod is refused with', () => {
  test.each<Refusal>([
    [
      'huge pages alone',
      of(sizes({ 'hugepages-2Mi': '2Mi' }, { 'hugepages-2Mi': '2Mi' })),
      'spec.containers[0].resources: Forbidden: HugePages require cpu or memory',
    ],
    [
      'a resource that is none',
      of(sizes({ gpu: '1' })),
      'spec.containers[0].resources.requests[gpu]: Invalid value: "gpu": must be a standard resource type or fully qualified',
    ],
    ['a resource of quotas', of(sizes({ pods: '1' })), 'must be a standard resource for containers'],
    [
      'pod-level disks',
      sizes({ 'ephemeral-storage': '1Gi' }),
      'spec.resources.requests[ephemeral-storage]: Unsupported value: "ephemeral-storage": supported values: "cpu", "hugepages-", "memory"',
    ],
    [
      'pod-level requests below those of its containers',
      of(sizes({ cpu: '2' }), sizes({ cpu: '1' })),
      'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests of 2',
    ],
    [
      'a container above the pod',
      of(sizes({ cpu: '1' }, { cpu: '3' }), sizes({ cpu: '1' }, { cpu: '2' })),
      'spec.containers[0].resources.limits[cpu]: Invalid value: "3": must be less than or equal to pod limits of 2',
    ],
    ['a negative overhead', { overhead: { cpu: '-1' } }, 'spec.overhead.limits[cpu]: Invalid value: "-1"'],
    [
      'a claim twice',
      {
        resourceClaims: [
          { name: 'a', resourceClaimName: 'x' },
          { name: 'a', resourceClaimName: 'y' },
        ],
      },
      'spec.resourceClaims[1].name: Duplicate value: "a"',
    ],
    [
      'a claim of nothing',
      { resourceClaims: [{ name: 'a' }] },
      'must specify one of: `resourceClaimName`, `resourceClaimTemplateName`',
    ],
  ])('%s', (_name, spec, finding) => refuse(spec, finding));

  test.each<Refusal>([
    [
      'a system that is none',
      { os: { name: 'dos' } },
      'spec.os.name: Unsupported value: "dos": supported values: "linux", "windows"',
    ],
    [
      'Windows and a user of Linux',
      { os: { name: 'windows' }, securityContext: { runAsUser: 1 } },
      'spec.securityContext.runAsUser: Forbidden: cannot be set for a windows pod',
    ],
    [
      'Linux and options of Windows',
      of({ securityContext: { windowsOptions: { runAsUserName: 'u' } } }, { os: { name: 'linux' } }),
      'spec.containers[0].securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod',
    ],
    [
      'users of its own in the host’s network',
      { hostUsers: false, hostNetwork: true },
      'spec.hostNetwork: Forbidden: when `hostUsers` is false',
    ],
    [
      'an open /proc among the host’s users',
      of({ securityContext: { procMount: 'Unmasked' } }),
      'spec.containers[0].securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`',
    ],
    [
      'a profile without its file',
      { securityContext: { seccompProfile: { type: 'Localhost' } } },
      'spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost',
    ],
    [
      'a profile outside its folder',
      { securityContext: { seccompProfile: { type: 'Localhost', localhostProfile: '../x' } } },
      'spec.securityContext.seccompProfile.localhostProfile: Invalid value: "../x": must not contain \'..\'',
    ],
    [
      'a setting of the host’s network',
      { hostNetwork: true, securityContext: { sysctls: [{ name: 'net.ipv4.tcp_syncookies', value: '1' }] } },
      'spec.securityContext.sysctls[0].name: Invalid value: "net.ipv4.tcp_syncookies": may not be specified when \'hostNetwork\' is true',
    ],
    [
      'an unknown policy of groups',
      { securityContext: { supplementalGroupsPolicy: 'None' } },
      'spec.securityContext.supplementalGroupsPolicy: Unsupported value: "None": supported values: "Merge", "Strict"',
    ],
    [
      'a long host name',
      { hostnameOverride: 'x'.repeat(65) },
      'spec.hostnameOverride: Too long: may not be more than 64 bytes',
    ],
    [
      'a host name of its own in the host’s network',
      { hostnameOverride: 'x', hostNetwork: true },
      'spec.hostnameOverride: Forbidden: may not be set when `hostNetwork` is true',
    ],
    [
      'a gate twice',
      { schedulingGates: [{ name: 'g' }, { name: 'g' }] },
      'spec.schedulingGates[1]: Duplicate value: "g"',
    ],
    [
      'keys without a selector',
      affinity({ matchLabelKeys: ['app'] }),
      'requiredDuringSchedulingIgnoredDuringExecution[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set',
    ],
    [
      'a key on both sides',
      affinity({ labelSelector: {}, matchLabelKeys: ['app'], mismatchLabelKeys: ['app'] }),
      'matchLabelKeys[0]: Invalid value: "app": exists in both matchLabelKeys and mismatchLabelKeys',
    ],
    [
      'a key that the selector has',
      spread({ labelSelector: { matchLabels: { app: 'y' } }, matchLabelKeys: ['app'] }),
      'spec.topologySpreadConstraints[0].matchLabelKeys[0]: Invalid value: "app": exists in both matchLabelKeys and labelSelector',
    ],
    [
      'an unknown policy of taints',
      spread({ nodeTaintsPolicy: 'Maybe' }),
      'spec.topologySpreadConstraints[0].nodeTaintsPolicy: Unsupported value: "Maybe": supported values: "Honor", "Ignore"',
    ],
  ])('%s', (_name, spec, finding) => refuse(spec, finding));

  test.each<Refusal>([
    [
      'an unknown restart policy of a container',
      restart({ restartPolicy: 'Maybe' }),
      'spec.containers[0].restartPolicy: Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"',
    ],
    [
      'rules without a policy',
      of({ restartPolicyRules: [{ action: 'Restart', exitCodes: { operator: 'In', values: [1] } }] }),
      'spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used',
    ],
    [
      'a rule for no exit code',
      restart({ restartPolicyRules: [{ action: 'Restart', exitCodes: { operator: 'In', values: [] } }] }),
      'spec.containers[0].restartPolicyRules[0].exitCodes.values: Required value: must specify at least one value',
    ],
    [
      'a rule of an unknown operator',
      restart({ restartPolicyRules: [{ action: 'Restart', exitCodes: { operator: 'Near', values: [1] } }] }),
      'spec.containers[0].restartPolicyRules[0].exitCodes.operator: Unsupported value: "Near": supported values: "In", "NotIn"',
    ],
    [
      'a resize of disks',
      of({ resizePolicy: [{ resourceName: 'storage', restartPolicy: 'NotRequired' }] }),
      'spec.containers[0].resizePolicy[0].resourceName: Unsupported value: "storage": supported values: "cpu", "memory"',
    ],
    [
      'a restart of what never restarts',
      { ...of({ resizePolicy: [{ resourceName: 'cpu', restartPolicy: 'RestartContainer' }] }), restartPolicy: 'Never' },
      "spec.containers[0].resizePolicy[0].restartPolicy: Invalid value: \"RestartContainer\": must be 'NotRequired' when `restartPolicy` is 'Never'",
    ],
    [
      'a signal of no system',
      of({ lifecycle: { stopSignal: 'SIGUSR1' } }),
      'spec.containers[0].lifecycle.stopSignal: Forbidden: may not be set for containers with empty `spec.os.name`',
    ],
    [
      'a signal that Windows lacks',
      of({ lifecycle: { stopSignal: 'SIGUSR1' } }, { os: { name: 'windows' } }),
      'spec.containers[0].lifecycle.stopSignal: Unsupported value: "SIGUSR1": supported values: "SIGKILL", "SIGTERM"',
    ],
    [
      'a sleep beyond its grace',
      of({ lifecycle: { preStop: { sleep: { seconds: 60 } } } }),
      'spec.containers[0].lifecycle.preStop.sleep: Invalid value: 60: must be non-negative and less than terminationGracePeriodSeconds (30)',
    ],
    [
      'a probe over gRPC without a port',
      of({ livenessProbe: { grpc: { port: 0 } } }),
      'spec.containers[0].livenessProbe.grpc.port: Invalid value: 0: must be between 1 and 65535, inclusive',
    ],
    [
      'a device that is no claim',
      of({ volumeDevices: [{ name: 'v0', devicePath: '/dev/x' }] }, volumes({ emptyDir: {} })),
      'spec.containers[0].volumeDevices[0].name: Invalid value: "v0": can only use volume source type of PersistentVolumeClaim',
    ],
    [
      'a claim as device and as folder',
      of(
        { volumeDevices: [{ name: 'v0', devicePath: '/x' }], volumeMounts: [{ name: 'v0', mountPath: '/x' }] },
        volumes({ persistentVolumeClaim: { claimName: 'c' } }),
      ),
      'spec.containers[0].volumeDevices[0].name: Invalid value: "v0": must not already exist in volumeMounts',
    ],
    [
      'a recursion that could write',
      of({ volumeMounts: [{ name: 'v0', mountPath: '/x', recursiveReadOnly: 'Enabled' }] }, volumes({ emptyDir: {} })),
      'spec.containers[0].volumeMounts[0].recursiveReadOnly: Forbidden: may only be specified when readOnly is true',
    ],
    [
      'a variable of no file',
      of(
        { env: [{ name: 'A', valueFrom: { fileKeyRef: { key: 'K', volumeName: 'v0', path: '/abs' } } }] },
        volumes({ emptyDir: {} }),
      ),
      'spec.containers[0].env[0].valueFrom.fileKeyRef.path: Invalid value: "/abs": must be a relative path',
    ],
  ])('%s', (_name, spec, finding) => refuse(spec, finding));

  test.each<Refusal>([
    ['a share without its path', volumes({ nfs: { server: 's' } }), 'spec.volumes[0].nfs.path: Required value'],
    [
      'a disk without its name',
      volumes({ gcePersistentDisk: {} }),
      'spec.volumes[0].gcePersistentDisk.pdName: Required value',
    ],
    ['an image without a reference', volumes({ image: {} }), 'spec.volumes[0].image.reference: Required value'],
    ['a driver without a name', volumes({ csi: {} }), 'spec.volumes[0].csi.driver: Required value'],
    [
      'a claim of its own without a size',
      volumes({ ephemeral: { volumeClaimTemplate: { spec: { accessModes: ['ReadWriteOnce'] } } } }),
      'spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value',
    ],
    [
      'two files of one name',
      projected(
        { configMap: { name: 'a', items: [{ key: 'k', path: 'f' }] } },
        { secret: { name: 'b', items: [{ key: 'k', path: 'f' }] } },
      ),
      'spec.volumes[0].projected.sources[1].secret.items[0].path: Invalid value: "f": conflicting duplicate paths',
    ],
    [
      'a bundle of nobody',
      projected({ clusterTrustBundle: { path: 'ca.pem' } }),
      'spec.volumes[0].projected.sources[0].clusterTrustBundle: Required value: either name or signerName must be specified',
    ],
    [
      'a certificate without a key type',
      projected({ podCertificate: { signerName: 'a.b/c', credentialBundlePath: 'p' } }),
      'spec.volumes[0].projected.sources[0].podCertificate.keyType: Required value',
    ],
  ])('%s', (_name, spec, finding) => refuse(spec, finding));
});

async function refuse(spec: object, finding: string): Promise<void> {
  const status = await api.expect(422, 'POST', PODS, pod(spec));
  expect(status.message).toContain(finding);
}

test.each<[name: string, spec: object]>([
  [
    'restart rules of its containers',
    restart({ restartPolicyRules: [{ action: 'Restart', exitCodes: { operator: 'In', values: [42] } }] }),
  ],
  ['a signal of its system', of({ lifecycle: { stopSignal: 'SIGRTMIN+3' } }, { os: { name: 'linux' } })],
  ['a claim of its own', volumes({ ephemeral: { volumeClaimTemplate: { spec: claimTemplate } } })],
  [
    'a device',
    of(
      { volumeDevices: [{ name: 'v0', devicePath: '/dev/x' }] },
      volumes({ persistentVolumeClaim: { claimName: 'c' } }),
    ),
  ],
  [
    'an image to read',
    of({ volumeMounts: [{ name: 'v0', mountPath: '/x', subPath: 'a' }] }, volumes({ image: { reference: 'r:1' } })),
  ],
  ['users of its own', of({ securityContext: { procMount: 'Unmasked' } }, { hostUsers: false })],
  [
    'devices',
    of({ resources: { claims: [{ name: 'g' }] } }, { resourceClaims: [{ name: 'g', resourceClaimTemplateName: 't' }] }),
  ],
])('a pod may have %s', async (_name, spec) => {
  await api.expect(201, 'POST', PODS, pod(spec));
});

test('requests of the whole pod follow from its containers and its limits', async () => {
  const { spec } = await api.expect(
    201,
    'POST',
    PODS,
    pod(of(sizes({ cpu: '100m' }), { resources: { limits: { cpu: '1', memory: '1Gi' } } })),
  );
  expect(spec.resources.requests).toEqual({ cpu: '100m', memory: '1Gi' });
});

test('keys of labels become part of the selector, with the values of that moment', async () => {
  const term = {
    labelSelector: { matchLabels: { app: 'x' } },
    matchLabelKeys: ['hash'],
    mismatchLabelKeys: ['tenant'],
  };
  const spec = { ...affinity(term), ...spread({ matchLabelKeys: ['hash'] }) };
  const created = await api.expect(201, 'POST', PODS, pod(spec, { labels: { hash: '1', tenant: 't' } }));
  const own = { key: 'hash', operator: 'In', values: ['1'] };
  const [stored] = created.spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution;
  expect(stored.labelSelector).toEqual({
    matchLabels: { app: 'x' },
    matchExpressions: [own, { key: 'tenant', operator: 'NotIn', values: ['t'] }],
  });
  expect(created.spec.topologySpreadConstraints[0].labelSelector).toEqual({ matchExpressions: [own] });
  const labels = { hash: '2', tenant: 't' };
  const updated = await api.expect(200, 'PUT', `${PODS}/x`, { ...created, metadata: { ...created.metadata, labels } });
  expect(updated.spec).toEqual(created.spec);
});

const nodes = (...expressions: object[]) => ({
  affinity: {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: expressions }] },
    },
  },
});
const inZone = { key: 'zone', operator: 'Exists' };
const onDisk = { key: 'disk', operator: 'Exists' };

test.each<[name: string, isGated: boolean, spec: object, outcome: string]>([
  ['a gated pod may be narrowed', true, nodes(inZone, onDisk), ''],
  ['but not widened', true, nodes(onDisk), 'only additions are allowed (no mutations or deletions)'],
  [
    'nor set free',
    true,
    { affinity: undefined },
    'no additions/deletions to non-empty NodeSelectorTerms list are allowed',
  ],
  ['a pod without gates stays', false, nodes(inZone, onDisk), 'pod updates may not change fields other than'],
])('%s', async (_name, isGated, spec, outcome) => {
  const gates = isGated ? { schedulingGates: [{ name: 'g' }] } : {};
  const created = await api.expect(201, 'POST', PODS, pod({ ...nodes(inZone), ...gates }));
  const changed = { ...created, spec: { ...created.spec, ...spec } };
  const answer = await api.expect(outcome === '' ? 200 : 422, 'PUT', `${PODS}/x`, changed);
  if (outcome !== '') expect(answer.message).toContain(outcome);
});

test.each<[name: string, status: object, finding: string]>([
  ['two addresses of one family', { podIPs: [{ ip: '10.0.0.1' }, { ip: '10.0.0.2' }] }, 'status.podIPs: Invalid value'],
  ['an address that is none', { hostIPs: [{ ip: 'x' }] }, 'status.hostIPs[0]: Invalid value: "x"'],
  ['another class', { qosClass: 'Guaranteed' }, 'status.qosClass: Invalid value: "Guaranteed": field is immutable'],
])('a status is refused with %s', async (_name, status, finding) => {
  const created = await api.expect(201, 'POST', PODS, pod());
  const refused = await api.expect(422, 'PUT', `${PODS}/x/status`, { ...created, status });
  expect(refused.message).toContain(finding);
});

test('what has been observed stays so when a client does not know of it', async () => {
  const created = await api.expect(201, 'POST', PODS, pod());
  const condition = { type: 'Ready', status: 'True', observedGeneration: 1 };
  const status = { phase: 'Running', observedGeneration: 1, conditions: [condition] };
  await api.expect(200, 'PUT', `${PODS}/x/status`, { ...created, status });
  const forgetful = { phase: 'Running', conditions: [{ type: 'Ready', status: 'False' }] };
  const updated = await api.expect(200, 'PUT', `${PODS}/x/status`, {
    ...created,
    metadata: { name: 'x' },
    status: forgetful,
  });
  expect(updated.status).toMatchObject({
    observedGeneration: 1,
    qosClass: 'BestEffort',
    conditions: [{ type: 'Ready', status: 'False', observedGeneration: 1 }],
  });
});

test('new pods warn, changed ones do not', async () => {
  const created = await api.call(
    'POST',
    PODS,
    pod({ nodeSelector: { 'beta.kubernetes.io/arch': 'arm' } }, { name: 'a.b' }),
  );
  const warnings = String(created.headers.warning);
  expect(warnings).toContain("this is used in the Pod's hostname");
  expect(warnings).toContain('spec.nodeSelector[beta.kubernetes.io/arch]: deprecated since v1.14');
  const object = await api.expect(200, 'GET', `${PODS}/a.b`);
  const updated = await api.call('PUT', `${PODS}/a.b`, JSON.stringify(object));
  expect(updated.headers.warning).toBeUndefined();
});

describe('ephemeral containers', () => {
  const debug = async (container: object) => {
    const created = await api.expect(201, 'POST', PODS, pod());
    const spec = { ...created.spec, ephemeralContainers: [{ name: 'd', image: 'i:1', ...container }], nodeName: 'n' };
    return api.call('PUT', `${PODS}/x/ephemeralcontainers`, JSON.stringify({ ...created, spec }));
  };

  test('come one by one and stay as they are', async () => {
    expect((await debug({ targetContainerName: 'c' })).status).toBe(200);
    const current = await api.expect(200, 'GET', `${PODS}/x`);
    expect([current.spec.ephemeralContainers.length, current.spec.nodeName, current.metadata.generation]).toEqual([
      1,
      undefined,
      2,
    ]);
    const withContainers = (ephemeralContainers: object[]) => ({
      ...current,
      spec: { ...current.spec, ephemeralContainers },
    });
    const gone = await api.expect(422, 'PUT', `${PODS}/x/ephemeralcontainers`, withContainers([]));
    expect(gone.message).toContain('existing ephemeral containers "d" may not be removed');
    const other = withContainers([{ ...current.spec.ephemeralContainers[0], image: 'j:1' }]);
    const changed = await api.expect(422, 'PUT', `${PODS}/x/ephemeralcontainers`, other);
    expect(changed.message).toContain('existing ephemeral containers "d" may not be changed');
  });

  test.each<[name: string, container: object, finding: string]>([
    [
      'ports',
      { ports: [{ containerPort: 1 }] },
      'spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container',
    ],
    ['resources', { resources: { requests: { cpu: '1' } } }, 'spec.ephemeralContainers[0].resources: Forbidden'],
    ['a restart policy', { restartPolicy: 'Always' }, 'spec.ephemeralContainers[0].restartPolicy: Forbidden'],
    ['the name of another', { name: 'c' }, 'spec.ephemeralContainers[0].name: Duplicate value: "c"'],
    [
      'a target that is not there',
      { targetContainerName: 'z' },
      'spec.ephemeralContainers[0].targetContainerName: Not found: "z"',
    ],
  ])('have no %s', async (_name, container, finding) => {
    const response = await debug(container);
    expect((await response.json<{ message: string }>()).message).toContain(finding);
  });
});
