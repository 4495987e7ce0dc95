import { beforeEach, describe, expect, it } from 'vitest';
import type { KubeObject } from '#api/object/kube-object.ts';
import { createRbacAuthorizer } from '../authorize/rbac-authorizer.ts';
import { createUnionAuthorizer, superuserAuthorizer } from '../authorize/union-authorizer.ts';
import type { UserInfo } from '../chain/request-context.ts';
import { defineResource } from '../registry/define-resource.ts';
import { fakeContext } from '../testing/fake-request.ts';
import { SeededStore } from '../testing/seeded-store.ts';
import type { AdmissionRequest } from './admission-plugin.ts';
import { builtinAdmission } from './builtin-admission.ts';
import { missingTolerations } from './default-toleration-seconds.ts';
import { isRestrictedNodeLabel } from './node-labels.ts';

const resource = (group: string, plural: string, kind: string, namespaced = true) =>
  defineResource({ group, version: 'v1', resource: plural, kind, namespaced });
const PODS = resource('', 'pods', 'Pod');
const NODES = resource('', 'nodes', 'Node', false);
const NAMESPACES = resource('', 'namespaces', 'Namespace', false);
const ACCOUNTS = resource('', 'serviceaccounts', 'ServiceAccount');
const LEASES = resource('coordination.k8s.io', 'leases', 'Lease');
const ROLES = resource('rbac.authorization.k8s.io', 'roles', 'Role');
const BINDINGS = resource('rbac.authorization.k8s.io', 'rolebindings', 'RoleBinding');
const REQUESTS = resource('certificates.k8s.io', 'certificatesigningrequests', 'CertificateSigningRequest', false);

const ANN: UserInfo = { name: 'ann', groups: ['system:authenticated'] };
const NODE_A: UserInfo = { name: 'system:node:a', groups: ['system:nodes'] };
const ADMIN: UserInfo = { name: 'admin', groups: ['system:masters'] };

let seeded: SeededStore;

beforeEach(async () => {
  seeded = new SeededStore();
  await seeded.put('/registry/namespaces/n', { metadata: { name: 'n' }, status: { phase: 'Active' } });
  await seeded.put('/registry/namespaces/going', { metadata: { name: 'going' }, status: { phase: 'Terminating' } });
  await seeded.put('/registry/serviceaccounts/n/default', { metadata: { name: 'default', namespace: 'n' } });
});

type Facts = Partial<Omit<AdmissionRequest, 'object' | 'oldObject'>> & { object?: object; oldObject?: object };

/** Runs the whole table, as the registry does. */
function admit(facts: Facts) {
  const rbac = createRbacAuthorizer(seeded.store);
  const authorizer = createUnionAuthorizer([superuserAuthorizer, rbac]);
  const plugins = builtinAdmission({ store: seeded.store, authorizer, rbac, random: () => 0 });
  const request = {
    operation: 'CREATE',
    resource: PODS,
    subresource: '',
    namespace: 'n',
    name: 'x',
    user: ANN,
    object: undefined,
    oldObject: undefined,
    dryRun: false,
    context: fakeContext(),
    ...facts,
  } as AdmissionRequest;
  const asked = plugins.filter((plugin) => plugin.handles(request));
  for (const plugin of asked) plugin.admit?.(request);
  for (const plugin of asked) plugin.validate?.(request);
  return request.object as KubeObject;
}

const pod = (spec: object = {}, metadata: object = {}) => ({
  metadata: { name: 'x', namespace: 'n', ...metadata },
  spec: { containers: [{ name: 'c', image: 'i' }], ...spec },
});

