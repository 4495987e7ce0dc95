import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureNodeIdentity } from '#agent/identity/node-identity.ts';
import type { KubeClient } from '#api/client/client.ts';
import { createEventRecorder } from '#api/client/event-recorder.ts';
import { createInformerFactory } from '#api/client/informer-factory.ts';
import { type Node, type Pod, type Role, type RoleBinding, resources, type Secret } from '#api/object/kinds.ts';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeFileSystem } from '#test/kit/fake-file-system.ts';
import { createCsrApprover } from '../controllers/certificates/approver.ts';
import { createCsrSigningController } from '../controllers/certificates/signer.ts';
import { DEFAULT_CONTROLLERS_CONFIG, type StartController } from '../controllers/controller-context.ts';
import { openClusterPki } from '../pki/cluster-pki.ts';
import { createCsrSigner } from '../pki/csr-signer.ts';
import { bootstrapTokenSecret } from './authenticate/bootstrap-token.ts';
import { asCertificate, asComponent, createSecuredServer, type SecuredServer } from './testing/secured-server.ts';

let api: SecuredServer;
let admin: KubeClient;

beforeAll(async () => {
  api = await createSecuredServer();
  admin = api.clientAs(asCertificate('kubernetes-admin', 'system:masters'));
  await admin.resource(resources.serviceAccounts).create({ metadata: { name: 'default', namespace: 'default' } });
});
afterAll(() => api.stop());

const container = { name: 'c', image: 'i' };
const nodeClient = (name: string) => api.clientAs(asCertificate(`system:node:${name}`, 'system:nodes'));
const forbiddenError = { code: 403, reason: 'Forbidden' };

