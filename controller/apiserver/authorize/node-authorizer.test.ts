import { describe, expect, it } from 'vitest';
import type { AuthorizationAttributes, UserInfo } from '../chain/request-context.ts';
import { SeededStore } from '../testing/seeded-store.ts';
import { resourceAttributes } from './attributes.ts';
import { createNodeAuthorizer } from './node-authorizer.ts';
import { createNodeGraph } from './node-graph.ts';

const NODE_A: UserInfo = { name: 'system:node:a', groups: ['system:nodes', 'system:authenticated'] };

const podSpec = (nodeName: string) => ({
  nodeName,
  serviceAccountName: 'sa',
  containers: [{ name: 'c', env: [{ name: 'E', valueFrom: { secretKeyRef: { name: 'by-env', key: 'k' } } }] }],
  initContainers: [{ name: 'i', envFrom: [{ configMapRef: { name: 'by-envfrom' } }] }],
  imagePullSecrets: [{ name: 'pull' }],
  volumes: [
    { name: 'v', secret: { secretName: 'by-volume' } },
    { name: 'p', projected: { sources: [{ configMap: { name: 'projected' } }] } },
    { name: 'd', persistentVolumeClaim: { claimName: 'claim' } },
    { name: 'e', ephemeral: {} },
  ],
});

async function setUp() {
  const seeded = new SeededStore();
  const { graph } = createNodeGraph(seeded.store);
  await seeded.put('/registry/pods/n/p', { metadata: { name: 'p', namespace: 'n' }, spec: podSpec('a') });
  await seeded.put('/registry/pods/n/other', {
    metadata: { name: 'other', namespace: 'n' },
    spec: { ...podSpec('b'), volumes: [{ name: 'v', secret: { secretName: 'of-b' } }] },
  });
  const volume = (name: string, claim: string, secret: string) =>
    seeded.put(`/registry/persistentvolumes/${name}`, {
      metadata: { name },
      spec: {
        claimRef: { namespace: 'n', name: claim },
        csi: { driver: 'd', volumeHandle: name, nodeStageSecretRef: { namespace: 's', name: secret } },
      },
    });
  await volume('pv', 'claim', 'by-pv');
  await volume('pv-of-none', 'unused', 'by-unused');
  const authorizer = createNodeAuthorizer(graph);
  const ask = (verb: string, resource: string, more: Partial<AuthorizationAttributes> = {}) =>
    authorizer.authorize({ ...resourceAttributes(NODE_A, { verb, group: '', resource }), ...more }).decision;
  return { seeded, ask, authorizer };
}

describe('claims of devices', () => {
  const claimed = (statuses: object) => ({
    metadata: { name: 'q', namespace: 'n' },
    spec: {
      ...podSpec('a'),
      resourceClaims: [
        { name: 'x', resourceClaimName: 'shared' },
        { name: 'y', resourceClaimTemplateName: 't' },
      ],
    },
    status: statuses,
  });
  const GROUP = { group: 'resource.k8s.io' };

  it('are read by the node whose pod refers to them, also when they are made after it was bound', async () => {
    const { seeded, ask } = await setUp();
    await seeded.put('/registry/pods/n/q', claimed({}));
    const read = (name: string) => ask('get', 'resourceclaims', { ...GROUP, ...inN(name) });
    expect([read('shared'), read('q-y-1'), read('other')]).toEqual(['allow', 'noOpinion', 'noOpinion']);
    await seeded.put(
      '/registry/pods/n/q',
      claimed({
        resourceClaimStatuses: [{ name: 'y', resourceClaimName: 'q-y-1' }],
        extendedResourceClaimStatus: { resourceClaimName: 'q-extended-1', requestMappings: [] },
      }),
    );
    expect(['shared', 'q-y-1', 'q-extended-1'].map(read)).toEqual(['allow', 'allow', 'allow']);
    await seeded.put(
      '/registry/pods/n/q',
      claimed({ resourceClaimStatuses: [{ name: 'y', resourceClaimName: 'q-y-2' }] }),
    );
    expect(['q-y-1', 'q-y-2'].map(read)).toEqual(['noOpinion', 'allow']);
    expect(ask('update', 'resourceclaims', { ...GROUP, ...inN('shared') })).toBe('noOpinion');
  });

  it('are served from slices that a node sees and wipes for itself alone', async () => {
    const { ask } = await setUp();
    const decide = (verb: string, fieldSelector: string) => ask(verb, 'resourceslices', { ...GROUP, fieldSelector });
    expect(decide('deletecollection', 'spec.nodeName=a,spec.driver!=d')).toBe('allow');
    expect(decide('deletecollection', 'spec.nodeName=b')).toBe('noOpinion');
    expect(decide('deletecollection', '')).toBe('noOpinion');
    expect(decide('get', 'spec.nodeName=a')).toBe('noOpinion');
  });
});

const inN = (name: string) => ({ namespace: 'n', name });