describe('NamespaceLifecycle', () => {
  it.each<[string, Facts, string | undefined]>([
    ['a pod in a namespace that is missing', { namespace: 'none', object: pod() }, 'namespaces "none" not found'],
    [
      'a pod in a namespace that is going',
      { namespace: 'going', object: pod() },
      'pods "x" is forbidden: unable to create new content in namespace going because it is being terminated',
    ],
    ['a deletion there', { namespace: 'going', operation: 'DELETE', oldObject: pod() }, undefined],
    [
      'the end of kube-system',
      { resource: NAMESPACES, operation: 'DELETE', name: 'kube-system', oldObject: {} },
      'namespaces "kube-system" is forbidden: this namespace may not be deleted',
    ],
    ['the end of another', { resource: NAMESPACES, operation: 'DELETE', name: 'n', oldObject: {} }, undefined],
  ])('judges %s', (_, facts, message) => {
    if (message === undefined) admit(facts);
    else expect(() => admit(facts)).toThrow(message);
  });

  it('names the cause by which clients know a namespace that is going', () => {
    const causes = [expect.objectContaining({ reason: 'NamespaceTerminating' })];
    expect(() => admit({ namespace: 'going', object: pod() })).toThrow(
      expect.objectContaining({ code: 403, details: expect.objectContaining({ causes }) }),
    );
  });
});

