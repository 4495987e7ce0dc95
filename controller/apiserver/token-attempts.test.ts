import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KubeClient } from '#api/client/client.ts';
import { type Pod, resources, type Secret } from '#api/object/kinds.ts';
import { systemClock } from '#base/clock.ts';
import { bootstrapTokenSecret } from './authenticate/bootstrap-token.ts';
import { asCertificate, createSecuredServer, type SecuredServer } from './testing/secured-server.ts';

/*
 * A token in wrong hands, at the wrong time or at the wrong door: as in attempts.test.ts, each attempt is refused and audited.
 */

let api: SecuredServer;
let admin: KubeClient;
/** How far the server's clock is ahead of this process's. */
let aheadMs = 0;

const ADMIN = asCertificate('kubernetes-admin', 'system:masters');
/** Holds until it is taken back. */
const JOINER = 'cccccc.0123456789abcdef';

const container = { name: 'c', image: 'i' };
const make = (client: KubeClient, info: Parameters<KubeClient['resource']>[0], object: object) =>
  client.resource(info).create(object as never);
const tokenRequest = (spec: object = {}) => ({ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec });

beforeAll(async () => {
  api = await createSecuredServer({ clock: { ...systemClock, now: () => systemClock.now() + aheadMs } });
  admin = api.clientAs(ADMIN);
  for (const name of ['default', 'weak'])
    await make(admin, resources.serviceAccounts, { metadata: { name, namespace: 'default' } });
  await make(admin, resources.clusterRoleBindings, {
    metadata: { name: 'weak' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' },
    subjects: [{ kind: 'ServiceAccount', name: 'weak', namespace: 'default' }],
  });
  await make(admin, resources.secrets, bootstrapTokenSecret(JOINER, { expiresAtMs: undefined }));
});
afterAll(() => api.stop());

describe('a token', () => {
  const list = (token: string) => api.call({ method: 'GET', url: '/api/v1/namespaces/default/pods', token });
  const issue = async (spec: object) => {
    const answer = await admin
      .resource(resources.serviceAccounts)
      .post<{ status: { token: string } }>('weak', 'default', 'token', tokenRequest(spec));
    return answer.status.token;
  };
  const isRefused = async (token: string) => {
    const before = api.auditLines.length;
    expect((await list(token)).status).toBe(401);
    expect(api.auditLines.slice(before).join()).toContain('"code":401');
  };

  it('does not outlive its pod', async () => {
    const pods = admin.resource<Pod>(resources.pods);
    const pod = await pods.create({
      metadata: { name: 'short', namespace: 'default' },
      spec: { containers: [container], serviceAccountName: 'weak' } as never,
    });
    const boundObjectRef = { kind: 'Pod', apiVersion: 'v1', name: 'short', uid: pod.metadata.uid };
    const token = await issue({ boundObjectRef });
    expect((await list(token)).status).toBe(200);
    await pods.delete({ name: 'short', namespace: 'default', gracePeriodSeconds: 0 });
    await isRefused(token);
    // A pod of the same name is another pod.
    await pods.create({
      metadata: { name: 'short', namespace: 'default' },
      spec: { containers: [container], serviceAccountName: 'weak' } as never,
    });
    await isRefused(token);
  });

  it('does not outlive the Secret or the node that it is bound to', async () => {
    const secret = await admin
      .resource<Secret>(resources.secrets)
      .create({ metadata: { name: 'tie', namespace: 'default' } });
    await make(admin, resources.nodes, { metadata: { name: 'brief' } });
    const node = await admin.resource(resources.nodes).fetch('brief');
    const ofSecret = await issue({
      boundObjectRef: { kind: 'Secret', apiVersion: 'v1', name: 'tie', uid: secret.metadata.uid },
    });
    const ofNode = await issue({
      boundObjectRef: { kind: 'Node', apiVersion: 'v1', name: 'brief', uid: node.metadata.uid },
    });
    expect([(await list(ofSecret)).status, (await list(ofNode)).status]).toEqual([200, 200]);
    await admin.resource(resources.secrets).delete({ name: 'tie', namespace: 'default' });
    await admin.resource(resources.nodes).delete({ name: 'brief' });
    await isRefused(ofSecret);
    await isRefused(ofNode);
  });

  it('is not good for another audience', async () => {
    await isRefused(await issue({ audiences: ['vault'] }));
    // Nor does the API server vouch for it to others, but to those that it was meant for.
    const token = await issue({ audiences: ['vault'] });
    const review = async (spec: object) => {
      const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token, ...spec } };
      const url = '/apis/authentication.k8s.io/v1/tokenreviews';
      const answer = await api.call({ method: 'POST', url, body, peer: ADMIN.peer! });
      return (answer.body as { status: { authenticated?: boolean } }).status.authenticated === true;
    };
    expect([await review({}), await review({ audiences: ['bank'] })]).toEqual([false, false]);
    expect(await review({ audiences: ['vault'] })).toBe(true);
  });

  it('is not good after its time', async () => {
    const token = await issue({ expirationSeconds: 600 });
    expect((await list(token)).status).toBe(200);
    try {
      aheadMs = 599_000;
      expect((await list(token)).status).toBe(200);
      aheadMs = 602_000;
      await isRefused(token);
    } finally {
      aheadMs = 0;
    }
  });

  it('is not good with a single bit changed, unsigned, or with the claims of another', async () => {
    const token = await issue({});
    const [head = '', claims = '', signature = ''] = token.split('.');
    const stolen = JSON.parse(Buffer.from(claims, 'base64url').toString());
    const strong = Buffer.from(
      JSON.stringify({ ...stolen, sub: 'system:serviceaccount:kube-system:namespace-controller' }),
    ).toString('base64url');
    const none = Buffer.from('{"alg":"none"}').toString('base64url');
    const flipped = `${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`;
    for (const bad of [`${head}.${claims}.${flipped}`, `${head}.${strong}.${signature}`, `${none}.${claims}.`]) {
      await isRefused(bad);
    }
  });

  it('does not outlive its account', async () => {
    await make(admin, resources.serviceAccounts, { metadata: { name: 'brief', namespace: 'default' } });
    const answer = await admin
      .resource(resources.serviceAccounts)
      .post<{ status: { token: string } }>('brief', 'default', 'token', tokenRequest());
    await admin.resource(resources.serviceAccounts).delete({ name: 'brief', namespace: 'default' });
    await isRefused(answer.status.token);
  });

  it('of a host that joins is worth nothing once it has expired, or is deleted', async () => {
    const token = 'dddddd.0123456789abcdef';
    await make(admin, resources.secrets, bootstrapTokenSecret(token, { expiresAtMs: Date.now() - 1_000 }));
    await isRefused(token);
    await isRefused('eeeeee.0123456789abcdef');
    await isRefused('cccccc.fedcba9876543210');
  });
});