describe('the secured API server', () => {
  it('answers nobody without credentials but health and version', async () => {
    for (const url of ['/healthz', '/livez', '/readyz', '/version']) {
      expect((await api.call({ method: 'GET', url })).status).toBe(200);
    }
    for (const url of ['/', '/api', '/apis', '/metrics', '/readyz/ping', '/api/v1/namespaces', '/openid/v1/jwks']) {
      const { status, body } = await api.call({ method: 'GET', url });
      expect([url, status, body]).toEqual([url, 401, expect.objectContaining({ reason: 'Unauthorized' })]);
    }
  });

  it('lets nobody create by an update or an apply who may not create', async () => {
    const rules = [
      { apiGroups: [''], resources: ['configmaps'], verbs: ['get', 'patch'] },
      { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['update'] },
    ];
    await admin.resource<Role>(resources.roles).create({ metadata: { name: 'changer', namespace: 'default' }, rules });
    await admin.resource<RoleBinding>(resources.roleBindings).create({
      metadata: { name: 'changer', namespace: 'default' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'changer' },
      subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'ann' }],
    });
    const peer = { certificate: { commonName: 'ann', organizations: [] } };
    const apply = (name: string) =>
      api.call({
        method: 'PATCH',
        url: `/api/v1/namespaces/default/configmaps/${name}?fieldManager=t`,
        headers: { 'content-type': 'application/apply-patch+yaml' },
        body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { a: 'b' } },
        peer,
      });
    expect(await apply('new')).toMatchObject({
      status: 403,
      body: {
        message:
          'configmaps "new" is forbidden: User "ann" cannot create resource "configmaps" in API group "" in the namespace "default"',
      },
    });
    await admin.resource(resources.configMaps).create({ metadata: { name: 'old', namespace: 'default' } });
    expect((await apply('old')).status).toBe(200);
    const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'new' } };
    const url = '/apis/coordination.k8s.io/v1/namespaces/default/leases/new';
    expect((await api.call({ method: 'PUT', url, body: lease, peer })).status).toBe(403);
  });

  it('gives a pod a token that works as its account, within its rights, until the pod is gone', async () => {
    const pods = admin.resource<Pod>(resources.pods);
    const pod = await pods.create({
      metadata: { name: 'p', namespace: 'default' },
      spec: { nodeName: 'a', containers: [container] },
    });
    expect(pod.spec?.volumes?.[0]?.name).toMatch(/^kube-api-access-/);
    const request = (client: KubeClient, uid = pod.metadata.uid) =>
      client.resource(resources.serviceAccounts).post<{ status: { token: string } }>('default', 'default', 'token', {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: { expirationSeconds: 3607, boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'p', uid } },
      });
    await expect(request(nodeClient('b'))).rejects.toMatchObject(forbiddenError);
    const { token } = (await request(nodeClient('a'))).status;
    const list = () => api.call({ method: 'GET', url: '/api/v1/namespaces/default/pods', token });
    for (const url of ['/openid/v1/jwks', '/openid/v1/jwks/', '/.well-known/openid-configuration/', '/version/']) {
      expect([url, (await api.call({ method: 'GET', url, token })).status]).toEqual([url, 200]);
    }
    expect((await list()).body).toMatchObject({
      message:
        'pods is forbidden: User "system:serviceaccount:default:default" cannot list resource "pods" in API group "" in the namespace "default"',
    });
    await admin.resource(resources.roleBindings).create({
      metadata: { name: 'view', namespace: 'default' },
      ...{ roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' } },
      ...{ subjects: [{ kind: 'ServiceAccount', name: 'default', namespace: 'default' }] },
    });
    expect((await list()).status).toBe(200);
    await pods.delete({ name: 'p', namespace: 'default', gracePeriodSeconds: 0 });
    expect((await list()).status).toBe(401);
  });

  it('keeps a node to its own Secrets, pods and Node', async () => {
    const secrets = admin.resource<Secret>(resources.secrets);
    for (const name of ['of-a', 'of-b']) {
      await secrets.create({ metadata: { name, namespace: 'default' }, type: 'Opaque' });
      const spec = {
        nodeName: name.slice(3),
        containers: [container],
        volumes: [{ name: 'v', secret: { secretName: name } }],
      };
      await admin.resource<Pod>(resources.pods).create({ metadata: { name, namespace: 'default' }, spec });
    }
    const client = nodeClient('a');
    expect((await client.resource<Secret>(resources.secrets).fetch('of-a', 'default')).metadata.name).toBe('of-a');
    const own = await client.resource<Pod>(resources.pods).fetchList({ fieldSelector: 'spec.nodeName=a' });
    expect(own.items.map(({ metadata }) => metadata.name)).toEqual(['of-a']);
    const nodes = client.resource<Node>(resources.nodes);
    const node = await nodes.create({ metadata: { name: 'a' } });
    expect(node.spec?.taints).toHaveLength(1);
    const foreign = await admin.resource<Pod>(resources.pods).fetch('of-b', 'default');
    const labels = { 'node-role.kubernetes.io/x': '' };
    const refused = [
      () => client.resource<Secret>(resources.secrets).fetch('of-b', 'default'),
      () => client.resource<Secret>(resources.secrets).fetchList({ namespace: 'default' }),
      () => client.resource<Pod>(resources.pods).fetchList(),
      () => client.resource<Pod>(resources.pods).fetch('of-b', 'default'),
      () => client.resource<Pod>(resources.pods).update({ ...foreign, status: { phase: 'Failed' } }, 'status'),
      () => client.resource<Pod>(resources.pods).delete({ name: 'of-b', namespace: 'default' }),
      () => nodes.create({ metadata: { name: 'b' } }),
      () => nodes.update({ ...node, spec: { ...node.spec, taints: [] } }),
      () => nodes.update({ ...node, metadata: { ...node.metadata, labels } }),
      () => nodes.delete({ name: 'a' }),
    ];
    for (const attempt of refused) await expect(attempt()).rejects.toMatchObject(forbiddenError);
  });

  it('answers access reviews', async () => {
    const review = (client: KubeClient, resource: string, spec: object) =>
      client
        .resource({
          group: 'authorization.k8s.io',
          version: 'v1',
          resource,
          kind: resource === 'subjectaccessreviews' ? 'SubjectAccessReview' : 'SelfSubjectAccessReview',
          namespaced: false,
        })
        .create({ metadata: {}, spec } as never);
    const scheduler = api.clientAs(asComponent('system:kube-scheduler'));
    const question = {
      resourceAttributes: { verb: 'create', resource: 'pods', subresource: 'binding', namespace: 'default' },
    };
    expect(await review(scheduler, 'selfsubjectaccessreviews', question)).toMatchObject({ status: { allowed: true } });
    expect(await review(admin, 'subjectaccessreviews', { ...question, user: 'ann' })).toMatchObject({
      status: { allowed: false },
    });
    expect(await review(admin, 'subjectaccessreviews', { ...question, user: 'system:kube-scheduler' })).toMatchObject({
      status: { allowed: true },
    });
    await expect(review(admin, 'subjectaccessreviews', { user: 'ann' })).rejects.toMatchObject({ code: 422 });
    await expect(review(nodeClient('a'), 'subjectaccessreviews', question)).rejects.toMatchObject({ code: 422 });
  });

  it('reviews tokens and tells callers who they are', async () => {
    const info = (resource: string, kind: string) => ({
      group: 'authentication.k8s.io',
      version: 'v1',
      resource,
      kind,
      namespaced: false,
    });
    const ask = (token: string) =>
      admin.resource(info('tokenreviews', 'TokenReview')).create({ metadata: {}, spec: { token } } as never);
    expect(await ask('nonsense')).toMatchObject({ status: { authenticated: false } });
    await admin
      .resource<Secret>(resources.secrets)
      .create(bootstrapTokenSecret('aaaaaa.0123456789abcdef', { expiresAtMs: undefined }));
    expect(await ask('aaaaaa.0123456789abcdef')).toMatchObject({
      status: { authenticated: true, user: { username: 'system:bootstrap:aaaaaa' } },
    });
    const who = await api
      .clientAs(asCertificate('ann', 'dev'))
      .resource(info('selfsubjectreviews', 'SelfSubjectReview'))
      .create({ metadata: {} });
    expect(who).toMatchObject({ status: { userInfo: { username: 'ann', groups: ['dev', 'system:authenticated'] } } });
  });

  it('lets nobody raise themselves through roles, and lets users be impersonated by those who may', async () => {
    const roles = (client: KubeClient) => client.resource(resources.roles);
    const rule = { verbs: ['get'], apiGroups: [''], resources: ['secrets'] };
    const role = { metadata: { name: 'r', namespace: 'default' }, rules: [rule] };
    await admin.resource(resources.clusterRoleBindings).create({
      metadata: { name: 'ann-roles' },
      ...{ roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'system:aggregate-to-admin' } },
      ...{ subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'ann' }] },
    });
    await expect(roles(api.clientAs(asCertificate('ann'))).create(role as never)).rejects.toThrow('not currently held');
    const asAnn = { ...asCertificate('kubernetes-admin', 'system:masters'), headers: { 'impersonate-user': 'ann' } };
    await expect(roles(api.clientAs(asAnn)).create(role as never)).rejects.toThrow('user "ann"');
    const audited = api.auditLines.map((line) => JSON.parse(line)).at(-1);
    expect(audited).toMatchObject({
      user: { username: 'kubernetes-admin' },
      impersonatedUser: { username: 'ann' },
      responseStatus: { code: 403 },
    });
  });
});