describe('ServiceAccount', () => {
  type Spec = {
    serviceAccountName: string;
    volumes: { name: string }[];
    containers: { volumeMounts?: object[] }[];
  } & Record<string, unknown>;
  const specOf = (object: object) => admit({ object }).spec as Spec;

  it('gives every pod the default account and its token, CA and namespace', () => {
    const spec = specOf(pod({ initContainers: [{ name: 'i', image: 'i' }] }));
    expect([spec.serviceAccountName, spec.serviceAccount]).toEqual(['default', 'default']);
    expect(spec.volumes).toEqual([
      {
        name: 'kube-api-access-bbbbb',
        projected: {
          defaultMode: 420,
          sources: [
            { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
            { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
            {
              downwardAPI: {
                items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
              },
            },
          ],
        },
      },
    ]);
    const mount = {
      name: 'kube-api-access-bbbbb',
      readOnly: true,
      mountPath: '/var/run/secrets/kubernetes.io/serviceaccount',
    };
    expect(spec.containers[0]?.volumeMounts).toEqual([mount]);
    expect((spec.initContainers as Spec['containers'])[0]?.volumeMounts).toEqual([mount]);
  });

  it('leaves a container alone that mounts something there itself', () => {
    const volumeMounts = [{ name: 'own', mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' }];
    const spec = specOf(pod({ containers: [{ name: 'c', volumeMounts }], volumes: [{ name: 'own' }] }));
    expect(spec.containers[0]?.volumeMounts).toEqual(volumeMounts);
    expect(spec.volumes.map(({ name }) => name)).toEqual(['own']);
  });

  it('mounts nothing where pod or account opted out; the pod decides', async () => {
    expect(specOf(pod({ automountServiceAccountToken: false })).volumes).toBeUndefined();
    const account = { metadata: { name: 'default', namespace: 'n' }, automountServiceAccountToken: false };
    await seeded.put('/registry/serviceaccounts/n/default', account);
    expect(specOf(pod()).volumes).toBeUndefined();
    expect(specOf(pod({ automountServiceAccountToken: true })).volumes).toHaveLength(1);
  });

  it("hands the account's pull secrets to pods without their own", async () => {
    const account = { metadata: { name: 'default', namespace: 'n' }, imagePullSecrets: [{ name: 'regcred' }] };
    await seeded.put('/registry/serviceaccounts/n/default', account);
    expect(specOf(pod()).imagePullSecrets).toEqual([{ name: 'regcred' }]);
    expect(specOf(pod({ imagePullSecrets: [{ name: 'own' }] })).imagePullSecrets).toEqual([{ name: 'own' }]);
  });

  it('refuses an account that does not exist', () => {
    expect(() => specOf(pod({ serviceAccountName: 'gone' }))).toThrow(
      'pods "x" is forbidden: error looking up service account n/gone: serviceaccount "gone" not found',
    );
  });
});

describe('missingTolerations', () => {
  it.each([
    ['none', [], 2],
    ['one of them', [{ key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' }], 1],
    ['one for another effect', [{ key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoSchedule' }], 2],
    ['everything', [{ operator: 'Exists' }], 0],
  ] as const)('adds to %s what is missing', (_, tolerations, count) => {
    expect(missingTolerations(tolerations)).toHaveLength(count);
  });
});

describe('Priority', () => {
  const spec = (object: object) => admit({ object }).spec;

  it('resolves class names, defaults included', async () => {
    expect(spec(pod())).toMatchObject({ priority: 0, preemptionPolicy: 'PreemptLowerPriority' });
    expect(spec(pod({ priorityClassName: 'system-node-critical' }))).toMatchObject({ priority: 2000001000 });
    const high = { metadata: { name: 'high' }, value: 7, preemptionPolicy: 'Never', globalDefault: true };
    await seeded.put('/registry/priorityclasses/high', high);
    expect(spec(pod())).toMatchObject({ priorityClassName: 'high', priority: 7, preemptionPolicy: 'Never' });
  });

  it.each([
    [{ priorityClassName: 'none' }, 'no PriorityClass with name none was found'],
    [{ priority: 5 }, 'the integer value of priority (5) must not be provided in pod spec'],
  ])('refuses %j', (changes, message) => {
    expect(() => spec(pod(changes))).toThrow(message);
  });
});

describe('TaintNodesByCondition', () => {
  it('keeps pods off a node that has just been created', () => {
    const node = admit({ resource: NODES, namespace: '', object: { metadata: { name: 'x' } } });
    expect(node.spec).toEqual({ taints: [{ key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' }] });
  });
});

describe('NodeRestriction', () => {
  const mirror = { annotations: { 'kubernetes.io/config.mirror': 'h' } };
  const onA = pod({ nodeName: 'a' });
  const onB = pod({ nodeName: 'b' });
  const node = (changes: object = {}) => ({ metadata: { name: 'a', labels: {} }, spec: {}, ...changes });
  const labelled = (key: string) => node({ metadata: { name: 'a', labels: { [key]: 'x' } } });
  const update = { operation: 'UPDATE', resource: NODES, namespace: '', name: 'a' } as const;
  const CLAIMED = { resourceClaimStatuses: [{ name: 'c', resourceClaimName: 'x' }] };
  const statusOfA = (before: object, after: object) =>
    ({
      operation: 'UPDATE',
      subresource: 'status',
      object: { ...onA, status: after },
      oldObject: { ...onA, status: before },
    }) as const;
  const tokenFor = (ref: object | undefined) =>
    ({
      resource: ACCOUNTS,
      subresource: 'token',
      name: 'sa',
      object: { metadata: {}, spec: { boundObjectRef: ref } },
    }) as const;

  it.each<[string, Facts, string | undefined]>([
    ['a mirror pod of its own', { object: pod({ nodeName: 'a' }, mirror) }, undefined],
    ['an ordinary pod', { object: onA }, 'can only create mirror pods'],
    ['a mirror pod elsewhere', { object: pod({ nodeName: 'b' }, mirror) }, 'spec.nodeName set to itself'],
    [
      'a mirror pod with a Secret',
      { object: pod({ nodeName: 'a', volumes: [{ name: 'v', secret: { secretName: 's' } }] }, mirror) },
      'can not create pods that reference secrets',
    ],
    [
      'a mirror pod with a claim of devices',
      { object: pod({ nodeName: 'a', resourceClaims: [{ name: 'c', resourceClaimName: 'x' }] }, mirror) },
      'can not create pods that reference resourceclaims',
    ],
    ['its pod deleted', { operation: 'DELETE', oldObject: onA }, undefined],
    ["another node's pod deleted", { operation: 'DELETE', oldObject: onB }, 'can only delete pods with spec.nodeName'],
    ['its pod status', { operation: 'UPDATE', subresource: 'status', object: onA, oldObject: onA }, undefined],
    [
      "another node's pod status",
      { operation: 'UPDATE', subresource: 'status', object: onB, oldObject: onB },
      'can only update pod status',
    ],
    ['its pod status, which names a claim', statusOfA(CLAIMED, { ...CLAIMED, phase: 'Running' }), undefined],
    [
      'another claim in the status of its pod',
      statusOfA(CLAIMED, { resourceClaimStatuses: [{ name: 'c', resourceClaimName: 'y' }] }),
      'cannot update resource claim statues',
    ],
    [
      'a claim for extended resources in the status of its pod',
      statusOfA(CLAIMED, {
        ...CLAIMED,
        extendedResourceClaimStatus: { resourceClaimName: 'y', requestMappings: [] },
      }),
      'cannot update extended resource claim status',
    ],
    ['its Node', { resource: NODES, namespace: '', name: 'a', object: node() }, undefined],
    [
      'another Node',
      { resource: NODES, namespace: '', name: 'b', object: { metadata: { name: 'b' } } },
      'not allowed to modify node "b"',
    ],
    ['a topology label', { ...update, object: labelled('topology.kubernetes.io/zone'), oldObject: node() }, undefined],
    [
      'a role label',
      { ...update, object: labelled('node-role.kubernetes.io/x'), oldObject: node() },
      'not allowed to modify labels',
    ],
    [
      'a taint',
      { ...update, object: node({ spec: { taints: [{ key: 'k', effect: 'NoExecute' }] } }), oldObject: node() },
      'not allowed to modify taints',
    ],
    [
      'its lease',
      { resource: LEASES, namespace: 'kube-node-lease', name: 'a', object: { metadata: { name: 'a' } } },
      undefined,
    ],
    [
      "another's lease",
      { resource: LEASES, namespace: 'kube-node-lease', name: 'b', object: { metadata: { name: 'b' } } },
      'same name as the requesting node',
    ],
    ['a token of nobody', tokenFor(undefined), 'not bound to a pod'],
    ['a token of its pod', tokenFor({ kind: 'Pod', name: 'mine', uid: 'u' }), undefined],
    [
      "a token of another node's pod",
      tokenFor({ kind: 'Pod', name: 'theirs', uid: 'u' }),
      'scheduled on a different node',
    ],
    [
      'a token of a pod that was replaced',
      tokenFor({ kind: 'Pod', name: 'mine', uid: 'old' }),
      'does not match the UID in record',
    ],
  ])('judges %s', async (_, facts, message) => {
    await seeded.put('/registry/namespaces/kube-node-lease', { metadata: { name: 'kube-node-lease' } });
    const running = (nodeName: string) => ({ spec: { nodeName, serviceAccountName: 'sa', containers: [] } });
    await seeded.put('/registry/pods/n/mine', { metadata: { name: 'mine', uid: 'u' }, ...running('a') });
    await seeded.put('/registry/pods/n/theirs', { metadata: { name: 'theirs', uid: 'u' }, ...running('b') });
    const complete = { user: NODE_A, ...facts };
    if (message === undefined) admit(complete);
    else expect(() => admit(complete)).toThrow(message);
  });

  it('concerns nodes alone', () => {
    expect(() => admit({ operation: 'DELETE', oldObject: onB })).not.toThrow();
  });
});

describe('isRestrictedNodeLabel', () => {
  it.each([
    ['kubernetes.io/hostname', false],
    ['node.kubernetes.io/anything', false],
    ['kubelet.kubernetes.io/anything', false],
    ['example.com/x', false],
    ['plain', false],
    ['node-role.kubernetes.io/control-plane', true],
    ['kubernetes.io/custom', true],
    ['acme.k8s.io/x', true],
    ['node-restriction.kubernetes.io/x', true],
    ['fakekubernetes.io/x', false],
  ])('%s: %s', (key, expected) => {
    expect(isRestrictedNodeLabel(key)).toBe(expected);
  });
});

describe('RBACEscalation', () => {
  const rules = [{ verbs: ['get'], apiGroups: [''], resources: ['pods'] }];
  const wider = [{ verbs: ['get', 'delete'], apiGroups: [''], resources: ['pods'] }];
  const role = (wanted: object[]) => ({
    resource: ROLES,
    object: { metadata: { name: 'x', namespace: 'n' }, rules: wanted },
  });
  const binding = (name: string) => ({
    resource: BINDINGS,
    object: {
      metadata: { name: 'x' },
      roleRef: { kind: 'ClusterRole', name },
      subjects: [{ kind: 'User', name: 'eve' }],
    },
  });
  const grant = async (wanted: object[], name = 'held') => {
    await seeded.put(`/registry/clusterroles/${name}`, { metadata: { name }, rules: wanted });
    const roleRef = { kind: 'ClusterRole', name };
    const subjects = [{ kind: 'User', name: 'ann' }];
    await seeded.put(`/registry/rolebindings/n/${name}`, { metadata: { name, namespace: 'n' }, roleRef, subjects });
  };

  it('lets nobody give more than they have', async () => {
    await grant(rules);
    await seeded.put('/registry/clusterroles/wide', { metadata: { name: 'wide' }, rules: wider });
    admit(role(rules));
    admit(binding('held'));
    const message =
      'is attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}';
    expect(() => admit(role(wider))).toThrow(message);
    expect(() => admit(binding('wide'))).toThrow(message);
    expect(() => admit({ ...role(wider), user: ADMIN })).not.toThrow();
  });

  it('honours escalate and bind, and lets metadata be changed by who holds less', async () => {
    await seeded.put('/registry/clusterroles/wide', { metadata: { name: 'wide' }, rules: wider });
    expect(() => admit({ ...role(wider), operation: 'UPDATE', oldObject: role(wider).object })).not.toThrow();
    const group = ['rbac.authorization.k8s.io'];
    await grant([{ verbs: ['escalate'], apiGroups: group, resources: ['roles'] }], 'escalator');
    expect(() => admit(role(wider))).not.toThrow();
    expect(() => admit(binding('wide'))).toThrow('not currently held');
    await grant(
      [{ verbs: ['bind'], apiGroups: group, resources: ['clusterroles'], resourceNames: ['wide'] }],
      'binder',
    );
    expect(() => admit(binding('wide'))).not.toThrow();
  });
});

describe('CertificateApproval and CertificateSigning', () => {
  const csr = (status: object) => ({ metadata: { name: 'x' }, spec: { signerName: 'example.com/s' }, status });
  const request = (subresource: string, status: object): Facts => ({
    resource: REQUESTS,
    namespace: '',
    operation: 'UPDATE',
    subresource,
    object: csr(status),
    oldObject: csr({}),
  });
  const approved = request('approval', { conditions: [{ type: 'Approved', status: 'True' }] });
  const signed = request('status', { certificate: 'AA==' });

  it('need the right on the signer', async () => {
    expect(() => admit(approved)).toThrow('user not permitted to approve requests with signerName "example.com/s"');
    expect(() => admit(signed)).toThrow('user not permitted to sign requests');
    expect(() => admit(request('status', {}))).not.toThrow();
    const rules = [
      {
        verbs: ['approve', 'sign'],
        apiGroups: ['certificates.k8s.io'],
        resources: ['signers'],
        resourceNames: ['example.com/*'],
      },
    ];
    await seeded.put('/registry/clusterroles/s', { metadata: { name: 's' }, rules });
    await seeded.put('/registry/clusterrolebindings/s', {
      metadata: { name: 's' },
      roleRef: { kind: 'ClusterRole', name: 's' },
      subjects: [{ kind: 'User', name: 'ann' }],
    });
    expect(() => admit(approved)).not.toThrow();
    expect(() => admit(signed)).not.toThrow();
  });
});