describe('the Node authorizer', () => {
  it.each<[string, string, Partial<AuthorizationAttributes>, 'allow' | 'noOpinion']>([
    ['get', 'secrets', inN('by-env'), 'allow'],
    ['watch', 'secrets', inN('by-volume'), 'allow'],
    ['list', 'secrets', inN('pull'), 'allow'],
    ['get', 'configmaps', inN('by-envfrom'), 'allow'],
    ['get', 'configmaps', inN('projected'), 'allow'],
    ['get', 'persistentvolumeclaims', inN('claim'), 'allow'],
    ['get', 'persistentvolumeclaims', inN('p-e'), 'allow'],
    ['get', 'persistentvolumes', { name: 'pv' }, 'allow'],
    ['get', 'persistentvolumes', { name: 'pv-of-none' }, 'noOpinion'],
    ['list', 'persistentvolumes', { name: 'pv' }, 'noOpinion'],
    ['update', 'persistentvolumes', { name: 'pv' }, 'noOpinion'],
    ['get', 'secrets', { namespace: 's', name: 'by-pv' }, 'allow'],
    ['get', 'secrets', { namespace: 's', name: 'by-unused' }, 'noOpinion'],
    ['get', 'secrets', inN('of-b'), 'noOpinion'],
    ['get', 'secrets', { namespace: 'm', name: 'by-env' }, 'noOpinion'],
    ['list', 'secrets', { namespace: 'n' }, 'noOpinion'],
    ['update', 'secrets', inN('by-env'), 'noOpinion'],
    ['create', 'serviceaccounts', { ...inN('sa'), subresource: 'token' }, 'allow'],
    ['create', 'serviceaccounts', { ...inN('default'), subresource: 'token' }, 'noOpinion'],
    ['get', 'serviceaccounts', inN('sa'), 'allow'],
    ['get', 'serviceaccounts', inN('default'), 'noOpinion'],
    ['list', 'serviceaccounts', inN('sa'), 'noOpinion'],
    ['get', 'serviceaccounts', { ...inN('sa'), subresource: 'token' }, 'noOpinion'],
    ['get', 'pods', inN('p'), 'allow'],
    ['get', 'pods', inN('other'), 'noOpinion'],
    ['list', 'pods', { fieldSelector: 'spec.nodeName=a' }, 'allow'],
    ['watch', 'pods', { fieldSelector: 'status.phase!=Failed,spec.nodeName==a' }, 'allow'],
    ['list', 'pods', { fieldSelector: 'spec.nodeName=b' }, 'noOpinion'],
    ['list', 'pods', { fieldSelector: 'spec.nodeName!=a' }, 'noOpinion'],
    ['list', 'pods', {}, 'noOpinion'],
    ['patch', 'pods', { ...inN('p'), subresource: 'status' }, 'allow'],
    ['patch', 'pods', inN('p'), 'noOpinion'],
    ['create', 'pods', { ...inN('p'), subresource: 'exec' }, 'noOpinion'],
    ['get', 'nodes', { name: 'a' }, 'allow'],
    ['watch', 'nodes', { name: 'a' }, 'allow'],
    ['get', 'nodes', { name: 'b' }, 'noOpinion'],
    ['list', 'nodes', {}, 'noOpinion'],
    ['create', 'nodes', {}, 'allow'],
    ['patch', 'nodes', { name: 'a', subresource: 'status' }, 'allow'],
    ['patch', 'nodes', { name: 'b', subresource: 'status' }, 'noOpinion'],
    ['delete', 'nodes', { name: 'a' }, 'noOpinion'],
    ['get', 'nodes', { name: 'a', subresource: 'tunnel' }, 'allow'],
    ['get', 'nodes', { name: 'b', subresource: 'tunnel' }, 'noOpinion'],
    ['get', 'nodes', { name: 'a', subresource: 'proxy' }, 'noOpinion'],
    ['list', 'services', {}, 'allow'],
    ['create', 'events', { namespace: 'n' }, 'allow'],
    ['create', 'configmaps', { namespace: 'n' }, 'noOpinion'],
  ])('%s %s %j: %s', async (verb, resource, more, expected) => {
    const { ask } = await setUp();
    expect(ask(verb, resource, more)).toBe(expected);
  });

  it('lets a node keep its own lease and no other', async () => {
    const { ask } = await setUp();
    const lease = (namespace: string, name: string) =>
      ask('update', 'leases', { group: 'coordination.k8s.io', namespace, name });
    expect([lease('kube-node-lease', 'a'), lease('kube-node-lease', 'b'), lease('kube-system', 'a')]).toEqual([
      'allow',
      'noOpinion',
      'noOpinion',
    ]);
  });

  it('forgets what a deleted pod referred to, but not what another pod still does', async () => {
    const { ask, seeded } = await setUp();
    const second = { ...podSpec('a'), volumes: [] };
    await seeded.put('/registry/pods/n/q', { metadata: { name: 'q', namespace: 'n' }, spec: second });
    await seeded.remove('/registry/pods/n/p');
    expect(ask('get', 'secrets', inN('by-volume'))).toBe('noOpinion');
    expect(ask('get', 'secrets', inN('by-env'))).toBe('allow');
    await seeded.remove('/registry/pods/n/q');
    expect(ask('get', 'secrets', inN('by-env'))).toBe('noOpinion');
  });

  it('sees a pod from the moment it is bound', async () => {
    const { ask, seeded } = await setUp();
    const pod = (nodeName: string) => ({
      metadata: { name: 'w', namespace: 'n' },
      spec: { ...podSpec(nodeName), imagePullSecrets: [{ name: 'late' }] },
    });
    await seeded.put('/registry/pods/n/w', pod(''));
    expect(ask('get', 'secrets', inN('late'))).toBe('noOpinion');
    await seeded.put('/registry/pods/n/w', pod('a'));
    expect(ask('get', 'secrets', inN('late'))).toBe('allow');
  });

  it('has no opinion about users that are not nodes', async () => {
    const { authorizer } = await setUp();
    const attributes = resourceAttributes(
      { name: 'system:node:a', groups: [] },
      { verb: 'list', group: '', resource: 'services' },
    );
    expect(authorizer.authorize(attributes).decision).toBe('noOpinion');
  });
});