describe('a host that joins over the secured API server', () => {
  it('obtains its certificates with rights that its roles hold', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'join-'));
    const abort = new AbortController();
    const pki = await openClusterPki({
      dir,
      clock: systemClock,
      log: silentLogger,
      hostnames: [],
      addresses: [],
      serviceIp: '10.96.0.1',
      clusterDomain: 'cluster.local',
    });
    try {
      await startCertificateControllers(
        [createCsrApprover, createCsrSigningController].map((create) => create(createCsrSigner(pki))),
        abort.signal,
      );
      const token = 'bbbbbb.0123456789abcdef';
      await admin
        .resource<Secret>(resources.secrets)
        .create(bootstrapTokenSecret(token, { expiresAtMs: Date.now() + 60_000 }));
      const fs = new FakeFileSystem();
      fs.seed('/state/x', '');
      const identity = await ensureNodeIdentity({
        host: { fs },
        dir: '/state/identity',
        servers: ['https://10.0.0.1:6443'],
        nodeName: 'joined',
        joinToken: token,
        caPem: pki.caPem,
        clock: systemClock,
        log: silentLogger,
        signal: abort.signal,
        connect: (credentials) => ({
          client: api.clientAs(
            credentials.keyPair === undefined
              ? { token: credentials.token! }
              : certificateOf(credentials.keyPair.certificatePem),
          ),
          close() {},
        }),
      });
      const node = api.clientAs(certificateOf(identity.node.certificatePem));
      expect(await identity.ensureServing(node, [])).toBe(true);
      const netd = api.clientAs(certificateOf(identity.netd.certificatePem));
      for (const info of [resources.endpointSlices, resources.nodes, resources.services]) {
        const watchList = { sendInitialEvents: true, allowWatchBookmarks: true, signal: abort.signal };
        // Its end mark comes at once.
        for await (const event of netd.resource(info).watch(watchList)) if (event.type === 'BOOKMARK') break;
      }
      await expect(netd.resource(resources.secrets).fetchList()).rejects.toMatchObject(forbiddenError);
      await expect(netd.resource(resources.pods).fetchList()).rejects.toMatchObject(forbiddenError);
    } finally {
      abort.abort();
      await rm(dir, { recursive: true });
    }
  });
});

function certificateOf(pem: string) {
  const fields = new X509Certificate(pem).subject.split('\n');
  const valuesOf = (type: string) =>
    fields.filter((field) => field.startsWith(`${type}=`)).map((field) => field.slice(type.length + 1));
  return asCertificate(valuesOf('CN')[0]!, ...valuesOf('O'));
}

async function startCertificateControllers(starts: readonly StartController[], signal: AbortSignal): Promise<void> {
  const clock = systemClock;
  const log = silentLogger;
  const informers = createInformerFactory({
    client: api.clientAs(asComponent('system:kube-controller-manager')),
    clock,
    log,
  });
  informers.start(signal);
  const client = api.clientAs(asComponent('system:serviceaccount:kube-system:certificate-controller'));
  const events = createEventRecorder({ client, component: 'certificate-controller', clock, log });
  const context = { client, informers, events, clock, log, random: Math.random, config: DEFAULT_CONTROLLERS_CONFIG };
  await Promise.all(starts.map((start) => start(context, signal)));
}
